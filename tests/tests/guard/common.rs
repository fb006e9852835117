//! A guard that serves in the test's process, in front of the NotificationRequests of one namespace.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Parser as _;
use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};
use kube::CustomResourceExt as _;
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams};
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};
use statusguard::cluster::configuration::{Backend, TargetScope, entry};
use statusguard::{Args, Command, Guard, Refusal, Refusals};
use statusguard_edge::{Drained, Shutdown};
use statusguard_policy::Policy;
use statusguard_tests::{
    Authority, ControlPlane, LeafFiles, LogsOnFailure, User, WebhookService, eventually, plain_answer,
};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use crate::object;

/// The policy of this project, as it is installed.
const POLICY: &str = include_str!("../../../manifests/policies/kubernaut/notificationrequests.yaml");
/// Its name, which is the label of all its metrics.
pub const POLICY_NAME: &str = "notificationrequests.kubernaut.ai";
/// The webhook's name, with which every refusal begins.
pub const WEBHOOK_NAME: &str = "notificationrequests.kubernaut.ai.statusguard.dev";

/// How many of the newest records a failure shows.
const SHOWN_RECORDS: usize = 10;

/// What a test's guard is to be like.
pub struct Setup {
    policy: Value,
    flags: Vec<String>,
}

/// A namespace whose NotificationRequests are guarded.
pub struct Guarded<'p> {
    pub plane: &'p ControlPlane,
    pub namespace: String,
    pub guard: Running,
    /// What another guard for the same webhook is made of.
    pub site: Site,
    _logs: LogsOnFailure<'p>,
}

/// What all guards behind one webhook share.
pub struct Site {
    pub policies: PathBuf,
    pub service: WebhookService,
    pub authority: Authority,
    leaf: LeafFiles,
    flags: Vec<String>,
}

/// A guard that serves.
pub struct Running {
    pub address: SocketAddr,
    pub shutdown: Shutdown,
    pub task: JoinHandle<anyhow::Result<Drained>>,
    plain: SocketAddr,
    refusals: Refusals,
}

impl Setup {
    /// The installed policy under `failurePolicy: Fail`, so that no call can get lost unseen.
    pub fn new() -> Self {
        let policy = serde_saphyr::from_str(POLICY).unwrap();
        Self { policy, flags: Vec::new() }.spec("failurePolicy", json!("Fail"))
    }

    /// Sets a field of the policy's spec.
    pub fn spec(mut self, field: &str, value: Value) -> Self {
        self.policy["spec"][field] = value;
        self
    }

    /// Adds a flag of the server.
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// In front of a namespace of the shared control plane.
    pub async fn start(self) -> Guarded<'static> {
        self.start_on(shared().await, async |address| address.port()).await
    }

    /// In front of a namespace of `plane`, which serves the CRD. The guard is called at the port that `front`
    /// makes of its own address.
    pub async fn start_on<'p>(
        mut self,
        plane: &'p ControlPlane,
        front: impl AsyncFnOnce(SocketAddr) -> u16,
    ) -> Guarded<'p> {
        let logs = plane.logs_on_failure();
        // The guard's own namespace is never guarded.
        let (home, namespace) = (plane.namespace("guard").await, plane.namespace("guarded").await);
        self.policy["spec"]["target"]["namespaceSelector"] =
            json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
        let folder = plane.folder().join(&namespace);
        let policies = folder.join("policies");
        std::fs::create_dir_all(&policies).unwrap();
        let mut service = WebhookService { namespace: home, name: "statusguard".to_owned(), port: 0 };
        let authority = Authority::new("guard under test").unwrap();
        let leaf = authority.leaf([service.dns_name()]).unwrap().write(&folder).unwrap();
        std::fs::write(policies.join("policy.json"), self.policy.to_string()).unwrap();
        let site = Site { policies, service: service.clone(), authority, leaf, flags: self.flags };
        let guard = site.start(plane).await;
        service.port = front(guard.address).await;
        let guarded = Guarded { plane, namespace, guard, site: Site { service, ..site }, _logs: logs };
        guarded.register(&self.policy).await;
        guarded
    }
}

impl Site {
    /// One more guard, on ports of its own.
    pub async fn start(&self, plane: &ControlPlane) -> Running {
        let listen = plane.webhook_listen_address();
        let mut args = vec![
            "statusguard".to_owned(),
            "webhook".to_owned(),
            format!("--policy-dir={}", self.policies.display()),
            format!("--tls-cert={}", self.leaf.certificate.display()),
            format!("--tls-key={}", self.leaf.key.display()),
            "--static-config".to_owned(),
            format!("--listen={listen}:0"),
            "--plain-listen=127.0.0.1:0".to_owned(),
            "--reload-interval=20ms".to_owned(),
        ];
        args.extend(self.flags.iter().cloned());
        let Command::Webhook(args) = Args::try_parse_from(args).unwrap().command else { unreachable!("a server") };
        let guard = Guard::bind(*args).await.unwrap();
        Running {
            address: guard.address().unwrap(),
            plain: guard.plain_address().unwrap(),
            refusals: guard.refusals(),
            shutdown: guard.shutdown(),
            task: tokio::spawn(guard.serve()),
        }
    }
}

