//! Certificates on a real API server: several replicas make, publish and rotate an authority together.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use prometheus_client::registry::Registry;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::json;
use statusguard_certs::{
    CertificateKeeper, CertificateMetrics, CertificateSettings, CertificateStatus, Places, ServingLeaf, Timing,
};
use statusguard_tests::{ControlPlane, User, eventually, unique};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const NAME: &str = "statusguard.system.svc";
/// Entries of the configuration that are managed.
const OURS: [&str; 2] = ["jobs.example.org.statusguard.dev", "orders.example.org.statusguard.dev"];
/// An entry of somebody else.
const FOREIGN: &str = "policy.example.net";

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// As short as lifetimes can be.
const SCALED: Timing = Timing {
    authority_life: seconds(51),
    leaf_life: seconds(6),
    spread: seconds(1),
    skew: seconds(1),
    tick: seconds(1),
};

/// As in production, but for the time until a bundle is relied on.
const LONG: Timing = Timing {
    authority_life: seconds(365 * 86_400),
    leaf_life: seconds(7 * 86_400),
    spread: seconds(1),
    skew: seconds(7_200),
    tick: seconds(60),
};

/// A namespace and a configuration.
struct Site {
    plane: &'static ControlPlane,
    namespace: String,
    configuration: String,
}

/// One replica.
struct CertificateReplica {
    serving: Arc<ServingLeaf>,
    status: watch::Receiver<CertificateStatus>,
    task: JoinHandle<()>,
}

impl Drop for CertificateReplica {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Site {
    async fn new() -> Self {
        let plane = ControlPlane::shared().await;
        let site = Self { plane, namespace: plane.namespace("certs").await, configuration: unique("certs") };
        site.configurations().create(&PostParams::default(), &site.object()).await.unwrap();
        site
    }

    /// Its entries are for a group that nobody serves: they are never called.
    fn object(&self) -> ValidatingWebhookConfiguration {
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

    fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.plane.client(User::Admin))
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.plane.client(User::Admin), &self.namespace)
    }

    fn replica(&self, timing: Timing) -> CertificateReplica {
        let places = Places {
            namespace: self.namespace.clone(),
            secret: "statusguard-authority".into(),
            configuration: self.configuration.clone(),
            entry_suffix: ".statusguard.dev".into(),
            field_manager: "statusguard".into(),
        };
        let settings = CertificateSettings { places, names: vec![NAME.into()], timing };
        let client = self.plane.client(User::Admin);
        let metrics = CertificateMetrics::register(&mut Registry::default());
        let keeper = CertificateKeeper::new(client, settings, metrics).unwrap();
        let (serving, status) = (keeper.serving(), keeper.status());
        CertificateReplica { serving, status, task: tokio::spawn(keeper.run()) }
    }

    /// The bundle of each entry, as text.
    async fn bundles(&self) -> Vec<(String, String)> {
        let object = self.configurations().get(&self.configuration).await.unwrap();
        let entries = object.webhooks.into_iter().flatten();
        let text = |bundle: Option<ByteString>| String::from_utf8(bundle.unwrap_or_default().0).unwrap_or_default();
        entries.map(|entry| (entry.name, text(entry.client_config.ca_bundle))).collect()
    }

    async fn our_bundles(&self) -> Vec<String> {
        let bundles = self.bundles().await.into_iter();
        bundles.filter(|(name, _)| OURS.contains(&name.as_str())).map(|(_, bundle)| bundle).collect()
    }

    /// Until all replicas serve what every bundle covers, and one authority is published.
    async fn is_stable(&self, replicas: &[CertificateReplica]) {
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
}

