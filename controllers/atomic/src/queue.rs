//! Which updates wait for which object: one queue per object, served by one task while anything waits in it.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::cache::ObjectId;
use crate::error::Error;
use crate::metrics::Instruments;
use crate::object::StatusResource;
use crate::outcome::{ClosureOutput, UpdateOutcome};

/// How many updates may wait for one object, those that are being served included.
pub(crate) const CAPACITY: usize = 1024;

/// One update that waits.
pub(crate) struct UpdateRequest<K: StatusResource> {
    /// The version the caller decided from, if the writer knew none as new.
    pub(crate) caller_base: Option<CallerBase>,
    /// Whether the base must have been read after `since`.
    pub(crate) fresh: bool,
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    /// PUTs that carried this update.
    pub(crate) tries: u32,
    /// What its closure did when it ran last.
    pub(crate) result: ClosureResult,
    pub(crate) closure: Closure<K>,
    pub(crate) caller: Arc<dyn Caller<K>>,
}

/// What a caller's object says about the base.
#[derive(Debug, Clone)]
pub(crate) struct CallerBase {
    pub(crate) version: String,
    /// Absent if the object does not know its raw status.
    pub(crate) raw: Option<Arc<Value>>,
}

/// What a closure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClosureResult {
    Changed,
    Same,
    Declined,
}

/// A closure of whatever error; `false` if it declined, and then the status is spoilt.
pub(crate) type Closure<K> = Box<dyn FnMut(&mut <K as StatusResource>::Status) -> bool + Send>;

/// The way back to a caller, whatever the error of its closure. Only the first answer counts.
pub(crate) trait Caller<K: StatusResource>: Send + Sync {
    /// Whether it no longer waits for an answer.
    fn is_gone(&self) -> bool;
    /// Answers with what became of the write.
    fn answer(&self, reply: Result<UpdateOutcome<K>, Error>);
    /// Answers with the closure's own error.
    fn decline(&self);
}

/// What a caller waits for.
pub(crate) type Reply<K, E> = Result<UpdateOutcome<K>, Error<E>>;

/// One call of [`StatusWriter::update`](crate::StatusWriter::update) until it is answered.
pub(crate) struct Call<K: StatusResource, E>(Mutex<Option<OpenCall<K, E>>>);

struct OpenCall<K: StatusResource, E> {
    declined: Option<Error<E>>,
    reply: oneshot::Sender<Reply<K, E>>,
    /// Its place in the queue.
    permit: OwnedSemaphorePermit,
    since: Instant,
    metrics: Instruments,
}

impl<K: StatusResource, E: Send + 'static> Call<K, E> {
    pub(crate) fn open(
        reply: oneshot::Sender<Reply<K, E>>,
        permit: OwnedSemaphorePermit,
        since: Instant,
        metrics: Instruments,
    ) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(OpenCall { declined: None, reply, permit, since, metrics }))))
    }

    /// The closure, which notes here by which error it declines.
    pub(crate) fn closure<F, R>(self: Arc<Self>, mut closure: F) -> Closure<K>
    where
        F: FnMut(&mut K::Status) -> R + Send + 'static,
        R: ClosureOutput<Error = E>,
    {
        Box::new(move |status| {
            // The status is thrown away after a panic; what the closure captured is its owner's.
            let declined = match catch_unwind(AssertUnwindSafe(|| closure(status).into_result())) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(Error::Closure(error)),
                Err(panic) => Some(Error::Panicked(message(panic.as_ref()))),
            };
            let goes_on = declined.is_none();
            if let Some(open) = &mut *self.lock() {
                open.declined = declined;
            }
            goes_on
        })
    }

    fn send(&self, reply: impl FnOnce(&mut OpenCall<K, E>) -> Option<Reply<K, E>>) {
        let Some(mut open) = self.lock().take() else { return };
        let Some(reply) = reply(&mut open) else { return };
        let outcome = match &reply {
            Ok(UpdateOutcome::Written { .. }) => "written",
            Ok(UpdateOutcome::Unchanged { .. }) => "unchanged",
            Err(error) => error.category(),
        };
        open.metrics.answered(outcome, open.since.elapsed());
        // Before the caller hears of it and perhaps comes again.
        drop(open.permit);
        // A caller that went away wants no answer.
        let _ = open.reply.send(reply);
    }

    fn lock(&self) -> MutexGuard<'_, Option<OpenCall<K, E>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: StatusResource, E: Send + 'static> Caller<K> for Call<K, E> {
    fn is_gone(&self) -> bool {
        self.lock().as_ref().is_none_or(|open| open.reply.is_closed())
    }

    fn answer(&self, reply: Result<UpdateOutcome<K>, Error>) {
        self.send(|_| Some(reply.map_err(Error::widen)));
    }

    fn decline(&self) {
        self.send(|open| open.declined.take().map(Err));
    }
}

