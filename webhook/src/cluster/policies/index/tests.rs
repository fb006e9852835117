//! What events leave to be done.

use prometheus_client::metrics::histogram::Histogram;
use serde_json::{Value as Json, json};

use super::*;
use crate::cluster::policies::compiled::{CompiledVersion, KnownTarget};
use crate::guard::policy_file::ActivePolicy;

fn object(name: &str, uid: &str, field: &str) -> DynamicObject {
    let resource = name.split('.').next().unwrap();
    serde_json::from_value(json!({
        "metadata": { "name": name, "uid": uid, "resourceVersion": "1", "generation": 1 },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": resource },
            "monotone": [{ "path": format!(".status.{field}") }],
        },
    }))
    .unwrap()
}

fn crd(name: &str, version: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.into()), resource_version: Some(version.into()), ..ObjectMeta::default() }
}

fn queued(index: &mut PolicyIndex) -> Vec<String> {
    std::iter::from_fn(|| index.next()).collect()
}

/// An index that has listed these policies and compiled them, but has not looked at CRDs yet.
fn listed(names: &[&str]) -> PolicyIndex {
    let mut index = PolicyIndex::default();
    for name in names {
        index.policy_event(Event::InitApply(object(name, "u1", "n")));
    }
    assert!(!index.listed);
    index.policy_event(Event::InitDone);
    assert!(index.listed && index.changed);
    for name in queued(&mut index) {
        let record = index.records.get_mut(&name).unwrap();
        let target = KnownTarget::Unknown(String::new());
        let compiled = CompiledVersion::of(record.document.clone(), &target, &Histogram::new([1.0]));
        record.set_compiled(compiled, None);
    }
    (index.changed, index.gone) = (false, false);
    index
}

const JOBS: &str = "jobs.example.org";
const TASKS: &str = "tasks.example.org";

#[test]
fn a_policy_that_changes_is_compiled_and_one_that_goes_is_gone_at_once() {
    let mut index = listed(&[JOBS, TASKS]);
    index.policy_event(Event::Apply(object(JOBS, "u1", "n")));
    assert_eq!(queued(&mut index), [""; 0], "the same document");
    index.policy_event(Event::Apply(object(JOBS, "u1", "m")));
    assert_eq!((queued(&mut index), index.gone), (vec![JOBS.to_owned()], false));
    index.policy_event(Event::Delete(object(JOBS, "u1", "m")));
    assert!(index.gone && index.cluster().policies.keys().eq([&TASKS]));
    index.gone = false;
    index.policy_event(Event::Apply(object(TASKS, "u2", "n")));
    assert!(index.gone && index.cluster().policies.is_empty(), "another object of the same name");
}

#[test]
fn what_a_new_listing_lacks_is_gone() {
    let mut index = listed(&[JOBS, TASKS]);
    index.policy_event(Event::InitApply(object(TASKS, "u1", "n")));
    assert!(!index.gone && index.records.len() == 2, "not before its end");
    index.policy_event(Event::InitDone);
    assert!(index.gone && index.records.keys().eq([TASKS]));
    assert!(!index.changed, "the rest is as it was");
}

#[test]
fn what_a_listing_had_before_it_failed_does_not_count() {
    let mut index = listed(&[JOBS, TASKS]);
    index.crd_event(Event::InitApply(crd(JOBS, "5")));
    index.crd_watch_failed();
    index.crd_event(Event::InitDone);
    assert_eq!(queued(&mut index), [""; 0]);
    index.policy_event(Event::InitApply(object(JOBS, "u1", "n")));
    index.policy_watch_failed();
    index.policy_event(Event::InitApply(object(TASKS, "u1", "n")));
    index.policy_event(Event::InitDone);
    assert!(index.gone && index.records.keys().eq([TASKS]));
}

