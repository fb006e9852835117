//! The commands as an operator runs them: output, exit codes, and what is said of bad input.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod bad_input;
mod cases;
mod checks;
mod crds;
mod drawings;
mod folders;
mod init;
mod language;
mod lint;
mod objects;
mod pipes;
mod removal;
mod results;
mod webhook_config;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const POLICY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/jobs.yaml");
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests");

struct Ran {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Ran {
    run_with(arguments, "")
}

fn run_with(arguments: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_statusguard"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may have ended.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, text: &str) -> String {
        let file = self.0.path().join(name);
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    fn object(&self, name: &str, status: Value) -> String {
        let object = json!({ "kind": "Job", "metadata": { "name": "j1" }, "status": status });
        self.write(name, &object.to_string())
    }
}

fn check(old: Value, new: Value) -> (i32, Value) {
    let folder = Folder::new();
    let (old, new) = (folder.object("old.json", old), folder.object("new.json", new));
    let ran = run(&["check", "--policy", POLICY, "--old", &old, "--new", &new, "-o", "json"]);
    assert_eq!(ran.err, "");
    (ran.code, serde_json::from_str(&ran.out).unwrap())
}

#[test]
fn check_answers_as_the_guard_would() {
    let (code, report) = check(json!({ "attempts": 3 }), json!({ "attempts": 2 }));
    assert_eq!(code, 3);
    assert_eq!(
        report,
        json!({
            "policy": "jobs.example.org", "object": "jobs.example.org j1", "verdict": "Stale", "class": "Stale",
            "code": 409, "reason": "Conflict", "mode": "Enforce", "outcome": "Denied", "exempt": false,
            "findings": [{
                "reason": "CounterRegression", "class": "Stale", "field": "status.attempts", "old": 3, "new": 2,
                "message": "fell from 3 to 2; read the object again and decide again; \
                            if a fresh read leads to the same write, the policy is at fault",
            }],
            "waivers": [],
        })
    );
    let (code, report) = check(json!({ "phase": "Pending" }), json!({ "phase": "Done" }));
    assert_eq!((code, &report["code"], &report["reason"]), (4, &json!(422), &json!("Invalid")));
    assert_eq!(report["findings"][0]["reason"], "PhaseSkipped");
    let (code, report) = check(json!({ "phase": "Odd" }), json!({ "phase": "Pending" }));
    assert_eq!((code, &report["outcome"]), (0, &json!("Repaired")));
    assert_eq!(report["waivers"], json!([{ "reason": "PhaseUnknown", "field": "status.phase" }]));
    let (code, report) = check(json!({}), json!({ "phase": "Pending" }));
    assert_eq!(
        (code, &report["outcome"], &report["class"], &report["code"]),
        (0, &json!("Allowed"), &Value::Null, &Value::Null)
    );
}

#[test]
fn fields_are_named_to_the_leaf() {
    let log = |error: &str| json!({ "log": [{ "n": 1 }, { "n": 2, "error": error }] });
    let (_, report) = check(log("a"), log("b"));
    assert_eq!(report["findings"][0]["field"], "status.log[1].error");
    assert_eq!(report["findings"][0]["old"], "a");
}

#[test]
fn redacted_values_are_never_shown() {
    let (code, report) = check(json!({ "token": "hunter2" }), json!({ "token": "hunter3" }));
    assert_eq!(code, 3);
    assert!(!report.to_string().contains("hunter"), "{report}");
    assert_eq!(report["findings"][0]["old"], "[redacted]");
}

#[test]
fn check_reads_reviews_and_tables() {
    let folder = Folder::new();
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "u", "operation": "UPDATE",
            "oldObject": { "status": { "attempts": 3 } },
            "object": { "kind": "Job", "metadata": { "name": "j1", "deletionTimestamp": "2026-01-01T00:00:00Z" }, "status": { "attempts": 2 } } },
    });
    let file = folder.write("review.json", &review.to_string());
    let ran = run(&["check", "--policy", POLICY, "--review", &file]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.starts_with(
            "Verdict   Stale\nOutcome   Warned: the object is being deleted, so the client is only warned\n"
        ),
        "{}",
        ran.out
    );
    let ran =
        run_with(&["check", "--policy", POLICY, "--review", "-"], &review.to_string().replace("UPDATE", "CREATE"));
    assert_eq!((ran.code, ran.out.as_str()), (0, "Verdict   Allow\nOutcome   Allowed\n"));
    let (old, new) =
        (folder.object("o.yaml", json!({ "attempts": 3 })), folder.object("n.yaml", json!({ "attempts": 2 })));
    let ran = run(&["check", "--policy", POLICY, "--old", &old, "--new", &new]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.starts_with("Verdict   Stale: 409 Conflict\nOutcome   Denied\n\n"), "{}", ran.out);
    let message = "stale status write to jobs.example.org j1 refused: status.attempts fell from 3 to 2.";
    assert!(ran.out.contains(message), "{}", ran.out);
    assert!(ran.out.contains("FINDING             CLASS   FIELD             OLD   NEW\n"), "{}", ran.out);
}

