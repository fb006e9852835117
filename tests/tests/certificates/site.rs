//! A namespace and a configuration of the test's own, and replicas that keep certificates there.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use kube::{Client, Config};
use prometheus_client::registry::Registry;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use statusguard_certs::{
    AuthorityId, CertificateKeeper, CertificateMetrics, CertificateSettings, CertificateStatus, Places, ServingLeaf,
    Timing,
};
use statusguard_tests::{Authority, ControlPlane, FaultProxy, LogsOnFailure, User, eventually, unique};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const NAME: &str = "statusguard.system.svc";
pub const SECRET: &str = "statusguard-authority";
/// Entries of the configuration that are managed.
const OURS: [&str; 2] = ["jobs.example.org.statusguard.dev", "orders.example.org.statusguard.dev"];
/// An entry of somebody else.
pub const FOREIGN: &str = "policy.example.net";

pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// As short as lifetimes can be.
pub const SCALED: Timing = Timing {
    authority_life: seconds(51),
    leaf_life: seconds(6),
    spread: seconds(1),
    skew: seconds(1),
    tick: seconds(1),
};

/// As in production, but for the time until a bundle is relied on.
pub const LONG: Timing = Timing {
    authority_life: seconds(365 * 86_400),
    leaf_life: seconds(7 * 86_400),
    spread: seconds(1),
    skew: seconds(7_200),
    tick: seconds(60),
};

pub struct Site {
    pub plane: &'static ControlPlane,
    pub namespace: String,
    pub configuration: String,
    /// Counts the requests of replicas that are given its configuration, and can break them.
    pub proxy: FaultProxy,
    _logs: LogsOnFailure<'static>,
}

/// One replica.
pub struct CertificateReplica {
    pub serving: Arc<ServingLeaf>,
    pub status: watch::Receiver<CertificateStatus>,
    registry: Registry,
    task: JoinHandle<()>,
}