#[test]
fn crds_that_change_have_their_policies_looked_at() {
    let mut index = listed(&[JOBS, TASKS]);
    let other = "others.example.org";
    index.crd_event(Event::InitApply(crd(JOBS, "5")));
    index.crd_event(Event::InitApply(crd(other, "6")));
    assert_eq!(queued(&mut index), [""; 0]);
    index.crd_event(Event::InitDone);
    assert_eq!(queued(&mut index), [JOBS], "nobody asks for the other");
    index.crd_event(Event::Apply(crd(JOBS, "5")));
    assert_eq!(queued(&mut index), [""; 0], "the same version");
    index.crd_event(Event::Apply(crd(TASKS, "7")));
    index.crd_event(Event::Delete(crd(JOBS, "8")));
    assert_eq!(queued(&mut index), [JOBS, TASKS]);
    // A new listing tells of what has happened in between.
    index.crd_event(Event::InitApply(crd(JOBS, "9")));
    index.crd_event(Event::InitDone);
    assert_eq!(queued(&mut index), [JOBS, TASKS]);
    index.crd_event(Event::InitApply(crd(JOBS, "9")));
    index.crd_event(Event::InitDone);
    assert_eq!(queued(&mut index), [""; 0]);
}

#[test]
fn what_no_watch_tells_of_is_looked_up_again() {
    let mut index = listed(&[JOBS, TASKS]);
    index.crd_event(Event::Apply(crd(JOBS, "5")));
    queued(&mut index);
    index.resync(true);
    assert_eq!(queued(&mut index), [TASKS]);
    index.resync(false);
    assert_eq!(queued(&mut index), [JOBS, TASKS]);
}

/// Else those whose target is not served would be looked up for ever: what is compiled changes what is in force.
#[test]
fn a_policy_of_the_folder_is_looked_up_once_and_again_when_it_changes() {
    let mut index = listed(&[JOBS]);
    let of_file = |source: PolicySource| {
        let record = PolicyRecord::new(JOBS, object(JOBS, "u1", "n"));
        let policy = statusguard_policy::Policy::compile(&record.document).unwrap();
        let entry = Arc::new(ActivePolicy::new(policy, record.document, source));
        NamedPolicies::from([(entry.name, entry)])
    };
    let file = || PolicySource::File("jobs.yaml".into());
    index.conditions.clear();
    let in_force = of_file(file());
    index.in_force_changed(&in_force);
    assert_eq!(queued(&mut index), [JOBS]);
    assert!(index.conditions.contains(JOBS), "it is replaced now");
    index.conditions.clear();
    index.in_force_changed(&in_force);
    assert_eq!((queued(&mut index), index.conditions.len()), (vec![], 0));
    index.in_force_changed(&of_file(file()));
    assert_eq!((queued(&mut index), index.conditions.len()), (vec![JOBS.to_owned()], 0));
    index.in_force_changed(&of_file(PolicySource::Cluster));
    assert_eq!((queued(&mut index), index.conditions.len()), (vec![], 1), "it is replaced no more");
}

#[test]
fn a_target_that_is_not_what_the_name_says_is_not_asked_for() {
    let index = |name: &str, target: Json| {
        let mut index = PolicyIndex::default();
        let object = json!({ "metadata": { "name": name }, "spec": { "target": target } });
        index.policy_event(Event::Apply(serde_json::from_value(object).unwrap()));
        index.query(name, &NamedPolicies::new())
    };
    let target = |group: &str, resource: &str, version: &str| json!({ "group": group, "resource": resource, "version": version });
    let query = index(JOBS, target("example.org", "jobs", "v1")).unwrap();
    assert_eq!((query.group.as_str(), query.resource.as_str()), ("example.org", "jobs"));
    assert!(query.versions.iter().eq(["v1"]));
    assert!(index("pods", target("", "pods", "v1")).is_some());
    assert!(index("jobs.a.b", target("a.b", "jobs", "../../v1")).unwrap().versions.is_empty());
    for target in [target("example.org", "../jobs", "v1"), target("", "jobs", "v1"), json!(7), Json::Null] {
        assert!(index(JOBS, target.clone()).is_none(), "{target}");
    }
}
