//! What handshakes get of a certificate in files, and readiness.
//!
//! - With `--static-config`, or while nothing of the cluster is known, a certificate is served as soon as it is read.
//! - Else it is served once every published bundle covers it and what is published has had time to spread; until then the
//!   one before goes on. What no published bundle covers is not served.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use statusguard_certs::{CaBundle, CertificateEnds, UnixTime, rfc3339};
use statusguard_edge::{Health, ReadinessGate};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::choice::{PairChoice, PairState, choose};
use super::files::{CertificateFiles, FilePair};
use crate::cluster::configuration::Published;

/// How often validity is looked at, though nothing has changed: the wall clock may jump.
const TICK: Duration = Duration::from_secs(5);

/// What rustls serves; nothing until [`CertificateServing`] is made.
#[derive(Default)]
pub struct ServedCertificate(ArcSwapOption<CertifiedKey>);

/// What the API server has.
pub struct PublishedInput {
    pub published: watch::Receiver<Published>,
    /// How long something must have been published before the last API server uses it.
    pub spread: Duration,
    /// Ready while what is served is covered by every published bundle, and the API servers know.
    pub gate: ReadinessGate,
}

/// Decides what is served.
pub struct CertificateServing {
    files: Arc<CertificateFiles>,
    input: Option<PublishedInput>,
    served: Arc<ServedCertificate>,
    /// Ready while a certificate is served that holds.
    valid: ReadinessGate,
    ends: CertificateEnds,
    /// What was served last.
    current: Option<Arc<FilePair>>,
    bundles: PublishedBundles,
    /// It was ready once. One that starts waits until what it has published has spread, because others serve meanwhile; after
    /// that every moment counts in which it could serve.
    relied_on: bool,
    said: String,
}

/// All distinct bundles that are published.
#[derive(Debug, Default)]
struct PublishedBundles {
    /// `None` until the configuration was read.
    texts: Option<BTreeSet<Vec<u8>>>,
    read: Vec<CaBundle>,
    /// When they were seen to change. What was found at the first reading counts as spread.
    since: Option<Instant>,
}

impl CertificateServing {
    /// Serves what was read last, until it runs.
    pub fn new(
        files: Arc<CertificateFiles>,
        input: Option<PublishedInput>,
        health: &Health,
        ends: CertificateEnds,
    ) -> Self {
        let mut serving = Self {
            files,
            input,
            served: Arc::default(),
            valid: health.gate("serving certificate"),
            ends,
            current: None,
            bundles: PublishedBundles::default(),
            relied_on: false,
            said: String::new(),
        };
        serving.look(Instant::now());
        serving
    }

    /// For rustls.
    pub fn served(&self) -> Arc<ServedCertificate> {
        Arc::clone(&self.served)
    }

    /// Serves what is right, for ever.
    pub async fn run(mut self) {
        let mut pair = self.files.pair();
        let mut published = self.input.as_ref().map(|input| input.published.clone());
        loop {
            pair.mark_unchanged();
            if let Some(published) = &mut published {
                published.mark_unchanged();
            }
            let until = self.look(Instant::now());
            let published = async {
                let Some(published) = &mut published else { return std::future::pending().await };
                // A keeper that has ended changes nothing any more.
                if published.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                _ = pair.changed() => {}
                () = published => {}
                () = sleep_until(until) => {}
            }
        }
    }

