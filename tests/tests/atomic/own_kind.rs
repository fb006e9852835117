//! A custom resource of one test's own, its CRD at the test's disposal, and a writer whose answers can be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use atomic_status::{Builder, Dynamic, StatusWriter};
use http::Method;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use statusguard_tests::{ControlPlane, Fault, FaultProxy, LogsOnFailure, User, eventually, unique};
use tokio::sync::Notify;

/// A custom resource that no other test knows.
pub struct OwnKind<'p> {
    pub plane: &'p ControlPlane,
    pub namespace: String,
    pub proxy: FaultProxy,
    crd: Value,
    group: String,
    _logs: LogsOnFailure<'p>,
}

/// One version of a CRD, whose status has these properties.
pub fn version(name: &str, storage: bool, status: &Value) -> Value {
    json!({
        "name": name, "served": true, "storage": storage, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "status": {"type": "object", "properties": status},
        }}},
    })
}

impl OwnKind<'static> {
    /// On the control plane that all tests share, with one version.
    pub async fn shared(status: Value) -> Self {
        OwnKind::on(ControlPlane::shared().await, json!([version("v1", true, &status)]), Value::Null).await
    }
}

impl<'p> OwnKind<'p> {
    pub async fn on(plane: &'p ControlPlane, versions: Value, conversion: Value) -> Self {
        let group = format!("{}.statusguard.dev", unique("own"));
        let mut crd = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("things.{group}")},
            "spec": {
                "group": group, "scope": "Namespaced", "versions": versions,
                "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            },
        });
        if !conversion.is_null() {
            crd["spec"]["conversion"] = conversion;
        }
        let proxy = FaultProxy::start(plane.config(User::Admin)).await.unwrap();
        let logs = plane.logs_on_failure();
        let own = Self { plane, namespace: plane.namespace("own").await, proxy, crd, group, _logs: logs };
        plane.apply_crd(&serde_json::from_value(own.crd.clone()).unwrap()).await.unwrap();
        own
    }

    /// Changes the properties that the status has in the first version.
    pub async fn declare(&self, status: &Value) {
        let mut crd = self.crd.clone();
        crd["spec"]["versions"][0] = version("v1", true, status);
        self.plane.apply_crd(&serde_json::from_value(crd).unwrap()).await.unwrap();
    }

    /// Waits until the API server would keep these members of a status.
    pub async fn keeps(&self, members: Value) {
        let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
        let patch = Patch::Merge(json!({"status": members}));
        eventually("the CRD is in force", async || {
            let answer = self.api("v1").patch_status("thing", &dry_run, &patch).await?;
            let status = answer.status_as_sent().cloned().unwrap_or_default();
            Ok(members.as_object().into_iter().flatten().all(|(name, value)| status.get(name) == Some(value)))
        })
        .await
        .unwrap();
    }

    pub fn group(&self) -> &str {
        &self.group
    }

    pub fn kind(&self, version: &str) -> ApiResource {
        ApiResource::from_gvk(&GroupVersionKind::gvk(&self.group, version, "Thing"))
    }

    /// Direct access to a version, past all faults.
    pub fn api(&self, version: &str) -> Api<Dynamic> {
        Api::namespaced_with(self.plane.client(User::Admin), &self.namespace, &self.kind(version))
    }

    /// A writer of v1 that meets the faults.
    pub fn builder(&self) -> Builder<Dynamic> {
        StatusWriter::builder_with(self.proxy.client(), "own", self.kind("v1"))
    }

    /// An object without a status; with a spec, because the API server tracks owners of no other.
    pub async fn create(&self) -> Dynamic {
        let object = json!({
            "apiVersion": format!("{}/v1", self.group), "kind": "Thing",
            "metadata": {"name": "thing"}, "spec": {"made": 1},
        });
        self.api("v1").create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap()
    }

    pub async fn status(&self) -> Value {
        self.api("v1").get("thing").await.unwrap().status_as_sent().cloned().unwrap_or_default()
    }

    /// Merges into the status, as `manager`, in a version.
    pub async fn merge(&self, manager: &str, version: &str, status: Value) -> kube::Result<Dynamic> {
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        self.api(version).patch_status("thing", &params, &Patch::Merge(json!({"status": status}))).await
    }

    /// Makes this the part of the status that `manager` wants, by server-side apply.
    pub async fn apply(&self, manager: &str, status: Value) -> Dynamic {
        let object = json!({
            "apiVersion": format!("{}/v1", self.group), "kind": "Thing",
            "metadata": {"name": "thing"}, "status": status,
        });
        let params = PatchParams::apply(manager).force();
        self.api("v1").patch_status("thing", &params, &Patch::Apply(object)).await.unwrap()
    }

    /// Changes the spec, which leaves the status to whoever wrote it.
    pub async fn touch(&self) {
        let params = PatchParams { field_manager: Some("toucher".to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(json!({"spec": {"made": 2}}));
        self.api("v1").patch("thing", &params, &patch).await.unwrap();
    }

    /// Runs an update whose first PUT gets this fault, with all that follows held up until `meanwhile` is over.
    pub async fn lose<T: Send + 'static>(
        &self,
        fault: Fault,
        update: impl IntoFuture<IntoFuture: Send + 'static, Output = T>,
        meanwhile: impl AsyncFnOnce(),
    ) -> T {
        let (open, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
        let (is_open, trying, requests) = (open.clone(), tried.clone(), AtomicUsize::new(0));
        self.proxy.set_faults(move |parts| match requests.fetch_add(1, Ordering::SeqCst) {
            0 => {
                assert_eq!(parts.method, Method::PUT);
                fault
            }
            _ => {
                trying.notify_one();
                if is_open.load(Ordering::SeqCst) { Fault::Pass } else { Fault::CutBeforeSending }
            }
        });
        let mut update = tokio::spawn(update.into_future());
        tokio::select! {
            // It took the answer for good.
            answer = &mut update => return answer.unwrap(),
            () = tried.notified() => meanwhile().await,
        }
        open.store(true, Ordering::SeqCst);
        update.await.unwrap()
    }
}
