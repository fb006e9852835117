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

/// What a panic said.
pub(crate) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// All lines of a writer.
pub(crate) struct Lines<K: Subject>(Mutex<Book<K>>);

struct Book<K: Subject> {
    lines: HashMap<Target, Line<K>>,
    opened: u64,
}

struct Line<K: Subject> {
    number: u64,
    waiting: VecDeque<Ticket<K>>,
    /// Tickets that the serving task has taken and not answered yet.
    taken: usize,
}

/// One line from its opening to its end. Only who holds it is served from it: with two tasks
/// serving one object two writes could be under way, and ownership would prove nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) target: Target,
    number: u64,
}

/// Whether a ticket found a place.
pub(crate) enum Queued {
    /// The line is being served.
    Behind,
    /// The line is new: it has to be served.
    First(Service),
    /// The line is full.
    Full,
}

impl<K: Subject> Lines<K> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Book { lines: HashMap::new(), opened: 0 }))
    }

    pub(crate) fn push(&self, target: Target, ticket: Ticket<K>) -> Queued {
        let mut book = self.book();
        let Some(line) = book.lines.get_mut(&target) else {
            book.opened += 1;
            let number = book.opened;
            book.lines.insert(target.clone(), Line { number, waiting: VecDeque::from([ticket]), taken: 0 });
            return Queued::First(Service { target, number });
        };
        if line.waiting.len() + line.taken >= CAPACITY {
            return Queued::Full;
        }
        line.waiting.push_back(ticket);
        Queued::Behind
    }

    /// Moves all who wait to the end of `taken`.
    pub(crate) fn take(&self, service: &Service, taken: &mut VecDeque<Ticket<K>>) {
        if let Some(line) = self.book().line(service) {
            taken.append(&mut line.waiting);
            line.taken = taken.len();
        }
    }

    /// Notes how many are still being served, before the others hear and perhaps come again.
    pub(crate) fn holds(&self, service: &Service, taken: usize) {
        if let Some(line) = self.book().line(service) {
            line.taken = taken;
        }
    }

    /// Ends the service if nobody waits; whoever comes next opens another line.
    pub(crate) fn end(&self, service: &Service) -> bool {
        let mut book = self.book();
        let ends = book.line(service).is_none_or(|line| line.waiting.is_empty());
        if ends {
            book.close(service);
        }
        ends
    }

    /// Ends the service and lets go all who wait.
    pub(crate) fn abandon(&self, service: &Service) {
        let line = self.book().close(service);
        drop(line);
    }

    pub(crate) fn len(&self) -> usize {
        self.book().lines.len()
    }

    fn book(&self) -> MutexGuard<'_, Book<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Subject> Book<K> {
    fn line(&mut self, service: &Service) -> Option<&mut Line<K>> {
        self.lines.get_mut(&service.target).filter(|line| line.number == service.number)
    }

    fn close(&mut self, service: &Service) -> Option<Line<K>> {
        self.line(service)?;
        self.lines.remove(&service.target)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "a test fails by panicking")]

    use super::*;
    use crate::metrics::Metrics;
    use crate::object::Dynamic;

    fn ticket() -> Ticket<Dynamic> {
        let (since, metrics) = (Instant::now(), Instruments::new(Metrics::default(), "test".to_owned()));
        let job =
            Box::new(Call { closure: |_: &mut Value| (), declined: None, reply: oneshot::channel().0, since, metrics });
        Ticket { offered: None, fresh: false, since, deadline: since, tries: 0, job }
    }

    fn target() -> Target {
        Target { place: Place { namespace: None, name: "a".to_owned() }, uid: "u".to_owned() }
    }

    fn open(lines: &Lines<Dynamic>) -> Service {
        let Queued::First(service) = lines.push(target(), ticket()) else { panic!("the line is open") };
        service
    }

    #[test]
    fn a_service_that_ended_takes_nothing_from_the_one_that_follows() {
        let lines = Lines::new();
        let (old, mut taken) = (open(&lines), VecDeque::new());
        assert!(!lines.end(&old), "somebody waits");
        lines.take(&old, &mut taken);
        assert!(lines.end(&old));

        let new = open(&lines);
        taken.clear();
        lines.take(&old, &mut taken);
        assert!(taken.is_empty());
        lines.abandon(&old);
        lines.take(&new, &mut taken);
        assert_eq!(taken.len(), 1);
        assert!(lines.end(&new) && lines.len() == 0);
    }

    #[test]
    fn those_who_are_served_count_as_waiting() {
        let lines = Lines::new();
        let (service, mut taken) = (open(&lines), VecDeque::new());
        lines.take(&service, &mut taken);
        for _ in 1..CAPACITY {
            assert!(matches!(lines.push(target(), ticket()), Queued::Behind));
        }
        assert!(matches!(lines.push(target(), ticket()), Queued::Full));
        taken.clear();
        lines.take(&service, &mut taken);
        assert!(matches!(lines.push(target(), ticket()), Queued::Behind));
    }
}
