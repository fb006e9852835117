//! What becomes of writes by every mode and writer, judged and not.

use std::time::Duration;

use serde_json::{Value as Json, json};
use statusguard_edge::{GroupResource, LONGEST_SHOWN};
use statusguard_policy::Reason;

use super::*;
use crate::EntriesKeptBy;

mod told;
mod waiting;

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const RESOURCE: GroupResource<'static> = GroupResource { group: "example.org", resource: "jobs" };

/// A policy that has these members of its spec, too.
fn policy(spec: &Json) -> Json {
    let mut policy = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": "jobs.example.org" },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": "jobs" },
            "monotone": [{ "path": ".status.attempts" }],
            "collections": [{ "path": ".status.log" }],
        },
    });
    for (field, value) in spec.as_object().unwrap() {
        policy["spec"][field] = value.clone();
    }
    policy
}

/// A judge with one policy that has these members of its spec, too.
fn judge_with(spec: &Json, repeat_limit: u32) -> PolicyJudge {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobs.json"), policy(spec).to_string()).unwrap();
    let store = PolicyStore::open(folder.path().into(), EntriesKeptBy::Administrator).unwrap();
    assert!(store.get("example.org", "jobs").is_some(), "the policy compiles");
    PolicyJudge::new(Arc::new(store), repeat_limit, None, tokio::sync::watch::Sender::default())
}

/// A stale write by alice: `attempts` falls from 3 to 2.
fn stale() -> Json {
    let object = |attempts: u32| {
        json!({
            "metadata": { "name": "j1", "namespace": "web", "uid": "u-1", "resourceVersion": "7" },
            "status": { "attempts": attempts },
        })
    };
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r-1", "operation": "UPDATE", "subResource": "status", "name": "j1", "namespace": "web",
            "kind": { "group": "example.org", "version": "v1", "kind": "Job" },
            "resource": { "group": "example.org", "version": "v1", "resource": "jobs" },
            "userInfo": { "username": "alice", "groups": ["testers"] }, "options": { "fieldManager": "worker" },
            "object": object(2), "oldObject": object(3),
        },
    })
}

/// The same with another value at a place of the request; `null` removes what is there.
fn with(mut review: Json, pointer: &str, value: impl Into<Json>) -> Json {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = review.pointer_mut(&format!("/request{parent}")).unwrap().as_object_mut().unwrap();
    match value.into() {
        Json::Null => drop(parent.remove(name)),
        value => drop(parent.insert(name.to_owned(), value)),
    }
    review
}

fn answer(judge: &PolicyJudge, body: &Json) -> ReviewAnswer<Refusal> {
    let body = body.to_string();
    let call = CallContext::new(RESOURCE, Some(TRACE_ID), Instant::now() + Duration::from_secs(10));
    judge.judge(&call, &Review::read(body.as_bytes()).unwrap())
}

/// Who writes under which policy to what, and what becomes of a write that is not legal.
fn cases() -> Vec<(&'static str, Json, Json, Outcome)> {
    let deleting = with(stale(), "/object/metadata/deletionTimestamp", "2026-03-01T10:00:00Z");
    let exempt = |exempt: Json| json!({ "mode": "Enforce", "exempt": exempt });
    vec![
        ("Off", json!({ "mode": "Off" }), stale(), Outcome::Allowed),
        ("Audit", json!({ "mode": "Audit" }), stale(), Outcome::Audited),
        ("Warn", json!({ "mode": "Warn" }), stale(), Outcome::Warned),
        ("Enforce", json!({ "mode": "Enforce" }), stale(), Outcome::Denied),
        ("an exempt user", exempt(json!({ "users": ["alice"] })), stale(), Outcome::Bypassed),
        ("an exempt group", exempt(json!({ "groups": ["testers"] })), stale(), Outcome::Bypassed),
        ("Enforce, being deleted", json!({ "mode": "Enforce" }), deleting, Outcome::Warned),
    ]
}

