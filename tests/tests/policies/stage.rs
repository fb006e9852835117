//! An API group of the test's own, its CRDs and policies, and watches of them.
//!
//! A watch sees all policies of the cluster: tests take turns.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Client, Config, ResourceExt as _};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use statusguard::cluster::configuration::Published;
use statusguard::cluster::policies::{
    EnforcementInputs, PolicyWatch, PolicyWatchMetrics, PolicyWatchSettings, ServedPolicy,
};
use statusguard::{EntriesKeptBy, PolicyStore};
use statusguard_edge::Health;
use statusguard_policy::StatusPolicy;
use statusguard_tests::{ControlPlane, FaultProxy, LogsOnFailure, User, eventually, unique};
use tokio::sync::{Mutex, MutexGuard, OnceCell, oneshot, watch};
use tokio::task::JoinHandle;

/// Nothing of this length passes during a test.
pub const NEVER: Duration = Duration::from_secs(3600);

const STATUS_POLICY: &str = include_str!("../../../manifests/rendered/crds/statusguard.dev_statuspolicies.yaml");

/// Policies of tests have it at the end of their names.
const DOMAIN: &str = ".policies.example.org";

/// An API group, and what the watches of a test have in common.
pub struct Stage {
    pub plane: &'static ControlPlane,
    pub group: String,
    pub settings: PolicyWatchSettings,
    /// Counts the requests of all watches, and can break them.
    pub proxy: FaultProxy,
    pub published: watch::Sender<Published>,
    pub arrived: watch::Sender<HashSet<String>>,
    _logs: LogsOnFailure<'static>,
    _turn: MutexGuard<'static, ()>,
}

