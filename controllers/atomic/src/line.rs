//! Who waits for which object: one line per object, served by one task while anybody waits.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::error::{Error, Failure};
use crate::kept::Place;
use crate::metrics::Instruments;
use crate::object::Subject;
use crate::writer::{Decision, Outcome};

/// How many updates may wait for one object.
pub(crate) const CAPACITY: usize = 1024;

/// One object: another one of the same name has its own line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    pub(crate) place: Place,
    pub(crate) uid: String,
}

/// One update that waits.
pub(crate) struct Ticket<K: Subject> {
    /// The version the caller decided from, if the writer knew none as new.
    pub(crate) offered: Option<Offered>,
    /// Whether the base must have been read after `since`.
    pub(crate) fresh: bool,
    pub(crate) since: Instant,
    pub(crate) deadline: Instant,
    /// PUTs that carried this update.
    pub(crate) tries: u32,
    pub(crate) job: Box<dyn Job<K>>,
}

/// What a caller's object says about the base.
#[derive(Debug, Clone)]
pub(crate) struct Offered {
    pub(crate) version: String,
    /// Absent if the object does not know its raw status.
    pub(crate) raw: Option<Arc<Value>>,
}

/// What a closure did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Changed,
    Same,
    Declined,
}

/// A closure with the way back to its caller, whatever the type of its error.
pub(crate) trait Job<K: Subject>: Send {
    /// Runs the closure; `false` if it declined, and then the status is spoilt.
    fn decide(&mut self, status: &mut K::Status) -> bool;
    /// Whether the caller no longer waits.
    fn abandoned(&self) -> bool;
    /// Answers with what became of the write.
    fn answer(self: Box<Self>, reply: Result<Outcome<K>, Failure>);
    /// Answers with the closure's own error.
    fn decline(self: Box<Self>);
}

/// What a caller waits for.
pub(crate) type Reply<K, E> = Result<Outcome<K>, Error<E>>;

/// The closure of one caller.
pub(crate) struct Call<K: Subject, F, E> {
    pub(crate) closure: F,
    pub(crate) declined: Option<Error<E>>,
    pub(crate) reply: oneshot::Sender<Reply<K, E>>,
    pub(crate) since: Instant,
    pub(crate) metrics: Instruments,
}

impl<K, F, R> Job<K> for Call<K, F, R::Error>
where
    K: Subject,
    F: FnMut(&mut K::Status) -> R + Send,
    R: Decision,
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

    fn answer(self: Box<Self>, reply: Result<Outcome<K>, Failure>) {
        self.send(reply.map_err(Error::from));
    }

    fn decline(mut self: Box<Self>) {
        if let Some(error) = self.declined.take() {
            self.send(Err(error));
        }
    }
}

impl<K: Subject, F, E> Call<K, F, E> {
    fn send(self, reply: Reply<K, E>) {
        let outcome = match &reply {
            Ok(Outcome::Written { .. }) => "written",
            Ok(Outcome::Unchanged { .. }) => "unchanged",
            Err(error) => error.category(),
        };
        self.metrics.answered(outcome, self.since.elapsed());
        // A caller that went away wants no answer.
        let _ = self.reply.send(reply);
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// All lines of a writer.
pub(crate) struct Lines<K: Subject>(Mutex<HashMap<Target, Line<K>>>);

struct Line<K: Subject> {
    waiting: VecDeque<Ticket<K>>,
    /// Tickets that the serving task has taken and not answered yet.
    taken: usize,
}

/// Whether a ticket found a place.
pub(crate) enum Queued {
    /// The line is being served.
    Behind,
    /// The line is new: somebody has to serve it.
    First,
    /// The line is full.
    Full,
}

impl<K: Subject> Lines<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    pub(crate) fn push(&self, target: &Target, ticket: Ticket<K>) -> Queued {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(target) else {
            lines.insert(target.clone(), Line { waiting: VecDeque::from([ticket]), taken: 0 });
            return Queued::First;
        };
        if line.waiting.len() + line.taken >= CAPACITY {
            return Queued::Full;
        }
        line.waiting.push_back(ticket);
        Queued::Behind
    }

    /// Moves all who wait to the end of `taken`. With nobody left the line is gone afterwards, and
    /// whoever comes next is the first of a new one.
    pub(crate) fn take(&self, target: &Target, taken: &mut VecDeque<Ticket<K>>) {
        let mut lines = self.lines();
        if let Some(line) = lines.get_mut(target) {
            taken.append(&mut line.waiting);
            line.taken = taken.len();
            if taken.is_empty() {
                lines.remove(target);
            }
        }
    }

    /// Drops a line and all who wait in it.
    pub(crate) fn drop_line(&self, target: &Target) {
        let line = self.lines().remove(target);
        drop(line);
    }

    pub(crate) fn len(&self) -> usize {
        self.lines().len()
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<Target, Line<K>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