/// Of what no record, warning or annotation is made.
fn assert_plain(answer: &ReviewAnswer<Refusal>, what: &str) {
    assert_eq!((&answer.decision, &*answer.labels.outcome), (&Decision::Allow, "Allowed"), "{what}");
    assert!(answer.record.is_none() && answer.warnings.is_empty() && answer.annotations.is_empty(), "{what}");
}

#[test]
fn a_record_says_what_was_refused_to_whom() {
    let record = answer(&judge_with(&json!({}), 0), &stale()).record.unwrap();
    assert_eq!((record.outcome, record.class, record.policy), ("Denied", Some(Class::Stale), "jobs.example.org"));
    assert_eq!((&*record.namespace, &*record.name, &*record.uid), ("web", "j1", "u-1"));
    assert_eq!((&*record.resource_version, &*record.user, &*record.field_manager), ("7", "alice", "worker"));
    assert_eq!((&*record.trace_id, &*record.unjudged), (TRACE_ID, ""));
    assert_eq!(record.findings[0].field, "status.attempts");
}

#[test]
fn a_review_that_does_not_fit_its_policy_is_malformed_and_fails_only_where_it_would_be_denied() {
    type Change = fn(Json) -> Json;
    let no_fit = "the webhook's rules and the policy's target do not fit: the review is of ";
    let misfits: [(Change, &str, String); 8] = [
        (|r| with(r, "/oldObject", Json::Null), "missing", "request.oldObject is missing from an UPDATE".into()),
        (|r| with(r, "/object", Json::Null), "missing", "request.object is missing from an UPDATE".into()),
        (
            |r| with(r, "/subResource", Json::Null),
            "target",
            format!(
                "{no_fit}jobs in example.org/v1 (kind Job in example.org/v1), the target is jobs/status in example.org/v1; "
            ),
        ),
        (|r| with(r, "/subResource", "scale"), "target", format!("{no_fit}jobs/scale in example.org/v1 (")),
        (|r| with(r, "/resource/version", "v2"), "target", format!("{no_fit}jobs/status in example.org/v2 (")),
        (
            |r| with(r, "/kind/version", "v2"),
            "target",
            format!("{no_fit}jobs/status in example.org/v1 (kind Job in example.org/v2)"),
        ),
        (
            |r| with(r, "/kind/group", "autoscaling"),
            "target",
            format!("{no_fit}jobs/status in example.org/v1 (kind Job in autoscaling/v1)"),
        ),
        // However long its names are.
        (|r| with(r, "/subResource", "x".repeat(1 << 20)), "target", format!("{no_fit}jobs/xxx")),
    ];
    for (who, spec, review, outcome) in cases() {
        let judge = judge_with(&spec, 0);
        for (change, category, expected) in &misfits {
            let review = change(review.clone());
            // Nothing says that an object without its new state is being deleted.
            let outcome = match outcome {
                Outcome::Warned if spec["mode"] == "Enforce" && review["request"]["object"].is_null() => {
                    Outcome::Denied
                }
                outcome => outcome,
            };
            let answered = answer(&judge, &review);
            let what = format!("{who}: {expected}: {answered:?}");
            let problem = match (outcome, &answered.decision) {
                (Outcome::Allowed, _) => {
                    assert_plain(&answered, &what);
                    continue;
                }
                (Outcome::Denied, Decision::Fail(problem)) => problem,
                (_, Decision::AllowUnjudged(problem)) if outcome != Outcome::Denied => problem,
                _ => panic!("{what}"),
            };
            let Unjudged::Malformed { cause, message } = problem else { panic!("{what}") };
            assert!(cause == category && message.starts_with(expected), "{what}");
            assert!(message.ends_with(" (jobs.example.org web/j1, StatusPolicy jobs.example.org)"), "{what}");
            assert!(message.len() < 4 * LONGEST_SHOWN, "{what}");
            assert_eq!((&*answered.labels.class, answered.findings.len()), ("", 0), "{what}");
            if outcome == Outcome::Denied {
                assert!(answered.record.is_none() && answered.annotations.is_empty(), "{what}");
                continue;
            }
            let ground = format!("not judged: {message}");
            assert_eq!(answered.labels.outcome, outcome.as_str(), "{what}");
            let annotation = ("version-7".to_owned(), format!("{}: {ground}", outcome.as_str()));
            assert_eq!(answered.annotations, [annotation], "{what}");
            let warnings = if outcome == Outcome::Warned { vec![ground] } else { Vec::new() };
            assert_eq!(answered.warnings, warnings, "{what}");
            let record = answered.record.as_ref().unwrap();
            assert_eq!((record.outcome, record.class, &record.unjudged), (outcome.as_str(), None, message), "{what}");
            assert_eq!((&*record.user, record.findings.len()), ("alice", 0), "{what}");
            let dry = answer(&judge, &with(review, "/dryRun", true));
            assert!(dry.record.is_none() && dry.annotations == answered.annotations, "{what}");
        }
    }
}

