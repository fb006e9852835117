//! What a judgement says: all its reasons, texts of bounded length, and nothing of what a policy redacts.

#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::json;
use statusguard_policy::{Budget, Class, Finding, Judgement, Object, Operation, Policy, Reason, Verdict};

fn judged(rules: serde_json::Value, old: &str, new: &str) -> Judgement {
    let mut spec = rules;
    spec["target"] = json!({ "group": "example.org", "version": "v1", "resource": "a" });
    spec["redact"] = json!([".status.hidden"]);
    let document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": "a.example.org" }, "spec": spec,
    });
    let status = |text: &str| format!("{{\"hidden\":{text}}}").into_bytes();
    let (old, new) = (status(old), status(new));
    let old = Object::of_parts(Some(&old), None, None);
    let new = Object::of_parts_like(&old, Some(&new), None, None);
    Policy::compile(&document).unwrap().judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap()
}

#[test]
fn neither_values_nor_names_below_a_redacted_path_are_shown() {
    let path = ".status.hidden";
    let rows = [
        (
            "a phase",
            json!({ "phases": [{ "path": path, "transitions": [{ "from": ["a"], "to": ["b"] }] }] }),
            "\"a\"",
            "\"SECRET\"",
        ),
        (
            "a phase that was",
            json!({ "phases": [{ "path": path, "transitions": [{ "from": ["a"], "to": ["SECRET"] }], "initial": ["a"] }] }),
            "\"SECRET\"",
            "\"a\"",
        ),
        (
            "a phase that needs a field",
            json!({
                "phases": [{ "path": ".status.hidden.phase", "transitions": [{ "from": ["a"], "to": ["SECRET"] }] }],
                "setOnce": [{ "path": ".status.needed", "requiredIn": ["SECRET"] }],
            }),
            "{\"phase\":\"a\"}",
            "{\"phase\":\"SECRET\"}",
        ),
        ("a counter", json!({ "monotone": [{ "path": path }] }), "5", "\"SECRET\""),
        ("a field", json!({ "setOnce": [{ "path": path }] }), "{\"SECRET\":{\"SECRET\":1}}", "{}"),
        ("a list", json!({ "collections": [{ "path": path }] }), "[\"SECRET\",1]", "[1]"),
        (
            "an entry",
            json!({ "collections": [{ "path": path, "key": ["k"], "order": "Any" }] }),
            "[{\"k\":1,\"SECRET\":1}]",
            "[{\"k\":1,\"SECRET\":\"SECRET\"}]",
        ),
        (
            "copies",
            json!({ "collections": [{ "path": path, "key": ["k"] }] }),
            "[{\"k\":\"SECRET\"}]",
            "[{\"k\":\"SECRET\"},{\"k\":\"SECRET\"},{\"k\":\"SECRET\"}]",
        ),
        (
            "a map that lost an entry",
            json!({ "collections": [{ "path": path }] }),
            "{\"SECRET\":1,\"b\":1}",
            "{\"b\":1}",
        ),
        ("a map's entry", json!({ "collections": [{ "path": path }] }), "{\"SECRET\":1}", "{\"SECRET\":2}"),
        (
            "a map's machine",
            json!({ "collections": [{ "path": path, "each": { "monotone": [{ "path": ".n" }] } }] }),
            "{\"SECRET\":{\"n\":2}}",
            "{\"SECRET\":{\"n\":1}}",
        ),
        (
            "a sum",
            json!({ "equal": [{ "left": [".status.hidden.n"], "right": [".status.n"] }] }),
            "{\"n\":0}",
            "{\"n\":5337}",
        ),
        (
            "what is waived",
            json!({ "collections": [{ "path": path, "each": { "monotone": [{ "path": "." }] } }] }),
            "{\"SECRET\":\"x\"}",
            "{\"SECRET\":\"y\"}",
        ),
    ];
    for (what, rules, old, new) in rows {
        let judgement = judged(rules, old, new);
        assert!(!judgement.findings.is_empty() || !judgement.waivers.is_empty(), "{what}");
        let text = format!("{judgement:?} {}", judgement.summary("a/b", "a.example.org"));
        assert!(!text.contains("SECRET") && !text.contains("5337"), "{what}: {text}");
    }
}

#[test]
fn texts_of_any_length_are_cut() {
    let long = "x".repeat(100_000);
    let document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy", "metadata": { "name": "a.example.org" },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": "a" },
            "phases": [{ "path": ".status.phase", "transitions": [{ "from": ["a"], "to": ["b"] }] }],
            "setOnce": [{ "path": ".status.map" }],
            "collections": [{ "path": ".status.nodes" }],
            "equal": [{ "left": [".status.n"], "right": [".status.m"] }],
        },
    });
    let digits = "7".repeat(4000);
    let old = format!("{{\"phase\":\"a\",\"map\":{{\"{long}\":1}},\"nodes\":{{\"{long}\":1}}}}");
    let new = format!("{{\"phase\":\"{long}\",\"n\":{digits},\"nodes\":{{}}}}");
    let old = Object::of_parts(Some(old.as_bytes()), None, None);
    let new = Object::of_parts(Some(new.as_bytes()), None, None);
    let judgement =
        Policy::compile(&document).unwrap().judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap();
    assert_eq!(judgement.findings.len(), 4, "{judgement:?}");
    for finding in judgement.findings {
        for text in [&finding.field, &finding.old, &finding.new, &finding.message()] {
            assert!(text.len() < 1100, "{} bytes: {finding:?}", text.len());
        }
    }
}

