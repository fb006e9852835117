use std::time::SystemTime;

use statusguard_certs::{SigningAuthority, Validity};
use statusguard_policy::Policy;

use super::*;
use crate::cluster::configuration::entry::{Backend, TargetScope};
use crate::cluster::configuration::settings::KeeperTiming;

const JOBS: &str = "jobs.example.org";

/// A planner with its clock and the object as the API server has it.
struct Story {
    planner: Planner,
    timing: KeeperTiming,
    now: Instant,
    object: Json,
    wanted: Wanted,
    arrived: HashSet<String>,
}

impl Story {
    /// An object without webhooks, and these policies under `Fail`.
    fn new(policies: &[&str]) -> Self {
        let settings = ConfigurationSettings::default();
        Self {
            timing: settings.timing.clone(),
            planner: Planner::new(settings),
            now: Instant::now(),
            object: json!({ "metadata": { "name": "statusguard" } }),
            wanted: wanted(policies, b"A"),
            arrived: HashSet::new(),
        }
    }

    /// All writes that go through now, and when to look again.
    fn settle(&mut self) -> (Vec<WriteCause>, Option<Instant>) {
        let mut causes = Vec::new();
        loop {
            match self.planner.plan(self.times(), &self.object, &self.wanted, &self.arrived) {
                PlanStep::Idle { until, .. } => return (causes, until),
                PlanStep::Write(write) => {
                    self.planner.written(self.now, &write, &self.wanted);
                    self.object = write.object;
                    causes.push(write.cause);
                }
            }
            assert!(causes.len() < 5, "no end of writes: {causes:?}");
        }
    }

    /// The wall clock stands at the same time as the other one.
    fn times(&self) -> (Instant, UnixTime) {
        (self.now, SystemTime::UNIX_EPOCH.into())
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn failure_policy(&self) -> &str {
        self.object["webhooks"][0]["failurePolicy"].as_str().unwrap()
    }

    /// Somebody else sets a field of the first entry.
    fn meddle(&mut self, manager: &str, field: &str, value: Json) {
        let entry = format!("k:{{\"name\":\"{}\"}}", repair::name(&self.object["webhooks"][0]));
        self.object["webhooks"][0][field] = value;
        self.object["metadata"]["managedFields"] = json!([{
            "manager": manager,
            "time": "2026-01-01T00:00:00Z",
            "fieldsV1": { "f:webhooks": { entry: { format!("f:{field}"): { "f:caBundle": {} } } } },
        }]);
    }
}

fn wanted(policies: &[&str], bundle: &[u8]) -> Wanted {
    let backend = Backend { namespace: "statusguard".into(), service: "statusguard".into(), port: 443 };
    let entry = |name: &&str| {
        let (resource, group) = name.split_once('.').unwrap();
        let policy = Policy::compile(&json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": name },
            "spec": {
                "target": { "group": group, "version": "v1", "resource": resource },
                "failurePolicy": "Fail",
                "monotone": [{ "path": ".status.attempts" }],
            },
        }));
        PolicyEntry::new(&policy.unwrap(), TargetScope::Namespaced, &backend).unwrap()
    };
    Wanted { entries: policies.iter().map(entry).collect(), bundle: bundle.into() }
}

fn by(manager: &str) -> WriteCause {
    WriteCause::Drift(ChangeAuthor::Other(manager.to_owned()))
}

#[test]
fn a_new_entry_is_ignore_until_the_time_is_over() {
    let mut story = Story::new(&[JOBS]);
    let (causes, until) = story.settle();
    assert_eq!((causes, story.failure_policy()), (vec![WriteCause::Wanted], "Ignore"));
    let until = until.unwrap();
    assert_eq!(until, story.now + Duration::from_secs(10));
    story.now = until - Duration::from_millis(1);
    assert_eq!(story.settle(), (vec![], Some(until)));
    story.now = until;
    assert_eq!(story.settle(), (vec![WriteCause::Trial], None));
    assert_eq!(story.failure_policy(), "Fail");
}

#[test]
fn a_new_entry_is_fail_once_a_call_arrived() {
    let mut story = Story::new(&[JOBS, "tasks.example.org"]);
    story.settle();
    story.arrived.insert(JOBS.into());
    assert_eq!(story.settle().0, [WriteCause::Trial]);
    let policies: Vec<_> = (0..2).map(|index| story.object["webhooks"][index]["failurePolicy"].clone()).collect();
    assert_eq!(policies, ["Fail", "Ignore"]);
}

/// Evidence for an entry that was removed since says nothing about the new one; it goes in as `Ignore` all the same.
#[test]
fn an_entry_is_never_added_as_fail() {
    let mut story = Story::new(&[JOBS]);
    story.arrived.insert(JOBS.into());
    let PlanStep::Write(write) = story.planner.plan(story.times(), &story.object, &story.wanted, &story.arrived) else {
        unreachable!("an entry is missing")
    };
    assert_eq!(write.object["webhooks"][0]["failurePolicy"], "Ignore");
}

