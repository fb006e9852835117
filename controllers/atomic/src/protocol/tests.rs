//! The protocol holds in every interleaving, and the model notices protocols that do not.

use serde_json::Value;
use stateright::{Checker, HasDiscoveries, Model};
use tokio::time::Instant;

use super::model::{Modelled, Next, Seen, World};
use super::{End, Event, Protocol, Rest, State, Updates};
use crate::authorship::{Author, Lost, of_later, of_next};

const SMALL: World = World {
    writers: 2,
    updates: 1,
    losses: 2,
    restarts: 1,
    touches: 1,
    lateness: true,
    defaults: 0,
    seconds: false,
    identities: false,
    alters: false,
    voids: false,
    trusts_voids: false,
    next,
    of_next,
    of_later,
    repeats: false,
    forgets: false,
    trusts_ghosts: false,
    retries: false,
};

const BROKEN: &str = "the model must find this";

fn next(protocol: &mut Modelled, event: Seen, now: Instant) {
    protocol.next(event, now);
}

/// An update, as far as rests depend on it.
struct SingleUpdate;

impl Updates for SingleUpdate {
    fn count(&self) -> usize {
        1
    }

    fn is_late(&self, _now: Instant) -> bool {
        false
    }
}

#[test]
fn who_wins_against_others_gives_them_a_turn() {
    let now = Instant::now();
    let mut protocol = Protocol::<SingleUpdate, (), ()>::new();
    assert_eq!(protocol.next(Event::Composed(SingleUpdate), now), Rest::None);
    assert_eq!(protocol.next(Event::Conflict, now), Rest::Contention);
    assert_eq!(protocol.next(Event::NotLanded, now), Rest::None);
    assert_eq!(protocol.next(Event::Composed(SingleUpdate), now), Rest::None);
    assert_eq!(protocol.next(Event::Landed(Ok(())), now), Rest::None, "the callers are told at once");
    assert_eq!(protocol.next(Event::Answered, now), Rest::Contention);
    for event in [Event::Composed(SingleUpdate), Event::Landed(Ok(())), Event::Answered] {
        assert_eq!(protocol.next(event, now), Rest::None, "nobody was in the way");
    }
}

fn counterexample(next: Next, property: &'static str) {
    finds(&World { next, ..SMALL }, property);
}

fn finds(world: &World, property: &'static str) {
    let found = HasDiscoveries::AnyOf([property].into());
    let checker = world.clone().checker().threads(2).finish_when(found).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "{BROKEN}: {property}");
}

