//! Serving one queue: performs what the protocol says until nobody waits.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;
use tracing::Instrument;

use crate::backoff::Backoff;
use crate::cache::{Version, text};
use crate::compose::{Batch, Composed};
use crate::error::{RetryReason, WriteError};
use crate::json::alike;
use crate::object::StatusResource;
use crate::protocol::{End, Event, State, next};
use crate::queue::{CAPACITY, ClosureResult, QueueLease, UpdateRequest, said};
use crate::version::is_newer;
use crate::wire::{Addressee, Wire};
use crate::writer::{Shared, UpdateOutcome};

/// Serves the queue of one object.
pub(crate) struct Driver<K: StatusResource> {
    pub(crate) shared: Arc<Shared<K>>,
    pub(crate) lease: QueueLease,
    pub(crate) wire: Wire,
    pub(crate) queue: VecDeque<UpdateRequest<K>>,
    pub(crate) base: Option<Base>,
    /// Whether the base is known to be out of date, so that the next write begins with a read.
    pub(crate) stale: bool,
    /// How many updates one PUT may carry: fewer after a refusal, to find out whose it is.
    pub(crate) limit: usize,
    /// What the head of the queue did to the PUT that is unaccounted for; empty if there is none.
    pub(crate) out: Vec<ClosureResult>,
    /// What stood in the way since the last success: some wait through several writes.
    pub(crate) last: Option<RetryReason>,
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
    pub(crate) batch: Option<Batch>,
    /// Until when a lost answer may be looked into.
    pub(crate) doubt: Option<Instant>,
    pub(crate) backoff: Backoff,
    pub(crate) refusal: Option<WriteError>,
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

impl<K: StatusResource> Driver<K> {
    pub(crate) fn new(shared: Arc<Shared<K>>, lease: QueueLease) -> Self {
        let collection = K::url_path(&shared.kind, lease.id.key.namespace.as_deref());
        let object = Addressee {
            api_version: shared.composer.api_version.clone(),
            kind: shared.composer.kind.clone(),
            name: lease.id.key.name.clone(),
            uid: lease.id.uid.clone(),
        };
        let wire = Wire::new(&shared.endpoint, collection, object);
        Self {
            shared,
            lease,
            wire,
            queue: VecDeque::new(),
            base: None,
            stale: false,
            limit: CAPACITY,
            out: Vec::new(),
            last: None,
            served: false,
        }
    }

    pub(crate) async fn serve(mut self) {
        if let Some(kept) = self.shared.cache.get(&self.lease.id.key).filter(|kept| kept.uid == self.lease.id.uid) {
            self.base = Some(Base { version: kept.version, raw: kept.raw, live: None });
        }
        loop {
            self.shared.queues.take(&self.lease, &mut self.queue);
            if self.queue.is_empty() {
                if self.shared.queues.end(&self.lease) {
                    break;
                }
                continue;
            }
            let span = tracing::info_span!(
                "status write",
                writer = %self.shared.name,
                kind = %K::kind(&self.shared.kind),
                namespace = self.lease.id.key.namespace.as_deref().unwrap_or_default(),
                name = %self.lease.id.key.name,
                updates = tracing::field::Empty,
                outcome = tracing::field::Empty,
            );
            self.write().instrument(span).await;
        }
        self.served = true;
    }

    fn expire(&mut self) {
        let now = Instant::now();
        if self.queue.iter().all(|request| request.deadline > now) {
            return;
        }
        for request in std::mem::take(&mut self.queue) {
            if request.deadline > now {
                self.queue.push_back(request);
            } else {
                request.pending.answer(Err(WriteError::Budget(self.last.clone())));
            }
        }
    }

    fn head_is_late(&self) -> bool {
        self.queue.front().is_none_or(|request| request.deadline <= Instant::now())
    }

