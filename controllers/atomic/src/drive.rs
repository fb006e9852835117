//! Serving one line: performs what the protocol says until nobody waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use crate::compose::{Composed, Offer};
use crate::error::{Failure, Trouble};
use crate::kept::{Version, text};
use crate::line::{CAPACITY, Service, Ticket, Verdict, said};
use crate::object::Subject;
use crate::pace::Pace;
use crate::protocol::{End, Event, State, next};
use crate::version::is_newer;
use crate::wire::Wire;
use crate::writer::{Outcome, Shared};

/// Serves the line of one object.
pub(crate) struct Driver<K: Subject> {
    pub(crate) shared: Arc<Shared<K>>,
    pub(crate) service: Service,
    pub(crate) wire: Wire,
    pub(crate) line: VecDeque<Ticket<K>>,
    pub(crate) base: Option<Base>,
    /// Whether the base is known to be out of date, so that the next write begins with a read.
    pub(crate) stale: bool,
    /// How many updates one PUT may carry: fewer after a refusal, to find out whose it is.
    pub(crate) limit: usize,
    /// What the head of the line did to the PUT that is unaccounted for; empty if there is none.
    pub(crate) out: Vec<Verdict>,
    /// What stood in the way since the last success: some wait through several writes.
    pub(crate) last: Option<Trouble>,
    pub(crate) served: bool,
}

/// The version that the closures run on.
pub(crate) struct Base {
    pub(crate) version: String,
    pub(crate) raw: Arc<Value>,
    /// When the request that showed it was sent; absent for what a cache showed.
    pub(crate) live: Option<Instant>,
}

/// One write, from its first composition to its end.
pub(crate) struct Write {
    pub(crate) state: State,
    pub(crate) offer: Option<Offer>,
    /// Until when a lost answer may be looked into.
    pub(crate) doubt: Option<Instant>,
    pub(crate) pace: Pace,
    pub(crate) refusal: Option<Failure>,
    pub(crate) fatal: Option<Fatal>,
    pub(crate) landed: Option<Value>,
    /// When the PUT was sent that was answered with what landed.
    pub(crate) live: Option<Instant>,
}

/// An answer that no repetition will change.
pub(crate) struct Fatal {
    pub(crate) error: Arc<kube::Error>,
    /// How many updates the PUT carried, if the answer may be due to one of them.
    pub(crate) carried: Option<usize>,
}

impl<K: Subject> Driver<K> {
    pub(crate) fn new(shared: Arc<Shared<K>>, service: Service) -> Self {
        let collection = K::url_path(&shared.kind, service.target.place.namespace.as_deref());
        let wire = Wire::new(&shared.line, collection, service.target.place.name.clone());
        Self {
            shared,
            service,
            wire,
            line: VecDeque::new(),
            base: None,
            stale: false,
            limit: CAPACITY,
            out: Vec::new(),
            last: None,
            served: false,
        }
    }

    pub(crate) async fn serve(mut self) {
        if let Some(kept) =
            self.shared.kept.get(&self.service.target.place).filter(|kept| kept.uid == self.service.target.uid)
        {
            self.base = Some(Base { version: kept.version, raw: kept.raw, live: None });
        }
        loop {
            self.shared.lines.take(&self.service, &mut self.line);
            if self.line.is_empty() {
                if self.shared.lines.end(&self.service) {
                    break;
                }
                continue;
            }
            let span = tracing::info_span!(
                "status write",
                writer = %self.shared.name,
                kind = %K::kind(&self.shared.kind),
                namespace = self.service.target.place.namespace.as_deref().unwrap_or_default(),
                name = %self.service.target.place.name,
                updates = tracing::field::Empty,
                outcome = tracing::field::Empty,
            );
            self.write().instrument(span).await;
        }
        self.served = true;
    }

    fn expire(&mut self) {
        let now = Instant::now();
        if self.line.iter().all(|ticket| ticket.deadline > now) {
            return;
        }
        for ticket in std::mem::take(&mut self.line) {
            if ticket.deadline > now {
                self.line.push_back(ticket);
            } else {
                ticket.job.answer(Err(Failure::Budget(self.last.clone())));
            }
        }
    }

    fn head_is_late(&self) -> bool {
        self.line.front().is_none_or(|ticket| ticket.deadline <= Instant::now())
    }