#[test]
fn a_replica_that_starts_leaves_fail_as_it_is() {
    let mut story = Story::new(&[JOBS]);
    story.settle();
    story.pass(Duration::from_secs(10));
    story.settle();
    story.planner = Planner::new(ConfigurationSettings::default());
    assert_eq!(story.settle(), (vec![], None));
}

#[test]
fn a_change_by_another_is_undone_at_once_and_then_ever_more_rarely() {
    let mut story = Story::new(&[JOBS]);
    story.settle();
    let start = story.now;
    let mut repairs = Vec::new();
    while story.now < start + Duration::from_secs(600) {
        story.meddle("fighter", "timeoutSeconds", json!(1));
        let (causes, _) = story.settle();
        repairs.extend(causes.iter().filter(|cause| **cause == by("fighter")).map(|_| (story.now - start).as_secs()));
        story.pass(Duration::from_secs(1));
    }
    assert_eq!(repairs[..7], [0, 1, 3, 7, 15, 31, 63]);
    assert!(repairs.len() < 20, "{repairs:?}");
}

/// Removing the entry ends its trial; the fighter must not get a write per second out of that.
#[test]
fn an_entry_that_is_removed_again_and_again_makes_no_storm() {
    let mut story = Story::new(&[JOBS]);
    story.arrived.insert(JOBS.into());
    story.settle();
    let mut writes = 0;
    for _ in 0..600 {
        story.object["webhooks"] = json!([]);
        writes += story.settle().0.len();
        story.pass(Duration::from_secs(1));
    }
    assert!(writes < 40, "{writes} writes in ten minutes");
}

/// As a mutating webhook does that turns `Fail` into `Ignore` in every write.
#[test]
fn a_trial_that_is_undone_in_the_write_itself_makes_no_storm() {
    let mut story = Story::new(&[JOBS]);
    story.arrived.insert(JOBS.into());
    let mut writes = 0;
    for _ in 0..600 {
        if let PlanStep::Write(write) = story.planner.plan(story.times(), &story.object, &story.wanted, &story.arrived)
        {
            story.planner.written(story.now, &write, &story.wanted);
            story.object = write.object;
            story.object["webhooks"][0]["failurePolicy"] = json!("Ignore");
            writes += 1;
        }
        story.pass(Duration::from_secs(1));
    }
    assert!(writes < 25, "{writes} writes in ten minutes");
}

#[test]
fn an_object_that_is_deleted_and_made_again_and_again_makes_no_storm() {
    let mut story = Story::new(&[JOBS]);
    story.settle();
    let mut writes = 0;
    for _ in 0..600 {
        story.planner.absent();
        story.object = json!({ "metadata": { "name": "statusguard" } });
        writes += story.settle().0.len();
        story.pass(Duration::from_secs(1));
    }
    assert!(writes < 40, "{writes} writes in ten minutes");
}

#[test]
fn what_is_wanted_anew_is_never_held_back() {
    let mut story = Story::new(&[JOBS]);
    story.settle();
    for _ in 0..10 {
        story.meddle("fighter", "timeoutSeconds", json!(1));
        story.settle();
        story.pass(Duration::from_secs(1));
    }
    story.meddle("fighter", "timeoutSeconds", json!(1));
    assert_eq!(story.settle().0, [], "a repair waits");
    story.wanted = wanted(&[JOBS], b"B");
    assert_eq!(story.settle().0, [WriteCause::Wanted]);
    assert_eq!(story.object["webhooks"][0]["timeoutSeconds"], 5);
}

#[test]
fn what_another_replica_writes_is_left_alone_for_a_while() {
    let mut story = Story::new(&[JOBS]);
    story.settle();
    story.meddle("statusguard", "timeoutSeconds", json!(1));
    let held = story.planner.plan(story.times(), &story.object, &story.wanted, &story.arrived);
    assert!(matches!(held, PlanStep::Idle { held: true, in_sync: false, .. }), "{held:?}");
    // Unless it stays so: then it is taken back.
    let patience = story.timing.peer_patience;
    story.pass(patience);
    assert_eq!(story.settle().0, [WriteCause::Drift(ChangeAuthor::Peer)]);
}

/// An authority.
fn authority() -> String {
    let [not_before, not_after] = [0, 10_000_000_000].map(UnixTime::from_seconds);
    SigningAuthority::create(Validity { not_before, not_after }).unwrap().certificate_pem().to_owned()
}