impl Drop for CertificateReplica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    pub async fn new() -> Self {
        let plane = ControlPlane::shared().await;
        let namespace = plane.namespace("certs").await;
        let site = Self::without_objects(namespace).await;
        site.configurations().create(&PostParams::default(), &site.object()).await.unwrap();
        site
    }

    pub async fn without_objects(namespace: String) -> Self {
        let plane = ControlPlane::shared().await;
        let proxy = FaultProxy::start(plane.config(User::Admin)).await.unwrap();
        Self { plane, namespace, configuration: unique("certs"), proxy, _logs: plane.logs_on_failure() }
    }

    /// Its entries are for a group that nobody serves: they are never called.
    pub fn object(&self) -> ValidatingWebhookConfiguration {
        let entry = |name: &str| {
            json!({
                "name": name, "sideEffects": "None", "admissionReviewVersions": ["v1"],
                "clientConfig": { "service": { "namespace": self.namespace, "name": "statusguard" } },
                "rules": [{ "apiGroups": ["nobody.example.org"], "apiVersions": ["v1"], "resources": ["none"], "operations": ["UPDATE"] }],
            })
        };
        let webhooks: Vec<_> = OURS.iter().chain([&FOREIGN]).map(|name| entry(name)).collect();
        serde_json::from_value(json!({ "metadata": { "name": self.configuration }, "webhooks": webhooks })).unwrap()
    }

    pub fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.plane.client(User::Admin))
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.plane.client(User::Admin), &self.namespace)
    }

    pub async fn secret(&self) -> Secret {
        self.secrets().get(SECRET).await.unwrap()
    }

    /// Where the key of the authority that signs is, and the key.
    pub async fn key(&self) -> (String, String) {
        let data = self.secret().await.data.unwrap();
        let (name, key) = data.into_iter().find(|(name, _)| name.ends_with(".key")).unwrap();
        (name, String::from_utf8(key.0).unwrap())
    }

    pub async fn merge_secret(&self, change: Value) {
        self.secrets().patch(SECRET, &PatchParams::default(), &Patch::Merge(change)).await.unwrap();
    }

    pub async fn delete_secret(&self) {
        self.secrets().delete(SECRET, &DeleteParams::default()).await.unwrap();
    }

    /// Somebody puts another authority into the first of our bundles.
    pub async fn overwrite_a_bundle(&self) {
        let bundle = ByteString(Authority::new("somebody else").unwrap().pem().into_bytes());
        let path = "/webhooks/0/clientConfig/caBundle";
        let patch = json!([{ "op": "add", "path": path, "value": bundle }]);
        let patch = Patch::<()>::Json(serde_json::from_value(patch).unwrap());
        self.configurations().patch(&self.configuration, &PatchParams::default(), &patch).await.unwrap();
    }

    /// A replica that nothing is in the way of.
    pub fn replica(&self, timing: Timing) -> CertificateReplica {
        self.replica_as(self.plane.config(User::Admin), timing)
    }

    /// A replica behind the proxy.
    pub fn proxied(&self, timing: Timing) -> CertificateReplica {
        self.replica_as(self.proxy.config(), timing)
    }

    pub fn replica_as(&self, config: Config, timing: Timing) -> CertificateReplica {
        let places = Places {
            namespace: self.namespace.clone(),
            secret: SECRET.into(),
            configuration: self.configuration.clone(),
            entry_suffix: ".statusguard.dev".into(),
            field_manager: "statusguard".into(),
        };
        let settings = CertificateSettings { places, names: vec![NAME.into()], timing };
        let mut registry = Registry::default();
        let metrics = CertificateMetrics::register(&mut registry);
        let keeper = CertificateKeeper::new(Client::try_from(config).unwrap(), settings, metrics).unwrap();
        let (serving, status) = (keeper.serving(), keeper.status());
        CertificateReplica { serving, status, registry, task: tokio::spawn(keeper.run()) }
    }

    /// The bundle of each entry, as text.
    pub async fn bundles(&self) -> Vec<(String, String)> {
        let object = self.configurations().get(&self.configuration).await.unwrap();
        let entries = object.webhooks.into_iter().flatten();
        let text = |bundle: Option<ByteString>| String::from_utf8(bundle.unwrap_or_default().0).unwrap_or_default();
        entries.map(|entry| (entry.name, text(entry.client_config.ca_bundle))).collect()
    }

    pub async fn our_bundles(&self) -> Vec<String> {
        let bundles = self.bundles().await.into_iter();
        bundles.filter(|(name, _)| OURS.contains(&name.as_str())).map(|(_, bundle)| bundle).collect()
    }

    /// Until all replicas serve what every bundle covers, and one authority is published.
    pub async fn is_stable(&self, replicas: &[CertificateReplica]) {
        eventually("every replica serves a published leaf, and the rotation is stable", async || {
            let bundles = self.our_bundles().await;
            let alone = bundles.iter().all(|bundle| bundle.matches("BEGIN CERTIFICATE").count() == 1);
            let covered = replicas.iter().all(|replica| bundles.iter().all(|bundle| replica.is_covered(bundle)));
            let stable = replicas.iter().all(|replica| {
                let status = *replica.status.borrow();
                status.serves && status.phase.is_some_and(|phase| phase.name() == "Stable")
            });
            Ok(alone && covered && stable)
        })
        .await
        .unwrap();
    }

    /// Until the replica serves what all bundles cover, signed by another authority than this one.
    pub async fn has_another_authority(&self, replica: &CertificateReplica, before: AuthorityId) {
        eventually("another authority signs", async || {
            let bundles = self.our_bundles().await;
            let other = replica.signer().is_some_and(|signer| signer != before);
            Ok(other && bundles.iter().all(|bundle| replica.is_covered(bundle)))
        })
        .await
        .unwrap();
    }
}

impl CertificateReplica {
    pub fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.serving.current().map(|leaf| leaf.certified().cert[0].clone())
    }

    /// The authority of what is served.
    pub fn signer(&self) -> Option<AuthorityId> {
        self.serving.current().map(|leaf| leaf.facts().authority)
    }

    /// Whether a client that trusts this bundle accepts what is served.
    pub fn is_covered(&self, bundle: &str) -> bool {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(bundle.as_bytes()).filter_map(Result::ok) {
            roots.add(certificate).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() else {
            return false;
        };
        let name = ServerName::try_from(NAME).unwrap();
        self.leaf().is_some_and(|leaf| verifier.verify_server_cert(&leaf, &[], &name, &[], UnixTime::now()).is_ok())
    }

    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// How many observations, steps and watches failed for this cause.
    pub fn failures(&self, cause: &str) -> u64 {
        self.counted(&format!("statusguard_rotation_failures_total{{cause=\"{cause}\"}} "))
    }

    /// How often this step was taken.
    pub fn steps(&self, step: &str) -> u64 {
        self.counted(&format!("statusguard_rotation_steps_total{{step=\"{step}\"}} "))
    }

    fn counted(&self, series: &str) -> u64 {
        let metrics = self.metrics();
        metrics.lines().find_map(|line| line.strip_prefix(series)).unwrap().parse().unwrap()
    }

    /// Until so many have failed for this cause.
    pub async fn fails(&self, cause: &str, times: u64) {
        eventually(&format!("{times} failures are counted as {cause}"), async || Ok(self.failures(cause) >= times))
            .await
            .unwrap();
    }
}
