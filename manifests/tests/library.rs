//! Every policy of the library compiles, is tested, and passes its tests.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use statusguard_policy::{Budget, Object, Operation, Policy, Value as Raw};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies").join(name)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
}

fn read(path: &Path) -> Value {
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

fn compile(path: &Path) -> Policy {
    Policy::compile(&read(path)).unwrap_or_else(|problems| panic!("{path:?}: {problems:#?}"))
}

/// What went wrong in one case, if anything.
fn failure(policy: &Policy, case: &Value) -> Option<String> {
    let object = |side: &str| {
        let mut object = case.get(side).cloned().unwrap_or_else(|| {
            serde_json::json!({ "metadata": {}, "status": case.get(format!("{side}Status")).cloned().unwrap_or_default() })
        });
        if let Some(generation) = case.get("generation") {
            object["metadata"]["generation"] = generation.clone();
        }
        if case.get("deleting") == Some(&Value::Bool(true)) {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        object.to_string()
    };
    let operation: Operation = case.get("operation").map_or("UPDATE", |value| value.as_str().unwrap()).parse().unwrap();
    let (old, new) = (object("old"), object("new"));
    let (old, new) = (Raw::parse(old.as_bytes()).unwrap(), Raw::parse(new.as_bytes()).unwrap());
    let judgement = policy.judge(operation, &Object::of(&old), &Object::of(&new), &Budget::unlimited()).unwrap();
    let verdict = if judgement.softened { "Allow".to_owned() } else { format!("{:?}", judgement.verdict) };
    let reasons: BTreeSet<&str> = judgement
        .findings
        .iter()
        .map(|finding| finding.reason.as_str())
        .chain(judgement.waivers.iter().map(|waiver| waiver.reason.as_str()))
        .collect();
    let expected: Option<BTreeSet<&str>> = case
        .get("reasons")
        .map(|list| list.as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect());
    let same = case["expect"] == verdict && expected.as_ref().is_none_or(|expected| *expected == reasons);
    (!same).then(|| format!("{}: expected {} {expected:?}, got {verdict} {reasons:?}", case["name"], case["expect"]))
}

/// Runs the test file that stands beside each policy of a folder; returns how many policies there were.
fn run(name: &str, fewest_cases: usize) -> usize {
    let policies = files(&folder(name));
    let mut failures = Vec::new();
    for path in &policies {
        let policy = compile(path);
        let resource = path.file_stem().unwrap();
        let tests = path.parent().unwrap().join("tests").join(path.file_name().unwrap());
        let suite = read(&tests);
        assert_eq!(suite["policy"], format!("../{}.yaml", resource.display()), "{tests:?}");
        let cases = suite["cases"].as_array().unwrap();
        assert!(cases.len() >= fewest_cases, "{tests:?} has only {} cases", cases.len());
        let names: BTreeSet<_> = cases.iter().map(|case| case["name"].as_str().unwrap()).collect();
        assert_eq!(names.len(), cases.len(), "{tests:?}: names are unique");
        for verdict in ["Allow", "Stale"] {
            assert!(cases.iter().any(|case| case["expect"] == verdict), "{tests:?} has no case of {verdict}");
        }
        failures.extend(
            cases.iter().filter_map(|case| failure(&policy, case)).map(|text| format!("{}: {text}", tests.display())),
        );
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    for tests in files(&folder(name).join("tests")) {
        let policy = folder(name).join(tests.file_name().unwrap());
        assert!(policy.exists(), "{tests:?} tests nothing");
    }
    policies.len()
}

#[test]
fn the_six_kinds_pass_their_tests() {
    assert_eq!(run("kubernaut", 25), 6);
}

#[test]
fn the_community_policies_pass_their_tests() {
    assert!(run("community", 6) >= 12);
}

#[test]
fn the_examples_of_the_guide_pass_their_tests() {
    assert_eq!(run("examples", 4), 8);
}

/// Where the real controller's code is named, so that a reader can look a rule up.
#[test]
fn the_community_policies_name_their_sources() {
    for path in files(&folder("community")) {
        let text = fs::read_to_string(&path).unwrap();
        let comment: Vec<_> = text.lines().take_while(|line| line.starts_with('#')).collect();
        assert!(comment.iter().any(|line| line.starts_with("# Source: ")), "{path:?}");
    }
}

/// What lint says about the policies of the library is known, and explained in their READMEs.
#[test]
fn warnings_are_the_known_ones() {
    let mut warnings = Vec::new();
    for path in ["kubernaut", "community", "examples"].iter().flat_map(|name| files(&folder(name))) {
        let policy = compile(&path);
        warnings.extend(policy.warnings().iter().map(|warning| format!("{}: {}", policy.name(), warning.message)));
    }
    assert_eq!(
        warnings,
        [
            "remediationrequests.kubernaut.ai: every write among Pending, Blocked is allowed, so a stale write among them is not detected",
            "remediationrequests.kubernaut.ai: every write among Blocked, Analyzing is allowed, so a stale write among them is not detected",
            "orders.acme.cert-manager.io: every write among pending, ready, processing is allowed, so a stale write among them is not detected",
            "pods: with `keep: 0` an entry may go and come back, so `each` can be bypassed",
            "pods: no rule guards the witness `.state.terminated.finishedAt`",
            "pods: no rule guards the witness `.lastState.terminated.finishedAt`",
            "rayjobs.ray.io: every write among Running, FailedToGetJobStatus is allowed, so a stale write among them is not detected",
            "workflows.argoproj.io: every write among Pending, Running is allowed, so a stale write among them is not detected",
            "workflows.argoproj.io: no rule guards the witness `.status.compressedNodes`",
            "workflows.argoproj.io: no rule guards the witness `.status.offloadNodeStatusVersion`",
            "services.example.org: every write among Healthy, Degraded is allowed, so a stale write among them is not detected",
        ]
    );
}
