//! The guard in its cluster: it is given a kubeconfig and nothing else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "cluster/canary.rs"]
mod canary;
#[path = "cluster/certificates.rs"]
mod certificates;
#[path = "cluster/files.rs"]
mod files;
#[path = "cluster/readiness.rs"]
mod readiness;
#[path = "cluster/removal.rs"]
mod removal;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use clap::Parser as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use statusguard::{Args, Command, Guard};
use statusguard_edge::{Drained, Shutdown};
use statusguard_policy::StatusPolicy;
use statusguard_tests::{ControlPlane, User, WebhookService, eventually, parcels, plain_answer, unique};
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinHandle;

/// A guard that serves.
struct Serving {
    admission: SocketAddr,
    plain: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<Drained>>,
}

/// All that an administrator makes for it. There is one at a time: every guard sees all policies.
struct Stage {
    _alone: MutexGuard<'static, ()>,
    plane: &'static ControlPlane,
    home: String,
    namespace: String,
    configuration: String,
}

impl Stage {
    async fn new() -> Self {
        static ALONE: Mutex<()> = Mutex::const_new(());
        let alone = ALONE.lock().await;
        let plane = ControlPlane::shared().await;
        let configuration = unique("statusguard");
        parcels::prepare(plane, &configuration).await.unwrap();
        let (home, namespace) = (plane.namespace("home").await, plane.namespace("shop").await);
        Self { _alone: alone, plane, home, namespace, configuration }
    }

    fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.plane.client(User::Admin))
    }

    fn policies(&self) -> Api<StatusPolicy> {
        Api::all(self.plane.client(User::Admin))
    }

    fn parcels(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.plane.client(User::Admin), &self.namespace, &parcels::resource())
    }

    async fn policy(&self, failure_policy: &str) {
        parcels::guard(self.plane, &self.namespace, failure_policy).await.unwrap();
    }

    /// A guard behind a Service of its own.
    async fn guard(&self, service: &str) -> Serving {
        self.guard_with(service, &self.plane.kubeconfig(User::Admin), &[]).await
    }

    /// A guard that reaches the cluster as this file says.
    async fn guard_as(&self, kubeconfig: &Path, flags: &[&str]) -> Serving {
        self.guard_with("statusguard", kubeconfig, flags).await
    }

    async fn guard_with(&self, service: &str, kubeconfig: &Path, flags: &[&str]) -> Serving {
        let listen = self.plane.webhook_listen_address();
        let port = std::net::TcpListener::bind((listen, 0)).unwrap().local_addr().unwrap().port();
        let reached = WebhookService { namespace: self.home.clone(), name: service.to_owned(), port };
        self.plane.apply_webhook_service(&reached).await.unwrap();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self.try_guard((service, port), format!("{listen}:{port}"), kubeconfig, &flags).await.unwrap()
    }

    /// A guard that the API server reaches at a port of this Service.
    async fn try_guard(
        &self,
        (service, port): (&str, u16),
        listen: String,
        kubeconfig: &Path,
        more: &[String],
    ) -> anyhow::Result<Serving> {
        let mut args = vec![
            "statusguard".to_owned(),
            "webhook".to_owned(),
            format!("--kubeconfig={}", kubeconfig.display()),
            format!("--namespace={}", self.home),
            format!("--service={service}"),
            format!("--service-port={port}"),
            format!("--configuration={}", self.configuration),
            format!("--listen={listen}"),
            "--plain-listen=127.0.0.1:0".to_owned(),
            "--spread=1s".to_owned(),
            "--min-drain=0s".to_owned(),
            "--drain-timeout=1s".to_owned(),
        ];
        args.extend_from_slice(more);
        let Command::Webhook(args) = Args::try_parse_from(args).unwrap().command else { unreachable!("a server") };
        let guard = Guard::bind(*args).await?;
        let (admission, plain) = (guard.address().unwrap(), guard.plain_address().unwrap());
        let shutdown = guard.shutdown();
        Ok(Serving { admission, plain, shutdown, task: tokio::spawn(guard.serve()) })
    }

    async fn scan(&self, name: &str, scans: u64) -> Result<DynamicObject, kube::Error> {
        let patch = Patch::Merge(json!({ "status": { "scans": scans } }));
        self.parcels().patch_status(name, &PatchParams::default(), &patch).await
    }

    async fn condition(&self, kind: &str) -> Value {
        let policy = self.policies().get(parcels::POLICY).await.unwrap();
        let conditions = policy.status.unwrap_or_default().conditions;
        conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
    }

    async fn entry(&self) -> Value {
        let object = self.configurations().get(&self.configuration).await.unwrap();
        serde_json::to_value(object.webhooks.unwrap_or_default().first()).unwrap()
    }
}

