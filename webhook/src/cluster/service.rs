//! The guard in its cluster: policies, certificates and the webhook configuration, each kept by a task of its own.
//!
//! ```text
//! PolicyWatch ──served──▶ entries ──▶ ConfigurationKeeper ──▶ ValidatingWebhookConfiguration
//!      ▲                                   │                        ▲ caBundle
//!      └───────────published───────────────┘         CertificateKeeper ──▶ ServingLeaf ──▶ rustls
//! ```
//! A `Canary` beside them writes to a policy that is served, to see that it is refused.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry;
use rustls::server::ResolvesServerCert;
use statusguard_certs::{CertificateEnds, CertificateKeeper, CertificateMetrics, CertificateSettings, Places, Timing};
use statusguard_edge::{Health, ReadinessGate};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::canary::{Canary, CanaryMetrics};
use super::configuration::{
    Backend, ConfigurationKeeper, ConfigurationMetrics, ConfigurationSettings, KeeperTiming, PolicyEntry, SUFFIX,
    TargetScope,
};
use super::connection::ClusterConnection;
use super::policies::{EnforcementInputs, PolicyWatch, PolicyWatchMetrics, PolicyWatchSettings, ServedPolicy};
use crate::guard::certificate::{CertificateFiles, CertificateServing, PublishedInput};
use crate::guard::own_policy::{CANARY_MANAGER, own_policy};
use crate::guard::{ActivePolicy, PolicySource, PolicyStore};

/// Who writes, for `managedFields`; all replicas are one.
const FIELD_MANAGER: &str = "statusguard";

/// What the guard is called in its cluster.
#[derive(Clone, Debug)]
pub struct ClusterNames {
    /// Where the API server finds it.
    pub backend: Backend,
    /// The `ValidatingWebhookConfiguration`.
    pub configuration: String,
    /// The Secret of the authority.
    pub secret: String,
}

/// Whose certificates are served.
pub enum CertificateSource {
    /// The guard's own authority.
    Own(Timing),
    /// Files, whose authority the guard publishes.
    Files {
        /// The files.
        files: Arc<CertificateFiles>,
        /// How long an authority is published before a certificate of it is served.
        spread: Duration,
        /// How long an authority is published that no replica has mounted any more.
        retention: Duration,
    },
}

/// All that is kept in a cluster.
pub struct ClusterService {
    connection: ClusterConnection,
    names: ClusterNames,
    source: CertificateSource,
    canary_interval: Duration,
}

impl ClusterService {
    /// Nothing is read or written before it starts.
    #[must_use]
    pub fn new(
        connection: ClusterConnection,
        names: ClusterNames,
        source: CertificateSource,
        canary_interval: Duration,
    ) -> Self {
        Self { connection, names, source, canary_interval }
    }