impl Running {
    /// All series of `/metrics` that have `name` and all of `labels`, added up.
    pub async fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = plain_answer(self.plain, "/metrics").await.unwrap();
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let has = |series: &str, (label, value): &(&str, &str)| {
            series.contains(&format!("{{{label}=\"{value}\"")) || series.contains(&format!(",{label}=\"{value}\""))
        };
        let series = text.lines().filter_map(|line| line.rsplit_once(' '));
        series
            .filter(|(series, _)| series.split('{').next() == Some(name))
            .filter(|(series, _)| labels.iter().all(|label| has(series, label)))
            .map(|(_, value)| value.parse::<f64>().unwrap())
            .sum()
    }

    /// How often the API server has called, dry runs included.
    pub async fn calls(&self) -> u64 {
        self.metric("statusguard_admission_requests_total", &[]).await as u64
    }

    /// How many calls ended in `outcome`.
    pub async fn outcomes(&self, outcome: &str) -> u64 {
        self.metric("statusguard_admission_requests_total", &[("outcome", outcome)]).await as u64
    }

    /// What was recorded about one object, oldest first.
    pub fn recorded(&self, name: &str) -> Vec<Refusal> {
        self.refusals.list().into_iter().filter(|refusal| refusal.name == name).collect()
    }
}

impl Guarded<'_> {
    pub fn api(&self) -> Api<NotificationRequest> {
        self.api_as(User::Admin)
    }

    pub fn api_as(&self, user: User) -> Api<NotificationRequest> {
        Api::namespaced(self.plane.client(user), &self.namespace)
    }

    /// The API as server `server` offers it.
    pub fn api_of(&self, server: usize) -> Api<NotificationRequest> {
        Api::namespaced(self.plane.client_of(server, User::Admin), &self.namespace)
    }

    /// An object whose status went through `statuses`, one write each.
    pub async fn object(&self, name: &str, statuses: &[Value]) -> NotificationRequest {
        let mut object = self.api().create(&Default::default(), &object::named(name)).await.unwrap();
        self.settle(&object).await;
        for status in statuses {
            object = self.write(name, status).await;
        }
        object
    }

    /// Makes a legal write of a whole status. What follows is judged on it, and on nothing older.
    pub async fn write(&self, name: &str, status: &Value) -> NotificationRequest {
        let patch = Patch::Merge(json!({ "status": status }));
        let object = self.api().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        self.settle(&object).await;
        object
    }

    /// Until the caches of all API servers know this version of an object. A write may otherwise be judged on an
    /// older one first, and costs one call more.
    pub async fn settle(&self, object: &NotificationRequest) {
        for server in 0..self.plane.api_servers() {
            self.plane.wait_cached(server, object).await.unwrap();
        }
    }

    /// The outcome of some work, and how many calls it cost.
    pub async fn calls_of<T>(&self, work: impl Future<Output = T>) -> (T, u64) {
        let before = self.guard.calls().await;
        let outcome = work.await;
        (outcome, self.guard.calls().await - before)
    }

    /// Replaces a file of the policy folder, or removes it, and waits until the guard has read the folder.
    pub async fn change_policy(&self, change: impl FnOnce(&Path)) {
        let reloads = async || self.guard.metric("statusguard_policy_reloads_total", &[]).await;
        let before = reloads().await;
        change(&self.site.policies.join("policy.json"));
        eventually("the policy folder is read again", async || Ok(reloads().await > before)).await.unwrap();
    }

    /// Runs kubectl in the namespace: exit code, standard output, standard error.
    pub async fn kubectl(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = tokio::process::Command::from(self.plane.kubectl(User::Admin));
        let output = command.arg("--namespace").arg(&self.namespace).args(args).output().await.unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    }

    /// The entry of a policy, which leads to the guard.
    pub fn entry(&self, policy: &Policy) -> ValidatingWebhook {
        let WebhookService { namespace, name, port } = self.site.service.clone();
        let backend = Backend { namespace, service: name, port };
        entry(policy, TargetScope::Namespaced, &backend, self.site.authority.pem().as_bytes()).unwrap()
    }

    /// Registers the guard exactly as its manifests would, for this namespace only.
    async fn register(&self, policy: &Value) {
        let webhook = self.entry(&Policy::compile(policy).unwrap());
        assert_eq!(webhook.name, WEBHOOK_NAME);
        let configuration = ValidatingWebhookConfiguration {
            metadata: ObjectMeta { name: Some(self.namespace.clone()), ..ObjectMeta::default() },
            webhooks: Some(vec![webhook]),
        };
        let probe = self.api().create(&Default::default(), &object::named("probe")).await.unwrap();
        self.settle(&probe).await;
        self.plane
            .register_webhook(&self.site.service, configuration, async || self.is_asked_by_all().await)
            .await
            .unwrap();
        self.api().delete("probe", &DeleteParams::default()).await.unwrap();
    }

    /// Whether a dry-run write at each API server makes it call.
    async fn is_asked_by_all(&self) -> anyhow::Result<bool> {
        let dry = PatchParams { dry_run: true, ..PatchParams::default() };
        for server in 0..self.plane.api_servers() {
            let before = self.guard.calls().await;
            self.api_of(server)
                .patch_status("probe", &dry, &Patch::Merge(json!({ "status": object::pending() })))
                .await?;
            if self.guard.calls().await == before {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let recorded = self.guard.refusals.list();
            for refusal in &recorded[recorded.len().saturating_sub(SHOWN_RECORDS)..] {
                let Refusal { outcome, name, resource_version, user, findings, .. } = refusal;
                let findings: Vec<_> = findings.iter().map(|finding| (finding.reason, &finding.field)).collect();
                eprintln!("recorded: {outcome} {name} at {resource_version} by {user}: {findings:?}");
            }
        }
    }
}

/// The shared control plane, which serves the CRD.
pub async fn shared() -> &'static ControlPlane {
    static CRD: OnceCell<()> = OnceCell::const_new();
    let plane = ControlPlane::shared().await;
    CRD.get_or_init(async || plane.apply_crd(&NotificationRequest::crd()).await.unwrap()).await;
    plane
}