#[test]
fn two_writers_with_every_fault() {
    SMALL.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn with_identities_a_live_read_decides_everything() {
    let world = World { identities: true, lateness: false, ..SMALL };
    let checker = world.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
}

#[test]
fn a_writer_with_several_updates_does_not_take_an_older_write_of_its_own_for_the_lost_one() {
    let world = World { updates: 2, restarts: 0, touches: 0, ..SMALL };
    world.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn an_unknown_update_that_is_made_again_lands_once_and_vouches_for_no_other() {
    let world = World { updates: 2, restarts: 0, touches: 0, identities: true, retries: true, ..SMALL };
    world.clone().checker().threads(2).spawn_bfs().join().assert_properties();
    finds(&World { trusts_ghosts: true, ..world }, "what is acknowledged is applied once");
}

#[test]
fn three_writers_while_history_exists() {
    let world = World { writers: 3, losses: 1, restarts: 0, touches: 0, lateness: false, ..SMALL };
    world.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn the_model_catches_a_writer_that_forgets_its_own_last_write() {
    let world = World { updates: 2, restarts: 0, touches: 0, lateness: false, forgets: true, ..SMALL };
    finds(&world, "what is acknowledged is applied once");
}

#[test]
fn the_model_catches_a_writer_that_takes_a_ghost_for_its_present_write() {
    let world = World { updates: 2, restarts: 0, touches: 0, trusts_ghosts: true, ..SMALL };
    finds(&world, "what is acknowledged is applied once");
}

#[test]
fn a_put_that_somebody_repeats_lands_once() {
    let world = World { repeats: true, identities: true, ..SMALL };
    world.clone().checker().threads(2).spawn_bfs().join().assert_properties();
    let forgetful: Next = |protocol, event, now| match (&protocol.state, event) {
        (State::Read { .. }, Event::Landed(Ok(()))) => next(protocol, Event::Unclear, now),
        (_, event) => next(protocol, event, now),
    };
    finds(&World { next: forgetful, ..world }, "nothing is applied twice");
}

#[test]
fn where_every_write_has_a_second_of_its_own_entries_tell() {
    let world = World { seconds: true, ..SMALL };
    world.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn a_field_that_changed_without_an_owner_proves_nothing() {
    let world = World { defaults: 1, touches: 0, ..SMALL };
    for seconds in [false, true] {
        World { seconds, ..world.clone() }.checker().threads(2).spawn_bfs().join().assert_properties();
    }
    // Who owns what is around a field is taken for its owner.
    fn of_next_by_parents(lost: &Lost<'_>, next: &Value) -> Author {
        let is_as_sent = |member: &str| {
            let part = |status: &Value| status[member].clone();
            part(&next["status"]) == part(lost.sent) && part(&next["status"]) != part(&lost.base["status"])
        };
        if is_as_sent("mode") || is_as_sent("log") { Author::Ours } else { of_next(lost, next) }
    }
    finds(&World { of_next: of_next_by_parents, ..world }, "what is acknowledged is applied once");
}

#[test]
fn an_identity_that_was_altered_proves_nothing() {
    let world = World { identities: true, alters: true, ..SMALL };
    world.clone().checker().threads(2).spawn_bfs().join().assert_properties();
    // An absent identity overrules owners.
    fn by_identity_first(lost: &Lost<'_>, version: &Value) -> Author {
        let log = |status: &Value| status["log"].as_array().cloned().unwrap_or_default();
        let present = log(&version["status"]);
        if log(lost.sent).iter().all(|entry| present.contains(entry)) { Author::Unclear } else { Author::Other }
    }
    for world in [World { of_next: by_identity_first, ..world.clone() }, World { of_later: by_identity_first, ..world }]
    {
        finds(&world, "nothing is applied twice");
    }
}

#[test]
fn a_put_that_changed_nothing_does_not_prove_that_an_earlier_one_never_lands() {
    let world = World { updates: 2, losses: 2, restarts: 0, touches: 0, voids: true, ..SMALL };
    world.clone().checker().threads(2).spawn_bfs().join().assert_properties();
    finds(&World { trusts_voids: true, ..world }, "what is acknowledged is applied once");
}

#[test]
fn the_model_catches_a_writer_that_starts_over_after_a_lost_answer() {
    counterexample(
        |protocol, event, now| match (&protocol.state, event) {
            (State::Put { .. }, Event::AnswerLost(_)) => protocol.state = State::Read { batch: None, refusal: None },
            (_, event) => next(protocol, event, now),
        },
        "nothing is applied twice",
    );
}

#[test]
fn the_model_catches_a_writer_that_takes_a_conflict_in_doubt_for_a_lost_race() {
    counterexample(
        |protocol, event, now| match (&protocol.state, event) {
            (State::Put { doubt: Some(_), .. }, Event::Conflict) => {
                protocol.state = State::Read { batch: None, refusal: None };
            }
            (_, event) => next(protocol, event, now),
        },
        "nothing is applied twice",
    );
}

#[test]
fn the_model_catches_a_writer_that_takes_an_unmoved_base_for_a_failure() {
    counterexample(
        |protocol, event, now| match (&protocol.state, event) {
            (State::LiveRead { .. }, Event::Same) => protocol.state = State::Compose { again: None },
            (_, event) => next(protocol, event, now),
        },
        "nothing is applied twice",
    );
}

#[test]
fn the_model_catches_a_writer_that_takes_a_lost_answer_for_success() {
    counterexample(
        |protocol, event, now| match (&protocol.state, event) {
            (State::Put { .. }, Event::AnswerLost(_)) => next(protocol, Event::Landed(Ok(())), now),
            (_, event) => next(protocol, event, now),
        },
        "what is acknowledged is applied once",
    );
}

#[test]
fn the_model_catches_a_writer_that_reports_a_doubt_as_a_failure() {
    counterexample(
        |protocol, event, now| {
            next(protocol, event, now);
            if let State::Answer { end: end @ End::Unknown, .. } = &mut protocol.state {
                *end = End::Failed(());
            }
        },
        "what failed is never applied",
    );
}
