//! Policy test files: each case stands for itself.

use crate::{Folder, POLICY, run};

/// Runs cases against the policy of the tests.
fn cases(cases: &str) -> (i32, String) {
    let folder = Folder::new();
    let file = folder.write("tests.yaml", &format!("cases:\n{cases}"));
    let ran = run(&["policy", "test", "--policy", POLICY, &file]);
    assert_eq!(ran.err, "");
    (ran.code, ran.out)
}

#[test]
fn every_bad_case_is_a_failure_of_its_own() {
    let (code, out) = cases(
        "  - { name: good, oldStatus: null, newStatus: {phase: Pending}, expect: Allow }
  - { name: a, oldStatus: null, newStatus: null, expects: Allow }
  - { name: 5, oldStatus: null, newStatus: null, expect: Allow }
  - { oldStatus: null, newStatus: null, expect: Allow }
  - hello
  - { name: b, oldStatus: null, newStatus: null, expect: Denied }
  - { name: also good, oldStatus: null, newStatus: {attempts: 1}, expect: Allow }
",
    );
    assert_eq!(code, 1);
    for said in [
        ": cases[1] a\n  expected  a test case\n  got       unknown key `expects`; the keys are name,",
        ": cases[2]\n  expected  a test case\n  got       `name` is not a string; name the case",
        ": cases[3]\n  expected  a test case\n  got       `name` is missing; name the case",
        ": cases[4]\n  expected  a test case\n  got       not an object;",
        ": cases[5] b\n  expected  a test case\n  got       `expect` is missing or unknown;",
        "\n2 passed, 5 failed\n",
    ] {
        assert!(out.contains(said), "no {said:?}: {out}");
    }
}

#[test]
fn cases_judge_objects() {
    let (code, out) = cases(
        "  - { name: no objects, old: 5, new: hello, expect: Allow }
  - { name: a list, old: {kind: List, items: []}, new: {}, expect: Allow }
  - { name: nothing, expect: Allow }
",
    );
    assert_eq!(code, 1);
    for said in [
        "no objects\n  expected  a test case\n  got       `old` is not an object; give one Kubernetes object",
        "a list\n  expected  a test case\n  got       `old` is a list of objects; name one object",
        "nothing\n  expected  a test case\n  got       `oldStatus` is missing; write `null`",
        "0 passed, 3 failed\n",
    ] {
        assert!(out.contains(said), "no {said:?}: {out}");
    }
    // A status is any value, also a broken one; `null` is none.
    let (code, out) = cases(
        "  - { name: malformed, oldStatus: hello, newStatus: 5, expect: Allow }
  - { name: first, oldStatus: null, newStatus: {phase: Pending}, expect: Allow }
  - { name: created, operation: CREATE, old: null, new: {status: {phase: Done}}, expect: Allow }
  - { name: null, old: null, new: {status: {phase: Pending}}, expect: Allow }
  - { name: none, operation: DELETE, oldStatus: null, newStatus: null, expect: Allow }
"
        .replace("name: null", "name: of nothing")
        .as_str(),
    );
    assert_eq!((code, out.as_str()), (0, "5 passed, 0 failed\n"));
}

/// An object whose generation is not said has the first one.
#[test]
fn objects_have_a_generation() {
    let folder = Folder::new();
    folder.write(
        "policy.yaml",
        "apiVersion: statusguard.dev/v1alpha1
kind: StatusPolicy
metadata: { name: jobs.example.org }
spec:
  target: { group: example.org, version: v1, resource: jobs }
  monotone: [{ path: .status.seen, atMost: .metadata.generation }]
",
    );
    let file = folder.write(
        "tests.yaml",
        "policy: policy.yaml
cases:
  - { name: first, oldStatus: null, newStatus: {seen: 1}, expect: Allow }
  - { name: second, oldStatus: null, newStatus: {seen: 2}, expect: Invalid, reasons: [AboveBound] }
  - { name: said, oldStatus: null, newStatus: {seen: 2}, generation: 2, expect: Allow }
  - name: named by the objects
    old: { metadata: { generation: 2 } }
    new: { metadata: { generation: 2 }, status: { seen: 2 } }
    expect: Allow
  - name: named by one of them
    old: { metadata: { generation: 2 } }
    new: { status: { seen: 2 } }
    expect: Allow
  - { name: null is not said, oldStatus: null, newStatus: {seen: 1}, generation: null, expect: Allow }
",
    );
    assert_eq!(run(&["policy", "test", &file]).out, "6 passed, 0 failed\n");
}