/// A watch that runs.
pub struct Watching {
    pub store: Arc<PolicyStore>,
    pub served: watch::Receiver<Option<Arc<[ServedPolicy]>>>,
    pub health: Health,
    registry: Registry,
    shutdown: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Stage {
    pub async fn new() -> Self {
        static TURN: Mutex<()> = Mutex::const_new(());
        static CRD: OnceCell<()> = OnceCell::const_new();
        let turn = TURN.lock().await;
        let plane = ControlPlane::shared().await;
        CRD.get_or_init(async || plane.apply_crd_yaml(STATUS_POLICY).await.unwrap()).await;
        let stage = Self {
            plane,
            group: format!("{}{DOMAIN}", unique("g")),
            settings: PolicyWatchSettings {
                resync: NEVER,
                first_retry: Duration::from_millis(10),
                slowest_retry: Duration::from_millis(100),
                between_writes: Duration::from_millis(1),
                peer_patience: Duration::from_millis(50),
                longest_peer_patience: Duration::from_millis(50),
                ..PolicyWatchSettings::default()
            },
            proxy: FaultProxy::start(plane.config(User::Admin)).await.unwrap(),
            published: watch::Sender::default(),
            arrived: watch::Sender::default(),
            _logs: plane.logs_on_failure(),
            _turn: turn,
        };
        // Those of the test before.
        for policy in stage.policies().list(&ListParams::default()).await.unwrap() {
            if policy.name_any().ends_with(DOMAIN) {
                stage.policies().delete(&policy.name_any(), &DeleteParams::default()).await.unwrap();
            }
        }
        stage
    }

    pub fn policies(&self) -> Api<DynamicObject> {
        Api::all_with(self.plane.client(User::Admin), &ApiResource::erase::<StatusPolicy>(&()))
    }

    /// Of the policy for `resource`.
    pub fn name(&self, resource: &str) -> String {
        format!("{resource}.{}", self.group)
    }

    /// A policy for `resource` that has these members of its spec, too.
    pub fn policy(&self, resource: &str, spec: &Value) -> Value {
        let mut policy = json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": self.name(resource) },
            "spec": { "target": { "group": self.group, "version": "v1", "resource": resource } },
        });
        for (field, value) in spec.as_object().into_iter().flatten() {
            policy["spec"][field] = value.clone();
        }
        policy
    }

    /// Creates or replaces the policy for `resource`; it guards `field`.
    pub async fn guard(&self, resource: &str, field: &str) {
        self.apply(&self.policy(resource, &guards(field))).await;
    }

    /// Creates or replaces a policy.
    pub async fn apply(&self, policy: &Value) {
        let parameters = PatchParams::apply("author").force();
        let name = policy["metadata"]["name"].as_str().unwrap();
        self.policies().patch(name, &parameters, &Patch::Apply(policy)).await.unwrap();
    }

    pub async fn delete(&self, resource: &str) {
        self.policies().delete(&self.name(resource), &DeleteParams::default()).await.unwrap();
    }

    /// A CRD whose status has integers of these names, in these versions.
    pub fn crd(&self, resource: &str, versions: &[&str], fields: &[&str]) -> Value {
        let fields: serde_json::Map<String, Value> =
            fields.iter().map(|field| ((*field).to_owned(), json!({ "type": "integer" }))).collect();
        let version = |(index, name): (usize, &&str)| {
            json!({
                "name": name, "served": true, "storage": index == 0, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "status": { "type": "object", "properties": fields },
                } } },
            })
        };
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": self.name(resource) },
            "spec": {
                "group": self.group, "scope": "Namespaced",
                "names": { "plural": resource, "singular": resource.trim_end_matches('s'), "kind": kind(resource) },
                "versions": versions.iter().enumerate().map(version).collect::<Vec<_>>(),
            },
        })
    }

    pub async fn apply_crd(&self, crd: &Value) {
        self.plane.apply_crd_document(crd["metadata"]["name"].as_str().unwrap(), crd).await.unwrap();
    }

    pub async fn delete_crd(&self, resource: &str) {
        let api = Api::<CustomResourceDefinition>::all(self.plane.client(User::Admin));
        api.delete(&self.name(resource), &DeleteParams::default()).await.unwrap();
    }

    /// A watch behind the proxy, without a folder.
    pub fn watch(&self) -> Watching {
        self.watch_as(self.proxy.config(), None)
    }

    pub fn watch_as(&self, config: Config, folder: Option<PathBuf>) -> Watching {
        let store = match folder {
            Some(folder) => PolicyStore::open(folder, EntriesKeptBy::Guard).unwrap(),
            None => PolicyStore::without_folder(),
        };
        let (store, mut registry, health) = (Arc::new(store), Registry::default(), Health::new());
        store.register(&mut registry);
        let metrics = PolicyWatchMetrics::register(&mut registry);
        let client = Client::try_from(config).unwrap();
        let mut watch = PolicyWatch::new(client, Arc::clone(&store), self.settings.clone(), metrics);
        watch.announce(health.gate("cluster-policies"));
        let served = watch.served();
        let inputs = EnforcementInputs { published: self.published.subscribe(), arrived: self.arrived.subscribe() };
        let (shutdown, asked) = oneshot::channel();
        let task = tokio::spawn(watch.run(inputs, async move { drop(asked.await) }));
        Watching { store, served, health, registry, shutdown, task }
    }

    /// The condition of the policy for `resource`: status, reason and message.
    pub async fn condition(&self, resource: &str, kind: &str) -> Option<(String, String, String)> {
        let policy = self.policies().get(&self.name(resource)).await.unwrap();
        let conditions = policy.data["status"]["conditions"].as_array()?.clone();
        let condition = conditions.into_iter().find(|condition| condition["type"] == kind)?;
        let text = |key: &str| condition[key].as_str().unwrap().to_owned();
        let current = condition["observedGeneration"].as_i64() == policy.metadata.generation;
        current.then(|| (text("status"), text("reason"), text("message")))
    }

    /// Until the condition of the policy for `resource` has this status and reason; returns its message.
    pub async fn says(&self, resource: &str, kind: &str, status: &str, reason: &str) -> String {
        let mut last = None;
        let what = format!("{resource} is {kind}={status}, {reason}");
        let seen = eventually(&what, async || {
            last = self.condition(resource, kind).await;
            Ok(last.as_ref().is_some_and(|(found, because, _)| found == status && because == reason))
        });
        let seen = seen.await;
        let Some((_, _, message)) = last.as_ref().filter(|_| seen.is_ok()) else { panic!("{what}: {last:?}") };
        message.clone()
    }

    /// Makes all policies of these resources have an entry.
    pub fn configure(&self, resources: &[&str]) {
        let bundles = resources.iter().map(|resource| (self.name(resource), Vec::new())).collect();
        self.published.send_replace(Published::Present { bundles, in_sync: true });
    }

    pub fn call_arrives(&self, resource: &str) {
        self.arrived.send_modify(|arrived| arrived.extend([self.name(resource)]));
    }

    pub async fn version(&self, resource: &str) -> String {
        self.policies().get(&self.name(resource)).await.unwrap().resource_version().unwrap()
    }
}

