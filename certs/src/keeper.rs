//! Takes the steps of the rotation: observe, decide, write, and observe anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use rand::RngExt as _;
use statusguard_rotation::{
    AuthorityId, LeafAction, Observation, Rotation, RotationPhase, SecretContent, Step, Timing, UnixTime, Validity,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::authority::SigningAuthority;
use crate::bundle;
use crate::changes::ObjectChanges;
use crate::cluster::{Managed, Objects, Places, RequestFailure};
use crate::error::CertificateError;
use crate::metrics::CertificateMetrics;
use crate::secret::{self, AuthoritySecret};
use crate::serving::ServingLeaf;

/// Between two observations at least, so that others' changes cause no storm.
const PACE: Duration = Duration::from_millis(100);
/// After a failure at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What is asked of the certificates.
#[derive(Clone, Debug)]
pub struct CertificateSettings {
    /// Where the objects are.
    pub places: Places,
    /// The names of the leaf: those of the Service.
    pub names: Vec<String>,
    /// Lifetimes.
    pub timing: Timing,
}

/// How the certificates are, for readiness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateStatus {
    /// Whether a leaf is served that every managed bundle covers.
    pub serves: bool,
    /// Where the rotation is; `None` until the first observation.
    pub phase: Option<RotationPhase>,
}

/// Makes and rotates the certificates of one replica, together with the other replicas.
pub struct CertificateKeeper {
    objects: Objects,
    settings: CertificateSettings,
    rotation: Rotation,
    metrics: CertificateMetrics,
    serving: Arc<ServingLeaf>,
    status: watch::Sender<CertificateStatus>,
    jitter: f64,
    /// What was said last of a failure, so that it is said once.
    said: String,
}

/// All that one observation has read.
struct ObservedCluster {
    observation: Observation,
    now: UnixTime,
    secret: Option<Secret>,
    read: AuthoritySecret,
    managed: Option<Managed>,
}

/// Why there is no observation, or a step was not taken.
#[derive(Debug, thiserror::Error)]
enum KeeperFailure {
    #[error(transparent)]
    Request(#[from] RequestFailure),
    #[error("the Secret changed while it was read")]
    Moving,
    #[error(
        "this machine's clock and the API server's differ by {0} s: correct the clock; nothing is written until then"
    )]
    Clock(u64),
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] CertificateError),
    #[error("the certificate of authority {0} is lost")]
    Lost(AuthorityId),
}

impl KeeperFailure {
    fn cause(&self) -> &'static str {
        match self {
            KeeperFailure::Request(RequestFailure::Conflict) | KeeperFailure::Moving => "conflict",
            KeeperFailure::Request(RequestFailure::Refused { .. }) => "refused",
            KeeperFailure::Request(RequestFailure::Unanswered { .. }) => "unanswered",
            KeeperFailure::Clock(_) => "clock",
            KeeperFailure::Certificate(_) | KeeperFailure::Lost(_) => "certificate",
        }
    }
}

impl CertificateKeeper {
    /// Nothing is served before it runs.
    ///
    /// # Errors
    /// When the lifetimes do not fit together.
    pub fn new(
        client: Client,
        settings: CertificateSettings,
        metrics: CertificateMetrics,
    ) -> Result<Self, statusguard_rotation::BadTiming> {
        let rotation = Rotation::new(settings.timing)?;
        Ok(Self {
            objects: Objects::new(client, settings.places.clone()),
            settings,
            rotation,
            metrics,
            serving: Arc::default(),
            status: watch::Sender::new(CertificateStatus { serves: false, phase: None }),
            jitter: rand::rng().random(),
            said: String::new(),
        })
    }

    /// What rustls is to serve.
    #[must_use]
    pub fn serving(&self) -> Arc<ServingLeaf> {
        Arc::clone(&self.serving)
    }

