//! Every interleaving of several writers, lost answers, late landings and lost history.
//!
//! The writers run [`Protocol::next`] itself. What they see comes from a server that is modelled after what
//! the API server does ([`server`]): a PUT lands if and only if its base is current; a sent PUT may land at any
//! later time or never, or change nothing; history may be forgotten. Who wrote a version is judged by
//! [`authorship`] itself, by owners and times in seconds, where fields change without an owner and
//! identities are altered. Each writer appends one entry of its own per update, and sets a field.

use std::collections::BTreeSet;

use stateright::{Model, Property};

use super::{End, Event, Protocol, State};
use crate::authorship::Author;
use server::{LostPut, Proof, Version};
use world::{ModelEntry, Now, Put, Step, Under, Writer, moment};
pub(super) use world::{Modelled, Next, Seen, World};

mod server;
mod world;

impl World {
    fn arrive(&self, now: &mut Now, put: &Put) -> Seen {
        if put.base + 1 != now.versions.len() {
            return Event::Conflict;
        }
        let next = now.versions[put.base].put(put.writer, &put.entries, self.second(now));
        now.versions.push(next);
        Event::Landed(Ok(()))
    }

    /// When the next version is made.
    fn second(&self, now: &Now) -> usize {
        if self.seconds { now.versions.len() } else { 0 }
    }

    fn is_unresolved(&self, writer: &Writer) -> bool {
        !self.trusts_ghosts && writer.unresolved == Some(writer.base)
    }

    /// What an update appends to its base, with those made again that are not there.
    fn compose(&self, now: &Now, writer: usize) -> Vec<ModelEntry> {
        let one = &now.writers[writer];
        let there = &now.versions[one.base].entries;
        let again = one.unknown.iter().copied().filter(|entry| self.retries && !there.contains(entry));
        again.chain([(writer, one.update)]).collect()
    }

    fn see(&self, now: &mut Now, writer: usize, event: Seen, late: bool) {
        let one = &mut now.writers[writer];
        (self.next)(&mut one.protocol, event, moment(late));
        if let State::Compose { again } = &mut one.protocol.state {
            again.take();
            if one.protocol.outdated {
                (self.next)(&mut one.protocol, Event::Outdated, moment(late));
            }
        }
        let entry = (writer, one.update);
        let State::Answer { batch, end } = &mut one.protocol.state else { return };
        match end {
            End::Committed(()) => one.acknowledged.extend(batch.take().into_iter().flatten()),
            End::Unknown => {
                one.unresolved = Some(one.base);
                one.unknown.push(entry);
            }
            _ => one.refused.push(entry),
        }
        one.turn_to_next();
    }

    /// What the current version, which is not the base, proves about the PUT.
    fn judge_current(&self, now: &Now, writer: usize) -> Seen {
        match self.judge(now, writer, now.versions.len() - 1, self.of_later) {
            Author::Ours => Event::Landed(Ok(())),
            Author::Other => Event::NotLanded,
            Author::Unclear => Event::Unclear,
        }
    }

    fn judge(&self, now: &Now, writer: usize, version: usize, proof: Proof) -> Author {
        let one = &now.writers[writer];
        let lost = LostPut {
            manager: writer,
            entries: one.offer().to_vec(),
            unresolved: self.is_unresolved(one),
            identities: self.identities,
            alters: self.alters,
        };
        now.versions[one.base].judge(&lost, &now.versions[version], proof)
    }
}

impl Now {
    fn put_of(&self, writer: usize) -> Put {
        let one = &self.writers[writer];
        Put { writer, base: one.base, entries: one.offer().to_vec() }
    }
}

impl Writer {
    /// What the PUT appends.
    fn offer(&self) -> &[ModelEntry] {
        match &self.protocol.state {
            State::Put { batch, .. }
            | State::WatchNext { batch, .. }
            | State::LiveRead { batch, .. }
            | State::Read { batch: Some(batch), .. } => batch,
            _ => &[],
        }
    }

    fn turn_to_next(&mut self) {
        self.update += 1;
        self.awaits = None;
        // What comes next starts from what the writer knows, which may be stale.
        self.protocol = Protocol::new();
    }
}

impl Model for World {
    type State = Now;
    type Action = Step;