#[test]
fn bad_input_names_file_path_and_hint() {
    let folder = Folder::new();
    let object = folder.object("o.json", json!({}));
    let broken = folder.write("broken.yaml", "a: [1");
    let empty = folder.write("empty.yaml", "");
    let two = folder.write("two.yaml", "a: 1\n---\nb: 2\n");
    let rows: [(&[&str], i32, &[&str]); 9] = [
        (
            &["check", "--policy", "nowhere.yaml", "--old", &object, "--new", &object],
            1,
            &["cannot read nowhere.yaml", "No such file"],
        ),
        (&["check", "--policy", &broken, "--old", &object, "--new", &object], 1, &["broken.yaml", "line"]),
        (
            &["check", "--policy", &empty, "--old", &object, "--new", &object],
            1,
            &["empty.yaml", "empty", "write a StatusPolicy"],
        ),
        (
            &["check", "--policy", POLICY, "--old", &two, "--new", &object],
            1,
            &["two.yaml", "2 documents", "should hold one"],
        ),
        (&["check", "--policy", POLICY, "--review", &object], 1, &["`request` is missing", "AdmissionReview"]),
        (&["check", "--policy", POLICY], 2, &["--old", "--review"]),
        (&["check", "--policy", POLICY, "--old", &object], 2, &["--new"]),
        (&["policy", "lint", "-o", "xml", POLICY], 2, &["invalid value", "possible values: table, json"]),
        (&["frobnicate"], 2, &["unrecognized subcommand"]),
    ];
    for (arguments, code, parts) in rows {
        let ran = run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.err);
        for part in parts {
            assert!(ran.err.contains(part), "{arguments:?} does not say {part:?}: {}", ran.err);
        }
    }
}

#[test]
fn lint_names_every_problem_at_once() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(POLICY).unwrap();
    let text =
        text.replace("final: [Done, Failed]", "finals: [Done, Failed]").replace(".status.attempts", "status.attempts");
    let text = text.replace("name: jobs.example.org", "name: job");
    let file = folder.write("p.yaml", &text);
    let ran = run(&["policy", "lint", &file, POLICY, "-o", "json"]);
    assert_eq!(ran.code, 1);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["policies"], 2);
    let problems = report["problems"].as_array().unwrap();
    let errors: Vec<&str> =
        problems.iter().filter(|p| p["severity"] == "error").map(|p| p["path"].as_str().unwrap()).collect();
    assert_eq!(errors, ["spec.phases[0].finals", "metadata.name", "spec.monotone[0].path"]);
    assert!(problems.iter().all(|p| p["file"] == *file && p["hint"] != ""));
    let ran = run(&["policy", "lint", POLICY]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 policy, 0 errors, 0 warnings\n"));
}