    /// How the certificates are.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<CertificateStatus> {
        self.status.subscribe()
    }

    /// Observes and takes steps for ever.
    pub async fn run(mut self, client: Client) {
        let mut changes = ObjectChanges::watch(client, &self.settings.places);
        let mut pause = PACE;
        loop {
            let begun = Instant::now();
            let next = match self.look().await {
                Ok(next) => {
                    if !std::mem::take(&mut self.said).is_empty() {
                        tracing::info!("certificates: the last problem is over");
                    }
                    pause = PACE;
                    next
                }
                Err(failure) => {
                    self.failed(&failure);
                    pause = match failure.cause() {
                        "conflict" => PACE,
                        _ => (pause * 2).min(LONGEST_PAUSE),
                    };
                    Duration::ZERO.max(pause)
                }
            };
            self.show();
            // A step leads to the next observation at once, but never without a pause.
            tokio::time::sleep_until(begun + PACE.max(pause.min(LONGEST_PAUSE))).await;
            changes.wait(next).await;
        }
    }

    fn failed(&mut self, failure: &KeeperFailure) {
        self.metrics.failed(failure.cause());
        // Races are how replicas agree.
        if failure.cause() == "conflict" {
            tracing::debug!(error = %failure, "certificates: observed anew");
            return;
        }
        let mut said = failure.to_string();
        let mut source = std::error::Error::source(failure);
        while let Some(error) = source {
            said.push_str(&format!(": {error}"));
            source = error.source();
        }
        if self.said != said {
            tracing::error!(error = said, "certificates: what is served stays until it ends");
            self.said = said;
        }
    }

    /// One observation and what follows from it; how long to wait then.
    async fn look(&mut self) -> Result<Duration, KeeperFailure> {
        let seen = self.observe().await?;
        self.observed(&seen);
        match self.rotation.leaf_action(seen.now, &seen.observation, self.jitter) {
            LeafAction::Issue { authority, validity } => {
                self.issue(&seen, authority, validity)?;
                return Ok(Duration::ZERO);
            }
            LeafAction::Wait { .. } => {
                if self.serving.current().is_some() {
                    tracing::error!(
                        "certificates: no published authority covers the serving certificate; it is not served any more"
                    );
                    self.serving.set(None);
                }
            }
            LeafAction::Keep { .. } => {}
        }
        let step = self.rotation.next_step(seen.now, &seen.observation);
        self.take(step, seen).await
    }

    /// In the order that the rotation asks for.
    async fn observe(&self) -> Result<ObservedCluster, KeeperFailure> {
        let asked_at = UnixTime::from(SystemTime::now());
        let (before, _) = self.objects.secret().await?;
        let managed = self.objects.managed().await?;
        let (secret, date) = self.objects.secret().await?;
        let now = UnixTime::from(SystemTime::now());
        let version = |secret: &Option<Secret>| {
            secret.as_ref().map(|s| (s.metadata.uid.clone(), s.metadata.resource_version.clone()))
        };
        if version(&before) != version(&secret) {
            return Err(KeeperFailure::Moving);
        }
        if let Some(date) = date {
            let apart = (UnixTime::from(date).seconds() - now.seconds()).unsigned_abs();
            if apart > self.settings.timing.skew.as_secs() {
                return Err(KeeperFailure::Clock(apart));
            }
        }
        let read = AuthoritySecret::read(secret.as_ref());
        let observation = Observation {
            asked_at,
            bundles: managed.iter().flat_map(Managed::bundles).map(|bundle| bundle.facts.clone()).collect(),
            secret: read.content.clone(),
            leaf: self.serving.current().map(|leaf| leaf.facts()),
        };
        Ok(ObservedCluster { observation, now, secret, read, managed })
    }

    fn observed(&self, seen: &ObservedCluster) {
        let phase = self.rotation.phase(seen.now, &seen.observation);
        let state = match &seen.observation.secret {
            SecretContent::Readable(state) => Some(state),
            SecretContent::Absent | SecretContent::Unusable(_) => None,
        };
        let holds = |bundle: &statusguard_rotation::Bundle| match bundle {
            statusguard_rotation::Bundle::Holds(held) => state
                .is_some_and(|state| held.keys().copied().collect::<std::collections::BTreeSet<_>>() == state.bundle()),
            statusguard_rotation::Bundle::Absent => true,
            statusguard_rotation::Bundle::Unreadable => false,
        };
        self.metrics.observed(phase, state.is_some() && seen.observation.bundles.iter().all(holds));
        let authorities = state.into_iter().flat_map(|state| state.authorities());
        let authorities = authorities.map(|authority| (authority.id, authority.validity)).collect();
        let published = seen.observation.bundles.iter().filter_map(|bundle| match bundle {
            statusguard_rotation::Bundle::Holds(held) => Some(held.clone()),
            _ => None,
        });
        let published: BTreeMap<AuthorityId, Validity> = published.flatten().collect();
        self.metrics.ends(&authorities, &published, self.serving.current().map(|leaf| leaf.facts().validity));
        self.status.send_if_modified(|status| status.phase.replace(phase) != Some(phase));
    }

    fn show(&self) {
        let serves = self
            .serving
            .current()
            .is_some_and(|leaf| leaf.facts().validity.contains(UnixTime::from(SystemTime::now())));
        self.status.send_if_modified(|status| std::mem::replace(&mut status.serves, serves) != serves);
    }

    fn issue(&mut self, seen: &ObservedCluster, id: AuthorityId, validity: Validity) -> Result<(), KeeperFailure> {
        let authority = seen.read.authorities.get(&id).ok_or(KeeperFailure::Lost(id))?;
        let leaf = authority.leaf(&self.settings.names, validity)?;
        tracing::info!(authority = ?id, not_after = validity.not_after.seconds(), "certificates: a new serving certificate");
        self.serving.set(Some(leaf));
        self.jitter = rand::rng().random();
        self.metrics.stepped("issue_leaf");
        Ok(())
    }

    /// Takes a step; how long to wait then.
    async fn take(&self, step: Step, seen: ObservedCluster) -> Result<Duration, KeeperFailure> {
        let mut certificates = known_certificates(&seen);
        let mut keys: BTreeMap<_, _> =
            seen.read.authorities.iter().map(|(id, authority)| (*id, authority.key_pem())).collect();
        match step {
            Step::Wait { until, .. } => {
                let seconds = until.seconds().saturating_sub(UnixTime::from(SystemTime::now()).seconds());
                let tick = self.settings.timing.tick;
                return Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(tick));
            }
            Step::Add(addition) => {
                let cause = addition.cause;
                let authority = SigningAuthority::create(addition.validity)?;
                let id = authority.id();
                certificates.insert(id, authority.certificate_pem().to_owned());
                keys.insert(id, authority.key_pem());
                let state = addition.with(id);
                let data = secret::written(seen.secret.as_ref(), &state, &certificates, &keys);
                self.objects.write_secret(seen.secret, data).await?;
                tracing::info!(authority = ?id, ?cause, "certificates: a new authority");
                self.metrics.stepped("add_authority");
            }
            Step::Write { state, change } => {
                let data = secret::written(seen.secret.as_ref(), &state, &certificates, &keys);
                self.objects.write_secret(seen.secret, data).await?;
                tracing::info!(?change, "certificates: a step of the rotation");
                self.metrics.stepped("write_state");
            }
            Step::Publish { bundle: ids, to } => {
                let texts = ids.iter().map(|id| certificates.get(id).ok_or(KeeperFailure::Lost(*id)));
                let texts: Vec<&String> = texts.collect::<Result<_, _>>()?;
                if let Some(managed) = &seen.managed {
                    self.objects.publish(managed, &to, &bundle::text(texts.into_iter())).await?;
                    tracing::info!(authorities = ?ids, entries = to.len(), "certificates: the bundle is published");
                    self.metrics.stepped("publish");
                }
            }
        }
        Ok(Duration::ZERO)
    }
}

/// The certificates of the Secret and of all bundles.
fn known_certificates(seen: &ObservedCluster) -> BTreeMap<AuthorityId, String> {
    let published = seen.managed.iter().flat_map(Managed::bundles).flat_map(|bundle| bundle.certificates.clone());
    published.chain(seen.read.certificates.clone()).collect()
}
