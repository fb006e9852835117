//! Every kind of state leads back to a stable one, whatever the bundles hold.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

mod model;

use std::collections::BTreeMap;

use model::world::{DAY, World, id};
use statusguard_rotation::{Bundle, RotationState, SecretContent, UnixTime, Validity};

/// Roles with times in seconds from now.
const ROLES: [&str; 8] = [
    r#""Next""#,
    r#""Next","publishedAt":{-40}"#,
    r#""Next","publishedAt":{90000}"#,
    r#""Current""#,
    r#""Retired""#,
    r#""Retired","leavesEnd":{-90000}"#,
    r#""Retired","leavesEnd":{90000}"#,
    r#""Retired","leavesEnd":{40000000}"#,
];

/// Ages in days: just made, due, ended, from a clock that was ahead.
const AGES: [i64; 4] = [1, 300, 500, -300];

fn authority(world: &mut World, number: usize, kind: usize) -> String {
    let (role, age) = (ROLES[kind / AGES.len()], AGES[kind % AGES.len()]);
    let day = i64::try_from(DAY).unwrap();
    let begin = world.now.seconds() - age * day;
    let (not_before, not_after) = (UnixTime::from_seconds(begin), UnixTime::from_seconds(begin + 365 * day));
    world.authorities.insert(id(number), Validity { not_before, not_after });
    let role = match role.split_once('{') {
        Some((before, after)) => {
            let offset: i64 = after.trim_end_matches('}').parse().unwrap();
            format!("{before}{}", world.now.seconds() + offset)
        }
        None => role.to_owned(),
    };
    let (begin, end) = (not_before.seconds(), not_after.seconds());
    format!(r#"{{"id":"{}","notBefore":{begin},"notAfter":{end},"role":{role}}}"#, id(number))
}

/// The worlds with a state of these kinds of authorities; none if there is no such state.
fn worlds(kinds: &[usize]) -> Vec<World> {
    let mut world = World::empty(1, 1);
    let authorities: Vec<String> =
        kinds.iter().enumerate().map(|(i, kind)| authority(&mut world, i + 1, *kind)).collect();
    world.made = kinds.len();
    let text = format!(r#"{{"version":1,"authorities":[{}]}}"#, authorities.join(","));
    let Ok(state) = RotationState::from_json(text.as_bytes()) else { return Vec::new() };
    let whole = world.bundle_of(state.bundle());
    let first = world.bundle_of([id(1)]);
    world.secret = SecretContent::Readable(state);
    let bundles = [whole, first, Bundle::Holds(BTreeMap::new()), Bundle::Unreadable, Bundle::Absent];
    bundles.into_iter().map(|bundle| World { bundles: vec![bundle], ..world.clone() }).collect()
}

#[test]
fn every_state_with_every_bundle_and_after_the_loss_of_the_secret() {
    let all = ROLES.len() * AGES.len();
    let mut combinations: Vec<Vec<usize>> = (0..all).map(|a| vec![a]).collect();
    combinations.extend((0..all).flat_map(|a| (a..all).map(move |b| vec![a, b])));
    combinations.extend((0..all).flat_map(|a| (a..all).flat_map(move |b| (b..all).map(move |c| vec![a, b, c]))));
    let (mut count, mut longest) = (0, 0);
    for mut world in combinations.iter().flat_map(|kinds| worlds(kinds)) {
        for lost in [false, true] {
            if lost {
                world.lose_secret(None);
            }
            count += 1;
            longest = longest.max(world.settles().unwrap_or_else(|problem| panic!("{problem}\nfrom {world:#?}")));
        }
    }
    println!("{count} states, stable after at most {longest} rounds");
    assert!(count > 10_000, "only {count} states");
}