    async fn write(&mut self) {
        let mut write = Write {
            state: State::Compose,
            batch: None,
            doubt: None,
            backoff: Backoff::new(),
            refusal: None,
            fatal: None,
            landed: None,
            live: None,
        };
        loop {
            if write.state == (State::Read { refused: true }) && self.head_is_late() {
                write.state = State::Read { refused: false };
            }
            // Only here may the queue change: in all other states its head is what an batch speaks of.
            if matches!(write.state, State::Compose | State::Read { refused: false }) {
                self.expire();
                self.shared.queues.take(&self.lease, &mut self.queue);
                if self.queue.is_empty() {
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
                State::WatchNext => self.trace(&mut write).await,
                State::LiveRead => self.inspect(&mut write).await,
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
            let until = write.doubt.or_else(|| self.queue.front().map(|request| request.deadline));
            if !matches!(write.state, State::Done(_)) {
                write.backoff.rest(event, until).await;
            }
        }
    }

    /// Whether the base has to be read before the closures may run.
    fn must_read(&mut self) -> bool {
        for request in &self.queue {
            if let Some(caller_base) = &request.caller_base {
                let newer = self.base.as_ref().is_none_or(|base| is_newer(&caller_base.version, &base.version));
                match &caller_base.raw {
                    _ if newer && self.shared.cache.may_be_outdated(&self.lease.id, &caller_base.version) => {
                        return true;
                    }
                    Some(raw) if newer => {
                        self.base = Some(Base { version: caller_base.version.clone(), raw: raw.clone(), live: None });
                    }
                    None if newer => return true,
                    _ => {}
                }
            }
        }
        self.base.is_none() || self.stale || self.current_for() == 0
    }

    /// How many at the head of the queue the base is fresh enough for.
    fn current_for(&self) -> usize {
        let live = self.base.as_ref().and_then(|base| base.live);
        let enough = |request: &&UpdateRequest<K>| !request.fresh || live.is_some_and(|live| live >= request.since);
        self.queue.iter().take_while(enough).count()
    }

    fn compose(&mut self, write: &mut Write) -> Option<Event> {
        self.queue.retain(|request| !request.pending.abandoned());
        let limit = self.limit.min(self.current_for());
        let base = self.base.as_ref()?;
        let (composer, queue) = (&self.shared.composer, &mut self.queue);
        // Comparing, cloning and writing a status are its type's own code. What they leave behind after a panic
        // is thrown away.
        let composed = catch_unwind(AssertUnwindSafe(|| composer.compose(&base.raw, queue, limit)))
            .unwrap_or_else(|panic| Err(WriteError::Panicked(said(panic.as_ref()))));
        match composed {
            Ok(Composed::Batch(batch)) => {
                tracing::Span::current().record("updates", batch.changes());
                write.batch = Some(batch);
                Some(Event::Composed)
            }
            Ok(Composed::Nothing(results)) => {
                tracing::Span::current().record("outcome", "unchanged");
                match K::deserialize(&*base.raw) {
                    Ok(object) => self.answer(&results, &Arc::new(object), true),
                    Err(source) => self.fail(&WriteError::Unreadable { committed: false, source: Arc::new(source) }),
                }
                None
            }
            Err(failure @ WriteError::Unreadable { .. }) => {
                self.fail(&failure);
                None
            }
            Err(failure) => {
                self.bisect(limit.min(self.queue.len()), Some(failure));
                None
            }
        }
    }

    /// One of the first `carried` may have spoilt it for all: fewer at a time, until it stands alone and fails alone.
    /// `false` if there is to be another try.
    fn bisect(&mut self, carried: usize, failure: Option<WriteError>) -> bool {
        if carried > 1 {
            self.limit = carried / 2;
            return false;
        }
        if let (Some(request), Some(failure)) = (self.queue.pop_front(), failure) {
            request.pending.answer(Err(failure));
        }
        true
    }

    /// Counts what a step means and closes a doubt that it settled.
    fn account(&self, before: State, event: Event, write: &mut Write) {
        let metrics = &self.shared.endpoint.metrics;
        let lost = matches!(event, Event::NextIsOther | Event::Lost);
        if lost || (event == Event::Conflict && before == State::Put { doubt: false }) {
            metrics.conflict();
        }
        if write.doubt.is_none() || matches!(write.state, State::Put { .. } | State::WatchNext | State::LiveRead) {
            return;
        }
        write.doubt = None;
        metrics.settled(match (write.state, before) {
            (State::Done(End::Unknown), _) => "unknown",
            (State::Done(End::Deleted | End::Replaced), _) => "gone",
            (_, State::Put { .. }) => "repeat",
            (_, State::WatchNext) => "watch",
            _ => "read",
        });
    }

    /// Tells the callers; `false` if the write goes on with fewer of them.
    fn finish(&mut self, end: End, write: &mut Write) -> bool {
        let outcome = match end {
            End::Committed => self.commit(write),
            End::Deleted => self.fail_for_good(&WriteError::Deleted),
            End::Replaced => self.fail_for_good(&WriteError::Replaced),
            End::Refused => {
                let carried = write.batch.as_ref().map_or(1, |batch| batch.results.len());
                if !self.bisect(carried, write.refusal.take()) {
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
                            if !self.bisect(carried, Some(WriteError::Api(error))) {
                                write.state = State::Compose;
                                return false;
                            }
                        }
                        None => self.fail(&WriteError::Api(error)),
                    }
                }
                "api"
            }
        };
        tracing::Span::current().record("outcome", outcome);
        true
    }

