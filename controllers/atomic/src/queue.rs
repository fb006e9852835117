//! Who waits for which object: one queue per object, served by one task while anybody waits.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cache::ObjectKey;
use crate::error::{Error, WriteError};
use crate::metrics::Instruments;
use crate::object::StatusResource;
use crate::writer::{ClosureOutput, UpdateOutcome};

/// How many updates may wait for one object.
pub(crate) const CAPACITY: usize = 1024;

/// One object: another one of the same name has its own queue.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId {
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
}

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
    pub(crate) pending: Box<dyn PendingUpdate<K>>,
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

/// A closure with the way back to its caller, whatever the type of its error.
pub(crate) trait PendingUpdate<K: StatusResource>: Send {
    /// Runs the closure; `false` if it declined, and then the status is spoilt.
    fn decide(&mut self, status: &mut K::Status) -> bool;
    /// Whether the caller no longer waits.
    fn abandoned(&self) -> bool;
    /// Answers with what became of the write.
    fn answer(self: Box<Self>, reply: Result<UpdateOutcome<K>, WriteError>);
    /// Answers with the closure's own error.
    fn decline(self: Box<Self>);
}

/// What a caller waits for.
pub(crate) type Reply<K, E> = Result<UpdateOutcome<K>, Error<E>>;

/// The closure of one caller.
pub(crate) struct ClosureCall<K: StatusResource, F, E> {
    pub(crate) closure: F,
    pub(crate) declined: Option<Error<E>>,
    pub(crate) reply: oneshot::Sender<Reply<K, E>>,
    pub(crate) since: Instant,
    pub(crate) metrics: Instruments,
}

impl<K, F, R> PendingUpdate<K> for ClosureCall<K, F, R::Error>
where
    K: StatusResource,
    F: FnMut(&mut K::Status) -> R + Send,
    R: ClosureOutput,
{
    fn decide(&mut self, status: &mut K::Status) -> bool {
        // The status is thrown away after a panic; what the closure captured is its owner's.
        let run = catch_unwind(AssertUnwindSafe(|| (self.closure)(status).into_result()));
        self.declined = match run {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Error::Closure(error)),
            Err(panic) => Some(Error::Panicked(said(panic.as_ref()))),
        };
        self.declined.is_none()
    }

    fn abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    fn answer(self: Box<Self>, reply: Result<UpdateOutcome<K>, WriteError>) {
        self.send(reply.map_err(Error::from));
    }

    fn decline(mut self: Box<Self>) {
        if let Some(error) = self.declined.take() {
            self.send(Err(error));
        }
    }
}

impl<K: StatusResource, F, E> ClosureCall<K, F, E> {
    fn send(self, reply: Reply<K, E>) {
        let outcome = match &reply {
            Ok(UpdateOutcome::Written { .. }) => "written",
            Ok(UpdateOutcome::Unchanged { .. }) => "unchanged",
            Err(error) => error.category(),
        };
        self.metrics.answered(outcome, self.since.elapsed());
        // A caller that went away wants no answer.
        let _ = self.reply.send(reply);
    }
}

/// What a panic said.
pub(crate) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// All queues of a writer.
pub(crate) struct UpdateQueues<K: StatusResource>(Mutex<QueueMap<K>>);

struct QueueMap<K: StatusResource> {
    queues: HashMap<ObjectId, Queue<K>>,
    opened: u64,
}

struct Queue<K: StatusResource> {
    number: u64,
    waiting: VecDeque<UpdateRequest<K>>,
    /// Tickets that the serving task has taken and not answered yet.
    taken: usize,
}

/// One queue from its opening to its end. Only who holds it is served from it: with two tasks
/// serving one object two writes could be under way, and ownership would prove nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct QueueLease {
    pub(crate) id: ObjectId,
    number: u64,
}

/// Whether a request found a key.
pub(crate) enum Queued {
    /// The queue is being served.
    Behind,
    /// The queue is new: it has to be served.
    First(QueueLease),
    /// The queue is full.
    Full,
}

