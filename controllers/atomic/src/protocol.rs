//! The protocol of one write as a pure state machine: what was seen decides what is done next.
//!
//! ```text
//!            ┌───────────────── lost ─────────────────┐
//!            ▼                                        │
//!  Compose ─▶ Put ──conflict──▶ Read ──moved──▶ Compose
//!    ▲         │ unknown
//!    │         ▼
//!    │   Put in doubt ──written──▶ Committed
//!    │         │ conflict
//!    │         ▼
//!    ├─other─ WatchNext (watch from the base) ──ours──▶ Committed
//!    │         │ history gone
//!    │         ▼
//!    └─lost── LiveRead (live read) ──landed──▶ Committed
//!              └──undecided──▶ Unknown
//! ```
//!
//! The driver performs what a state says; the tests' model explores this very function.

/// Where one write stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum State {
    /// The base is known and nothing is under way: the closures are to be run on it.
    Compose,
    /// The composed status is to be put on its base. In `doubt`, an identical PUT went out before
    /// and nobody knows whether it landed.
    Put {
        /// Whether an earlier identical PUT is unaccounted for.
        doubt: bool,
    },
    /// Nothing of ours is on its way: the object is to be read live before composing again.
    Read {
        /// Whether the base was refused rather than replaced.
        refused: bool,
    },
    /// In doubt, and the object has left the base: the first version after it tells who won.
    WatchNext,
    /// In doubt without history: what the object looks like now may tell.
    LiveRead,
    /// Over.
    Done(End),
}

/// How a write ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum End {
    /// It landed, exactly once.
    Committed,
    /// The object is gone; a lost PUT may have landed before.
    Deleted,
    /// The name belongs to another object now, and nothing of this write was applied.
    Replaced,
    /// The base is current and the status is refused on it.
    Refused,
    /// Nobody can tell.
    Unknown,
    /// The API server said something that no repetition will change.
    Fatal,
}

/// What was seen in a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// The closures ran and changed something.
    Composed,
    /// PUT: 200 with the object.
    Written,
    /// PUT: 409 without a refusal: the base is not the current version.
    Conflict,
    /// PUT: refused by schema or admission.
    Refused,
    /// PUT or read: 404 for this object.
    Missing,
    /// PUT: certainly not applied, and worth another try.
    NotApplied,
    /// PUT: nobody knows whether it was or will be applied.
    Unknown,
    /// Anything: an answer that no repetition will change.
    Fatal,
    /// WatchNext: the first version after the base was written by this write.
    NextIsOurs,
    /// WatchNext: the first version after the base was written by somebody else.
    NextIsOther,
    /// WatchNext: the first thing after the base is the end of the object.
    NextIsDeletion,
    /// WatchNext or LiveRead: what is there proves nothing.
    Unclear,
    /// WatchNext: the API server no longer has (or does not show) the versions after the base.
    HistoryGone,
    /// WatchNext or a read: no answer; asking again changes nothing.
    Fault,
    /// A read: the base is still the current version.
    Same,
    /// Read: the same object in another version.
    Moved,
    /// A read: another object of that name.
    OtherUid,
    /// LiveRead: the write is proven to have landed.
    Landed,
    /// LiveRead: the write is proven not to have landed, now and for ever.
    Lost,
}

/// The state after `event` was seen in `state`; `late` says that the time for settling a doubt is
/// over (without a doubt the callers' own budgets decide, between states).
///
/// An event that cannot occur in a state counts as [`Event::Fault`] there.
#[must_use]
pub(crate) fn next(state: State, event: Event, late: bool) -> State {
    match state {
        State::Compose => State::Put { doubt: false },
        State::Put { doubt } => after_put(doubt, event, late),
        State::Read { refused } => match event {
            Event::Moved => State::Compose,
            Event::Same if refused => State::Done(End::Refused),
            Event::Same => State::Compose,
            Event::Missing => State::Done(End::Deleted),
            Event::OtherUid => State::Done(End::Replaced),
            Event::Fatal => State::Done(End::Fatal),
            _ => state,
        },
        State::WatchNext => match event {
            Event::NextIsOurs => State::Done(End::Committed),
            Event::NextIsOther => State::Read { refused: false },
            Event::NextIsDeletion => State::Done(End::Deleted),
            Event::Unclear | Event::HistoryGone | Event::Fatal => State::LiveRead,
            _ if late => State::LiveRead,
            _ => State::WatchNext,
        },
        State::LiveRead => match event {
            Event::Landed => State::Done(End::Committed),
            Event::Lost => State::Compose,
            // Whether it landed before the object went is not known: that is not `Replaced`, which denies it.
            Event::Missing | Event::OtherUid => State::Done(End::Deleted),
            // The base is current: the earlier PUT may still be on its way.
            Event::Same if !late => State::Put { doubt: true },
            Event::Fault if !late => State::LiveRead,
            _ => State::Done(End::Unknown),
        },
        State::Done(_) => state,
    }
}

fn after_put(doubt: bool, event: Event, late: bool) -> State {
    let again = if late { State::LiveRead } else { State::Put { doubt: true } };
    match event {
        // In doubt this is the proof: two PUTs on one base cannot both land.
        Event::Written => State::Done(End::Committed),
        Event::Missing => State::Done(End::Deleted),
        Event::Conflict if doubt => State::WatchNext,
        Event::Conflict => State::Read { refused: false },
        // In doubt a refusal speaks of this PUT only; the earlier one may still be on its way.
        _ if doubt => again,
        Event::Refused => State::Read { refused: true },
        Event::NotApplied => State::Compose,
        Event::Fatal => State::Done(End::Fatal),
        _ => again,
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
