//! Takes the steps of the rotation: observe, decide, write, and observe anew.

use std::collections::BTreeMap;
use std::mem::Discriminant;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use rand::RngExt as _;
use statusguard_rotation::{
    AuthorityId, BadTiming, Bundle, LeafAction, Observation, Rotation, RotationPhase, RotationState, SecretContent,
    Step, Timing, UnixTime, Unusable, Validity, WaitReason,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::authority::SigningAuthority;
use crate::bundle;
use crate::changes::ObjectChanges;
use crate::cluster::{Data, Managed, Objects, Places, ReadObjects, RequestFailure};
use crate::error::{CertificateError, with_sources};
use crate::metrics::CertificateMetrics;
use crate::secret::{self, AuthoritySecret};
use crate::serving::ServingLeaf;
use crate::validity::rfc3339;

/// Between two observations at least, so that others' changes cause no storm.
const PACE: Duration = Duration::from_millis(100);
/// The same while nothing is served: every call fails until the next step.
const PACE_UNSERVED: Duration = Duration::from_millis(20);
/// Between two attempts at what fails, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often it is looked whether the leaf still holds.
const LEAF_CHECK: Duration = Duration::from_millis(500);

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
    /// After the last observation that failed; zero if one succeeded since.
    pause: Duration,
    failed_step: Option<FailedStep>,
    /// What was said of a Secret that cannot be used.
    unusable: Option<Unusable>,
}

/// A step that failed: it is not tried again before its time, whatever else is seen and done until then.
struct FailedStep {
    kind: Discriminant<Step>,
    pause: Duration,
    next: Instant,
}

/// What came of one observation, and how long to wait then.
enum LookOutcome {
    /// There is nothing to do.
    Settled(Duration),
    /// Something was done; there may be more.
    Stepped,
    /// A step is due that has failed.
    Postponed(Duration),
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
    #[error("this machine's clock is {} the API server's by {} s", if *.0 > 0 { "behind" } else { "ahead of" }, .0.abs())]
    Clock(i64),
    #[error("a later release of the guard has written secret {0}, and this one cannot read it")]
    LaterRelease(String),
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] CertificateError),
    #[error("the certificate of authority {0} is lost")]
    Lost(AuthorityId),
}

