//! The protocol of the writes of one object as a pure state machine: what was seen decides what is done next.
//!
//! ```text
//!   ┌────────────────── moved, other, lost ──────────────────┐
//!   ▼                                                        │
//! Compose ──composed──▶ Put ──conflict, refused──▶ Read ─────┤
//!   ▲                    │ lost                     └──ours──┼─▶ Answer
//!   │                    ▼                                   │
//!   │              Put in doubt ──written──▶ Answer          │
//!   │                    │ conflict                          │
//!   │                    ▼                                   │
//!   │                WatchNext ──ours──▶ Answer   ──other────┤
//!   │                    │ history gone                      │
//!   │                    ▼                                   │
//!   │                LiveRead ──landed or unclear──▶ Answer ─┘
//!   └── answered ──┘
//! ```
//!
//! No I/O and no clock: the driver performs what the state says, hands over the event, and rests as it is told. The
//! tests' model explores this very code with a payload of its own.

use tokio::time::Instant;

use crate::limit::Limit;

/// Updates that share a PUT, as far as the protocol looks into them.
pub(crate) trait Updates {
    /// How many they are.
    fn count(&self) -> usize;
    /// Whether the budget of one of them is spent.
    fn is_late(&self, now: Instant) -> bool;
}

/// Where the writes of one object stand: of batches `B`, which end in a version `V` or a failure `F`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Protocol<B, V, F> {
    pub(crate) state: State<B, V, F>,
    /// How many updates the next batch may carry.
    pub(crate) limit: Limit,
    /// Whether the base is known to be out of date, so that the next batch begins with a read.
    pub(crate) outdated: bool,
    /// Whether another writer was faster since the last answer.
    pub(crate) contended: bool,
}

/// What is to be performed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum State<B, V, F> {
    /// Nothing is on its way: the updates of `again` go back to the head of the queue, and the closures of the first
    /// ones are run on the base.
    Compose { again: Option<B> },
    /// Nothing is on its way: the object is read live before the closures run (again). A batch that was put before
    /// waits for what the read shows, and so does the refusal of it.
    Read { batch: Option<B>, refusal: Option<F> },
    /// The batch is put on its base. In doubt, an identical PUT went out before and nobody knows whether it landed;
    /// that may be looked into until the time given.
    Put { batch: B, doubt: Option<Instant> },
    /// In doubt, and the object has left the base: the first version after it tells who won.
    WatchNext { batch: B, doubt: Instant },
    /// In doubt without history: what the object looks like now may tell.
    LiveRead { batch: B, doubt: Instant },
    /// The callers are told.
    Answer { batch: Option<B>, end: End<V, F> },
    /// Nobody waits, and the queue is closed.
    Idle,
}

impl<B, V, F> State<B, V, F> {
    /// The batch that is not in the queue.
    pub(crate) fn batch(&self) -> Option<&B> {
        match self {
            Self::Put { batch, .. } | Self::WatchNext { batch, .. } | Self::LiveRead { batch, .. } => Some(batch),
            Self::Compose { again: batch } | Self::Read { batch, .. } | Self::Answer { batch, .. } => batch.as_ref(),
            Self::Idle => None,
        }
    }

    /// Until when a lost answer may be looked into, if one is.
    pub(crate) fn doubt(&self) -> Option<Instant> {
        match self {
            Self::Put { doubt, .. } => *doubt,
            Self::WatchNext { doubt, .. } | Self::LiveRead { doubt, .. } => Some(*doubt),
            _ => None,
        }
    }
}

/// How a batch ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum End<V, F> {
    /// Its closures changed nothing in this version.
    Unchanged(V),
    /// It landed, exactly once.
    Committed(V),
    /// It failed alone; what waits is decided on its own.
    Failed(F),
    /// It failed of something that concerns all updates of the object.
    FailedForAll(F),
    /// The object is gone; a lost PUT may have landed before.
    Deleted,
    /// The name belongs to another object now, and nothing of the batch was applied.
    Replaced,
    /// Nobody can tell.
    Unknown,
}

