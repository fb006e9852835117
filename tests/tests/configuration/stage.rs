//! A configuration of the test's own, what the guard wants in it, and keepers that see to it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{ValidatingWebhook, ValidatingWebhookConfiguration};
use kube::api::{Api, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use statusguard::cluster::configuration::{
    Backend, ConfigurationKeeper, ConfigurationMetrics, ConfigurationSettings, KeeperTiming, PolicyEntry, Published,
    TargetScope,
};
use statusguard_policy::Policy;
use statusguard_tests::{Authority, ControlPlane, FaultProxy, LogsOnFailure, RequestCounts, User, eventually, unique};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Nothing of this length passes during a test.
pub const NEVER: Duration = Duration::from_secs(3600);

/// A configuration, and what is wanted of it.
pub struct Stage {
    pub plane: &'static ControlPlane,
    /// Of the configuration, and the first label of the API group of all policies: they match nothing else.
    pub name: String,
    pub timing: KeeperTiming,
    /// Counts the requests of all keepers, and can break them.
    pub proxy: FaultProxy,
    pub entries: watch::Sender<Option<Arc<[PolicyEntry]>>>,
    pub bundle: watch::Sender<Option<Arc<[u8]>>>,
    pub arrived: watch::Sender<HashSet<String>>,
    _logs: LogsOnFailure<'static>,
}

/// A keeper that runs.
pub struct Keeper {
    pub published: watch::Receiver<Published>,
    registry: Registry,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Stage {
    /// A configuration without webhooks, as the manifests make it. Nothing is wanted of it yet.
    pub async fn new() -> Self {
        let stage = Self::without_object().await;
        stage.create().await;
        stage
    }

    pub async fn without_object() -> Self {
        let plane = ControlPlane::shared().await;
        Self {
            plane,
            name: unique("kept"),
            timing: KeeperTiming {
                trial: NEVER,
                peer_patience: Duration::from_millis(200),
                second_repair: Duration::from_millis(1),
                slowest_repair: Duration::from_millis(1),
                resync: NEVER,
                first_retry: Duration::from_millis(10),
                slowest_retry: Duration::from_millis(100),
                between_reads: Duration::from_millis(1),
                ..KeeperTiming::default()
            },
            proxy: FaultProxy::start(plane.config(User::Admin)).await.unwrap(),
            entries: watch::Sender::default(),
            bundle: watch::Sender::default(),
            arrived: watch::Sender::default(),
            _logs: plane.logs_on_failure(),
        }
    }

    pub fn api(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.plane.client(User::Admin))
    }

    pub async fn create(&self) {
        let object = ValidatingWebhookConfiguration {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some([("app".to_owned(), "statusguard".to_owned())].into()),
                annotations: Some([("admissions.enforcer/disabled".to_owned(), "true".to_owned())].into()),
                ..ObjectMeta::default()
            },
            webhooks: None,
        };
        self.api().create(&PostParams::default(), &object).await.unwrap();
    }

    /// The entry of the policy for `resource`, which wants writes to fail.
    pub fn entry(&self, resource: &str, target: &Value) -> PolicyEntry {
        let group = format!("{}.example.org", self.name);
        let mut document = json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": format!("{resource}.{group}") },
            "spec": {
                "target": { "group": group, "version": "v1", "resource": resource },
                "failurePolicy": "Fail",
                "monotone": [{ "path": ".status.attempts" }],
            },
        });
        for (field, value) in target.as_object().into_iter().flatten() {
            document["spec"]["target"][field] = value.clone();
        }
        let backend = Backend { namespace: "default".into(), service: "nobody".into(), port: 443 };
        PolicyEntry::new(&Policy::compile(&document).unwrap(), TargetScope::Namespaced, &backend).unwrap()
    }

    /// Wants an entry for each of these resources.
    pub fn want(&self, resources: &[&str]) {
        self.want_entries(resources.iter().map(|resource| self.entry(resource, &Value::Null)).collect());
    }

    pub fn want_entries(&self, entries: Vec<PolicyEntry>) {
        self.entries.send_replace(Some(entries.into()));
    }

    /// Wants another bundle than ever before, and returns it. Entries begin with it then; those before follow.
    pub fn new_bundle(&self) -> Vec<u8> {
        let bundle = Authority::new("configuration under test").unwrap().pem().into_bytes();
        self.bundle.send_replace(Some(bundle.as_slice().into()));
        bundle
    }

    /// A dry-run write of the policy for `resource` has arrived.
    pub fn arrives(&self, resource: &str) {
        self.arrived.send_if_modified(|arrived| arrived.insert(self.policy(resource)));
    }

    /// Of the policy for `resource`.
    pub fn policy(&self, resource: &str) -> String {
        format!("{resource}.{}.example.org", self.name)
    }

    /// A keeper behind the proxy.
    pub fn keep(&self) -> Keeper {
        self.keep_as(self.proxy.config())
    }

    /// The same, once it has written entries of these policies with a new bundle.
    pub async fn keep_in_sync(&self, resources: &[&str]) -> Keeper {
        self.want(resources);
        self.new_bundle();
        let mut keeper = self.keep();
        keeper.in_sync().await;
        keeper
    }

    pub fn keep_as(&self, config: Config) -> Keeper {
        let mut registry = Registry::default();
        let metrics = ConfigurationMetrics::register(&mut registry);
        let settings = ConfigurationSettings {
            name: self.name.clone(),
            timing: self.timing.clone(),
            ..ConfigurationSettings::default()
        };
        let keeper = ConfigurationKeeper::new(Client::try_from(config).unwrap(), settings, metrics);
        let published = keeper.published();
        let (shutdown, asked) = oneshot::channel();
        let (entries, bundle) = (self.entries.subscribe(), self.bundle.subscribe());
        let run = keeper.run(entries, bundle, self.arrived.subscribe(), async move { drop(asked.await) });
        Keeper { published, registry, shutdown, task: tokio::spawn(run) }
    }

    /// The configuration as it is stored.
    pub async fn stored(&self) -> ValidatingWebhookConfiguration {
        self.api().get(&self.name).await.unwrap()
    }

    /// The entry of the policy for `resource`, if it is stored.
    pub async fn stored_entry(&self, resource: &str) -> Option<ValidatingWebhook> {
        let name = format!("{}.statusguard.dev", self.policy(resource));
        self.stored().await.webhooks.into_iter().flatten().find(|entry| entry.name == name)
    }

    pub async fn failure_policy(&self, resource: &str) -> Option<String> {
        self.stored_entry(resource).await.and_then(|entry| entry.failure_policy)
    }

    /// Until the stored entries of the guard are those of these resources.
    pub async fn has_entries(&self, resources: &[&str]) {
        let wanted: Vec<String> =
            resources.iter().map(|resource| format!("{}.statusguard.dev", self.policy(resource))).collect();
        eventually(&format!("{} has {wanted:?}", self.name), async || {
            let stored = self.stored().await.webhooks.into_iter().flatten();
            let mut names: Vec<String> = stored.map(|entry| entry.name).collect();
            names.retain(|name| name.ends_with(".statusguard.dev"));
            Ok(names == wanted)
        })
        .await
        .unwrap();
    }

    /// Changes the stored configuration as another field manager would.
    pub async fn meddle(&self, manager: &str, change: impl Fn(&mut Vec<ValidatingWebhook>)) {
        let parameters = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        loop {
            let mut object = self.stored().await;
            change(object.webhooks.get_or_insert_default());
            match self.api().replace(&self.name, &parameters, &object).await {
                Ok(_) => return,
                // The keeper was faster.
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub async fn merge(&self, change: Value) {
        let parameters = PatchParams { field_manager: Some("labeller".to_owned()), ..PatchParams::default() };
        self.api().patch(&self.name, &parameters, &Patch::Merge(change)).await.unwrap();
    }

    /// Until a keeper has read the configuration `times` more, each time after it was changed last, and done what it
    /// does about it. For tests whose keepers read again and again.
    pub async fn read_again(&self, times: u64) -> RequestCounts {
        let reads = || self.proxy.counts().of("GET", &self.name);
        // The one that is under way may have been answered before the change.
        let before = reads();
        eventually("the configuration is read again", async || Ok(reads() > before + times)).await.unwrap();
        self.proxy.counts()
    }
}

impl Keeper {
    /// A series of the metrics.
    pub fn metric(&self, series: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
    }

    /// The same, 0 if it is not there.
    pub fn repairs(&self, manager: &str) -> f64 {
        let series = format!("statusguard_configuration_repairs_total{{field_manager=\"{manager}\"}}");
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        if text.contains(&series) { self.metric(&series) } else { 0.0 }
    }

    pub fn writes(&self) -> f64 {
        self.metric("statusguard_configuration_writes_total")
    }

    pub fn errors(&self, verb: &str) -> f64 {
        self.metric(&format!("statusguard_configuration_errors_total{{verb=\"{verb}\"}}"))
    }

    /// Until the keeper says that this is what the API server has.
    pub async fn publishes(&mut self, what: &str, expected: impl Fn(&Published) -> bool) {
        let limit = Duration::from_secs(60);
        let seen = tokio::time::timeout(limit, self.published.wait_for(|published| expected(published))).await;
        assert!(seen.is_ok_and(|seen| seen.is_ok()), "not {what}: {:?}", *self.published.borrow());
    }

    /// Until everything that is wanted is there.
    pub async fn in_sync(&mut self) {
        self.publishes("in sync", |published| matches!(published, Published::Present { in_sync: true, .. })).await;
    }

    /// Ends the keeper as a shutdown of the guard does.
    pub async fn stop(self) {
        self.shutdown.send(()).unwrap();
        self.task.await.unwrap();
    }
}