#[test]
fn lint_compares_with_the_crd() {
    let folder = Folder::new();
    let crd = json!({ "kind": "CustomResourceDefinition", "spec": {
        "group": "example.org", "names": { "plural": "jobs", "kind": "Job" },
        "versions": [{ "name": "v1", "storage": true, "schema": { "openAPIV3Schema": { "properties": { "status": { "properties": {
            "log": { "type": "object" } } } } } } }] } });
    let crd = folder.write("crd.json", &crd.to_string());
    let text = std::fs::read_to_string(POLICY).unwrap().replace("key: [n]", "order: Append");
    let file = folder.write("p.yaml", &text);
    let ran = run(&["policy", "lint", "--crd", &crd, &file]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("spec.collections[0].order: the CRD's schema calls this a map"), "{}", ran.out);
}

#[test]
fn test_files_pass_and_fail() {
    let folder = Folder::new();
    std::fs::copy(POLICY, folder.0.path().join("jobs.yaml")).unwrap();
    let cases = "policy: jobs.yaml\ncases:\n  - { name: falls, oldStatus: {attempts: 2}, newStatus: {attempts: 1}, expect: Stale, reasons: [CounterRegression] }\n  - { name: first, oldStatus: null, newStatus: {phase: Pending}, expect: Allow }\n  - { name: deleting, oldStatus: {attempts: 2}, newStatus: null, deleting: true, expect: Allow, reasons: [CounterRegression] }\n  - { name: wrong, oldStatus: {attempts: 2}, newStatus: {attempts: 1}, expect: Invalid }\n";
    let file = folder.write("tests.yaml", cases);
    let ran = run(&["policy", "test", &file]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.out.lines().last(), Some("3 passed, 1 failed"));
    assert!(ran.out.contains(": wrong\n  expected  Invalid\n  got       Stale [\"CounterRegression\"]\n  Stale CounterRegression: status.attempts fell from 2 to 1\n"), "{}", ran.out);
    let file = folder.write("good.yaml", &cases.replace("expect: Invalid", "expect: Stale"));
    let ran = run(&["policy", "test", &file, "-o", "json"]);
    assert_eq!((ran.code, ran.out.trim()), (0, r#"{"failed":0,"failures":[],"passed":4}"#));
    for (wrong, said) in [
        (
            cases.replace("expect: Allow }", "expects: Allow }"),
            "cases[1] first\n  expected  a test case\n  got       unknown key `expects`",
        ),
        (cases.replace("expect: Allow }", "expect: Denied }"), "`expect` is missing or unknown"),
        (cases.replace("policy: jobs.yaml", "policy: other.yaml"), "cannot read"),
        ("cases: []".into(), "`policy` is missing"),
    ] {
        let file = folder.write("bad.yaml", &wrong);
        let ran = run(&["policy", "test", &file]);
        assert_eq!(ran.code, 1);
        assert!(ran.out.contains(said), "{said}: {}", ran.out);
    }
    let file = folder
        .write("other.yaml", &cases.replace("policy: jobs.yaml\n", "").replace("expect: Invalid", "expect: Stale"));
    assert_eq!(run(&["policy", "test", "--policy", POLICY, &file]).code, 0);
}

/// Files of the policy library; a folder without policies would make this test nothing.
fn library(kind: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["kubernaut", "community"] {
        let folder = Path::new(MANIFESTS).join("policies").join(folder).join(kind);
        let found = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
        files.extend(found.filter(|file| file.extension().is_some_and(|end| end == "yaml")));
    }
    assert!(files.len() >= 12, "six kinds of our own and six of the community: {files:?}");
    files
}

#[test]
fn the_policy_library_compiles_and_passes_its_tests() {
    for file in library("") {
        let ran = run(&["policy", "lint", file.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.out);
        let tests = file.parent().unwrap().join("tests").join(file.file_name().unwrap());
        assert!(tests.is_file(), "{} has no tests", file.display());
    }
    for file in library("tests") {
        let ran = run(&["policy", "test", file.to_str().unwrap()]);
        assert_eq!(ran.code, 0, "{}", ran.out);
        assert!(!ran.out.starts_with("0 passed"), "{} is empty", file.display());
    }
}

#[test]
fn completion_for_shells() {
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completion", shell]);
        assert!(ran.code == 0 && ran.out.contains("statusguard"));
    }
}