    async fn write(&mut self) {
        let mut write = Write {
            state: State::Compose,
            offer: None,
            doubt: None,
            pace: Pace::new(),
            refusal: None,
            fatal: None,
            landed: None,
            live: None,
        };
        loop {
            if write.state == (State::Read { refused: true }) && self.head_is_late() {
                write.state = State::Read { refused: false };
            }
            // Only here may the line change: in all other states its head is what an offer speaks of.
            if matches!(write.state, State::Compose | State::Read { refused: false }) {
                self.expire();
                self.shared.lines.take(&self.service, &mut self.line);
                if self.line.is_empty() {
                    return;
                }
            }
            if write.state == State::Compose && self.must_read() {
                write.state = State::Read { refused: false };
            }
            let event = match write.state {
                State::Compose => match self.compose(&mut write) {
                    Some(event) => event,
                    None => return,
                },
                State::Put { doubt } => self.put(&mut write, doubt).await,
                State::Read { .. } => self.read(&mut write).await,
                State::Trace => self.trace(&mut write).await,
                State::Inspect => self.inspect(&mut write).await,
                State::Done(end) => {
                    let ended = self.finish(end, &mut write);
                    self.out.clear();
                    if ended {
                        return;
                    }
                    continue;
                }
            };
            let late = write.doubt.is_some_and(|until| Instant::now() >= until);
            let before = write.state;
            write.state = next(before, event, late);
            self.account(before, event, &mut write);
            if matches!(write.state, State::Compose | State::Read { .. }) {
                self.out.clear();
            }
            let until = write.doubt.or_else(|| self.line.front().map(|ticket| ticket.deadline));
            if !matches!(write.state, State::Done(_)) {
                write.pace.rest(event, until).await;
            }
        }
    }

    /// Whether the base has to be read before the closures may run.
    fn must_read(&mut self) -> bool {
        for ticket in &self.line {
            if let Some(offered) = &ticket.offered {
                let newer = self.base.as_ref().is_none_or(|base| is_newer(&offered.version, &base.version));
                match &offered.raw {
                    _ if newer && self.shared.kept.may_be_outdated(&self.service.target, &offered.version) => {
                        return true;
                    }
                    Some(raw) if newer => {
                        self.base = Some(Base { version: offered.version.clone(), raw: raw.clone(), live: None });
                    }
                    None if newer => return true,
                    _ => {}
                }
            }
        }
        self.base.is_none() || self.stale || self.current_for() == 0
    }

    /// How many at the head of the line the base is fresh enough for.
    fn current_for(&self) -> usize {
        let live = self.base.as_ref().and_then(|base| base.live);
        let enough = |ticket: &&Ticket<K>| !ticket.fresh || live.is_some_and(|live| live >= ticket.since);
        self.line.iter().take_while(enough).count()
    }

    fn compose(&mut self, write: &mut Write) -> Option<Event> {
        self.line.retain(|ticket| !ticket.job.abandoned());
        let limit = self.limit.min(self.current_for());
        let base = self.base.as_ref()?;
        let (composer, line) = (&self.shared.composer, &mut self.line);
        // Comparing, cloning and writing a status are its type's own code. What they leave behind after a panic
        // is thrown away.
        let composed = catch_unwind(AssertUnwindSafe(|| composer.compose(&base.raw, line, limit)))
            .unwrap_or_else(|panic| Err(Failure::Panicked(said(panic.as_ref()))));
        match composed {
            Ok(Composed::Offer(offer)) => {
                tracing::Span::current().record("updates", offer.changes());
                write.offer = Some(offer);
                Some(Event::Composed)
            }
            Ok(Composed::Nothing(verdicts)) => {
                tracing::Span::current().record("outcome", "unchanged");
                match K::deserialize(&*base.raw) {
                    Ok(object) => self.answer(&verdicts, &Arc::new(object)),
                    Err(source) => self.fail(&Failure::Unreadable { committed: false, source: Arc::new(source) }),
                }
                None
            }
            Err(failure @ Failure::Unreadable { .. }) => {
                self.fail(&failure);
                None
            }
            Err(failure) => {
                self.single_out(limit.min(self.line.len()), Some(failure));
                None
            }
        }
    }

    /// One of the first `carried` may have spoilt it for all: fewer at a time, until it stands alone and fails alone.
    /// `false` if there is to be another try.
    fn single_out(&mut self, carried: usize, failure: Option<Failure>) -> bool {
        if carried > 1 {
            self.limit = carried / 2;
            return false;
        }
        if let (Some(ticket), Some(failure)) = (self.line.pop_front(), failure) {
            ticket.job.answer(Err(failure));
        }
        true
    }

    /// Counts what a step means and closes a doubt that it settled.
    fn account(&self, before: State, event: Event, write: &mut Write) {
        let metrics = &self.shared.line.metrics;
        let lost = matches!(event, Event::NextIsOther | Event::Lost);
        if lost || (event == Event::Conflict && before == State::Put { doubt: false }) {
            metrics.conflict();
        }
        if write.doubt.is_none() || matches!(write.state, State::Put { .. } | State::Trace | State::Inspect) {
            return;
        }
        write.doubt = None;
        metrics.settled(match (write.state, before) {
            (State::Done(End::Unknown), _) => "unknown",
            (State::Done(End::Deleted | End::Replaced), _) => "gone",
            (_, State::Put { .. }) => "repeat",
            (_, State::Trace) => "watch",
            _ => "read",
        });
    }

