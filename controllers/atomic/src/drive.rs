//! Serving the queue of one object: performs what the protocol says until nothing waits.

mod answers;
mod requests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span};

use crate::authorship::AppendOnly;
use crate::backoff::Backoff;
use crate::cache::ObjectCache;
use crate::compose::{Base, Batch, Composer, Event, Shown};
use crate::error::{Error, RetryReason};
use crate::object::StatusResource;
use crate::protocol::{End, Protocol, State};
use crate::queue::{QueueLease, UpdateQueues, UpdateRequest};
use crate::version::is_newer;
use crate::wire::{Addressee, Endpoint, Wire};

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
    protocol: Protocol<Batch<K>, Shown<K>, Error>,
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
                        caller.answer(Err(Error::Budget(self.last.clone())));
                    }
                    self.expire();
                }
            }
        }
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
        self.fail(sent, &Error::Unknown(None));
    }
}
