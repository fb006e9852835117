//! What the demo needs: a control plane, the guard, users and objects.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use clap::Parser as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::CustomResourceExt as _;
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};
use statusguard::{Args, Backend, Command, Guard, Refusals};
use statusguard_edge::Shutdown;
use statusguard_tests::{Authority, ControlPlane, Options, Scope, User, WebhookService};

const SYSTEM_NAMESPACE: &str = "statusguard-system";
const SERVICE: &str = "statusguard";

/// A control plane with the CRD, a namespace and two users who may write notifications.
pub struct DemoCluster {
    pub plane: ControlPlane,
    pub namespace: String,
}

/// A guard that runs in this process.
pub struct RunningGuard {
    pub refusals: Refusals,
    shutdown: Shutdown,
    task: tokio::task::JoinHandle<anyhow::Result<statusguard_edge::Drained>>,
}

/// The policies that come with the project.
pub fn policies() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    project.join("manifests/policies/kubernaut")
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
        let folder = self.plane.folder().join("guard");
        std::fs::create_dir(&folder).context("making a folder for the guard's certificate")?;
        let service = WebhookService { namespace: SYSTEM_NAMESPACE.into(), name: SERVICE.into(), port: 0 };
        let authority = Authority::new("statusguard demo")?;
        let leaf = authority.leaf([service.dns_name()])?.write(&folder)?;
        let listen = self.plane.webhook_listen_address();
        let args = Args::try_parse_from([
            "statusguard".into(),
            "webhook".into(),
            format!("--policy-dir={}", policies().display()),
            format!("--tls-cert={}", leaf.certificate.display()),
            format!("--tls-key={}", leaf.key.display()),
            format!("--listen={listen}:0"),
            "--plain-listen=127.0.0.1:0".into(),
            // At the end no write is in progress, and the API server keeps its connections open.
            "--min-drain=0s".into(),
            "--drain-timeout=1s".into(),
        ])?;
        let Command::Webhook(webhook) = args.command else {
            bail!("these are not the arguments of `statusguard webhook`")
        };
        let guard = Guard::bind(*webhook).await?;
        let service = WebhookService { port: guard.address()?.port(), ..service };
        let refusals = guard.refusals();
        let shutdown = guard.shutdown();
        let task = tokio::spawn(guard.serve());
        self.register(&service, authority.pem().into_bytes()).await?;
        Ok(RunningGuard { refusals, shutdown, task })
    }

    async fn register(&self, service: &WebhookService, ca_bundle: Vec<u8>) -> anyhow::Result<()> {
        let file = policies().join("notificationrequests.yaml");
        let policy = statusguard::policies::load_one(&file)?;
        let backend = Backend {
            namespace: service.namespace.clone(),
            service: service.name.clone(),
            port: service.port,
            ca_bundle,
        };
        let configuration = ValidatingWebhookConfiguration {
            metadata: ObjectMeta { name: Some("statusguard".into()), ..ObjectMeta::default() },
            webhooks: Some(vec![statusguard::webhook(&policy, &backend)]),
        };
        let namespaces = Api::<k8s_openapi::api::core::v1::Namespace>::all(self.plane.client(User::Admin));
        let own = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": SYSTEM_NAMESPACE } });
        namespaces
            .patch(SYSTEM_NAMESPACE, &PatchParams::apply("statusguard-local").force(), &Patch::Apply(own))
            .await
            .context("creating the guard's namespace")?;
        // The webhook is in force once it refuses, in a dry run, an illegal first phase.
        let probe = "probe";
        self.create(probe).await?;
        let api = self.notifications(User::Admin);
        let dry = PatchParams { dry_run: true, ..PatchParams::default() };
        self.plane
            .register_webhook(service, configuration, async || {
                let illegal = json!({ "status": { "phase": "Sent" } });
                match api.patch_status(probe, &dry, &Patch::Merge(illegal)).await {
                    Err(kube::Error::Api(status)) => Ok(status.code == 422),
                    _ => Ok(false),
                }
            })
            .await?;
        api.delete(probe, &Default::default()).await?;
        Ok(())
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

impl RunningGuard {
    /// Stops the guard as a rolling update would.
    pub async fn end(self) -> anyhow::Result<()> {
        self.shutdown.request();
        let drained = self.task.await??;
        ensure!(drained.cut == 0, "calls were cut off at the end");
        Ok(())
    }
}
