//! Every interleaving of two replicas, crashes, people and clock jumps, in a rotation and at the first start.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

mod model;

use model::explore::{Allowance, explore, find};
use model::world::{Misuse, World};

/// Stable for long, every replica with a leaf, and the authority is due.
fn before_renewal(replicas: usize, bundles: usize) -> World {
    let mut world = World::empty(replicas, bundles);
    while world.renewal().is_none_or(|due| world.now < due) {
        (0..8 * replicas).for_each(|look| world.whole_look(look % replicas));
        world.now = world.next_event().unwrap();
    }
    (0..replicas).for_each(|replica| world.renew_leaf(replica));
    assert!(world.replicas.iter().all(|replica| replica.leaf.is_some()), "{world:?}");
    world
}

#[test]
fn a_rotation_with_a_crash_at_any_point() {
    explore("one crash", before_renewal(2, 1), Allowance { crashes: 1, events: 3, days: 1, ..NONE });
}

#[test]
fn a_rotation_of_two_bundles() {
    explore("two bundles", before_renewal(2, 2), Allowance { events: 4, ..NONE });
}

#[test]
fn a_rotation_with_a_suspension_and_a_clock_that_goes_back() {
    explore("jumps", before_renewal(2, 1), Allowance { forward: 1, hour_back: 1, events: 1, ..NONE });
    explore("hour back", before_renewal(2, 1), Allowance { hour_back: 2, events: 3, ..NONE });
}

#[test]
fn a_rotation_in_which_a_person_changes_a_bundle() {
    explore("bundle", before_renewal(2, 1), Allowance { edits: 1, events: 3, ..NONE });
}

#[test]
fn a_rotation_in_which_the_secret_is_lost() {
    explore("secret", before_renewal(2, 1), Allowance { losses: 1, events: 3, ..NONE });
}

#[test]
fn a_rotation_in_which_secret_and_bundle_are_lost() {
    explore("secret and bundle", before_renewal(2, 1), Allowance { edits: 1, losses: 1, events: 0, ..NONE });
}

#[test]
fn a_first_start() {
    explore("first start", World::empty(2, 2), Allowance { crashes: 1, losses: 1, events: 1, ..NONE });
}

#[test]
fn a_clock_that_was_wrong() {
    explore("wrong clock", before_renewal(2, 1), Allowance { forward: 1, days_back: 1, events: 1, ..NONE });
}

const NONE: Allowance =
    Allowance { crashes: 0, edits: 0, losses: 0, forward: 0, hour_back: 0, days_back: 0, events: 0, days: 0 };

fn finds(misuse: Misuse, mut start: World, budget: Allowance) {
    start.misuse = misuse;
    let explored = find(start, budget);
    let (moves, problem) = explored.broken.expect("the model notices");
    println!("{misuse:?}: {} in {moves:?}", problem.lines().next().unwrap());
}

/// The next authority was seen published, and has spread.
fn before_promotion() -> World {
    let mut world = before_renewal(2, 1);
    (0..4).for_each(|_| world.whole_look(0));
    world.now = world.next_event().unwrap();
    world
}

#[test]
fn each_part_of_the_contract_is_needed() {
    let quiet = Allowance { events: 2, days: 1, ..NONE };
    let longer = Allowance { events: 3, ..quiet };
    let person = Allowance { edits: 1, losses: 1, events: 1, ..NONE };
    finds(Misuse { secret_late: true, ..Misuse::default() }, before_renewal(2, 1), person);
    finds(Misuse { secret_once: true, ..Misuse::default() }, before_renewal(2, 1), quiet);
    finds(Misuse { asked_late: true, ..Misuse::default() }, before_promotion(), longer);
    finds(Misuse { now_early: true, ..Misuse::default() }, before_promotion(), longer);
    finds(Misuse { blind_writes: true, ..Misuse::default() }, before_renewal(2, 1), quiet);
}