/// Two replicas of which one has mounted another Secret already: what either has mounted stays, without a repair.
#[test]
fn replicas_whose_mounts_differ_do_not_fight() {
    let [old, new] = [(); 2].map(|()| authority());
    let mut early = Story::new(&[JOBS]);
    early.wanted = wanted(&[JOBS], old.as_bytes());
    early.settle();
    let mut late = Story { planner: Planner::new(ConfigurationSettings::default()), ..Story::new(&[JOBS]) };
    (late.now, late.wanted, late.object) = (early.now, early.wanted.clone(), early.object.clone());
    assert_eq!(late.settle().0, []);

    early.wanted = wanted(&[JOBS], new.as_bytes());
    let mut causes = Vec::new();
    for _ in 0..100 {
        causes.extend(early.settle().0);
        late.object.clone_from(&early.object);
        causes.extend(late.settle().0);
        early.object.clone_from(&late.object);
        (early.now, late.now) = (early.now + Duration::from_secs(1), late.now + Duration::from_secs(1));
        let published = bundle_of(&early.object["webhooks"][0]);
        assert_eq!(String::from_utf8(published).unwrap().matches("BEGIN").count(), 2);
    }
    causes.retain(|cause| *cause != WriteCause::Trial);
    assert_eq!(causes, [WriteCause::Wanted, WriteCause::Authorities]);

    // Somebody takes both away: the next replica that looks brings its own back at once.
    early.meddle("meddler", "clientConfig", json!({ "caBundle": "" }));
    late.object.clone_from(&early.object);
    assert_eq!(early.settle().0, [by("meddler")]);
    assert!(bundle_of(&early.object["webhooks"][0]).starts_with(new.as_bytes()));
}

/// Whoever takes the record of ends away gets no write for each time.
#[test]
fn a_record_of_authorities_that_is_removed_again_and_again_makes_no_storm() {
    let [old, new] = [(); 2].map(|()| authority());
    let mut story = Story::new(&[JOBS]);
    story.wanted = wanted(&[JOBS], old.as_bytes());
    story.settle();
    story.wanted = wanted(&[JOBS], new.as_bytes());
    story.settle();
    let mut writes = 0;
    for _ in 0..600 {
        story.object["metadata"]["annotations"] = Json::Null;
        writes += story.settle().0.len();
        story.pass(Duration::from_secs(1));
    }
    assert!(writes < 40, "{writes} writes in ten minutes");
}

#[test]
fn an_object_on_its_way_out_is_left_alone() {
    let mut story = Story::new(&[JOBS]);
    story.object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    assert_eq!(story.settle(), (vec![], None));
}

#[test]
fn a_refused_entry_is_left_out_until_its_policy_changes_and_keeps_its_bundle() {
    let tasks = "tasks.example.org";
    let mut story = Story::new(&[JOBS, tasks]);
    let PlanStep::Write(write) = story.planner.plan(story.times(), &story.object, &story.wanted, &story.arrived) else {
        unreachable!("entries are missing")
    };
    let fields = ["webhooks[1].namespaceSelector.matchExpressions[0].operator".to_owned(), "metadata".to_owned()];
    assert_eq!(story.planner.refuse(&write.object, &fields, &story.wanted), [tasks]);
    assert_eq!(story.planner.refuse(&write.object, &fields, &story.wanted), [""; 0], "it was left out already");
    story.settle();
    assert_eq!(repair::our_entries(&story.object).count(), 1);
    let step = story.planner.plan(story.times(), &story.object, &story.wanted, &story.arrived);
    assert!(matches!(step, PlanStep::Idle { in_sync: false, .. }), "{step:?}");

    // One that was there before gets the new bundle, and nothing else.
    let mut before = Story::new(&[JOBS, tasks]);
    before.settle();
    before.planner.refuse(&before.object.clone(), &fields, &before.wanted);
    before.wanted.bundle = b"B"[..].into();
    before.object["webhooks"][1]["timeoutSeconds"] = json!(3);
    before.settle();
    let entry = &before.object["webhooks"][1];
    assert_eq!((&entry["clientConfig"]["caBundle"], &entry["timeoutSeconds"]), (&json!("Qg=="), &json!(3)));

    before.wanted = wanted(&[JOBS], b"B");
    before.settle();
    before.wanted = wanted(&[JOBS, tasks], b"B");
    before.settle();
    assert_eq!(before.object["webhooks"][1]["timeoutSeconds"], 5);
}

#[test]
fn bundles_that_somebody_else_publishes_stay() {
    let mut story = Story::new(&[JOBS]);
    story.planner.settings.bundles_are_published = true;
    story.settle();
    let bundle = |story: &Story, index: usize| story.object["webhooks"][index]["clientConfig"]["caBundle"].clone();
    assert_eq!(bundle(&story, 0), Json::Null);
    // Published by the rotation: not drift.
    story.object["webhooks"][0]["clientConfig"]["caBundle"] = "Q0E=".into();
    assert_eq!(story.settle().0, []);
    // A new entry begins with it.
    story.wanted = wanted(&[JOBS, "tasks.example.org"], b"");
    assert_eq!(story.settle().0, [WriteCause::Wanted]);
    assert_eq!([bundle(&story, 0), bundle(&story, 1)], ["Q0E=", "Q0E="]);
}
