//! What the demo needs: a control plane, the guard, users and objects.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::CustomResourceExt as _;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};

use super::documents;
use super::guard::RunningGuard;
use super::project;
use super::sources::Sources;
use crate::{ControlPlane, Options, Scope, User};

/// A control plane with the CRD, a namespace and two users who may write notifications.
pub struct DemoCluster {
    pub plane: ControlPlane,
    pub namespace: String,
}

impl DemoCluster {
    pub async fn start() -> anyhow::Result<Self> {
        println!("Starting kube-apiserver and etcd; the first time, they are built from source.");
        let plane = ControlPlane::start(Options::default()).await?;
        plane.apply_crd(&NotificationRequest::crd()).await?;
        let namespace = plane.namespace("demo").await;
        let rule = |resource: &str, verbs: &[&str]| PolicyRule {
            api_groups: Some(vec!["kubernaut.ai".into()]),
            resources: Some(vec![resource.into()]),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        };
        let rules = vec![
            rule("notificationrequests", &["get", "list", "watch"]),
            rule("notificationrequests/status", &["get", "update", "patch"]),
        ];
        for user in [User::Alice, User::Bob] {
            plane.grant(&user, Scope::Namespace(&namespace), rules.clone()).await?;
        }
        Ok(Self { plane, namespace })
    }

    /// Starts the guard and registers it with the API server.
    pub async fn guard(&self) -> anyhow::Result<RunningGuard> {
        let file = project("manifests/policies/kubernaut/notificationrequests.yaml");
        let sources = Sources::new(vec![file]);
        let policies = documents::policies_of(&sources, &sources.read()?, &[]);
        ensure!(policies.problems.is_empty(), "{}", policies.problems.join("\n"));
        let mut guard = RunningGuard::start(&self.plane).await?;
        guard.enforce(&self.plane, &policies.documents).await?;
        Ok(guard)
    }

    /// The notifications of the demo's namespace, as dynamic objects: what any client sees.
    pub fn notifications(&self, user: User) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("kubernaut.ai", "v1alpha1", "NotificationRequest");
        let resource = ApiResource::from_gvk_with_plural(&kind, "notificationrequests");
        Api::namespaced_with(self.plane.client(user), &self.namespace, &resource)
    }

    pub async fn create(&self, name: &str) -> anyhow::Result<()> {
        let object: DynamicObject = serde_json::from_value(json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "NotificationRequest",
            "metadata": { "name": name },
            "spec": { "type": "Escalation", "subject": "Disk of node worker-2 is full", "body": "See the runbook." },
        }))?;
        let api = self.notifications(User::Admin);
        api.create(&PostParams::default(), &object).await.with_context(|| format!("creating {name}"))?;
        Ok(())
    }

    /// Merge-patches a status, as controllers do to avoid conflicts.
    pub async fn patch(&self, user: User, name: &str, status: Value) -> Result<DynamicObject, kube::Error> {
        let patch = Patch::Merge(json!({ "status": status }));
        self.notifications(user).patch_status(name, &PatchParams::default(), &patch).await
    }

    /// Runs kubectl, shows the command and what it printed, and gives back whether it succeeded.
    pub fn kubectl(&self, user: User, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
        let shown: Vec<String> = arguments
            .iter()
            .map(
                |argument| if argument.contains(['{', ' ']) { format!("'{argument}'") } else { (*argument).to_owned() },
            )
            .collect();
        println!("    $ kubectl {}", shown.join(" "));
        let output = self
            .plane
            .kubectl(user)
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .output()
            .context("running kubectl")?;
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().for_each(|line| println!("    {line}"));
        Ok((output.status.success(), text))
    }

    /// The status as it is stored.
    pub async fn status(&self, name: &str) -> anyhow::Result<Value> {
        let object = self.notifications(User::Admin).get(name).await?;
        Ok(object.data["status"].clone())
    }
}