#[test]
fn what_cannot_be_lost_is_allowed_whatever_its_shape() {
    let judge = judge_with(&json!({}), 0);
    for operation in ["CREATE", "DELETE", "CONNECT"] {
        let other = with(with(stale(), "/operation", operation), "/subResource", "exec");
        let other = with(other, "/resource/version", "v2");
        for gone in ["/object", "/oldObject"] {
            assert_plain(&answer(&judge, &with(other.clone(), gone, Json::Null)), operation);
        }
        assert_plain(&answer(&judge, &other), operation);
    }
    // Rules that match the main resource as well: each write of a spec would fail otherwise.
    let unchanged = with(stale(), "/object/status", json!({ "attempts": 3 }));
    assert_plain(&answer(&judge, &with(unchanged.clone(), "/subResource", Json::Null)), "main resource");
    assert_plain(&answer(&judge, &with(unchanged, "/resource/version", "v2")), "another version");
}

/// A status whose lists are nested so deep.
fn nested(depth: usize) -> Json {
    let nested = (0..depth).fold(json!(1), |inner, _| json!([inner]));
    json!({ "attempts": 3, "log": nested })
}

#[test]
fn a_new_status_that_cannot_be_read_is_invalid_and_an_old_one_is_waived() {
    // The status is an object around the lists.
    let (deep, readable) = (nested(512), nested(511));
    for (who, spec, review, outcome) in cases() {
        let judge = judge_with(&spec, 0);
        let new_is_deep = answer(&judge, &with(review.clone(), "/object/status", deep.clone()));
        let what = format!("{who}: {new_is_deep:?}");
        assert_eq!(new_is_deep.labels.outcome, outcome.as_str(), "{what}");
        match (&new_is_deep.decision, outcome) {
            (Decision::Deny(denial), Outcome::Denied) => {
                assert_eq!((denial.code, denial.reason), (422, "Invalid"), "{what}");
                let causes: Vec<_> = denial.causes.iter().map(|cause| (&*cause.reason, &*cause.field)).collect();
                assert_eq!(causes, [("Malformed", "status")], "{what}");
            }
            (Decision::Allow, outcome) => assert_ne!(outcome, Outcome::Denied, "{what}"),
            _ => panic!("{what}"),
        }
        assert_eq!(new_is_deep.warnings.len(), usize::from(outcome == Outcome::Warned), "{what}");
        let record = new_is_deep.record.map(|record| (record.outcome, record.class, record.findings[0].reason));
        let expected = (outcome.as_str(), Some(Class::Invalid), Reason::Malformed);
        assert_eq!(record, (outcome != Outcome::Allowed).then_some(expected), "{what}");

        // Whatever is written over it, so that the object can be mended.
        for new in [json!({ "attempts": 1 }), with(json!({ "request": deep }), "/attempts", 1)["request"].clone()] {
            let old_is_deep = with(with(review.clone(), "/oldObject/status", deep.clone()), "/object/status", new);
            let repaired = answer(&judge, &old_is_deep);
            assert_eq!(repaired.decision, Decision::Allow, "{who}: {repaired:?}");
            let expected = if outcome == Outcome::Allowed { "Allowed" } else { "Repaired" };
            assert_eq!((&*repaired.labels.outcome, repaired.warnings.len()), (expected, 0), "{who}: {repaired:?}");
        }
        let fits =
            with(with(review, "/oldObject/status", json!({ "attempts": 3 })), "/object/status", readable.clone());
        assert_plain(&answer(&judge, &fits), who);
    }
}