/// What was seen when a state was performed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Event<B, V, F> {
    /// Compose: nobody waits.
    Idle,
    /// Compose: the base is too old for the updates that wait.
    Outdated,
    /// Compose: the closures ran and changed something.
    Composed(B),
    /// Compose: the closures ran and changed nothing in this version.
    Unchanged(B, V),
    /// Compose: what the closures made cannot be written.
    Unwritable(B, F),
    /// PUT: 200 with the object. WatchNext, or a read of a version that is not the base: it proves that the batch
    /// landed. The version shown holds what it changed; or it cannot be read as its type.
    Landed(Result<V, F>),
    /// PUT: 409 without a refusal: the base is not the current version.
    Conflict,
    /// PUT: refused by schema or admission.
    Refused(F),
    /// PUT: rejected, perhaps for what one of several updates holds; no repetition will change that.
    Rejected(F),
    /// PUT: certainly not applied, and worth another try.
    NotApplied,
    /// PUT: nobody knows whether it was or will be applied, which may be looked into until then.
    AnswerLost(Instant),
    /// PUT, Read: an answer that concerns all updates and that no repetition will change.
    Fatal(F),
    /// PUT or a read: 404 for this object.
    Missing,
    /// WatchNext: the first version after the base was written by somebody else.
    NextIsOther,
    /// WatchNext: the first thing after the base is the end of the object.
    NextIsDeletion,
    /// WatchNext: the API server no longer has (or does not show) the versions after the base.
    HistoryGone,
    /// A read of a version that is not the base: it proves that the batch has not landed and never will.
    NotLanded,
    /// WatchNext, or a read of a version that is not the base: it proves nothing.
    Unclear,
    /// A read: the base is still the current version.
    Same,
    /// A read: another object of that name.
    OtherUid,
    /// Compose or a read: the object cannot be read as its type. Nothing of the batch was applied.
    Unreadable(F),
    /// WatchNext or a read: no answer; asking again changes nothing.
    Fault,
    /// Answer: the callers are told.
    Answered,
}

/// How to rest before the next state is performed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Not at all.
    None,
    /// Other writers are about: somebody makes progress, and each gets its turn.
    Contention,
    /// Something does not work: longer each time.
    Trouble,
}

impl<B: Updates, V, F> Protocol<B, V, F> {
    pub(crate) fn new() -> Self {
        Self { state: State::Compose { again: None }, limit: Limit::new(), outdated: false, contended: false }
    }

    /// Goes on to the state after `event`.
    pub(crate) fn next(&mut self, event: Event<B, V, F>, now: Instant) -> Rest {
        let state = std::mem::replace(&mut self.state, State::Idle);
        let (state, rest) = self.after(state, event, now);
        self.state = state;
        rest
    }

