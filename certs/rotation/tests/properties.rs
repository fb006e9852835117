//! Random schedules: more replicas, more faults, more time than every interleaving allows.
//!
//! `PROPTEST_CASES` sets the number of cases and draws them anew; without it they are the same on every run.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

mod model;

use model::faults::{EDITS, Jump};
use model::world::World;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use statusguard_rotation::Unusable;

const LOST: [Option<Unusable>; 4] =
    [None, Some(Unusable::Garbage), Some(Unusable::HalfPair), Some(Unusable::KeyMismatch)];

/// Runs schedules of random numbers; `faults` of a thousand moves are faults.
fn schedules(cases: u32, faults: u32, each: impl Fn(&mut World, u32)) {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    let config = Config {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        rng_seed: if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(1) },
        ..Config::default()
    };
    let moves = vec((0..1000_u32, any::<u32>()), 0..600);
    let outcome = TestRunner::new(config).run(&(1..4_usize, 1..4_usize, moves), |(replicas, bundles, moves)| {
        let mut world = World::empty(replicas, bundles);
        for (kind, number) in moves {
            match kind {
                kind if kind < faults => each(&mut world, number),
                kind if kind < 850 => world.look(number as usize % replicas),
                kind if kind < 900 => {
                    let seconds = [1, 29, 3600, 86_400, 3 * 86_400][number as usize % 5];
                    world.advance(seconds);
                }
                _ => world.now = world.next_event().unwrap_or(world.now),
            }
            if let Some(broken) = world.broken() {
                return Err(TestCaseError::fail(broken));
            }
        }
        world.settles().map(|_| ()).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

fn crash(world: &mut World, number: u32) {
    let replica = number as usize % world.replicas.len();
    world.crash(replica);
}

fn person(world: &mut World, number: u32) {
    let index = number as usize / 16 % world.bundles.len();
    match number % 16 {
        n @ 0..6 => world.edit(index, EDITS[n as usize]),
        n @ 6..10 => world.lose_secret(LOST[n as usize - 6]),
        _ => crash(world, number / 16),
    }
}

#[test]
fn without_faults_every_served_leaf_is_covered_at_every_moment() {
    schedules(600, 0, |_, _| {});
}

#[test]
fn crashes_and_suspensions_leave_every_served_leaf_covered() {
    schedules(600, 30, |world, number| match number % 8 {
        0 => world.jump(Jump::Days400),
        _ => crash(world, number / 8),
    });
}

#[test]
fn people_leave_every_leaf_covered_whose_replica_has_seen_it() {
    schedules(600, 30, person);
}

#[test]
fn clocks_that_jump_both_ways_and_old_secrets_heal() {
    schedules(600, 40, |world, number| match number % 8 {
        0 => world.jump(Jump::Days400),
        1 => world.jump(Jump::Days400Back),
        2 => {
            world.beyond_promise = true;
            world.jump(Jump::HourBack);
        }
        3 => world.keep_or_restore_secret(),
        _ => person(world, number / 8),
    });
}