#[test]
fn reasons_are_all_named_however_many_findings_there_are() {
    let document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy", "metadata": { "name": "a.example.org" },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": "a" },
            "collections": [{ "path": ".status.nodes", "each": { "monotone": [{ "path": ".n" }] } }],
            "equal": [{ "left": [".status.n"], "right": [".status.m"] }],
        },
    });
    let status = |n: u32, sum: u32| {
        let nodes: Vec<String> = (0..40).map(|node| format!("\"{node}\":{{\"n\":{n}}}")).collect();
        format!("{{\"n\":{sum},\"nodes\":{{{}}}}}", nodes.join(","))
    };
    let (old, new) = (status(2, 0), status(1, 1));
    let old = Object::of_parts(Some(old.as_bytes()), None, None);
    let new = Object::of_parts(Some(new.as_bytes()), None, None);
    let judgement =
        Policy::compile(&document).unwrap().judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap();
    assert_eq!((judgement.findings.len(), judgement.more), (statusguard_policy::MAX_FINDINGS, 9));
    assert_eq!(judgement.reasons, [Reason::CounterRegression, Reason::CountMismatch]);
}

/// A judgement of one finding.
fn one_finding(verdict: Verdict, class: Class, field: &str, what: &str) -> Judgement {
    let (old, new) = (String::new(), String::new());
    let finding =
        Finding { reason: Reason::CounterRegression, class, field: field.to_owned(), old, new, what: what.to_owned() };
    let (waivers, reasons) = (Vec::new(), Vec::new());
    Judgement { verdict, findings: vec![finding], more: 0, waivers, reasons, softened: false }
}

const READ_AGAIN: &str =
    "read the object again and decide again; if a fresh read leads to the same write, the policy is at fault";
const NEVER: &str = "this can never be legal, because no older state of the object explains it; \
                     if the controller is right, correct the policy";

#[test]
fn a_refusal_says_what_to_do_and_what_it_means_if_that_does_not_help() {
    let stale = one_finding(Verdict::Stale, Class::Stale, "status.n", "fell from 3 to 2");
    assert_eq!(
        stale.summary("jobs.batch web/j1", "jobs.batch"),
        "stale status write to jobs.batch web/j1 refused: status.n fell from 3 to 2. It would be legal on an older \
         state of the object: read it again and decide again. If a fresh read leads to the same write, the policy is \
         at fault: StatusPolicy jobs.batch."
    );
    let invalid = one_finding(Verdict::Invalid, Class::Invalid, "status.phase", "went from \"A\" to \"C\"");
    assert_eq!(
        invalid.summary("jobs.batch web/j1", "jobs.batch"),
        "status write to jobs.batch web/j1 refused: status.phase went from \"A\" to \"C\". This can never be legal, \
         because no older state of the object explains it. If the controller is right, correct the policy: \
         StatusPolicy jobs.batch."
    );
    assert_eq!(stale.findings[0].message(), format!("fell from 3 to 2; {READ_AGAIN}"));
    assert_eq!(
        stale.findings[0].warning("jobs.batch"),
        format!("status.n: would be refused by StatusPolicy jobs.batch: fell from 3 to 2; {READ_AGAIN}")
    );
}

#[test]
fn each_cause_names_the_policy_and_says_what_to_do() {
    let stale = &one_finding(Verdict::Stale, Class::Stale, "status.n", "fell from 3 to 2").findings[0];
    let invalid = &one_finding(Verdict::Invalid, Class::Invalid, "status.sum", "is 2, but n is 1").findings[0];
    let begins = "refused by StatusPolicy jobs.batch: ";
    let cause = |finding: &Finding, class| finding.refusal("jobs.batch", class, false);
    assert_eq!(cause(stale, Class::Stale), format!("{begins}fell from 3 to 2; {READ_AGAIN}"));
    assert_eq!(cause(invalid, Class::Invalid), format!("{begins}is 2, but n is 1; {NEVER}"));
    // A stale write that is invalid for another reason, and a consequence of what is stale.
    assert_eq!(cause(stale, Class::Invalid), format!("{begins}fell from 3 to 2; {READ_AGAIN}"));
    assert_eq!(cause(invalid, Class::Stale), format!("{begins}is 2, but n is 1; {READ_AGAIN}"));
    assert_eq!(
        stale.refusal("jobs.batch", Class::Stale, true),
        format!(
            "{begins}fell from 3 to 2; read the object again and decide again; repeated too often without doing so; \
             if a fresh read leads to the same write, the policy is at fault"
        )
    );
}
