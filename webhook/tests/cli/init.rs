//! `policy init`: what a first policy guards, and what it says of the rest.

mod coverage;
mod files;

use std::path::Path;

use serde_json::{Value, json};

use crate::{Folder, MANIFESTS, run};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/init");
const NOTHING: [&str; 0] = [];
/// What lint says of a policy in which no rule is active.
const NO_RULE: &str = "warning: there is no rule, so every write is allowed";

fn crd(status: &Value) -> Value {
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {
        "group": "example.org", "names": { "plural": "jobs", "kind": "Job" }, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
            "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                "status": { "type": "object", "properties": status } } } } }] } })
}

fn init_file(file: &str) -> String {
    let ran = run(&["policy", "init", "--crd", file]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{file}");
    ran.out
}

/// The first policy for a status with these fields.
fn init(status: &Value) -> String {
    init_file(&Folder::new().write("crd.json", &crd(status).to_string()))
}

/// What lint says of a policy, each as `severity: message`.
fn lint(policy: &str) -> Vec<String> {
    let ran = run(&["policy", "lint", "-o", "json", &Folder::new().write("first.yaml", policy)]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let text = |problem: &Value, field: &str| problem[field].as_str().unwrap().to_owned();
    let problems = report["problems"].as_array().unwrap().iter();
    problems.map(|problem| format!("{}: {}", text(problem, "severity"), text(problem, "message"))).collect()
}

/// The lines of a policy without the remarks, from the mode on.
fn rules(policy: &str) -> String {
    let is_remark = |line: &&str| line.is_empty() || line.trim_start().starts_with("# ");
    let lines: Vec<&str> = policy.lines().skip_while(|line| *line != "  mode: Audit").skip(1).collect();
    lines.into_iter().filter(|line| !is_remark(line)).map(|line| format!("{line}\n")).collect()
}

fn text(name: &str) -> Value {
    json!({ "type": "string", "enum": [name, "Failed"] })
}

#[test]
fn conditions_are_kept_by_their_type_and_never_called_a_state() {
    let item =
        json!({ "type": "object", "properties": { "type": { "type": "string" }, "status": { "type": "string" } } });
    let conditions = json!({ "type": "array", "items": item });
    let first = init(&json!({ "conditions": conditions }));
    assert_eq!(
        rules(&first),
        "  collections:\n    - path: .status.conditions\n      key: [type]\n      order: Any\n      each: {}\n"
    );
    assert_eq!(lint(&first), NOTHING);
    let mut versioned = conditions.clone();
    versioned["items"]["properties"]["observedGeneration"] = json!({ "type": "integer" });
    let first = init(
        &json!({ "conditions": versioned, "of": { "type": "object", "properties": { "conditions": versioned } } }),
    );
    assert_eq!(
        rules(&first),
        "  collections:
    - path: .status.conditions
      key: [type]
      order: Any
      each:
        monotone:
          - { path: .observedGeneration, toZero: true, atMost: .metadata.generation }
    #- path: .status.of.conditions
      #key: [type]
      #order: Any
      #each:  # {} if none of the rules below is switched on
        #monotone:
          #- { path: .observedGeneration, toZero: true, atMost: .metadata.generation }
"
    );
    assert_eq!(lint(&first), NOTHING);
    // Other keys, other names, and entries of another form are not what the convention speaks of.
    let mut keyed = conditions.clone();
    keyed["x-kubernetes-list-map-keys"] = json!(["type", "reason"]);
    for status in [
        json!({ "conditions": keyed }),
        json!({ "nodeConditions": conditions }),
        json!({ "conditions": { "type": "array", "items": { "type": "string" } } }),
    ] {
        assert!(!rules(&init(&status)).contains("\n    - "), "{status}");
    }
}

#[test]
fn machines_list_the_names_and_invent_no_transition() {
    let node = json!({ "type": "object", "properties": { "state": text("Up") } });
    let first = init(&json!({
        "phase": { "type": "string", "enum": ["", "*", "Pending", "True", "Succeeded"] },
        "target_state": { "type": "string" },
        "lastState": text("A"),
        "failurePhase": text("B"),
        "mode": text("Fast"),
        "nodes": { "type": "object", "additionalProperties": node },
    }));
    assert_eq!(
        rules(&first),
        "  #phases:
    #- path: .status.phase
      #initial: []
      #transitions:
        #- { from: [Pending], to: [] }
        #- { from: [\"True\"], to: [] }
      #final: [Succeeded]
    #- path: .status.target_state
      #initial: []
      #transitions:
        #- { from: [], to: [] }
      #final: []
  #collections:
    #- path: .status.nodes
      #order: Any
      #each:  # {} if none of the rules below is switched on
        #phases:
          #- path: .state
            #initial: []
            #transitions:
              #- { from: [Up], to: [] }
            #final: [Failed]
"
    );
    assert!(first.contains("# No rule is active yet"), "{first}");
    assert_eq!(lint(&first), [NO_RULE]);
    assert!(first.contains("#     .status.failurePhase, .status.lastState, .status.mode\n"), "{first}");
}

#[test]
fn columns_show_which_fields_are_states() {
    let first = init_file(&format!("{FILES}/voyages.yaml"));
    for field in ["weather", "cargo", "tug_state", "phase"] {
        assert!(first.contains(&format!("\n    #- path: .status.{field}\n")), "{field}:\n{first}");
    }
    for field in ["reason", "master"] {
        assert!(!rules(&first).contains(&format!(".status.{field}\n")), "{field}:\n{first}");
    }
    assert!(first.contains("`kubectl get` shows: Afloat."), "{first}");
}

#[test]
fn only_numbers_that_their_names_call_incremented_are_counters() {
    let number = json!({ "type": "integer" });
    for name in ["attempts", "deliveryAttempts", "retryCount", "restart_count", "totalRetries", "crash_count"] {
        let rule = format!("  monotone:\n    - {{ path: .status.{name}, toZero: true }}\n");
        assert_eq!(rules(&init(&json!({ name: number }))), rule);
    }
    for name in ["failedCount", "failed", "succeeded", "revision", "failures", "currentCount"] {
        let rule = format!("  #monotone:\n    #- {{ path: .status.{name}, toZero: true }}\n");
        let is_number = name.starts_with("current");
        assert_eq!(rules(&init(&json!({ name: number }))), if is_number { String::new() } else { rule });
    }
    for name in ["replicas", "readyReplicas", "active", "desired", "maxRetries", "remainingAttempts", "pendingRestarts"]
    {
        let first = init(&json!({ name: number }));
        assert!(
            rules(&first).is_empty()
                && first.contains(&format!("counted anew, measured or configured.\n  #     .status.{name}\n")),
            "{first}"
        );
    }
    let mixed = json!({ "attempts": { "x-kubernetes-int-or-string": true }, "retries": { "type": "string" } });
    assert!(rules(&init(&mixed)).is_empty());
}

#[test]
fn generations_are_bounded_by_that_of_their_own_object_alone() {
    let number = json!({ "type": "integer" });
    for name in ["observedGeneration", "observed_generation"] {
        let first =
            init(&json!({ name: number, "clusterStatus": { "type": "object", "properties": { name: number } } }));
        assert_eq!(
            rules(&first),
            format!(
                "  monotone:
    - {{ path: .status.{name}, atMost: .metadata.generation }}
    #- {{ path: .status.clusterStatus.{name}, atMost: .metadata.generation }}
"
            )
        );
    }
    assert!(rules(&init(&json!({ "observedGeneration": { "type": "string" } }))).is_empty());
}

#[test]
fn times_and_references_are_never_active() {
    let time = json!({ "type": "string", "format": "date-time" });
    let name = json!({ "type": "string" });
    let first = init(&json!({
        "startTime": time, "completionTime": time, "started_at": time, "lastStartTime": time, "renewedTime": time,
        "failureTimestamp": name, "jobId": name, "clusterName": name, "specHash": name, "currentHash": name,
        "podRef": { "type": "object", "properties": { "name": name } },
    }));
    assert_eq!(
        rules(&first),
        "  #setOnce:
    #- { path: .status.completionTime }
    #- { path: .status.startTime }
    #- { path: .status.started_at }
    #- { path: .status.clusterName }
    #- { path: .status.jobId }
    #- { path: .status.podRef }
    #- { path: .status.specHash }
"
    );
    assert!(first.contains("#     .status.lastStartTime, .status.renewedTime\n"), "{first}");
    assert!(
        first.contains("`monotone` would refuse what is not a time.\n  #     .status.failureTimestamp\n"),
        "{first}"
    );
}

#[test]
fn lists_whose_entries_may_go_are_switched_off() {
    let first = init_file(&format!("{FILES}/voyages.yaml"));
    for rule in [
        "    #- path: .status.crew\n      #key: [name, rank]\n      #order: Any\n      #each:  #",
        "    #- path: .status.buoys\n      #key: [name]\n      #order: Any\n      #each: {}\n",
        "    #- path: .status.routes\n      #key: [leg]\n      #order: Any\n      #each:  #",
        "    #- path: .status.pilots\n      #key: [\"\"]\n      #order: Any\n      #each:  #",
        "    #- path: .status.signalLog\n      #key: [id]\n      #order: Append\n",
        "    #- path: .status.holds\n      #order: Any\n      #each:  #",
        "          #- path: \".9-phase\"\n",
    ] {
        assert!(rules(&first).contains(rule), "{rule}:\n{first}");
    }
    assert!(first.contains("#     .status.labels, .status.ports, .status.stops\n"), "{first}");
}

#[test]
fn what_the_schema_leaves_open_or_fixes_is_said() {
    let first = init_file(&format!("{FILES}/voyages.yaml"));
    for (reason, paths) in [
        ("The schema does not say what is in them.", ".status.untold"),
        ("Fields that are stored although the schema does not list them, inside these.", ".status.open"),
        ("A path or a key of a policy cannot name them.", ".status[\"odd name\"], .status.strange"),
        ("The API server already refuses a change, by a rule of the schema (`self == oldSelf`).", ".status.home"),
        ("Numbers that may also be text, which `monotone` would refuse.", ".status.fuel"),
    ] {
        assert!(first.contains(&format!("  # - {reason}\n  #     {paths}\n")), "{reason}:\n{first}");
    }
}

#[test]
fn a_first_policy_refuses_no_restart_and_no_recount() {
    let folder = Folder::new();
    let policy = folder
        .write("policy.yaml", &init_file(&format!("{FILES}/voyages.yaml")).replace("mode: Audit\n", "mode: Enforce\n"));
    let metadata = json!({ "name": "v", "generation": 3 });
    let object = json!({ "apiVersion": "sea.example.org/v1", "kind": "Voyage", "metadata": metadata });
    let status = |value: Value| {
        let mut object = object.clone();
        object["status"] = value;
        object
    };
    let condition =
        |kind: &str, generation: u32| json!({ "type": kind, "status": "True", "observedGeneration": generation });
    let old = json!({
        "phase": "Failed", "weather": "Storm", "observedGeneration": 2, "attempts": 4, "failed": 3, "readyBoats": 9,
        "startTime": "2024-01-02T00:00:00Z", "voyageId": "a", "ports": ["a"], "crew": [{ "name": "a" }],
        "engineStatus": {
            "state": "Ahead", "retries": 3, "observedGeneration": 9, "conditions": [condition("Hot", 9)] },
        "conditions": [condition("Afloat", 2), condition("Manned", 1)],
    });
    let new = json!({
        "phase": "Moored", "weather": "Calm", "observedGeneration": 3, "attempts": 0, "readyBoats": 1,
        "engineStatus": { "state": "Idle", "retries": 1, "observedGeneration": 1 },
        "conditions": [{ "type": "Manned", "status": "False" }, condition("Afloat", 3)],
    });
    let check = |old: &Value, new: &Value| {
        let (old, new) = (
            folder.write("old.json", &status(old.clone()).to_string()),
            folder.write("new.json", &status(new.clone()).to_string()),
        );
        run(&["check", "--policy", &policy, "--old", &old, "--new", &new]).code
    };
    assert_eq!(check(&old, &new), 0);
    for (field, value, code) in [
        ("observedGeneration", json!(1), 3),
        ("observedGeneration", json!(4), 4),
        ("attempts", json!(3), 3),
        ("conditions", json!([condition("Afloat", 2)]), 3),
        ("conditions", json!([condition("Afloat", 1), condition("Manned", 1)]), 3),
    ] {
        let mut new = old.clone();
        new[field] = value.clone();
        assert_eq!(check(&old, &new), code, "{field} {value}");
    }
}

/// The CRDs that are looked through as a whole.
fn crds() -> Vec<String> {
    let folders = [Path::new(FILES).to_owned(), Path::new(MANIFESTS).join("rendered/kubernaut-crds")];
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let files = files.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    let files: Vec<String> = files.filter(|file| !file.ends_with("kustomization.yaml")).collect();
    assert_eq!(files.len(), 8);
    files
}
