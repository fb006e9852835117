//! What is modelled: the bounds of a world, its state, and the steps that lead from one state to the next.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use tokio::time::Instant;

use super::server::{Proof, Version};
use crate::protocol::{Event, Protocol, Updates};

pub(in crate::protocol) type Modelled = Protocol<Vec<ModelEntry>, (), ()>;
pub(in crate::protocol) type Seen = Event<Vec<ModelEntry>, (), ()>;
/// How a writer goes on after an event.
pub(in crate::protocol) type Next = fn(&mut Modelled, Seen, Instant);
/// The entry of one update: which writer, which of its updates.
pub(in crate::protocol) type ModelEntry = (usize, u8);

/// Two moments: before and after the time for settling a doubt is over.
static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

pub(super) fn moment(late: bool) -> Instant {
    *NOW + Duration::from_secs(u64::from(late))
}

/// The entries of one update.
impl Updates for Vec<ModelEntry> {
    fn count(&self) -> usize {
        1
    }

    fn is_late(&self, now: Instant) -> bool {
        now == moment(true)
    }
}

#[derive(Clone)]
pub(in crate::protocol) struct World {
    pub(in crate::protocol) writers: usize,
    pub(in crate::protocol) updates: u8,
    /// How many answers each writer may lose.
    pub(in crate::protocol) losses: u8,
    /// How often history may be forgotten.
    pub(in crate::protocol) restarts: u8,
    /// How many writes of somebody else may touch the object.
    pub(in crate::protocol) touches: u8,
    /// Whether the time for settling a doubt may run out.
    pub(in crate::protocol) lateness: bool,
    /// How many times a default may take the place of a field that somebody else gave up.
    pub(in crate::protocol) defaults: u8,
    /// Whether every write falls into a second of its own; else all fall into one.
    pub(in crate::protocol) seconds: bool,
    /// Whether entries have an identity, of which it is known that it is stored as sent unless it is altered.
    pub(in crate::protocol) identities: bool,
    /// Whether the API server alters identities.
    pub(in crate::protocol) alters: bool,
    /// Whether a PUT may be accepted and change nothing.
    pub(in crate::protocol) voids: bool,
    /// Whether a writer takes such a PUT for the proof that an earlier one can never land.
    pub(in crate::protocol) trusts_voids: bool,
    /// Whether a writer may start from a version older than its own last write.
    pub(in crate::protocol) forgets: bool,
    /// Whether a writer trusts ownership on a base on which it gave up a write.
    pub(in crate::protocol) trusts_ghosts: bool,
    /// Whether somebody in between repeats PUTs, so that one that landed is answered with a conflict.
    pub(in crate::protocol) repeats: bool,
    /// Whether an update that became unknown is made again, with its own identity, along with the next.
    pub(in crate::protocol) retries: bool,
    pub(in crate::protocol) next: Next,
    pub(in crate::protocol) of_next: Proof,
    pub(in crate::protocol) of_later: Proof,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::protocol) struct Now {
    /// All versions; the last one is current.
    pub(super) versions: Vec<Version>,
    /// Versions before this one can no longer be watched.
    pub(super) horizon: usize,
    /// PUTs that nobody awaits any more and that may still land. Those of older bases cannot and are
    /// left out; equal ones count once, because only one can land.
    pub(super) adrift: BTreeSet<Put>,
    pub(super) writers: Vec<Writer>,
    pub(super) restarts: u8,
    pub(super) touches: u8,
    pub(super) defaults: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::protocol) struct Put {
    pub(super) writer: usize,
    pub(super) base: usize,
    pub(super) entries: Vec<ModelEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::protocol) struct Writer {
    pub(super) protocol: Modelled,
    pub(super) base: usize,
    /// The PUT whose answer is awaited.
    pub(super) awaits: Option<Under>,
    pub(super) losses: u8,
    pub(super) update: u8,
    /// The newest version it has seen.
    pub(super) known: usize,
    /// The base on which it gave up a write that may still land.
    pub(super) unresolved: Option<usize>,
    pub(super) acknowledged: Vec<ModelEntry>,
    pub(super) unknown: Vec<ModelEntry>,
    pub(super) refused: Vec<ModelEntry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::protocol) enum Under {
    /// It is on its way.
    Way,
    /// It has arrived, and the answer is lost.
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::protocol) enum Step {
    /// On the version that a cache shows, which may be any that is not older than the writer knows.
    Compose(usize, usize),
    Send(usize),
    /// The PUT arrives and the writer gets its answer.
    Answer(usize),
    /// The PUT arrives on the current version and changes nothing, and the writer gets its answer.
    Void(usize),
    /// The PUT arrives twice and the writer gets the second answer.
    Repeat(usize),
    /// The PUT arrives and its answer is lost.
    Arrive(usize),
    /// A PUT that nobody awaits any more arrives.
    Land(Put),
    /// The writer stops waiting; the PUT may still arrive.
    GiveUpWaiting(usize, bool),
    Reject(usize),
    WatchNext(usize, bool),
    LiveRead(usize, bool),
    Read(usize),
    /// The caller's budget is spent, perhaps because the object cannot be read.
    Expire(usize),
    Restart,
    Touch,
    Default,
}