    /// An event that cannot occur in a state counts as [`Event::Fault`] there.
    fn after(&mut self, state: State<B, V, F>, event: Event<B, V, F>, now: Instant) -> (State<B, V, F>, Rest) {
        match (state, event) {
            (State::Compose { .. }, Event::Composed(batch)) => (State::Put { batch, doubt: None }, Rest::None),
            (State::Compose { .. }, Event::Unchanged(batch, version)) => answer(Some(batch), End::Unchanged(version)),
            (State::Compose { .. }, Event::Unwritable(batch, failure)) => self.take_apart(batch, failure),
            (State::Compose { .. }, Event::Unreadable(failure)) => answer(None, End::FailedForAll(failure)),
            (State::Compose { .. }, Event::Outdated) => (State::Read { batch: None, refusal: None }, Rest::None),
            (State::Compose { .. } | State::Idle, _) => (State::Idle, Rest::None),

            // In doubt, too: two PUTs on one base cannot both land, so the earlier one never will.
            (
                State::Put { batch, .. }
                | State::WatchNext { batch, .. }
                | State::LiveRead { batch, .. }
                | State::Read { batch: Some(batch), .. },
                Event::Landed(version),
            ) => {
                self.outdated = version.is_err();
                match version {
                    Ok(version) => {
                        self.limit.succeed();
                        answer(Some(batch), End::Committed(version))
                    }
                    Err(failure) => answer(Some(batch), End::Failed(failure)),
                }
            }

            (State::Put { batch, .. }, Event::Missing) => answer(Some(batch), End::Deleted),
            (State::Put { batch, doubt: Some(doubt) }, Event::Conflict) => {
                self.contended = true;
                (State::WatchNext { batch, doubt }, Rest::Contention)
            }
            // Anything else speaks of this PUT only; the earlier one may still be on its way.
            (State::Put { batch, doubt: Some(doubt) }, _)
            | (State::Put { batch, doubt: None }, Event::AnswerLost(doubt)) => {
                (put_in_doubt(batch, doubt, now), Rest::Trouble)
            }
            (State::Put { batch, .. }, Event::Conflict) => {
                (self.outdated, self.contended) = (true, true);
                (State::Read { batch: Some(batch), refusal: None }, Rest::Contention)
            }
            (State::Put { batch, .. }, Event::Refused(failure)) => {
                (State::Read { batch: Some(batch), refusal: Some(failure) }, Rest::None)
            }
            (State::Put { batch, .. }, Event::Rejected(failure)) => self.take_apart(batch, failure),
            (State::Put { batch, .. }, Event::Fatal(failure)) => answer(Some(batch), End::FailedForAll(failure)),
            (State::Put { batch, .. }, _) => (State::Compose { again: Some(batch) }, Rest::Trouble),

            (State::Read { batch, refusal }, Event::NotLanded | Event::Unclear) => {
                self.outdated = false;
                let rest = if refusal.is_some() { Rest::Contention } else { Rest::None };
                (State::Compose { again: batch }, rest)
            }
            (State::Read { batch: Some(batch), refusal: Some(failure) }, Event::Same) => {
                self.outdated = false;
                self.take_apart(batch, failure)
            }
            (State::Read { batch, .. }, Event::Same) => {
                self.outdated = false;
                let rest = if batch.is_some() { Rest::Trouble } else { Rest::None };
                (State::Compose { again: batch }, rest)
            }
            (State::Read { batch, .. }, Event::Missing) => answer(batch, End::Deleted),
            (State::Read { batch, .. }, Event::OtherUid) => answer(batch, End::Replaced),
            (State::Read { batch, .. }, Event::Fatal(failure) | Event::Unreadable(failure)) => {
                answer(batch, End::FailedForAll(failure))
            }
            (State::Read { batch: Some(batch), refusal }, _) if !batch.is_late(now) => {
                (State::Read { batch: Some(batch), refusal }, Rest::Trouble)
            }
            (State::Read { batch, .. }, _) => {
                self.outdated = true;
                (State::Compose { again: batch }, Rest::Trouble)
            }

            (State::WatchNext { batch, .. }, Event::NextIsOther) => {
                self.outdated = true;
                (State::Compose { again: Some(batch) }, Rest::Contention)
            }
            (State::WatchNext { batch, .. }, Event::NextIsDeletion) => answer(Some(batch), End::Deleted),
            (State::WatchNext { batch, doubt }, Event::Unclear | Event::HistoryGone) => {
                (State::LiveRead { batch, doubt }, Rest::None)
            }
            (State::WatchNext { batch, doubt }, _) if now >= doubt => (State::LiveRead { batch, doubt }, Rest::Trouble),
            (State::WatchNext { batch, doubt }, _) => (State::WatchNext { batch, doubt }, Rest::Trouble),

            (State::LiveRead { batch, .. }, Event::NotLanded) => {
                self.outdated = false;
                (State::Compose { again: Some(batch) }, Rest::None)
            }
            (State::LiveRead { batch, .. }, Event::Unreadable(failure)) => {
                answer(Some(batch), End::FailedForAll(failure))
            }
            // Whether it landed before the object went is not known: that is not `Replaced`, which denies it.
            (State::LiveRead { batch, .. }, Event::Missing | Event::OtherUid) => answer(Some(batch), End::Deleted),
            // The base is current: the earlier PUT may still be on its way.
            (State::LiveRead { batch, doubt }, Event::Same) if now < doubt => {
                (State::Put { batch, doubt: Some(doubt) }, Rest::Trouble)
            }
            (State::LiveRead { batch, doubt }, Event::Fault) if now < doubt => {
                (State::LiveRead { batch, doubt }, Rest::Trouble)
            }
            (State::LiveRead { batch, .. }, _) => {
                self.outdated = true;
                answer(Some(batch), End::Unknown)
            }

            (State::Answer { .. }, _) => {
                // The others have to read first: who writes again at once would win every time.
                let rest = if std::mem::take(&mut self.contended) { Rest::Contention } else { Rest::None };
                (State::Compose { again: None }, rest)
            }
        }
    }

    /// One update of the batch may have spoilt it for all: the next one carries fewer, until the one to blame stands
    /// alone and fails alone.
    fn take_apart(&mut self, batch: B, failure: F) -> (State<B, V, F>, Rest) {
        match batch.count() {
            0 | 1 => answer(Some(batch), End::Failed(failure)),
            updates => {
                self.limit.halve(updates);
                (State::Compose { again: Some(batch) }, Rest::None)
            }
        }
    }
}

/// The identical PUT once more, as long as there is time for it.
fn put_in_doubt<B, V, F>(batch: B, doubt: Instant, now: Instant) -> State<B, V, F> {
    if now >= doubt { State::LiveRead { batch, doubt } } else { State::Put { batch, doubt: Some(doubt) } }
}

fn answer<B, V, F>(batch: Option<B>, end: End<V, F>) -> (State<B, V, F>, Rest) {
    (State::Answer { batch, end }, Rest::None)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