#[test]
fn names_of_any_length_are_compared_whole_and_recorded_cut() {
    let name = |end: &str| "é".repeat(2500) + end;
    let judge = judge_with(&json!({ "exempt": { "users": [name("a")] } }), 3);
    let by = |user: &str| with(stale(), "/userInfo/username", user);
    assert_eq!(answer(&judge, &by(&name("a"))).labels.outcome, "Bypassed");
    let refused = answer(&judge, &by(&name("b")));
    assert_eq!(refused.labels.outcome, "Denied");
    assert_eq!(refused.record.unwrap().user, "é".repeat(LONGEST_SHOWN / 2) + "…");

    let places = [
        "/name",
        "/namespace",
        "/options/fieldManager",
        "/oldObject/metadata/uid",
        "/oldObject/metadata/resourceVersion",
    ];
    let all_long = places.into_iter().fold(by(&name("b")), |review, place| with(review, place, name("c")));
    let refused = answer(&judge, &all_long);
    let record = refused.record.unwrap();
    let texts =
        [&record.name, &record.namespace, &record.field_manager, &record.uid, &record.resource_version, &record.user];
    assert!(texts.iter().all(|text| **text == "é".repeat(LONGEST_SHOWN / 2) + "…"), "{record:?}");
    let Decision::Deny(denial) = refused.decision else { panic!("{:?}", refused.decision) };
    assert!(denial.message.len() < 4 * LONGEST_SHOWN, "{denial:?}");
    assert!(refused.annotations[0].0.len() < 2 * LONGEST_SHOWN, "{:?}", refused.annotations);
}

#[test]
fn a_judgement_that_is_not_finished_fails_only_where_its_write_could_be_denied() {
    let log = |from: usize| json!({ "log": (from..from + 20_000).collect::<Vec<_>>() });
    for (who, spec, review, outcome) in cases() {
        let judge = judge_with(&spec, 0);
        let body = with(with(review, "/oldObject/status", log(0)), "/object/status", log(1)).to_string();
        let call = CallContext::new(RESOURCE, None, Instant::now());
        let answered = judge.judge(&call, &Review::read(body.as_bytes()).unwrap());
        match (outcome, &answered.decision) {
            (Outcome::Allowed, _) => assert_plain(&answered, who),
            (Outcome::Denied, Decision::Fail(Unjudged::Unfinished { cause: "stopped", .. })) => {}
            (_, Decision::AllowUnjudged(Unjudged::Unfinished { cause: "stopped", message })) => {
                assert_ne!(outcome, Outcome::Denied, "{who}");
                assert_eq!(answered.record.as_ref().unwrap().unjudged, *message, "{who}");
                assert_eq!(answered.labels.outcome, outcome.as_str(), "{who}");
            }
            _ => panic!("{who}: {answered:?}"),
        }
    }
}

#[test]
fn the_mode_depends_on_the_namespace() {
    let judge =
        judge_with(&json!({ "mode": "Audit", "modeIn": { "web": "Enforce", "prod-*": "Warn", "old": "Off" } }), 0);
    for (namespace, outcome) in [("web", "Denied"), ("prod-eu", "Warned"), ("old", "Allowed"), ("lab", "Audited")] {
        let body = with(stale(), "/namespace", namespace).to_string();
        let review = Review::read(body.as_bytes()).unwrap();
        let call = CallContext::new(RESOURCE, None, Instant::now() + Duration::from_secs(10));
        assert_eq!(judge.judge(&call, &review).labels.outcome, outcome, "{namespace}");
    }
}