    /// Serves what is right now. Returns when to look again, if nothing changes before.
    fn look(&mut self, now: Instant) -> Instant {
        let next = self.files.pair().borrow().clone();
        if let Some(input) = &self.input {
            self.bundles.note(&input.published.borrow(), now);
        }
        let wall = UnixTime::from(SystemTime::now());
        let state = |pair: &FilePair| {
            let covers = |bundle: &CaBundle| bundle.covers(&pair.certified.cert, self.files.name(), wall).is_ok();
            // While no bundle is known, what is in the files is believed.
            let bundles = &self.bundles.read;
            let covering = bundles.iter().filter(|bundle| covers(bundle)).count();
            PairState {
                valid: pair.validity.contains(wall),
                covered: covering == bundles.len(),
                covered_somewhere: bundles.is_empty() || covering > 0,
            }
        };
        let spread_at = self.bundles.since.zip(self.input.as_ref()).map(|(since, input)| since + input.spread);
        let spread = spread_at.is_none_or(|at| at <= now);
        let next_state = state(&next);
        // As a rule they are the same.
        let of_current =
            |current: &Arc<FilePair>| if Arc::ptr_eq(current, &next) { next_state } else { state(current) };
        let current = self.current.as_ref().map(of_current);
        let choice = choose(current, next_state, spread);
        let served = match choice {
            PairChoice::Current => current,
            PairChoice::Next => Some(next_state),
            PairChoice::Nothing => None,
        };
        self.serve(choice, &next);
        self.tell(served, next_state, Arc::clone(&next));
        let valid = served.is_some_and(|served| served.valid);
        self.valid.set(valid);
        let known = self.input.is_none() || self.bundles.texts.is_some();
        let covered = known && served.is_some_and(|served| served.covered) && (spread || self.relied_on);
        self.relied_on |= covered;
        if let Some(input) = &self.input {
            input.gate.set(covered);
        }
        self.show();
        let tick = now + TICK;
        spread_at.filter(|at| *at > now).map_or(tick, |at| at.min(tick))
    }

    fn serve(&mut self, choice: PairChoice, next: &Arc<FilePair>) {
        match choice {
            PairChoice::Next => {
                let before = self.current.replace(Arc::clone(next));
                if before.is_some_and(|before| !Arc::ptr_eq(&before, next)) {
                    tracing::info!(
                        not_after = rfc3339(next.validity.not_after),
                        "another serving certificate is in force"
                    );
                }
            }
            PairChoice::Current => {}
            PairChoice::Nothing => return self.served.0.store(None),
        }
        self.served.0.store(self.current.as_ref().map(|current| Arc::clone(&current.certified)));
    }

    /// Says what is wrong, or waited for, once.
    fn tell(&mut self, served: Option<PairState>, next: PairState, pair: Arc<FilePair>) {
        let in_force = self.current.as_ref().is_some_and(|current| Arc::ptr_eq(current, &pair));
        let text = match served {
            None => {
                "the published bundles do not cover the serving certificate, and handshakes are refused until they do"
            }
            Some(served) if !served.valid => {
                "the serving certificate does not hold now: renew it, or correct this machine's clock; the API server refuses it"
            }
            Some(served) if !served.covered => {
                "a published bundle does not cover the serving certificate; calls by its entry fail until it does"
            }
            Some(_) if in_force => "",
            Some(_) if !next.valid => "the new certificate does not hold now; the one before is served",
            Some(_) => {
                "the new certificate is served once its authority is published and all API servers use it; the one before is \
                 served until then"
            }
        };
        if self.said != text {
            match served {
                _ if text.is_empty() => {}
                Some(served) if served.valid && served.covered => tracing::info!("{text}"),
                _ => tracing::error!("{text}"),
            }
            text.clone_into(&mut self.said);
        }
    }

    /// Shows the ends of the leaf, and of the bundles or, without a configuration of the guard's, of `--tls-ca`.
    fn show(&self) {
        let mounted = match self.input {
            Some(_) => None,
            None => self.files.bundle().borrow().as_deref().map(CaBundle::read),
        };
        let bundle = self.bundles.read.iter().chain(&mounted).flat_map(CaBundle::authorities).collect();
        let leaf = self.current.as_ref().map(|current| current.validity);
        self.ends.show(&BTreeMap::new(), &bundle, leaf);
    }
}

impl PublishedBundles {
    fn note(&mut self, published: &Published, now: Instant) {
        let texts: BTreeSet<Vec<u8>> = match published {
            Published::Unknown => return,
            Published::Absent => BTreeSet::new(),
            Published::Present { bundles, .. } => bundles.values().cloned().collect(),
        };
        if self.texts.as_ref() != Some(&texts) {
            self.read = texts.iter().map(|text| CaBundle::read(text)).collect();
            if self.texts.replace(texts).is_some() {
                self.since = Some(now);
            }
        }
    }
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

impl fmt::Debug for ServedCertificate {
    /// Without the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServedCertificate").field("serves", &self.0.load().is_some()).finish()
    }
}