    fn commit(&mut self, write: &mut Write) -> &'static str {
        let (Some(batch), Some(raw)) = (write.batch.take(), write.landed.take()) else { return "written" };
        self.limit = self.limit.saturating_mul(2).min(CAPACITY);
        self.last = None;
        self.shared.endpoint.metrics.merged(batch.changes());
        let number = text(&raw, "resourceVersion");
        let stored_as_sent = raw.get("status").is_some_and(|stored| alike(stored, &batch.status));
        match Version::<K>::read(raw) {
            Ok(version) => {
                let Version { version: number, raw, .. } = version.clone();
                self.base = Some(Base { version: number, raw, live: write.live });
                self.shared.cache.put(self.lease.id.key.clone(), version.clone());
                self.answer(&batch.results, &version.object, stored_as_sent);
            }
            Err(source) => {
                self.stale = true;
                self.shared.cache.outdate(&self.lease.id, &number);
                let failure = WriteError::Unreadable { committed: true, source: Arc::new(source) };
                self.fail_head(&batch.results, &failure);
            }
        }
        "written"
    }

    /// The doubt stays: those who are in the PUT are told so, the others are decided anew.
    fn give_up(&mut self, write: &mut Write) -> &'static str {
        tracing::warn!("the outcome of a status write stays unknown");
        self.stale = true;
        self.mark_unresolved();
        if let Some(batch) = write.batch.take() {
            let failure = WriteError::Unknown(self.last.take());
            self.fail_head(&batch.results, &failure);
        }
        "unknown"
    }

    /// Notes that a PUT may still land on the base.
    pub(crate) fn mark_unresolved(&self) {
        if let Some(base) = &self.base {
            self.shared.cache.mark_unresolved(&self.lease.id, &base.version);
        }
    }

    fn answer(&mut self, results: &[ClosureResult], object: &Arc<K>, stored_as_sent: bool) {
        self.shared.queues.holds(&self.lease, self.queue.len().saturating_sub(results.len()));
        let merged = results.iter().filter(|result| **result == ClosureResult::Changed).count();
        for result in results {
            let Some(request) = self.queue.pop_front() else { return };
            let (object, attempts) = (object.clone(), request.tries);
            match result {
                ClosureResult::Changed => {
                    request.pending.answer(Ok(UpdateOutcome::Written { object, attempts, merged, stored_as_sent }))
                }
                ClosureResult::Same => request.pending.answer(Ok(UpdateOutcome::Unchanged { object })),
                ClosureResult::Declined => request.pending.decline(),
            }
        }
    }

    /// Fails those of the head of the queue whose changes were in a PUT; the others stay, in order.
    fn fail_head(&mut self, results: &[ClosureResult], failure: &WriteError) {
        let rest = self.queue.split_off(results.len().min(self.queue.len()));
        let head = std::mem::replace(&mut self.queue, rest);
        let mut stay = VecDeque::new();
        for (request, result) in head.into_iter().zip(results) {
            if *result == ClosureResult::Changed {
                request.pending.answer(Err(failure.clone()));
            } else {
                stay.push_back(request);
            }
        }
        stay.append(&mut self.queue);
        self.queue = stay;
    }

    pub(crate) fn fail(&mut self, failure: &WriteError) {
        for request in self.queue.drain(..) {
            request.pending.answer(Err(failure.clone()));
        }
    }

    fn fail_for_good(&mut self, failure: &WriteError) -> &'static str {
        self.shared.cache.forget(&self.lease.id);
        self.base = None;
        self.fail(failure);
        "gone"
    }
}

impl<K: StatusResource> Drop for Driver<K> {
    /// A queue whose task ended before its time has nobody to serve it: those who wait are let go, and of those whose
    /// PUT is on its way nobody knows more.
    fn drop(&mut self) {
        if self.served {
            return;
        }
        let out = std::mem::take(&mut self.out);
        if !out.is_empty() {
            self.mark_unresolved();
        }
        // Before anybody hears of it and comes again.
        self.shared.queues.abandon(&self.lease);
        self.fail_head(&out, &WriteError::Unknown(None));
    }
}
