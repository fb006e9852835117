//! What is done in which situation, told one by one.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

mod model;

use std::collections::BTreeMap;

use model::faults::Edit;
use model::world::{TIMING, World, id, rotation};
use statusguard_rotation::{
    AddCause, AuthorityId, Bundle, Leaf, LeafAction, NoLeaf, Observation, RotationPhase, RotationState, SecretContent,
    StateChange, Step, UnixTime, Unusable, Validity, WaitReason,
};

/// What a lone replica does until it waits.
fn until_it_waits(world: &mut World) -> Vec<String> {
    let mut steps = Vec::new();
    loop {
        let step = rotation().next_step(world.now, &world.observation(0));
        let phase = rotation().phase(world.now, &world.observation(0));
        let said = match &step {
            Step::Add(addition) => format!("{:?}", addition.cause),
            Step::Write { change, .. } => format!("{change:?}"),
            Step::Publish { bundle, .. } => format!("Publish {}", bundle.len()),
            Step::Wait { reason, .. } => format!("wait for {reason:?}"),
        };
        steps.push(format!("{phase}: {said}"));
        world.whole_look(0);
        if matches!(step, Step::Wait { .. }) {
            return steps;
        }
    }
}

fn started() -> World {
    let mut world = World::empty(1, 1);
    until_it_waits(&mut world);
    world
}

fn observation(world: &World) -> Observation {
    world.observation(0)
}

#[test]
fn the_first_start_does_not_wait_for_the_bundle_to_spread() {
    let mut world = World::empty(1, 2);
    let steps = until_it_waits(&mut world);
    let expected = [
        "Healing: NoSecret",
        "Healing: Publish 1",
        "Healing: Published",
        "Healing: Promoted",
        "Stable: wait for Renewal",
    ];
    assert_eq!(steps, expected);
    assert_eq!(world.replicas[0].leaf.unwrap().authority, id(1));
}

#[test]
fn a_rotation_from_beginning_to_end() {
    let mut world = started();
    world.now = world.renewal().unwrap();
    let steps = until_it_waits(&mut world);
    let expected = ["Stable: Due", "Publishing: Publish 2", "Publishing: Published", "Spreading: wait for Spread"];
    assert_eq!(steps, expected);
    world.now = world.now.after(TIMING.spread);
    let steps = until_it_waits(&mut world);
    assert_eq!(steps, ["Spreading: Promoted", "Retiring: LeavesBounded", "Retiring: wait for Leaves"]);
    world.now = world.now.after(TIMING.leaf_life).after(TIMING.skew).before(std::time::Duration::from_secs(1));
    assert_eq!(until_it_waits(&mut world), ["Retiring: wait for Leaves"], "not a second early");
    world.advance(1);
    let steps = until_it_waits(&mut world);
    assert_eq!(steps, ["Retiring: Dropped", "Publishing: Publish 1", "Stable: wait for Renewal"]);
}

#[test]
fn a_suspension_of_400_days_does_not_wait_for_anything() {
    let mut world = started();
    world.advance(400 * 24 * 60 * 60);
    let steps = until_it_waits(&mut world);
    let last = "Retiring: LeavesBounded";
    assert_eq!(
        &steps[..5],
        ["Healing: NoneValid", "Healing: Publish 2", "Healing: Published", "Healing: Promoted", last]
    );
    assert_eq!(&steps[5..], ["Retiring: Dropped", "Publishing: Publish 1", "Stable: wait for Renewal"]);
}

#[test]
fn a_bundle_that_loses_the_next_authority_begins_to_spread_again() {
    let mut world = started();
    world.now = world.renewal().unwrap();
    until_it_waits(&mut world);
    world.advance(29);
    world.edit(0, Edit::Old);
    let steps = until_it_waits(&mut world);
    let expected =
        ["Publishing: PublicationLost", "Publishing: Publish 2", "Publishing: Published", "Spreading: wait for Spread"];
    assert_eq!(steps, expected);
    world.advance(29);
    assert_eq!(until_it_waits(&mut world), ["Spreading: wait for Spread"]);
}

#[test]
fn foreign_authorities_are_taken_out() {
    let mut world = started();
    world.edit(0, Edit::Extra);
    assert_eq!(until_it_waits(&mut world), ["Publishing: Publish 1", "Stable: wait for Renewal"]);
}

#[test]
fn the_secret_of_a_later_release_is_left_alone() {
    let mut world = started();
    world.lose_secret(Some(Unusable::UnknownVersion));
    world.edit(0, Edit::Extra);
    assert_eq!(until_it_waits(&mut world), ["Healing: wait for LaterRelease"]);
    assert!(world.replicas[0].leaf.is_some(), "the leaf is served on");
}

#[test]
fn unusable_secrets_are_made_again_with_what_is_published() {
    for unusable in [Unusable::Garbage, Unusable::HalfPair, Unusable::KeyMismatch] {
        let mut world = started();
        world.lose_secret(Some(unusable));
        let Step::Add(addition) = rotation().next_step(world.now, &observation(&world)) else { panic!() };
        assert_eq!((addition.cause, addition.kept()[0].id, addition.kept().len()), (AddCause::Unusable, id(1), 1));
        let steps = until_it_waits(&mut world);
        assert_eq!(steps.last().unwrap(), "Healing: wait for Spread", "leaves of the lost authority are served");
        assert_eq!(world.replicas[0].leaf.unwrap().authority, id(1));
    }
}