impl Serving {
    async fn get(&self, path: &str) -> String {
        plain_answer(self.plain, path).await.unwrap()
    }

    /// The value of a series, with its labels as they are served.
    async fn metric(&self, series: &str) -> f64 {
        let metrics = self.get("/metrics").await;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {series}: {metrics}")).parse().unwrap()
    }

    async fn ready(&self) -> bool {
        self.get("/readyz").await.starts_with("HTTP/1.1 200")
    }

    async fn end(self) {
        self.shutdown.request();
        self.task.await.unwrap().unwrap();
    }
}

/// Every metric has a row in a table of the documentation, and every row is served.
fn metrics_are_documented(metrics: &str) {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let served: BTreeSet<&str> = types.map(|(name, _)| name).filter(|name| name.starts_with("statusguard_")).collect();
    let texts = [include_str!("../../webhook/README.md"), include_str!("../../certs/README.md")];
    let rows = texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.strip_prefix("| `"));
    let rows = rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name);
    let listed: BTreeSet<&str> = rows.filter(|name| name.starts_with("statusguard_")).collect();
    assert_eq!(served, listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubeconfig_is_all_that_it_needs() {
    let stage = Stage::new().await;
    stage.policy("Fail").await;
    let guard = stage.guard("statusguard").await;
    eventually("the guard is ready", async || Ok(guard.ready().await)).await.unwrap();
    let object = DynamicObject::new("p1", &parcels::resource());
    stage.parcels().create(&PostParams::default(), &object).await.unwrap();
    stage.scan("p1", 3).await.unwrap();
    // In force: refused by the guard's own certificate and entry.
    eventually("a stale write is refused", async || {
        Ok(matches!(stage.scan("p1", 2).await, Err(kube::Error::Api(status)) if status.code == 409))
    })
    .await
    .unwrap();
    assert_eq!(stage.parcels().get("p1").await.unwrap().data["status"]["scans"], 3);
    // What the policy says holds once calls were seen to arrive, and its conditions say so.
    eventually("the entry is Fail", async || Ok(stage.entry().await["failurePolicy"] == "Fail")).await.unwrap();
    eventually("the policy is enforced", async || {
        Ok(stage.condition("Compiled").await["status"] == "True"
            && stage.condition("Enforced").await["status"] == "True")
    })
    .await
    .unwrap();
    assert_eq!(stage.entry().await["rules"][0]["scope"], "Namespaced");
    metrics_are_documented(&guard.get("/metrics").await);
    // A policy that is deleted takes its entry along, and writes go on.
    stage.policies().delete(parcels::POLICY, &DeleteParams::default()).await.unwrap();
    eventually("the entry is gone", async || Ok(stage.entry().await.is_null())).await.unwrap();
    eventually("the write is allowed", async || Ok(stage.scan("p1", 1).await.is_ok())).await.unwrap();
    // The off switch: a configuration that is deleted stays deleted.
    stage.configurations().delete(&stage.configuration, &DeleteParams::default()).await.unwrap();
    stage.policy("Ignore").await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    assert!(stage.configurations().get_opt(&stage.configuration).await.unwrap().is_none());
    assert!(guard.ready().await);
    guard.end().await;
}
