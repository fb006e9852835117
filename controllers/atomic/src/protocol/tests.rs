//! The protocol holds in every interleaving, and the model notices protocols that do not.

use stateright::{Checker, HasDiscoveries, Model};

use super::model::{Next, World};
use super::{End, Event, State, next};

const SMALL: World = World {
    writers: 2,
    updates: 1,
    losses: 2,
    restarts: 1,
    touches: 1,
    lateness: true,
    identities: false,
    next,
    forgets: false,
    trusts_ghosts: false,
    retries: false,
};

const BROKEN: &str = "the model must find this";

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
fn the_model_catches_a_writer_that_starts_over_after_a_lost_answer() {
    counterexample(
        |state, event, late| match (state, event) {
            (State::Put { .. }, Event::Unknown) => State::Read { refused: false },
            _ => next(state, event, late),
        },
        "nothing is applied twice",
    );
}

#[test]
fn the_model_catches_a_writer_that_takes_a_conflict_in_doubt_for_a_lost_race() {
    counterexample(
        |state, event, late| match (state, event) {
            (State::Put { doubt: true }, Event::Conflict) => State::Read { refused: false },
            _ => next(state, event, late),
        },
        "nothing is applied twice",
    );
}

#[test]
fn the_model_catches_a_writer_that_takes_an_unmoved_base_for_a_failure() {
    counterexample(
        |state, event, late| match (state, event) {
            (State::LiveRead, Event::Same) => State::Compose,
            _ => next(state, event, late),
        },
        "nothing is applied twice",
    );
}

#[test]
fn the_model_catches_a_writer_that_takes_a_lost_answer_for_success() {
    counterexample(
        |state, event, late| match (state, event) {
            (State::Put { .. }, Event::Unknown) => State::Done(End::Committed),
            _ => next(state, event, late),
        },
        "what is acknowledged is applied once",
    );
}

#[test]
fn the_model_catches_a_writer_that_reports_a_doubt_as_a_failure() {
    counterexample(
        |state, event, late| match next(state, event, late) {
            State::Done(End::Unknown) => State::Done(End::Refused),
            state => state,
        },
        "what failed is never applied",
    );
}