#[test]
fn of_three_published_authorities_that_of_the_own_leaf_and_the_newest_stay() {
    let mut world = started();
    let old = |number: usize, age: u64| {
        let not_before = world.now.before(std::time::Duration::from_secs(age));
        (id(number), Validity { not_before, not_after: not_before.after(TIMING.authority_life) })
    };
    let held: BTreeMap<AuthorityId, Validity> = [old(1, 9000), old(2, 8000), old(3, 7000)].into();
    world.bundles = vec![Bundle::Holds(held)];
    world.secret = SecretContent::Absent;
    let kept = |observation: &Observation| match rotation().next_step(world.now, observation) {
        Step::Add(addition) => addition.kept().iter().map(|authority| authority.id).collect::<Vec<_>>(),
        step => panic!("{step:?}"),
    };
    assert_eq!(kept(&observation(&world)), [id(1), id(3)]);
    assert_eq!(kept(&Observation { leaf: None, ..observation(&world) }), [id(3), id(2)]);
}

#[test]
fn leaves_are_renewed_between_0_57_and_two_thirds_of_their_life() {
    let world = started();
    let seen = observation(&world);
    let begin = seen.leaf.unwrap().validity.not_before.seconds();
    let life = 7 * 24 * 60 * 60;
    let issues = |part: f64, jitter: f64| {
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let now = UnixTime::from_seconds(begin + (f64::from(life) * part) as i64);
        let seen = Observation { asked_at: now, ..seen.clone() };
        matches!(rotation().leaf_action(now, &seen, jitter), LeafAction::Issue { .. })
    };
    assert_eq!([0.66, 0.67].map(|part| issues(part, 0.0)), [false, true]);
    assert_eq!([0.56, 0.57].map(|part| issues(part, 1.0)), [false, true]);
    assert_eq!([0.66, 0.67].map(|part| issues(part, f64::NAN)), [false, true]);
}

#[test]
fn a_leaf_ends_with_its_authority_and_is_not_renewed_for_nothing() {
    let mut world = started();
    let SecretContent::Readable(state) = world.secret.clone() else { panic!() };
    let end = state.current().unwrap().validity.not_after;
    world.now = end.before(std::time::Duration::from_secs(3600));
    let mut seen = Observation { leaf: None, ..observation(&world) };
    let LeafAction::Issue { authority, validity } = rotation().leaf_action(world.now, &seen, 0.5) else { panic!() };
    assert_eq!(validity.not_after, end);
    seen.leaf = Some(Leaf { authority, validity });
    let late = end.before(std::time::Duration::from_secs(1));
    assert_eq!(rotation().leaf_action(late, &seen, 0.5), LeafAction::Keep { until: end });
    let over = LeafAction::Wait { until: end.after(TIMING.tick), reason: NoLeaf::NoAuthority };
    assert_eq!(rotation().leaf_action(end, &seen, 0.5), over);
}

#[test]
fn a_leaf_is_counted_from_the_clock_before_the_secret_was_read() {
    let world = started();
    let seen = Observation { leaf: None, ..observation(&world) };
    let late = world.now.after(std::time::Duration::from_secs(86_400));
    let LeafAction::Issue { validity, .. } = rotation().leaf_action(late, &seen, 0.5) else { panic!() };
    assert_eq!(validity.not_after, world.now.before(TIMING.skew).after(TIMING.leaf_life));
}

#[test]
fn a_leaf_needs_every_bundle_that_exists() {
    let mut world = started();
    let action = |world: &World| rotation().leaf_action(world.now, &observation(world), 0.5);
    let whole = world.bundles[0].clone();
    world.bundles = vec![whole.clone(), Bundle::Absent];
    assert!(matches!(action(&world), LeafAction::Keep { .. }));
    for other in [Bundle::Unreadable, Bundle::Holds(BTreeMap::new())] {
        world.bundles = vec![whole.clone(), other];
        assert!(matches!(action(&world), LeafAction::Wait { reason: NoLeaf::NotPublished, .. }), "{world:?}");
    }
}

#[test]
fn fields_of_later_releases_survive_a_step() {
    let mut world = started();
    let SecretContent::Readable(state) = &world.secret else { panic!() };
    let text = state.to_json().replace(r#""version":1"#, r#""version":1,"hint":7"#);
    let text = text.replace(r#""role":"#, r#""colour":"red","role":"#);
    world.secret = SecretContent::Readable(RotationState::from_json(text.as_bytes()).unwrap());
    world.now = world.renewal().unwrap();
    until_it_waits(&mut world);
    let SecretContent::Readable(state) = &world.secret else { panic!() };
    assert!(state.next().is_some());
    assert!(state.to_json().contains(r#""hint":7"#) && state.to_json().contains(r#""colour":"red""#));
}

#[test]
fn phases_have_different_names() {
    let names: std::collections::BTreeSet<&str> = RotationPhase::ALL.iter().map(|phase| phase.name()).collect();
    assert_eq!(names.len(), RotationPhase::ALL.len());
}

#[test]
fn a_recorded_time_in_the_future_is_recorded_again() {
    let mut world = started();
    world.now = world.renewal().unwrap();
    until_it_waits(&mut world);
    world.advance(-3600);
    let step = rotation().next_step(world.now, &observation(&world));
    assert!(matches!(step, Step::Write { change: StateChange::Published, .. }), "{step:?}");
    world.whole_look(0);
    let step = rotation().next_step(world.now, &observation(&world));
    assert!(matches!(step, Step::Wait { reason: WaitReason::Spread, .. }), "{step:?}");
}
