//! What callers are told, and which updates wait on.

use tokio::time::Instant;
use tracing::Span;

use super::Driver;
use crate::cache::Version;
use crate::compose::{Batch, Event};
use crate::error::Error;
use crate::json::alike;
use crate::object::StatusResource;
use crate::outcome::UpdateOutcome;
use crate::protocol::{End, State};
use crate::queue::{ClosureResult, UpdateRequest};

impl<K: StatusResource> Driver<K> {
    /// Tells the callers.
    pub(super) fn answer(&mut self) -> Event<K> {
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
                self.forget(batch, &Error::Deleted);
                "gone"
            }
            End::Replaced => {
                self.forget(batch, &Error::Replaced);
                "gone"
            }
            End::Unknown => {
                tracing::warn!("the outcome of a status write stays unknown");
                self.mark_unresolved();
                let failure = Error::Unknown(self.last.take());
                self.fail(batch, &failure);
                "unknown"
            }
        };
        self.span.record("outcome", outcome);
        self.span = Span::none();
        self.backoff.answered();
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
    pub(super) fn fail(&mut self, batch: Option<Batch<K>>, failure: &Error) {
        let updates = batch.map(|batch| batch.updates).unwrap_or_default();
        let (failed, others) = updates.into_iter().partition(|update| update.result == ClosureResult::Changed);
        answer_all::<K>(failed, failure);
        self.put_back(others);
    }

    fn fail_all(&mut self, batch: Option<Batch<K>>, failure: &Error) {
        answer_all(batch.map(|batch| batch.updates).unwrap_or_default(), failure);
        answer_all(self.queue.drain(..).collect(), failure);
    }

    fn forget(&mut self, batch: Option<Batch<K>>, failure: &Error) {
        self.shared.cache.forget(&self.lease.id);
        self.base = None;
        self.fail_all(batch, failure);
    }

    /// Back to the head of the queue.
    pub(super) fn put_back(&mut self, updates: Vec<UpdateRequest<K>>) {
        updates.into_iter().rev().for_each(|update| self.queue.push_front(update));
    }

    /// Answers those in the queue whose time is over.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        self.queue.retain(|update| {
            if update.deadline <= now {
                update.caller.answer(Err(Error::Budget(self.last.clone())));
            }
            !update.caller.is_gone()
        });
    }
}

fn answer_all<K: StatusResource>(updates: Vec<UpdateRequest<K>>, failure: &Error) {
    updates.iter().for_each(|update| update.caller.answer(Err(failure.clone())));
}