    /// Starts the tasks, which end with the set. Returns what is to be served.
    ///
    /// # Errors
    /// When the lifetimes of certificates do not fit together.
    pub fn start(
        self,
        registry: &mut Registry,
        store: &Arc<PolicyStore>,
        health: &Health,
        arrived: &watch::Sender<HashSet<String>>,
    ) -> anyhow::Result<(JoinSet<()>, Arc<dyn ResolvesServerCert>)> {
        let Self { connection: ClusterConnection { client, .. }, names, source, canary_interval } = self;
        let mut tasks = JoinSet::new();

        let settings = PolicyWatchSettings::default();
        let mut policies =
            PolicyWatch::new(client.clone(), Arc::clone(store), settings, PolicyWatchMetrics::register(registry));
        policies.announce(health.gate("policies of the cluster"));
        let served = policies.served();

        let mut timing = KeeperTiming::default();
        if let CertificateSource::Files { retention, .. } = source {
            timing.retention = retention;
        }
        let settings = ConfigurationSettings {
            name: names.configuration.clone(),
            field_manager: FIELD_MANAGER.into(),
            instance: std::env::var("HOSTNAME").ok(),
            bundles_are_published: matches!(source, CertificateSource::Own(_)),
            timing,
        };
        let keeper = ConfigurationKeeper::new(client.clone(), settings, ConfigurationMetrics::register(registry));

        let (bundle, certificate): (_, Arc<dyn ResolvesServerCert>) = match source {
            CertificateSource::Files { files, spread, .. } => {
                let gate = health.gate("published authority");
                let input = PublishedInput { published: keeper.published(), spread, gate };
                let ends = CertificateEnds::register(registry);
                let bundle = files.bundle();
                let serving = CertificateServing::new(files, Some(input), health, ends);
                let served = serving.served();
                tasks.spawn(serving.run());
                (bundle, served)
            }
            CertificateSource::Own(timing) => {
                let certificates = CertificateKeeper::new(
                    client.clone(),
                    certificate_settings(&names, timing),
                    CertificateMetrics::register(registry),
                )?;
                let leaf = certificates.serving();
                tasks.spawn(follow_certificates(certificates.status(), health.gate("serving certificate")));
                tasks.spawn(certificates.run());
                (watch::channel(None).1, leaf)
            }
        };

        let own = Arc::new(own_policy());
        store.judge_own(Arc::clone(&own));
        let metrics = CanaryMetrics::register(registry);
        if !canary_interval.is_zero() {
            let canary = Canary::new(client.clone(), canary_interval, served.clone(), keeper.published(), metrics);
            tasks.spawn(canary.run());
        }

        let inputs = EnforcementInputs { published: keeper.published(), arrived: arrived.subscribe() };
        tasks.spawn(policies.run(inputs, std::future::pending()));

        let (entries, wanted) = watch::channel(None);
        tasks.spawn(follow_served(served, own, names.backend.clone(), entries));
        tasks.spawn(keeper.run(wanted, bundle, arrived.subscribe(), std::future::pending()));
        Ok((tasks, certificate))
    }
}

/// Where the certificates' objects are.
pub(crate) fn places(namespace: &str, secret: &str, configuration: &str) -> Places {
    Places {
        namespace: namespace.to_owned(),
        secret: secret.to_owned(),
        configuration: configuration.to_owned(),
        entry_suffix: SUFFIX.to_owned(),
        field_manager: FIELD_MANAGER.to_owned(),
    }
}

fn certificate_settings(names: &ClusterNames, timing: Timing) -> CertificateSettings {
    let Backend { namespace, service, .. } = &names.backend;
    let places = places(namespace, &names.secret, &names.configuration);
    CertificateSettings { places, names: vec![format!("{service}.{namespace}.svc")], timing }
}

/// Ready while a leaf is served that every managed bundle covers.
async fn follow_certificates(mut status: watch::Receiver<statusguard_certs::CertificateStatus>, gate: ReadinessGate) {
    loop {
        gate.set(status.borrow_and_update().serves);
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Makes the entries of the policies whose targets are served.
async fn follow_served(
    mut served: watch::Receiver<Option<Arc<[ServedPolicy]>>>,
    own: Arc<ActivePolicy>,
    backend: Backend,
    entries: watch::Sender<Option<Arc<[PolicyEntry]>>>,
) {
    let mut said: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let policies = served.borrow_and_update().clone();
        if let Some(policies) = policies {
            let made = policies.iter().filter_map(|served| made(served, &backend, &mut said));
            let own = has_cluster_policies(&policies).then(|| PolicyEntry::own(&own.policy, CANARY_MANAGER, &backend));
            entries.send_replace(Some(made.chain(own).collect()));
        }
        if served.changed().await.is_err() {
            return;
        }
    }
}

/// Whether there is something that the canary can write to.
fn has_cluster_policies(served: &[ServedPolicy]) -> bool {
    served.iter().any(|served| served.policy.source == PolicySource::Cluster)
}

/// The entry of a policy; why there is none is said once.
fn made(served: &ServedPolicy, backend: &Backend, said: &mut BTreeMap<String, String>) -> Option<PolicyEntry> {
    let scope = match served.namespaced {
        Some(true) => TargetScope::Namespaced,
        Some(false) => TargetScope::Cluster,
        None => TargetScope::Any,
    };
    let policy = &served.policy.policy;
    match PolicyEntry::new(policy, scope, backend) {
        Ok(entry) => {
            said.remove(policy.name());
            Some(entry)
        }
        Err(error) => {
            let error = error.to_string();
            if said.get(policy.name()) != Some(&error) {
                tracing::error!(policy = policy.name(), error, "the policy has no entry in the webhook configuration");
                said.insert(policy.name().to_owned(), error);
            }
            None
        }
    }
}
