//! Takes the steps of the rotation: observe, decide, write, and observe anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use rand::RngExt as _;
use statusguard_rotation::{
    AuthorityId, BadTiming, Bundle, LeafAction, Observation, Rotation, RotationPhase, RotationState, SecretContent,
    Step, Timing, UnixTime, Validity,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::authority::SigningAuthority;
use crate::bundle;
use crate::changes::ObjectChanges;
use crate::cluster::{Data, Managed, Objects, Places, ReadObjects, RequestFailure};
use crate::error::CertificateError;
use crate::metrics::CertificateMetrics;
use crate::secret::{self, AuthoritySecret};
use crate::serving::ServingLeaf;
use crate::validity::rfc3339;

/// Between two observations at least, so that others' changes cause no storm.
const PACE: Duration = Duration::from_millis(100);
/// The same while nothing is served: every call fails until the next step.
const PACE_UNSERVED: Duration = Duration::from_millis(20);
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
    pub fn new(client: Client, settings: CertificateSettings, metrics: CertificateMetrics) -> Result<Self, BadTiming> {
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
    pub async fn run(mut self) {
        let mut changes = ObjectChanges::watch(&self.objects);
        let mut pause = self.pace();
        loop {
            let begun = Instant::now();
            let next = match self.look().await {
                Ok(next) => {
                    if !std::mem::take(&mut self.said).is_empty() {
                        tracing::info!("certificates: the last problem is over");
                    }
                    pause = self.pace();
                    next
                }
                Err(failure) => {
                    self.failed(&failure);
                    pause = match failure.cause() {
                        "conflict" => self.pace(),
                        _ => (pause.max(PACE) * 2).min(LONGEST_PAUSE),
                    };
                    pause
                }
            };
            self.show();
            // A step leads to the next observation at once, but never without a pause.
            tokio::time::sleep_until(begun + pause).await;
            changes.wait(next).await;
        }
    }

    /// How long there is between two observations at least.
    fn pace(&self) -> Duration {
        if self.serving.current().is_some() { PACE } else { PACE_UNSERVED }
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

    async fn observe(&self) -> Result<ObservedCluster, KeeperFailure> {
        let ReadObjects { asked_at, secret, managed, same, read_at: now } = self.objects.read().await;
        let ((secret, date), managed) = (secret?, managed?);
        if !same {
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
        let bundles = &seen.observation.bundles;
        let in_sync = state.is_some_and(|state| !bundles.iter().any(|bundle| bundle.is_outdated(state)));
        self.metrics.observed(phase, in_sync);
        let authorities = state.into_iter().flat_map(|state| state.authorities());
        let authorities = authorities.map(|authority| (authority.id, authority.validity)).collect();
        let published = bundles.iter().filter_map(|bundle| match bundle {
            Bundle::Holds(held) => Some(held.clone()),
            Bundle::Absent | Bundle::Unreadable => None,
        });
        let published: BTreeMap<AuthorityId, Validity> = published.flatten().collect();
        self.metrics.ends().show(&authorities, &published, self.serving.current().map(|leaf| leaf.facts().validity));
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
        let not_after = rfc3339(validity.not_after);
        tracing::info!(authority = ?id, not_after, "certificates: a new serving certificate");
        self.serving.set(Some(leaf));
        self.jitter = rand::rng().random();
        self.metrics.stepped("issue_leaf");
        Ok(())
    }

    /// Takes a step; how long to wait then.
    async fn take(&self, step: Step, seen: ObservedCluster) -> Result<Duration, KeeperFailure> {
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
                let data = seen.data(&addition.with(id), Some(&authority));
                self.objects.write_secret(seen.secret, data).await?;
                tracing::info!(authority = ?id, ?cause, "certificates: a new authority");
                self.metrics.stepped("add_authority");
            }
            Step::Write { state, change } => {
                let data = seen.data(&state, None);
                self.objects.write_secret(seen.secret, data).await?;
                tracing::info!(?change, "certificates: a step of the rotation");
                self.metrics.stepped("write_state");
            }
            Step::Publish { bundle: ids, to } => {
                let certificates = seen.certificates();
                let texts = ids.iter().map(|id| certificates.get(id).ok_or(KeeperFailure::Lost(*id)));
                let texts: Vec<&String> = texts.collect::<Result<_, _>>()?;
                if let Some(managed) = &seen.managed {
                    self.objects.publish(managed, &to, bundle::text(texts.into_iter())).await?;
                    tracing::info!(authorities = ?ids, entries = to.len(), "certificates: the bundle is published");
                    self.metrics.stepped("publish");
                }
            }
        }
        Ok(Duration::ZERO)
    }
}

impl ObservedCluster {
    /// The certificates of the Secret and of all bundles.
    fn certificates(&self) -> BTreeMap<AuthorityId, String> {
        let published = self.managed.iter().flat_map(Managed::bundles).flat_map(|bundle| bundle.certificates.clone());
        published.chain(self.read.certificates.clone()).collect()
    }

    /// The Secret's data for a state, in which one authority may be new.
    fn data(&self, state: &RotationState, new: Option<&SigningAuthority>) -> Data {
        let mut certificates = self.certificates();
        certificates.extend(new.map(|new| (new.id(), new.certificate_pem().to_owned())));
        let authorities = self.read.authorities.values().chain(new);
        let keys = authorities.map(|authority| (authority.id(), authority.key_pem())).collect();
        secret::written(self.secret.as_ref(), state, &certificates, &keys)
    }
}