impl KeeperFailure {
    fn cause(&self) -> &'static str {
        match self {
            KeeperFailure::Request(failure) => failure.cause(),
            KeeperFailure::Moving => "conflict",
            KeeperFailure::Clock(_) => "clock",
            KeeperFailure::LaterRelease(_) => "version",
            KeeperFailure::Certificate(_) | KeeperFailure::Lost(_) => "certificate",
        }
    }

    /// Races are how replicas agree.
    fn is_race(&self) -> bool {
        self.cause() == "conflict"
    }

    /// The same for failures that are one and the same to whoever reads the log.
    fn topic(&self) -> String {
        match self {
            KeeperFailure::Request(failure) => failure.topic(),
            KeeperFailure::Clock(_) => self.cause().to_owned(),
            other => other.to_string(),
        }
    }

    /// What to do about it.
    fn cure(&self) -> String {
        match self {
            KeeperFailure::Request(failure) => failure.cure(),
            KeeperFailure::Clock(_) => "correct the clock that is wrong; nothing is written until then".to_owned(),
            KeeperFailure::LaterRelease(_) => {
                "none while replicas of that release run; to stay with this one, delete the Secret".to_owned()
            }
            _ => "it is tried again".to_owned(),
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
            pause: Duration::ZERO,
            failed_step: None,
            unusable: None,
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
    pub async fn run(self) {
        let (serving, status) = (self.serving(), self.status.clone());
        let follow_leaf = async {
            loop {
                tokio::time::sleep(LEAF_CHECK).await;
                show(&serving, &status);
            }
        };
        tokio::select! {
            () = self.take_steps() => {}
            // A leaf ends at its time, also while an answer is waited for.
            () = follow_leaf => {}
        }
    }

    async fn take_steps(mut self) {
        let mut changes = ObjectChanges::watch(&self.objects, &self.metrics);
        loop {
            let begun = Instant::now();
            let wait = match self.look().await {
                Ok(LookOutcome::Settled(wait)) => {
                    if !std::mem::take(&mut self.said).is_empty() {
                        tracing::info!("certificates: the last problem is over");
                    }
                    wait
                }
                Ok(LookOutcome::Stepped) => Duration::ZERO,
                Ok(LookOutcome::Postponed(wait)) => wait,
                Err(failure) if failure.is_race() => {
                    self.metrics.failed(failure.cause());
                    tracing::debug!(error = %failure, "certificates: observed anew");
                    Duration::ZERO
                }
                Err(failure) => {
                    self.say(&failure);
                    self.pause = longer(self.pause);
                    self.pause
                }
            };
            show(&self.serving, &self.status);
            // A step leads to the next observation at once, but never without a pause.
            tokio::time::sleep_until(begun + self.pace()).await;
            changes.wait(wait).await;
        }
    }

    /// How long there is between two observations at least.
    fn pace(&self) -> Duration {
        if self.serving.current().is_some() { PACE } else { PACE_UNSERVED }
    }

    /// Counts what failed, and says it once.
    fn say(&mut self, failure: &KeeperFailure) {
        self.metrics.failed(failure.cause());
        let topic = failure.topic();
        if self.said != topic {
            let error = match failure {
                KeeperFailure::Request(failure) => with_sources(failure),
                KeeperFailure::Certificate(error) => with_sources(error),
                other => other.to_string(),
            };
            tracing::error!(error, cure = failure.cure(), "certificates: what is served stays until it ends");
            self.said = topic;
        }
    }

    /// One observation and what follows from it.
    async fn look(&mut self) -> Result<LookOutcome, KeeperFailure> {
        let seen = self.observe().await?;
        self.observed(&seen);
        match self.rotation.leaf_action(seen.now, &seen.observation, self.jitter) {
            LeafAction::Issue { authority, validity } => {
                self.issue(&seen, authority, validity)?;
                return Ok(LookOutcome::Stepped);
            }
            LeafAction::Wait { .. } => {
                if self.serving.current().is_some() {
                    // The first entry of all is written before its bundle.
                    if seen.observation.bundles.contains(&Bundle::Absent) {
                        tracing::info!("certificates: an entry has no bundle yet; nothing is served until it has");
                    } else {
                        tracing::error!(
                            "certificates: a bundle does not cover the serving certificate; it is not served any more"
                        );
                    }
                    self.serving.set(None);
                }
            }
            LeafAction::Keep { .. } => {}
        }
        self.pause = Duration::ZERO;
        let step = self.rotation.next_step(seen.now, &seen.observation);
        let kind = std::mem::discriminant(&step);
        let failed = self.failed_step.as_ref().filter(|failed| failed.kind == kind);
        let before = failed.map(|failed| failed.pause).unwrap_or_default();
        if let Some(wait) = failed.and_then(|failed| failed.next.checked_duration_since(Instant::now())) {
            return Ok(LookOutcome::Postponed(wait));
        }
        match self.take(step, seen).await {
            Err(failure) if !failure.is_race() => {
                self.say(&failure);
                let pause = longer(before);
                self.failed_step = Some(FailedStep { kind, pause, next: Instant::now() + pause });
                Ok(LookOutcome::Postponed(pause))
            }
            Ok(outcome) => {
                self.failed_step = None;
                Ok(outcome)
            }
            race => race,
        }
    }

    async fn observe(&self) -> Result<ObservedCluster, KeeperFailure> {
        let ReadObjects { asked_at, secret, managed, same, read_at: now } = self.objects.read().await;
        let ((secret, date), managed) = (secret?, managed?);
        if !same {
            return Err(KeeperFailure::Moving);
        }
        if let Some(date) = date {
            let behind = UnixTime::from(date).seconds() - now.seconds();
            if behind.unsigned_abs() > self.settings.timing.skew.as_secs() {
                return Err(KeeperFailure::Clock(behind));
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

    fn observed(&mut self, seen: &ObservedCluster) {
        let unusable = match seen.observation.secret {
            // That is said as a failure.
            SecretContent::Unusable(Unusable::UnknownVersion) => None,
            SecretContent::Unusable(unusable) => Some(unusable),
            SecretContent::Absent | SecretContent::Readable(_) => None,
        };
        if let Some(reason) = unusable.filter(|reason| Some(*reason) != self.unusable) {
            tracing::warn!(reason = reason.category(), "certificates: the Secret of the authority cannot be used");
        }
        self.unusable = unusable;
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

    async fn take(&self, step: Step, seen: ObservedCluster) -> Result<LookOutcome, KeeperFailure> {
        match step {
            Step::Wait { reason: WaitReason::LaterRelease, .. } => {
                let Places { namespace, secret, .. } = &self.settings.places;
                return Err(KeeperFailure::LaterRelease(format!("{namespace}/{secret}")));
            }
            Step::Wait { until, .. } => {
                let seconds = until.seconds().saturating_sub(UnixTime::from(SystemTime::now()).seconds());
                let tick = self.settings.timing.tick;
                let wait = Duration::from_secs(u64::try_from(seconds).unwrap_or_default()).min(tick);
                return Ok(LookOutcome::Settled(wait));
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
        Ok(LookOutcome::Stepped)
    }
}

/// The pause after another failure.
fn longer(pause: Duration) -> Duration {
    (pause.max(PACE) * 2).min(LONGEST_PAUSE)
}

fn show(serving: &ServingLeaf, status: &watch::Sender<CertificateStatus>) {
    let now = UnixTime::from(SystemTime::now());
    let serves = serving.current().is_some_and(|leaf| leaf.facts().validity.contains(now));
    status.send_if_modified(|status| std::mem::replace(&mut status.serves, serves) != serves);
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