impl<K: StatusResource> UpdateQueues<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(QueueMap { queues: HashMap::new(), opened: 0 }))
    }

    pub(crate) fn push(&self, id: ObjectId, request: UpdateRequest<K>) -> Queued {
        let mut book = self.book();
        let Some(queue) = book.queues.get_mut(&id) else {
            book.opened += 1;
            let number = book.opened;
            book.queues.insert(id.clone(), Queue { number, waiting: VecDeque::from([request]), taken: 0 });
            return Queued::First(QueueLease { id, number });
        };
        if queue.waiting.len() + queue.taken >= CAPACITY {
            return Queued::Full;
        }
        queue.waiting.push_back(request);
        Queued::Behind
    }

    /// Moves all who wait to the end of `taken`.
    pub(crate) fn take(&self, lease: &QueueLease, taken: &mut VecDeque<UpdateRequest<K>>) {
        if let Some(queue) = self.book().queue(lease) {
            taken.append(&mut queue.waiting);
            queue.taken = taken.len();
        }
    }

    /// Notes how many are still being served, before the others hear and perhaps come again.
    pub(crate) fn holds(&self, lease: &QueueLease, taken: usize) {
        if let Some(queue) = self.book().queue(lease) {
            queue.taken = taken;
        }
    }

    /// Ends the lease if nobody waits; whoever comes next opens another queue.
    pub(crate) fn end(&self, lease: &QueueLease) -> bool {
        let mut book = self.book();
        let ends = book.queue(lease).is_none_or(|queue| queue.waiting.is_empty());
        if ends {
            book.close(lease);
        }
        ends
    }

    /// Ends the lease and lets go all who wait.
    pub(crate) fn abandon(&self, lease: &QueueLease) {
        let queue = self.book().close(lease);
        drop(queue);
    }

    pub(crate) fn len(&self) -> usize {
        self.book().queues.len()
    }

    fn book(&self) -> MutexGuard<'_, QueueMap<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: StatusResource> QueueMap<K> {
    fn queue(&mut self, lease: &QueueLease) -> Option<&mut Queue<K>> {
        self.queues.get_mut(&lease.id).filter(|queue| queue.number == lease.number)
    }

    fn close(&mut self, lease: &QueueLease) -> Option<Queue<K>> {
        self.queue(lease)?;
        self.queues.remove(&lease.id)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]

    use super::*;
    use crate::metrics::Metrics;
    use crate::object::Dynamic;

    fn request() -> UpdateRequest<Dynamic> {
        let (since, metrics) = (Instant::now(), Instruments::new(Metrics::default(), "test".to_owned()));
        let pending = Box::new(ClosureCall {
            closure: |_: &mut Value| (),
            declined: None,
            reply: oneshot::channel().0,
            since,
            metrics,
        });
        UpdateRequest { caller_base: None, fresh: false, since, deadline: since, tries: 0, pending }
    }

    fn id() -> ObjectId {
        ObjectId { key: ObjectKey { namespace: None, name: "a".to_owned() }, uid: "u".to_owned() }
    }

    fn open(queues: &UpdateQueues<Dynamic>) -> QueueLease {
        let Queued::First(lease) = queues.push(id(), request()) else { panic!("the queue is open") };
        lease
    }

    #[test]
    fn a_service_that_ended_takes_nothing_from_the_one_that_follows() {
        let queues = UpdateQueues::new();
        let (old, mut taken) = (open(&queues), VecDeque::new());
        assert!(!queues.end(&old), "somebody waits");
        queues.take(&old, &mut taken);
        assert!(queues.end(&old));

        let new = open(&queues);
        taken.clear();
        queues.take(&old, &mut taken);
        assert!(taken.is_empty());
        queues.abandon(&old);
        queues.take(&new, &mut taken);
        assert_eq!(taken.len(), 1);
        assert!(queues.end(&new) && queues.len() == 0);
    }

    #[test]
    fn those_who_are_served_count_as_waiting() {
        let queues = UpdateQueues::new();
        let (lease, mut taken) = (open(&queues), VecDeque::new());
        queues.take(&lease, &mut taken);
        for _ in 1..CAPACITY {
            assert!(matches!(queues.push(id(), request()), Queued::Behind));
        }
        assert!(matches!(queues.push(id(), request()), Queued::Full));
        taken.clear();
        queues.take(&lease, &mut taken);
        assert!(matches!(queues.push(id(), request()), Queued::Behind));
    }
}
