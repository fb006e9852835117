//! Serving the queue of one object: performs what the protocol says until nothing waits.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::authorship::{self, AppendOnly, Author, Lost};
use crate::backoff::Backoff;
use crate::cache::{ObjectCache, Version, text};
use crate::compose::{Base, Batch, Composer, Event, Shown};
use crate::error::{RetryReason, WriteError};
use crate::json::alike;
use crate::object::StatusResource;
use crate::outcome::UpdateOutcome;
use crate::protocol::{End, Protocol, State};
use crate::queue::{ClosureResult, QueueLease, UpdateQueues, UpdateRequest};
use crate::version::is_newer;
use crate::wire::{Addressee, Endpoint, First, Get, Put, Wire};

/// What all parts of a writer share.
pub(crate) struct Shared<K: StatusResource> {
    pub(crate) name: String,
    pub(crate) kind: K::DynamicType,
    pub(crate) endpoint: Endpoint,
    pub(crate) composer: Arc<Composer<K>>,
    pub(crate) append_only: Vec<AppendOnly>,
    /// Whether an object that a caller offers may be the base of a write.
    pub(crate) trusts_offers: bool,
    pub(crate) budget: Duration,
    pub(crate) cache: ObjectCache<K>,
    pub(crate) queues: UpdateQueues<K>,
    pub(crate) tasks: TaskTracker,
}

/// Serves the queue of one object.
pub(crate) struct Driver<K: StatusResource> {
    shared: Arc<Shared<K>>,
    lease: QueueLease<K>,
    wire: Wire,
    protocol: Protocol<Batch<K>, Shown<K>, WriteError>,
    /// What waits, but for what a batch carries.
    queue: VecDeque<UpdateRequest<K>>,
    base: Option<Base>,
    /// What stood in the way since the last success: some wait through several writes.
    last: Option<RetryReason>,
    backoff: Backoff,
    /// Of the present write.
    span: Span,
}

impl<K: StatusResource> Driver<K> {
    pub(crate) fn new(shared: Arc<Shared<K>>, lease: QueueLease<K>) -> Self {
        let collection = K::url_path(&shared.kind, lease.id.key.namespace.as_deref());
        let object = Addressee {
            api_version: shared.composer.api_version.clone(),
            kind: shared.composer.kind.clone(),
            name: lease.id.key.name.clone(),
            uid: lease.id.uid.clone(),
        };
        let wire = Wire::new(&shared.endpoint, collection, object);
        let known = shared.cache.get(&lease.id.key).filter(|known| known.uid == lease.id.uid);
        let base = known.map(|known| Base { version: known.version, raw: known.raw, live: None });
        Self {
            shared,
            lease,
            wire,
            protocol: Protocol::new(),
            queue: VecDeque::new(),
            base,
            last: None,
            backoff: Backoff::default(),
            span: Span::none(),
        }
    }

    pub(crate) async fn serve(mut self) {
        while !matches!(self.protocol.state, State::Idle) {
            let span = self.span.clone();
            async {
                let event = self.perform().await;
                self.go_on(event).await;
            }
            .instrument(span)
            .await;
        }
    }

    async fn perform(&mut self) -> Event<K> {
        match &mut self.protocol.state {
            State::Compose { again } => {
                let again = again.take();
                self.compose(again).await
            }
            State::Put { .. } => self.put().await,
            State::WatchNext { .. } => self.watch_next().await,
            State::Read { .. } | State::LiveRead { .. } => self.read().await,
            State::Answer { .. } => self.answer(),
            State::Idle => Event::Idle,
        }
    }

    /// To the next state, after a rest.
    async fn go_on(&mut self, event: Event<K>) {
        let metrics = &self.shared.endpoint.metrics;
        let doubted = self.protocol.state.doubt().is_some();
        let settled_by = match &self.protocol.state {
            State::Put { .. } => "repeat",
            State::WatchNext { .. } => "watch",
            _ => "read",
        };
        if matches!((&event, doubted), (Event::Conflict, false) | (Event::NextIsOther | Event::NotLanded, true)) {
            metrics.conflict();
        }
        let rest = self.protocol.next(event, Instant::now());
        if doubted && self.protocol.state.doubt().is_none() {
            metrics.settled(match &self.protocol.state {
                State::Answer { end: End::Unknown, .. } => "unknown",
                State::Answer { end: End::Deleted | End::Replaced, .. } => "gone",
                _ => settled_by,
            });
        }
        let rest = self.backoff.next(rest);
        if rest.is_zero() {
            return;
        }
        let carried = self.protocol.state.batch().into_iter().flat_map(|batch| &batch.updates);
        let first_deadline = carried.chain(&self.queue).map(|update| update.deadline).min();
        let until = self.protocol.state.doubt().or(first_deadline);
        let rest = Instant::now() + rest;
        tokio::time::sleep_until(until.map_or(rest, |until| rest.min(until))).await;
    }