/// A spec that guards `field`.
pub fn guards(field: &str) -> Value {
    json!({ "monotone": [{ "path": format!(".status.{field}") }] })
}

/// `jobs` → `Job`.
fn kind(resource: &str) -> String {
    let singular = resource.trim_end_matches('s');
    format!("{}{}", singular[..1].to_uppercase(), &singular[1..])
}

impl Watching {
    /// The field that the policy in force for `resource` guards.
    pub fn field(&self, stage: &Stage, resource: &str) -> Option<String> {
        let entry = self.store.get(&stage.group, resource)?;
        let path = entry.policy.spec().monotone.first().map(|rule| rule.path.clone()).unwrap_or_default();
        Some(path.trim_start_matches(".status.").to_owned())
    }

    /// Until the policy in force for `resource` guards `field`, or none is in force.
    pub async fn in_force(&self, stage: &Stage, resource: &str, field: Option<&str>) {
        eventually(&format!("{resource} is guarded: {field:?}"), async || {
            Ok(self.field(stage, resource).as_deref() == field)
        })
        .await
        .unwrap();
    }

    /// Until the policies of the stage that are served are these, with whether they are in a namespace.
    pub async fn serves(&mut self, stage: &Stage, expected: &[(&str, bool)]) {
        let expected: Vec<_> = expected.iter().map(|(resource, is)| (stage.name(resource), Some(*is))).collect();
        let of_stage = |served: &Option<Arc<[ServedPolicy]>>| {
            let served = served.iter().flat_map(|served| served.iter());
            let served = served.map(|served| (served.policy.name.to_owned(), served.namespaced));
            served.filter(|(name, _)| name.ends_with(&stage.group)).collect::<Vec<_>>()
        };
        let limit = Duration::from_secs(60);
        let seen = tokio::time::timeout(limit, self.served.wait_for(|served| of_stage(served) == expected)).await;
        assert!(seen.is_ok_and(|seen| seen.is_ok()), "not {expected:?}: {:?}", of_stage(&self.served.borrow()));
    }

    /// A series of the metrics.
    pub fn metric(&self, series: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no series {series} in\n{text}")).parse().unwrap()
    }

    pub fn errors(&self, verb: &str, resource: &str) -> f64 {
        self.metric(&format!("statusguard_policy_request_errors_total{{verb=\"{verb}\",resource=\"{resource}\"}}"))
    }

    pub fn count(&self, source: &str, state: &str) -> f64 {
        self.metric(&format!("statusguard_policies{{source=\"{source}\",state=\"{state}\"}}"))
    }

    pub async fn ready(&self) {
        eventually("the policies are listed", async || Ok(self.health.missing().is_empty())).await.unwrap();
    }

    /// Ends the watch as a shutdown of the guard does.
    pub async fn stop(self) {
        self.shutdown.send(()).unwrap();
        self.task.await.unwrap();
    }
}
