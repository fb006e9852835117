//! What the client and the log are told.

use crate::guard::log::capture;

use super::*;

#[test]
fn a_conflict_names_the_judged_version_first_and_each_cause_names_the_policy() {
    let review = with(stale(), "/oldObject/metadata/resourceVersion", "1838");
    let Decision::Deny(conflict) = answer(&judge_with(&json!({}), 0), &review).decision else { panic!("refused") };
    let causes: Vec<_> = conflict.causes.iter().map(|cause| (&*cause.reason, &*cause.field)).collect();
    let expected = [("JudgedVersion", "metadata.resourceVersion"), ("CounterRegression", "status.attempts")];
    assert_eq!((conflict.code, causes), (409, expected.to_vec()));
    assert_eq!(conflict.causes[0].message, "1838", "the version of the old object, and nothing else");
    let begins = "refused by StatusPolicy jobs.example.org: fell from 3 to 2; read the object again";
    assert!(conflict.causes[1].message.starts_with(begins), "{conflict:?}");
    let ends = "If a fresh read leads to the same write, the policy is at fault: StatusPolicy jobs.example.org.";
    assert!(conflict.message.ends_with(ends), "{conflict:?}");

    // Nothing to be waited for: a write that is never legal, and a version that is not known.
    let invalid = with(stale(), "/object/status", json!({ "attempts": "x" }));
    let no_version = with(stale(), "/oldObject/metadata/resourceVersion", Json::Null);
    for (review, code, reason) in [(invalid, 422, "Malformed"), (no_version, 409, "CounterRegression")] {
        let Decision::Deny(denial) = answer(&judge_with(&json!({}), 0), &review).decision else { panic!("refused") };
        let causes: Vec<_> = denial.causes.iter().map(|cause| (&*cause.reason, &*cause.field)).collect();
        assert_eq!((denial.code, causes), (code, vec![(reason, "status.attempts")]));
        assert!(denial.causes[0].message.starts_with("refused by StatusPolicy jobs.example.org: "), "{denial:?}");
    }
}

#[test]
fn the_log_says_of_each_write_that_breaks_a_rule_what_its_client_is_told() {
    let line = |spec: Json| {
        let judge = judge_with(&spec, 0);
        capture(|| drop(answer(&judge, &stale())))
    };
    let shown = |line: &str, parts: &[&str]| {
        assert_eq!(line.lines().count(), 1, "{line}");
        parts.iter().for_each(|part| assert!(line.contains(part), "{part}: {line}"));
    };
    let refused = line(json!({ "mode": "Audit", "modeIn": { "web": "Enforce" } }));
    let finding = "findings=[status.attempts fell from 3 to 2 (CounterRegression, Stale)]";
    let object = "namespace=\"web\" name=\"j1\" resource_version=\"7\" user=\"alice\" field_manager=\"worker\"";
    let policy = "policy=\"jobs.example.org\" mode=Enforce outcome=\"Denied\" class=\"Stale\" code=409";
    shown(&refused, &["status write refused", finding, object, policy]);
    let allowed = line(json!({ "mode": "Audit" }));
    shown(&allowed, &["status write allowed although it breaks rules", finding, "mode=Audit outcome=\"Audited\""]);
    assert!(!allowed.contains("code="), "{allowed}");
    let redacted = line(json!({ "redact": [".status.attempts"] }));
    shown(&redacted, &["findings=[status.attempts fell from [redacted] to [redacted] (CounterRegression, Stale)]"]);
    assert_eq!(line(json!({ "mode": "Off" })), "");
}