    async fn compose(&mut self, again: Option<Batch<K>>) -> Event<K> {
        self.put_back(again.map(|batch| batch.updates).unwrap_or_default());
        loop {
            while let Ok(update) = self.lease.updates.try_recv() {
                self.queue.push_back(update);
            }
            self.expire();
            if self.queue.is_empty() {
                if self.shared.queues.end(&mut self.lease) {
                    return Event::Idle;
                }
                continue;
            }
            if self.span.is_none() {
                self.span = self.new_span();
            }
            let ready = self.ready().min(self.protocol.limit.updates());
            let (Some(base), 1..) = (&self.base, ready) else { return Event::Outdated };
            let updates = self.queue.drain(..ready).collect();
            match self.run_closures(base.clone(), updates).await {
                // Somebody's time ended meanwhile.
                Event::Composed(batch) if batch.updates.iter().any(|update| update.caller.is_gone()) => {
                    self.put_back(batch.updates);
                }
                Event::Composed(batch) => {
                    self.span.record("updates", batch.changes());
                    return Event::Composed(batch);
                }
                event => return event,
            }
        }
    }

    /// How many at the head of the queue the base is new enough for.
    fn ready(&mut self) -> usize {
        for caller in self.queue.iter().filter_map(|update| update.caller_base.as_ref()) {
            if self.base.as_ref().is_some_and(|base| !is_newer(&caller.version, &base.version)) {
                continue;
            }
            match &caller.raw {
                Some(raw) if !self.shared.cache.may_be_outdated(&self.lease.id, &caller.version) => {
                    self.base = Some(Base { version: caller.version.clone(), raw: raw.clone(), live: None });
                }
                _ => return 0,
            }
        }
        if self.protocol.outdated {
            return 0;
        }
        let live = self.base.as_ref().and_then(|base| base.live);
        let enough = |update: &&UpdateRequest<K>| !update.fresh || live.is_some_and(|live| live >= update.since);
        self.queue.iter().take_while(enough).count()
    }

