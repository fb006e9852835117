//! Every interleaving of several writers, lost answers, late landings and lost history.
//!
//! The writers run [`next`](super::next) itself. What they see comes from a server that is modelled after what
//! the API server does: a PUT lands if and only if its base is current; a sent PUT may land at any
//! later time or never; the author of a version is known to all (that is what `managedFields` prove);
//! history may be forgotten. Each writer appends one entry of its own per update.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::{End, Event, State};

pub(super) type Next = fn(State, Event, bool) -> State;
/// The entry of one update: which writer, which of its updates.
pub(super) type Entry = (usize, u8);

#[derive(Clone)]
pub(super) struct World {
    pub(super) writers: usize,
    pub(super) updates: u8,
    /// How many answers each writer may lose.
    pub(super) losses: u8,
    /// How often history may be forgotten.
    pub(super) restarts: u8,
    /// How many writes of somebody else may touch the object.
    pub(super) touches: u8,
    /// Whether the time for settling a doubt may run out.
    pub(super) lateness: bool,
    /// Whether entries have an identity that a live read shows.
    pub(super) identities: bool,
    /// Whether a writer may start from a version older than its own last write.
    pub(super) forgets: bool,
    /// Whether a writer trusts ownership on a base on which it gave up a write.
    pub(super) trusts_ghosts: bool,
    /// Whether an update that became unknown is made again, with its own identity, along with the next.
    pub(super) retries: bool,
    pub(super) next: Next,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Now {
    /// All versions; the last one is current.
    versions: Vec<Version>,
    /// Versions before this one can no longer be watched.
    horizon: usize,
    /// PUTs that nobody awaits any more and that may still land. Those of older bases cannot and are
    /// left out; equal ones count once, because only one can land.
    adrift: BTreeSet<Put>,
    writers: Vec<Writer>,
    restarts: u8,
    touches: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version {
    author: Option<usize>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Put {
    writer: usize,
    base: usize,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Writer {
    state: State,
    base: usize,
    /// What the PUT appends.
    offer: Vec<Entry>,
    /// The PUT whose answer is awaited.
    awaits: Option<Under>,
    losses: u8,
    update: u8,
    /// The newest version it has seen.
    known: usize,
    /// The base on which it gave up a write that may still land.
    unresolved: Option<usize>,
    acknowledged: Vec<Entry>,
    unknown: Vec<Entry>,
    refused: Vec<Entry>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Under {
    /// It is on its way.
    Way,
    /// It has arrived, and the answer is lost.
    Lost,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// On the version that a cache shows, which may be any that is not older than the writer knows.
    Compose(usize, usize),
    Send(usize),
    /// The PUT arrives and the writer gets its answer.
    Answer(usize),
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
    /// The caller's budget is spent.
    Expire(usize),
    Restart,
    Touch,
}

impl World {
    fn arrive(now: &mut Now, put: &Put) -> Event {
        if put.base + 1 != now.versions.len() {
            return Event::Conflict;
        }
        let mut entries = now.versions[put.base].entries.clone();
        entries.extend(&put.entries);
        now.versions.push(Version { author: Some(put.writer), entries });
        Event::Written
    }

    fn is_unresolved(&self, writer: &Writer) -> bool {
        !self.trusts_ghosts && writer.unresolved == Some(writer.base)
    }

    /// What an update appends to its base, with those made again that are not there.
    fn compose(&self, now: &Now, writer: usize) -> Vec<Entry> {
        let one = &now.writers[writer];
        let there = &now.versions[one.base].entries;
        let again = one.unknown.iter().copied().filter(|entry| self.retries && !there.contains(entry));
        again.chain([(writer, one.update)]).collect()
    }

    fn see(&self, now: &mut Now, writer: usize, event: Event, late: bool) {
        let one = &mut now.writers[writer];
        one.state = (self.next)(one.state, event, late);
        let entry = (writer, one.update);
        let State::Done(end) = one.state else { return };
        if end == End::Unknown {
            one.unresolved = Some(one.base);
        }
        match end {
            End::Committed => one.acknowledged.append(&mut one.offer),
            End::Unknown => one.unknown.push(entry),
            _ => one.refused.push(entry),
        }
        one.turn_to_next();
    }
}

/// Whether a version has all of these entries.
fn holds(version: &Version, entries: &[Entry]) -> bool {
    entries.iter().all(|entry| version.entries.contains(entry))
}

impl Now {
    fn put_of(&self, writer: usize) -> Put {
        let one = &self.writers[writer];
        Put { writer, base: one.base, entries: one.offer.clone() }
    }
}

impl Writer {
    fn turn_to_next(&mut self) {
        self.update += 1;
        self.awaits = None;
        self.offer.clear();
        // What comes next starts from what the writer knows, which may be stale.
        self.state = State::Compose;
    }
}

impl Model for World {
    type State = Now;
    type Action = Step;

    fn init_states(&self) -> Vec<Now> {
        let writer = Writer {
            state: State::Compose,
            base: 0,
            offer: Vec::new(),
            awaits: None,
            losses: 0,
            update: 0,
            known: 0,
            unresolved: None,
            acknowledged: Vec::new(),
            unknown: Vec::new(),
            refused: Vec::new(),
        };
        vec![Now {
            versions: vec![Version { author: None, entries: Vec::new() }],
            horizon: 0,
            adrift: BTreeSet::new(),
            writers: vec![writer; self.writers],
            restarts: 0,
            touches: 0,
        }]
    }

    fn actions(&self, now: &Now, actions: &mut Vec<Step>) {
        let lates = if self.lateness { &[false, true][..] } else { &[false][..] };
        actions.extend(now.adrift.iter().cloned().map(Step::Land));
        for (index, writer) in now.writers.iter().enumerate() {
            if writer.update == self.updates {
                continue;
            }
            match writer.state {
                State::Compose => {
                    let oldest = if self.forgets { 0 } else { writer.known };
                    actions.extend((oldest..now.versions.len()).map(|base| Step::Compose(index, base)));
                    actions.push(Step::Expire(index));
                }
                State::Put { .. } => {
                    let may_lose = writer.losses < self.losses;
                    match writer.awaits {
                        None => actions.push(Step::Send(index)),
                        Some(Under::Way) => {
                            actions.extend([Step::Answer(index), Step::Reject(index)]);
                            actions.extend(may_lose.then_some(Step::Arrive(index)));
                        }
                        Some(Under::Lost) => {}
                    }
                    if may_lose && writer.awaits.is_some() {
                        actions.extend(lates.iter().map(|late| Step::GiveUpWaiting(index, *late)));
                    }
                }
                State::Read { .. } => actions.extend([Step::Read(index), Step::Expire(index)]),
                State::WatchNext => actions.extend(lates.iter().map(|late| Step::WatchNext(index, *late))),
                State::LiveRead => actions.extend(lates.iter().map(|late| Step::LiveRead(index, *late))),
                State::Done(_) => {}
            }
        }
        if now.restarts < self.restarts {
            actions.push(Step::Restart);
        }
        if now.touches < self.touches {
            actions.push(Step::Touch);
        }
    }

    fn next_state(&self, last: &Now, step: Step) -> Option<Now> {
        let mut now = last.clone();
        let current = now.versions.len() - 1;
        match step {
            Step::Compose(writer, base) => {
                now.writers[writer].base = base;
                now.writers[writer].known = base;
                now.writers[writer].offer = self.compose(&now, writer);
                self.see(&mut now, writer, Event::Composed, false);
            }
            Step::Send(writer) => now.writers[writer].awaits = Some(Under::Way),
            Step::Answer(writer) => {
                let put = now.put_of(writer);
                let event = Self::arrive(&mut now, &put);
                let landed = now.versions.len() - 1;
                let one = &mut now.writers[writer];
                one.awaits = None;
                if event == Event::Written {
                    one.base = landed;
                    one.known = landed;
                }
                self.see(&mut now, writer, event, false);
            }
            Step::Arrive(writer) => {
                let put = now.put_of(writer);
                Self::arrive(&mut now, &put);
                now.writers[writer].awaits = Some(Under::Lost);
            }
            Step::Land(put) => {
                Self::arrive(&mut now, &put);
            }
            Step::Reject(writer) => {
                now.writers[writer].awaits = None;
                self.see(&mut now, writer, Event::NotApplied, false);
            }
            Step::GiveUpWaiting(writer, late) => {
                if now.writers[writer].awaits == Some(Under::Way) {
                    let put = now.put_of(writer);
                    now.adrift.insert(put);
                }
                let one = &mut now.writers[writer];
                one.awaits = None;
                one.losses += 1;
                self.see(&mut now, writer, Event::Unknown, late);
            }
            Step::WatchNext(writer, late) => {
                let base = now.writers[writer].base;
                let event = if base + 1 < now.horizon {
                    Event::HistoryGone
                } else {
                    let next = now.versions.get(base + 1)?;
                    let one = &now.writers[writer];
                    let as_sent = next.entries[now.versions[base].entries.len()..] == one.offer;
                    let event = match next.author {
                        author if author != Some(writer) => Event::NextIsOther,
                        _ if as_sent || !self.is_unresolved(one) => Event::NextIsOurs,
                        _ if self.identities && !holds(next, &one.offer) => Event::NextIsOther,
                        _ => Event::Unclear,
                    };
                    if event != Event::NextIsOther {
                        now.writers[writer].known = base + 1;
                    }
                    event
                };
                self.see(&mut now, writer, event, late);
            }
            Step::LiveRead(writer, late) => {
                let one = &now.writers[writer];
                let version = &now.versions[current];
                let event = if current == one.base {
                    Event::Same
                } else if self.identities && !holds(version, &one.offer) {
                    Event::Lost
                } else if (self.identities || version.author == Some(writer)) && !self.is_unresolved(one) {
                    Event::Landed
                } else {
                    Event::Unclear
                };
                now.writers[writer].known = current;
                if event == Event::Lost {
                    now.writers[writer].base = current;
                }
                self.see(&mut now, writer, event, late);
            }
            Step::Read(writer) => {
                let one = &mut now.writers[writer];
                let event = if one.base == current { Event::Same } else { Event::Moved };
                one.base = current;
                one.known = current;
                self.see(&mut now, writer, event, false);
            }
            Step::Expire(writer) => {
                let one = &mut now.writers[writer];
                one.refused.push((writer, one.update));
                one.turn_to_next();
            }
            Step::Restart => {
                now.restarts += 1;
                now.horizon = now.versions.len();
            }
            Step::Touch => {
                now.touches += 1;
                let entries = now.versions[current].entries.clone();
                now.versions.push(Version { author: None, entries });
            }
        }
        let current = now.versions.len() - 1;
        now.adrift.retain(|put| put.base == current);
        Some(now)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn count(now: &Now, entry: &Entry) -> usize {
            now.versions.last().map_or(0, |version| version.entries.iter().filter(|held| *held == entry).count())
        }
        vec![
            Property::always("what is acknowledged is applied once", |_, now: &Now| {
                now.writers.iter().flat_map(|writer| &writer.acknowledged).all(|entry| count(now, entry) == 1)
            }),
            Property::always("nothing is applied twice", |world: &World, now: &Now| {
                (0..world.writers).all(|writer| (0..world.updates).all(|update| count(now, &(writer, update)) <= 1))
            }),
            Property::always("what failed is never applied", |_, now: &Now| {
                now.writers.iter().flat_map(|writer| &writer.refused).all(|entry| count(now, entry) == 0)
            }),
            Property::always(
                "nothing stays unknown while history exists and time is left",
                |world: &World, now: &Now| {
                    world.lateness || now.restarts > 0 || now.writers.iter().all(|writer| writer.unknown.is_empty())
                },
            ),
            Property::sometimes("everything is acknowledged", |world: &World, now: &Now| {
                now.writers.iter().all(|writer| writer.acknowledged.len() == usize::from(world.updates))
            }),
            Property::sometimes("a lost answer is acknowledged", |_, now: &Now| {
                now.writers.iter().any(|writer| writer.losses > 0 && !writer.acknowledged.is_empty())
            }),
        ]
    }
}