    /// Tells the callers; `false` if the write goes on with fewer of them.
    fn finish(&mut self, end: End, write: &mut Write) -> bool {
        let outcome = match end {
            End::Committed => self.commit(write),
            End::Deleted => self.fail_for_good(&Failure::Deleted),
            End::Replaced => self.fail_for_good(&Failure::Replaced),
            End::Refused => {
                let carried = write.offer.as_ref().map_or(1, |offer| offer.verdicts.len());
                if !self.single_out(carried, write.refusal.take()) {
                    write.state = State::Compose;
                    return false;
                }
                "refused"
            }
            End::Unknown => self.give_up(write),
            End::Fatal => {
                if let Some(fatal) = write.fatal.take() {
                    let Fatal { error, carried } = fatal;
                    match carried {
                        Some(carried) => {
                            if !self.single_out(carried, Some(Failure::Api(error))) {
                                write.state = State::Compose;
                                return false;
                            }
                        }
                        None => self.fail(&Failure::Api(error)),
                    }
                }
                "api"
            }
        };
        tracing::Span::current().record("outcome", outcome);
        true
    }

    fn commit(&mut self, write: &mut Write) -> &'static str {
        let (Some(offer), Some(raw)) = (write.offer.take(), write.landed.take()) else { return "written" };
        self.limit = self.limit.saturating_mul(2).min(CAPACITY);
        self.last = None;
        self.shared.line.metrics.merged(offer.changes());
        let number = text(&raw, "resourceVersion");
        match Version::<K>::read(raw) {
            Ok(version) => {
                let Version { version: number, raw, .. } = version.clone();
                self.base = Some(Base { version: number, raw, live: write.live });
                self.shared.kept.put(self.service.target.place.clone(), version.clone());
                self.answer(&offer.verdicts, &version.object);
            }
            Err(source) => {
                self.stale = true;
                self.shared.kept.outdate(&self.service.target, &number);
                let failure = Failure::Unreadable { committed: true, source: Arc::new(source) };
                self.fail_head(&offer.verdicts, &failure);
            }
        }
        "written"
    }

    /// The doubt stays: those who are in the PUT are told so, the others are decided anew.
    fn give_up(&mut self, write: &mut Write) -> &'static str {
        tracing::warn!("the outcome of a status write stays unknown");
        self.stale = true;
        self.haunt();
        if let Some(offer) = write.offer.take() {
            let failure = Failure::Unknown(self.last.take());
            self.fail_head(&offer.verdicts, &failure);
        }
        "unknown"
    }

    /// Notes that a PUT may still land on the base.
    fn haunt(&self) {
        if let Some(base) = &self.base {
            self.shared.kept.haunt(&self.service.target, &base.version);
        }
    }

    fn answer(&mut self, verdicts: &[Verdict], object: &Arc<K>) {
        self.shared.lines.holds(&self.service, self.line.len().saturating_sub(verdicts.len()));
        let merged = verdicts.iter().filter(|verdict| **verdict == Verdict::Changed).count();
        for verdict in verdicts {
            let Some(ticket) = self.line.pop_front() else { return };
            let (object, attempts) = (object.clone(), ticket.tries);
            match verdict {
                Verdict::Changed => ticket.job.answer(Ok(Outcome::Written { object, attempts, merged })),
                Verdict::Same => ticket.job.answer(Ok(Outcome::Unchanged { object })),
                Verdict::Declined => ticket.job.decline(),
            }
        }
    }

    /// Fails those of the head of the line whose changes were in a PUT; the others stay, in order.
    fn fail_head(&mut self, verdicts: &[Verdict], failure: &Failure) {
        let rest = self.line.split_off(verdicts.len().min(self.line.len()));
        let head = std::mem::replace(&mut self.line, rest);
        let mut stay = VecDeque::new();
        for (ticket, verdict) in head.into_iter().zip(verdicts) {
            if *verdict == Verdict::Changed {
                ticket.job.answer(Err(failure.clone()));
            } else {
                stay.push_back(ticket);
            }
        }
        stay.append(&mut self.line);
        self.line = stay;
    }

    pub(crate) fn fail(&mut self, failure: &Failure) {
        for ticket in self.line.drain(..) {
            ticket.job.answer(Err(failure.clone()));
        }
    }

    fn fail_for_good(&mut self, failure: &Failure) -> &'static str {
        self.shared.kept.forget(&self.service.target);
        self.base = None;
        self.fail(failure);
        "gone"
    }
}

impl<K: Subject> Drop for Driver<K> {
    /// A line whose task ended before its time has nobody to serve it: those who wait are let go, and of those whose
    /// PUT is on its way nobody knows more.
    fn drop(&mut self) {
        if self.served {
            return;
        }
        let out = std::mem::take(&mut self.out);
        if !out.is_empty() {
            self.haunt();
        }
        // Before anybody hears of it and comes again.
        self.shared.lines.abandon(&self.service);
        self.fail_head(&out, &Failure::Unknown(None));
    }
}