    /// Runs closures on a thread on which they may block, and meanwhile answers whose time ends.
    async fn run_closures(&mut self, base: Base, updates: Vec<UpdateRequest<K>>) -> Event<K> {
        let mut callers: Vec<_> = updates.iter().map(|update| (update.deadline, update.caller.clone())).collect();
        let (composer, span) = (self.shared.composer.clone(), self.span.clone());
        let mut composing = tokio::task::spawn_blocking(move || span.in_scope(|| composer.compose(base, updates)));
        loop {
            let waiting = self.queue.iter().map(|update| update.deadline);
            let deadline = callers.iter().map(|(deadline, _)| *deadline).chain(waiting).min();
            tokio::select! {
                biased;
                composed = &mut composing => {
                    // Fails only when the runtime ends.
                    let Ok((event, rest)) = composed else { return Event::Idle };
                    self.put_back(rest);
                    return event;
                }
                Some(update) = self.lease.updates.recv() => self.queue.push_back(update),
                () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let now = Instant::now();
                    for (_, caller) in callers.extract_if(.., |(deadline, _)| *deadline <= now) {
                        caller.answer(Err(WriteError::Budget(self.last.clone())));
                    }
                    self.expire();
                }
            }
        }
    }

    async fn put(&mut self) -> Event<K> {
        let State::Put { batch, .. } = &mut self.protocol.state else { return Event::Fault };
        batch.updates.iter_mut().for_each(|update| update.tries += 1);
        let (body, sent) = (batch.body.clone(), Instant::now());
        let answer = self.wire.put(body).await;
        self.backoff.took(sent.elapsed());
        match answer {
            Put::Written(raw) => {
                if let State::Put { batch, doubt } = &self.protocol.state {
                    self.learn(batch, &raw);
                    // Nothing was stored, so the base is still current, and an earlier PUT may land on it.
                    if doubt.is_some() && text(&raw, "resourceVersion") == batch.base.version {
                        self.mark_unresolved();
                    }
                }
                self.landed(raw, Some(sent))
            }
            Put::Conflict => {
                self.note(RetryReason::Conflict, None);
                Event::Conflict
            }
            Put::Refused(failure) => {
                self.shared.endpoint.metrics.refusal();
                if let WriteError::Refused { code, reason, message, causes } = failure.clone() {
                    self.last = Some(RetryReason::Refused { code, reason, message, causes });
                }
                Event::Refused(failure)
            }
            Put::Missing => Event::Missing,
            Put::NotApplied(reason, wait) => {
                self.note(reason, wait);
                Event::NotApplied
            }
            Put::Unknown(reason, wait) => {
                tracing::debug!(%reason, "the answer to a status write was lost");
                self.note(reason, wait);
                Event::AnswerLost(sent + self.shared.budget)
            }
            Put::Fatal(reason, error) => {
                self.last = Some(reason);
                let event = if may_be_due_to_one(&error) { Event::Rejected } else { Event::Fatal };
                event(WriteError::Api(error))
            }
        }
    }

    async fn read(&mut self) -> Event<K> {
        let sent = Instant::now();
        let raw = match self.wire.get().await {
            Get::Found(raw) => raw,
            Get::Missing => return Event::Missing,
            Get::Fault(reason, wait) => {
                self.note(reason, wait);
                return Event::Fault;
            }
            Get::Fatal(error) => return Event::Fatal(WriteError::Api(error)),
        };
        if text(&raw, "uid") != self.lease.id.uid {
            return Event::OtherUid;
        }
        let is_base = self.base.as_ref().is_some_and(|base| base.version == text(&raw, "resourceVersion"));
        let batch = self.protocol.state.batch().filter(|_| !is_base);
        let event = match batch.map(|batch| authorship::of_later(&self.lost(batch), &raw)) {
            _ if is_base => Event::Same,
            Some(Author::Ours) => return self.landed(raw, Some(sent)),
            Some(Author::Other) => Event::NotLanded,
            Some(Author::Unclear) | None => Event::Unclear,
        };
        // In doubt the batch keeps its base.
        if self.protocol.state.doubt().is_none() || matches!(event, Event::NotLanded) {
            match Version::of(Arc::new(raw)) {
                Ok(version) => self.rebase(version, Some(sent)),
                Err(source) => {
                    return Event::Unreadable(WriteError::Unreadable { committed: false, source: Arc::new(source) });
                }
            }
        }
        event
    }

    async fn watch_next(&mut self) -> Event<K> {
        let Some(base) = &self.base else { return Event::HistoryGone };
        let first = self.wire.first_after(&base.version).await;
        let Some(batch) = self.protocol.state.batch() else { return Event::HistoryGone };
        match first {
            First::Version(object) if text(&object, "uid") != self.lease.id.uid => Event::Unclear,
            First::Version(object) => match authorship::of_next(&self.lost(batch), &object) {
                Author::Ours => {
                    self.learn(batch, &object);
                    self.landed(object, None)
                }
                Author::Other => Event::NextIsOther,
                Author::Unclear => Event::Unclear,
            },
            First::Deletion => Event::NextIsDeletion,
            First::HistoryGone => Event::HistoryGone,
            First::Fault(reason) => {
                self.note(reason, None);
                Event::Fault
            }
        }
    }

    /// Learns from the version that a batch has made on its base.
    fn learn(&self, batch: &Batch<K>, version: &Value) {
        self.shared.append_only.iter().for_each(|list| list.learn(&batch.base.raw, &batch.status, version));
    }

    fn lost<'a>(&'a self, batch: &'a Batch<K>) -> Lost<'a> {
        Lost {
            base: &batch.base.raw,
            sent: &batch.status,
            manager: &self.shared.endpoint.manager,
            append_only: &self.shared.append_only,
            unresolved: self.shared.cache.is_unresolved(&self.lease.id, &batch.base.version),
        }
    }

    fn landed(&self, raw: Value, live: Option<Instant>) -> Event<K> {
        let number = text(&raw, "resourceVersion");
        match Version::of(Arc::new(raw)) {
            Ok(version) => Event::Landed((version, live)),
            Err(source) => {
                self.shared.cache.outdate(&self.lease.id, &number);
                Event::LandedUnreadable(WriteError::Unreadable { committed: true, source: Arc::new(source) })
            }
        }
    }

    /// Notes what stands in the way, and the rest that the API server asks for.
    fn note(&mut self, reason: RetryReason, wait: Option<Duration>) {
        // That another writer was faster says less than that the status was refused on what it wrote before.
        if !matches!((&reason, &self.last), (RetryReason::Conflict, Some(RetryReason::Refused { .. }))) {
            self.last = Some(reason);
        }
        self.backoff.asked(wait);
    }

    fn rebase(&mut self, version: Version<K>, live: Option<Instant>) {
        self.base = Some(Base { version: version.version.clone(), raw: version.raw.clone(), live });
        self.shared.cache.put(self.lease.id.key.clone(), version);
    }

    /// Tells the callers.
    fn answer(&mut self) -> Event<K> {
        let State::Answer { batch, end } = &mut self.protocol.state else { return Event::Answered };
        let (batch, end) = (batch.take(), std::mem::replace(end, End::Unknown));
        let outcome = match end {
            End::Unchanged((version, _)) => {
                self.show(batch, &version);
                "unchanged"
            }
            End::Committed((version, live)) => {
                self.shared.endpoint.metrics.merged(batch.as_ref().map_or(0, Batch::changes));
                self.last = None;
                self.rebase(version.clone(), live);
                self.show(batch, &version);
                "written"
            }
            End::Failed(failure) => {
                self.fail(batch, &failure);
                "failed"
            }
            End::FailedForAll(failure) => {
                self.fail_all(batch, &failure);
                "failed"
            }
            End::Deleted => {
                self.forget(batch, &WriteError::Deleted);
                "gone"
            }
            End::Replaced => {
                self.forget(batch, &WriteError::Replaced);
                "gone"
            }
            End::Unknown => {
                tracing::warn!("the outcome of a status write stays unknown");
                self.mark_unresolved();
                let failure = WriteError::Unknown(self.last.take());
                self.fail(batch, &failure);
                "unknown"
            }
        };
        self.span.record("outcome", outcome);
        self.span = Span::none();
        self.backoff = Backoff::default();
        Event::Answered
    }

    fn show(&mut self, batch: Option<Batch<K>>, version: &Version<K>) {
        let Some(batch) = batch else { return };
        let merged = batch.changes();
        let stored_as_sent = version.raw.get("status").is_some_and(|stored| alike(stored, &batch.status));
        for update in batch.updates {
            let (object, attempts) = (version.object.clone(), update.tries);
            match update.result {
                ClosureResult::Changed => {
                    update.caller.answer(Ok(UpdateOutcome::Written { object, attempts, merged, stored_as_sent }));
                }
                ClosureResult::Same => update.caller.answer(Ok(UpdateOutcome::Unchanged { object })),
                ClosureResult::Declined => update.caller.decline(),
            }
        }
    }

    /// Fails those whose changes were in the PUT; the others are decided anew.
    fn fail(&mut self, batch: Option<Batch<K>>, failure: &WriteError) {
        let updates = batch.map(|batch| batch.updates).unwrap_or_default();
        let (failed, others) = updates.into_iter().partition(|update| update.result == ClosureResult::Changed);
        answer_all::<K>(failed, failure);
        self.put_back(others);
    }

    fn fail_all(&mut self, batch: Option<Batch<K>>, failure: &WriteError) {
        answer_all(batch.map(|batch| batch.updates).unwrap_or_default(), failure);
        answer_all(self.queue.drain(..).collect(), failure);
    }

    fn forget(&mut self, batch: Option<Batch<K>>, failure: &WriteError) {
        self.shared.cache.forget(&self.lease.id);
        self.base = None;
        self.fail_all(batch, failure);
    }

    /// Notes that a PUT may still land on the base.
    fn mark_unresolved(&self) {
        if let Some(base) = &self.base {
            self.shared.cache.mark_unresolved(&self.lease.id, &base.version);
        }
    }

    /// Back to the head of the queue.
    fn put_back(&mut self, updates: Vec<UpdateRequest<K>>) {
        updates.into_iter().rev().for_each(|update| self.queue.push_front(update));
    }

    /// Answers those in the queue whose time is over.
    fn expire(&mut self) {
        let now = Instant::now();
        self.queue.retain(|update| {
            if update.deadline <= now {
                update.caller.answer(Err(WriteError::Budget(self.last.clone())));
            }
            !update.caller.is_gone()
        });
    }

    fn new_span(&self) -> Span {
        let key = &self.lease.id.key;
        tracing::info_span!(
            "status write",
            writer = %self.shared.name,
            kind = %K::kind(&self.shared.kind),
            namespace = key.namespace.as_deref().unwrap_or_default(),
            name = %key.name,
            updates = tracing::field::Empty,
            outcome = tracing::field::Empty,
        )
    }
}

impl<K: StatusResource> Drop for Driver<K> {
    /// A task that ends before its time leaves nobody to serve its queue: what waits is let go, and of what is on its
    /// way nobody knows more.
    fn drop(&mut self) {
        let sent = match std::mem::replace(&mut self.protocol.state, State::Idle) {
            State::Put { batch, .. } | State::WatchNext { batch, .. } | State::LiveRead { batch, .. } => Some(batch),
            _ => None,
        };
        if sent.is_some() {
            self.mark_unresolved();
        }
        // Before anybody hears of it and comes again.
        self.shared.queues.abandon(&mut self.lease);
        self.fail(sent, &WriteError::Unknown(None));
    }
}

fn answer_all<K: StatusResource>(updates: Vec<UpdateRequest<K>>, failure: &WriteError) {
    updates.iter().for_each(|update| update.caller.answer(Err(failure.clone())));
}

/// Whether one of several updates may have caused this answer: too large, malformed, forbidden by a plugin. What the
/// authorizer forbids, it forbids to all.
fn may_be_due_to_one(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    match status.code {
        400 | 413 => true,
        403 => !status.message.contains("cannot update resource"),
        _ => false,
    }
}