/// What a panic said.
pub(crate) fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// All queues of a writer.
pub(crate) struct UpdateQueues<K: StatusResource>(Mutex<HashMap<ObjectId, Queue<K>>>);

struct Queue<K: StatusResource> {
    updates: UnboundedSender<UpdateRequest<K>>,
    /// What bounds it: an update holds a permit until it is answered.
    permits: Arc<Semaphore>,
}

/// The receiving end of one queue, from its opening to its end. There is one per object: with two tasks serving one
/// object two writes could be under way, and ownership would prove nothing.
pub(crate) struct QueueLease<K: StatusResource> {
    pub(crate) id: ObjectId,
    pub(crate) updates: UnboundedReceiver<UpdateRequest<K>>,
    open: bool,
}

impl<K: StatusResource> UpdateQueues<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Puts what is made of a permit into the queue of an object, unless that is full. A queue that is new has to be
    /// served from its lease.
    pub(crate) fn push(
        &self,
        id: ObjectId,
        request: impl FnOnce(OwnedSemaphorePermit) -> UpdateRequest<K>,
    ) -> Result<Option<QueueLease<K>>, Error> {
        let mut queues = self.lock();
        let mut lease = None;
        let queue = queues.entry(id).or_insert_with_key(|id| {
            let (sender, updates) = unbounded_channel();
            lease = Some(QueueLease { id: id.clone(), updates, open: true });
            Queue { updates: sender, permits: Arc::new(Semaphore::new(CAPACITY)) }
        });
        let permit = queue.permits.clone().try_acquire_owned().map_err(|_| Error::Busy)?;
        // Fails when the serving task is just ending with its runtime, and then drops the request, as is right.
        let _ = queue.updates.send(request(permit));
        Ok(lease)
    }

    /// Ends the lease if nothing waits; what comes next opens another queue.
    pub(crate) fn end(&self, lease: &mut QueueLease<K>) -> bool {
        let mut queues = self.lock();
        if lease.updates.is_empty() {
            queues.remove(&lease.id);
            lease.open = false;
        }
        !lease.open
    }

    /// Ends the lease, whatever waits.
    pub(crate) fn abandon(&self, lease: &mut QueueLease<K>) {
        if std::mem::replace(&mut lease.open, false) {
            self.lock().remove(&lease.id);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ObjectId, Queue<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use crate::error::Never;
    use std::time::Duration;

    use super::*;
    use crate::cache::ObjectKey;
    use crate::metrics::Metrics;
    use crate::object::Dynamic;

    fn id() -> ObjectId {
        ObjectId { key: ObjectKey { namespace: None, name: "d".into() }, uid: "u".into() }
    }

    fn request(permit: OwnedSemaphorePermit) -> UpdateRequest<Dynamic> {
        let (since, metrics) = (Instant::now(), Instruments::new(Metrics::default(), String::new()));
        let caller = Call::<_, Never>::open(oneshot::channel().0, permit, since, metrics);
        let closure = caller.clone().closure(|_| ());
        let (deadline, result) = (since + Duration::from_secs(10), ClosureResult::Changed);
        UpdateRequest { caller_base: None, fresh: false, since, deadline, tries: 0, result, closure, caller }
    }

    fn push(queues: &UpdateQueues<Dynamic>) -> Result<Option<QueueLease<Dynamic>>, Error> {
        queues.push(id(), request)
    }

    #[test]
    fn a_lease_ends_once_and_takes_nothing_from_the_one_that_follows() {
        let queues = UpdateQueues::new();
        let mut old = push(&queues).unwrap().unwrap();
        assert!(!queues.end(&mut old), "an update waits");
        old.updates.try_recv().unwrap();
        assert!(queues.end(&mut old));

        let mut new = push(&queues).unwrap().unwrap();
        queues.abandon(&mut old);
        assert_eq!(queues.len(), 1);
        assert!(push(&queues).unwrap().is_none(), "the queue is open");
        new.updates.try_recv().unwrap();
        new.updates.try_recv().unwrap();
        assert!(queues.end(&mut new) && queues.len() == 0);
    }

    #[test]
    fn an_update_counts_as_waiting_until_it_is_answered() {
        let queues = UpdateQueues::new();
        let mut lease = push(&queues).unwrap().unwrap();
        for _ in 1..CAPACITY {
            push(&queues).unwrap();
        }
        let served = lease.updates.try_recv().unwrap();
        assert!(matches!(push(&queues), Err(Error::Busy)));
        served.caller.answer(Err(Error::Budget(None)));
        push(&queues).unwrap();
        assert!(matches!(push(&queues), Err(Error::Busy)));
    }
}
