//! What conditions are to be, and when they are written.

use std::sync::Arc;

use super::*;
use crate::guard::policy_file::{ActivePolicy, PolicySource};
use crate::guard::store_metrics::PolicyState;

const NAME: &str = "jobs.example.org";

fn version(spec: &Json) -> CompiledVersion {
    let group = if spec["target"]["group"].is_string() { "batch" } else { "example.org" };
    let mut document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": format!("jobs.{group}") },
        "spec": {
            "target": { "group": group, "version": "v1", "resource": "jobs" },
            "monotone": [{ "path": ".status.n" }],
        },
    });
    for (key, value) in spec.as_object().unwrap().iter().filter(|(key, _)| *key != "target") {
        document["spec"][key] = value.clone();
    }
    let policy = Policy::compile(&document).unwrap();
    CompiledVersion {
        policy: Some(Arc::new(ActivePolicy::new(policy, document, PolicySource::Cluster))),
        state: PolicyState::InForce,
        reason: "Compiled",
        message: "it does".into(),
    }
}

fn broken() -> CompiledVersion {
    CompiledVersion { policy: None, state: PolicyState::Broken, reason: "Invalid", message: "it does not".into() }
}

fn present(names: &[&str]) -> Published {
    let bundles = names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
    Published::Present { bundles, in_sync: true }
}

#[test]
fn what_enforced_says() {
    let off = json!({ "mode": "Off" });
    let off_here = json!({ "mode": "Enforce", "modeIn": { "a": "Off" } });
    let on_there = json!({ "mode": "Off", "modeIn": { "a": "Audit" } });
    let core = json!({ "target": { "group": "batch" } });
    let (plain, none) = (json!({}), Json::Null);
    let was_true = json!({ "conditions": [{ "type": "Enforced", "status": "True" }] });
    let here = present(&[NAME]);
    // spec, entries, whether a call arrived, the status as it is; status and reason
    for (spec, published, arrived, observed, status, reason) in [
        (&plain, &here, true, &none, "True", "Enforced"),
        (&plain, &here, false, &none, "Unknown", "WaitingForFirstCall"),
        (&plain, &here, false, &was_true, "True", "Enforced"),
        (&plain, &present(&["other"]), true, &was_true, "False", "NotInConfiguration"),
        (&plain, &Published::Absent, true, &was_true, "False", "ConfigurationAbsent"),
        (&plain, &Published::Unknown, true, &none, "Unknown", "ConfigurationUnknown"),
        (&plain, &Published::Unknown, false, &was_true, "True", "Enforced"),
        (&off, &here, true, &was_true, "False", "ModeOff"),
        (&off_here, &here, true, &none, "True", "Enforced"),
        (&on_there, &here, true, &none, "True", "Enforced"),
        (&core, &here, true, &none, "False", "CoreNotConfirmed"),
    ] {
        let arrived = if arrived { [NAME.to_owned()].into() } else { HashSet::new() };
        let state = EnforcementState { published, arrived: &arrived, replaced_by: None };
        let [_, enforced] = wanted(NAME, &version(spec), &state, observed);
        assert_eq!((enforced.kind, enforced.status, enforced.reason), ("Enforced", status, reason), "{spec}");
    }
    let state = EnforcementState { published: &here, arrived: &HashSet::new(), replaced_by: None };
    let [compiled, enforced] = wanted(NAME, &broken(), &state, &was_true);
    assert_eq!((compiled.status, compiled.reason, compiled.message.as_str()), ("False", "Invalid", "it does not"));
    assert_eq!((enforced.status, enforced.reason), ("False", "NotCompiled"));
    let state = EnforcementState { replaced_by: Some("/policies/jobs.yaml".into()), ..state };
    let [_, enforced] = wanted(NAME, &version(&plain), &state, &was_true);
    assert_eq!((enforced.status, enforced.reason), ("False", "ReplacedByFolder"));
    assert!(enforced.message.ends_with("/policies/jobs.yaml"), "{}", enforced.message);
}

fn conditions(status: &'static str, message: &str) -> [WantedCondition; 2] {
    let condition = |kind| WantedCondition { kind, status, reason: "Because", message: message.to_owned() };
    [condition(COMPILED), condition(ENFORCED)]
}

#[test]
fn a_transition_has_its_time_and_what_is_equal_is_not_written() {
    let first = merged(&Json::Null, &conditions("True", "a"), 3, "2026-01-01T00:00:00Z").unwrap();
    let condition = |kind: &str, status: &str, message: &str, generation: i64, since: &str| {
        json!({
            "type": kind, "status": status, "reason": "Because", "message": message,
            "observedGeneration": generation, "lastTransitionTime": since,
        })
    };
    let start = "2026-01-01T00:00:00Z";
    let expected = ["Compiled", "Enforced"].map(|kind| condition(kind, "True", "a", 3, start));
    assert_eq!(first, json!({ "conditions": expected, "observedGeneration": 3 }));
    let later = "2026-02-02T00:00:00Z";
    assert_eq!(merged(&first, &conditions("True", "a"), 3, later), None);
    // Another message or generation is not a transition.
    let second = merged(&first, &conditions("True", "b"), 4, later).unwrap();
    assert_eq!(second["conditions"][0], condition("Compiled", "True", "b", 4, start));
    let third = merged(&second, &conditions("False", "b"), 4, later).unwrap();
    assert_eq!(third["conditions"][1], condition("Enforced", "False", "b", 4, later));
}

#[test]
fn what_others_have_written_stays() {
    let foreign = json!({ "type": "Reviewed", "status": "True" });
    let observed = json!({ "conditions": [foreign.clone()], "note": "of another" });
    let status = merged(&observed, &conditions("True", "a"), 1, "2026-01-01T00:00:00Z").unwrap();
    assert_eq!((&status["conditions"][0], &status["note"]), (&foreign, &observed["note"]));
    assert_eq!(status["conditions"].as_array().unwrap().len(), 3);
    for garbage in [json!([]), json!({ "conditions": 7 }), json!({ "conditions": [7, {}] })] {
        assert!(merged(&garbage, &conditions("True", "a"), 1, "2026-01-01T00:00:00Z").is_some(), "{garbage}");
    }
}