    fn init_states(&self) -> Vec<Now> {
        let writer = Writer {
            protocol: Protocol::new(),
            base: 0,
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
            // Somebody else is a manager, too.
            versions: vec![Version::first(self.writers + 1)],
            horizon: 0,
            adrift: BTreeSet::new(),
            writers: vec![writer; self.writers],
            restarts: 0,
            touches: 0,
            defaults: 0,
        }]
    }

    fn actions(&self, now: &Now, actions: &mut Vec<Step>) {
        let lates = if self.lateness { &[false, true][..] } else { &[false][..] };
        actions.extend(now.adrift.iter().cloned().map(Step::Land));
        for (index, writer) in now.writers.iter().enumerate() {
            if writer.update == self.updates {
                continue;
            }
            match &writer.protocol.state {
                State::Compose { .. } => {
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
                            actions.extend(self.repeats.then_some(Step::Repeat(index)));
                            let is_current = writer.base + 1 == now.versions.len();
                            actions.extend((self.voids && is_current).then_some(Step::Void(index)));
                            actions.extend(may_lose.then_some(Step::Arrive(index)));
                        }
                        Some(Under::Lost) => {}
                    }
                    if may_lose && writer.awaits.is_some() {
                        actions.extend(lates.iter().map(|late| Step::GiveUpWaiting(index, *late)));
                    }
                }
                State::Read { batch, .. } => {
                    actions.push(Step::Read(index));
                    // Of a repeated PUT only the read that follows tells.
                    actions.extend((!self.repeats || batch.is_none()).then_some(Step::Expire(index)));
                }
                State::WatchNext { .. } => actions.extend(lates.iter().map(|late| Step::WatchNext(index, *late))),
                State::LiveRead { .. } => actions.extend(lates.iter().map(|late| Step::LiveRead(index, *late))),
                State::Answer { .. } | State::Idle => {}
            }
        }
        if now.restarts < self.restarts {
            actions.push(Step::Restart);
        }
        if now.touches < self.touches {
            actions.push(Step::Touch);
        }
        if now.defaults < self.defaults {
            actions.push(Step::Default);
        }
    }

    fn next_state(&self, last: &Now, step: Step) -> Option<Now> {
        let mut now = last.clone();
        let current = now.versions.len() - 1;
        match step {
            Step::Compose(writer, base) => {
                now.writers[writer].base = base;
                now.writers[writer].known = base;
                let batch = self.compose(&now, writer);
                self.see(&mut now, writer, Event::Composed(batch), false);
            }
            Step::Send(writer) => now.writers[writer].awaits = Some(Under::Way),
            Step::Answer(writer) => {
                let put = now.put_of(writer);
                let event = self.arrive(&mut now, &put);
                let landed = now.versions.len() - 1;
                let one = &mut now.writers[writer];
                one.awaits = None;
                if event == Event::Landed(Ok(())) {
                    one.base = landed;
                    one.known = landed;
                }
                self.see(&mut now, writer, event, false);
            }
            Step::Void(writer) => {
                let one = &mut now.writers[writer];
                one.awaits = None;
                if one.protocol.state.doubt().is_some() && !self.trusts_voids {
                    one.unresolved = Some(one.base);
                }
                // Its caller is told that nothing was stored.
                one.turn_to_next();
            }
            Step::Repeat(writer) => {
                let put = now.put_of(writer);
                self.arrive(&mut now, &put);
                now.writers[writer].awaits = None;
                self.see(&mut now, writer, Event::Conflict, false);
            }
            Step::Arrive(writer) => {
                let put = now.put_of(writer);
                self.arrive(&mut now, &put);
                now.writers[writer].awaits = Some(Under::Lost);
            }
            Step::Land(put) => {
                self.arrive(&mut now, &put);
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
                self.see(&mut now, writer, Event::AnswerLost(moment(true)), late);
            }
            Step::WatchNext(writer, late) => {
                let base = now.writers[writer].base;
                let event = if base + 1 < now.horizon {
                    Event::HistoryGone
                } else {
                    now.versions.get(base + 1)?;
                    match self.judge(&now, writer, base + 1, self.of_next) {
                        Author::Ours => Event::Landed(Ok(())),
                        Author::Other => Event::NextIsOther,
                        Author::Unclear => Event::Unclear,
                    }
                };
                if !matches!(event, Event::NextIsOther | Event::HistoryGone) {
                    now.writers[writer].known = base + 1;
                }
                self.see(&mut now, writer, event, late);
            }
            Step::LiveRead(writer, late) => {
                let event =
                    if current == now.writers[writer].base { Event::Same } else { self.judge_current(&now, writer) };
                let one = &mut now.writers[writer];
                one.known = current;
                if event == Event::NotLanded {
                    one.base = current;
                }
                self.see(&mut now, writer, event, late);
            }
            Step::Read(writer) => {
                let event =
                    if current == now.writers[writer].base { Event::Same } else { self.judge_current(&now, writer) };
                let one = &mut now.writers[writer];
                one.base = current;
                one.known = current;
                // Nothing was put before that it could prove.
                let event = if one.offer().is_empty() && event != Event::Same { Event::Unclear } else { event };
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
                let next = now.versions[current].touched(self.second(&now));
                now.versions.push(next);
            }
            Step::Default => {
                now.defaults += 1;
                let next = now.versions[current].with_default(self.second(&now))?;
                now.versions.push(next);
            }
        }
        let current = now.versions.len() - 1;
        now.adrift.retain(|put| put.base == current);
        Some(now)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn count(now: &Now, entry: &ModelEntry) -> usize {
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