impl CertificateReplica {
    fn leaf(&self) -> Option<CertificateDer<'static>> {
        self.serving.current().map(|leaf| leaf.certified().cert[0].clone())
    }

    /// Whether a client that trusts this bundle accepts what is served.
    fn is_covered(&self, bundle: &str) -> bool {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_start_together_agree_on_one_authority() {
    let site = Site::new().await;
    let replicas = [(); 3].map(|()| site.replica(LONG));
    site.is_stable(&replicas).await;
    let bundles = site.our_bundles().await;
    assert_eq!(bundles[0], bundles[1]);
    let secret = site.secrets().get("statusguard-authority").await.unwrap();
    let keys: Vec<String> = secret.data.unwrap().into_keys().collect();
    assert_eq!(keys.iter().filter(|key| key.ends_with(".key")).count(), 1, "{keys:?}");
    // What belongs to somebody else is as it was.
    let foreign = site.bundles().await.into_iter().find(|(name, _)| name == FOREIGN);
    assert_eq!(foreign, Some((FOREIGN.into(), String::new())));
    // One more replica takes what there is.
    let later = [site.replica(LONG)];
    site.is_stable(&later).await;
    assert_eq!(site.our_bundles().await, bundles);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_destroys_heals() {
    let site = Site::new().await;
    let replicas = [(); 2].map(|()| site.replica(SCALED));
    site.is_stable(&replicas).await;
    let patch = async |data: serde_json::Value| {
        let params = PatchParams::default();
        site.secrets().patch("statusguard-authority", &params, &Patch::Merge(json!({ "data": data }))).await.unwrap();
    };
    // The Secret is deleted: leaves are served on, and another authority follows.
    let before = site.our_bundles().await;
    site.secrets().delete("statusguard-authority", &DeleteParams::default()).await.unwrap();
    eventually("another authority is published beside the lost one", async || {
        Ok(site.our_bundles().await.iter().all(|bundle| *bundle != before[0]))
    })
    .await
    .unwrap();
    assert!(replicas.iter().all(|replica| replica.leaf().is_some()));
    site.is_stable(&replicas).await;
    // Its state is garbage, then a key is missing.
    patch(json!({ "rotation.json": "aGVsbG8=" })).await;
    eventually("the state is readable again", async || {
        let secret = site.secrets().get("statusguard-authority").await?;
        Ok(secret.data.unwrap_or_default().get("rotation.json").is_some_and(|state| state.0 != b"hello"))
    })
    .await
    .unwrap();
    site.is_stable(&replicas).await;
    let secret = site.secrets().get("statusguard-authority").await.unwrap();
    let key = secret.data.unwrap().into_keys().find(|key| key.ends_with(".key")).unwrap();
    patch(json!({ key: null })).await;
    eventually("another authority is made", async || {
        let secret = site.secrets().get("statusguard-authority").await?;
        Ok(secret.data.unwrap_or_default().keys().any(|other| other.ends_with(".key")))
    })
    .await
    .unwrap();
    site.is_stable(&replicas).await;
    // Somebody overwrites the bundles: one with garbage, which no call survives, one with another authority.
    let mut object = site.configurations().get(&site.configuration).await.unwrap();
    let entries = object.webhooks.as_mut().unwrap();
    entries[0].client_config.ca_bundle = Some(ByteString(b"hello".to_vec()));
    let other = statusguard_tests::Authority::new("somebody else").unwrap();
    entries[1].client_config.ca_bundle = Some(ByteString(other.pem().into_bytes()));
    site.configurations().replace(&site.configuration, &PostParams::default(), &object).await.unwrap();
    site.is_stable(&replicas).await;
    // The configuration is deleted, which switches the guard off, and comes back.
    site.configurations().delete(&site.configuration, &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(seconds(2)).await;
    assert!(site.configurations().get_opt(&site.configuration).await.unwrap().is_none(), "it came back by itself");
    site.configurations().create(&PostParams::default(), &site.object()).await.unwrap();
    site.is_stable(&replicas).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_is_renewed_without_an_uncovered_leaf() {
    let site = Site::new().await;
    let replicas = [(); 3].map(|()| site.replica(SCALED));
    site.is_stable(&replicas).await;
    let first = site.our_bundles().await[0].clone();
    let (begun, mut most, mut looks, mut leaves) = (Instant::now(), 0, 0_u32, std::collections::HashSet::new());
    // Until the first authority is gone and the second one alone is published.
    loop {
        // Read before and after: a leaf that is new, or a bundle that is, may be seen on one side only.
        let before: Vec<_> = replicas.iter().map(CertificateReplica::leaf).collect();
        let bundles = site.our_bundles().await;
        for (replica, before) in replicas.iter().zip(before) {
            if before.is_some() && before == replica.leaf() {
                assert!(bundles.iter().all(|bundle| replica.is_covered(bundle)), "a served leaf is not covered");
                leaves.extend(before);
            }
        }
        let count = bundles.iter().map(|bundle| bundle.matches("BEGIN CERTIFICATE").count()).max().unwrap();
        most = most.max(count);
        looks += 1;
        if count == 1 && bundles.iter().all(|bundle| *bundle != first) {
            break;
        }
        assert!(begun.elapsed() < seconds(150), "the authority was not renewed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    println!("renewed in {:?}: {looks} looks, {} leaves, {most} authorities at most", begun.elapsed(), leaves.len());
    assert!((2..=3).contains(&most));
    assert!(leaves.len() >= 12, "leaves of 6 s were to be renewed: {}", leaves.len());
    site.is_stable(&replicas).await;
}
