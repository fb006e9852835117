//! Policies beside the CRDs of their targets.

use serde_json::{Value, json};

use crate::lint::file;
use crate::{Folder, Ran, run};

fn crd(group: &str, plural: &str, versions: &[(&str, bool, Value)]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(name, storage, status)| {
            let status = json!({ "type": "object", "properties": status });
            let schema = json!({ "type": "object", "properties": { "status": status } });
            json!({ "name": name, "storage": storage, "subresources": { "status": {} }, "schema": { "openAPIV3Schema": schema } })
        })
        .collect();
    json!({ "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {
        "group": group, "names": { "plural": plural, "kind": plural }, "versions": versions } })
}

fn map() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "object", "properties": {
        "parts": { "type": "object", "additionalProperties": { "type": "string" } },
        "log": { "type": "array", "items": { "type": "object", "properties": { "tags": { "type": "object" } } } },
    } } })
}

fn list() -> Value {
    json!({ "type": "array", "items": { "type": "string" } })
}

/// Lints a policy of `<resource>.example.org` in a version, with rules, beside CRDs.
fn lint(crds: &[Value], resource: &str, version: &str, collections: Value) -> Ran {
    let folder = Folder::new();
    let crds: Vec<String> = crds.iter().map(Value::to_string).collect();
    let crds = folder.write("crds.yaml", &crds.join("\n---\n"));
    let policy = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": format!("{resource}.example.org") },
        "spec": {
            "target": { "group": "example.org", "version": version, "resource": resource },
            "collections": collections,
        },
    });
    let policy = folder.write("policy.json", &policy.to_string());
    run(&["policy", "lint", "--crd", &crds, &policy])
}

const MAP: &str = "the CRD's schema calls this a map";

#[test]
fn the_schema_is_that_of_the_target() {
    let jobs =
        crd("example.org", "jobs", &[("v1", false, json!({ "m": map() })), ("v2", true, json!({ "m": list() }))]);
    let tasks = crd("example.org", "tasks", &[("v1", true, json!({ "m": list() }))]);
    let others = crd("other.org", "jobs", &[("v1", true, json!({ "m": list() }))]);
    let rules = json!([{ "path": ".status.m", "order": "Append" }]);
    let all = [others, tasks, jobs.clone()];
    // The version of the target, not the one that is stored; of several CRDs the target's.
    let ran = lint(&all, "jobs", "v1", rules.clone());
    assert!(ran.code == 1 && ran.out.contains(&format!("spec.collections[0].order: {MAP}")), "{}{}", ran.out, ran.err);
    for (resource, version) in [("jobs", "v2"), ("tasks", "v1")] {
        let ran = lint(&all, resource, version, rules.clone());
        assert_eq!((ran.code, ran.out.as_str()), (0, "1 policy, 0 errors, 0 warnings\n"), "{resource} {version}");
    }
    // No CRD of the target is a warning, a version that its CRD does not have is an error.
    let ran = lint(&[jobs], "tasks", "v1", rules.clone());
    assert!(ran.code == 0 && ran.out.ends_with("0 errors, 1 warning\n"), "{}", ran.out);
    assert!(
        ran.out.contains("crds.yaml has no CRD of tasks.example.org\n    name the file of that CRD"),
        "{}",
        ran.out
    );
    let ran = lint(&all, "jobs", "v3", rules);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("has no version `v3`\n    name one of v1, v2\n"), "{}", ran.out);
}

#[test]
fn the_schema_of_entries_is_compared_too() {
    let crd = crd("example.org", "jobs", &[("v1", true, json!({ "m": map() }))]);
    let rules = json!([{ "path": ".status.m", "each": { "collections": [
        { "path": ".parts", "order": "Prepend" },
        { "path": ".log", "order": "Append", "each": { "collections": [{ "path": ".tags", "order": "Append" }] } },
    ] } }]);
    let ran = lint(&[crd], "jobs", "v1", rules);
    let each = "spec.collections[0].each.collections";
    assert!(ran.out.contains(&format!("{each}[0].order: {MAP}")), "{}", ran.out);
    assert!(ran.out.contains(&format!("{each}[1].each.collections[0].order: {MAP}")), "{}", ran.out);
    assert!(ran.code == 1 && ran.out.ends_with(" 2 errors, 0 warnings\n"), "{}", ran.out);
}

#[test]
fn a_file_without_a_crd_is_said_to_be_one() {
    let ran = lint(&[json!({ "kind": "Job" })], "jobs", "v1", json!([]));
    assert!(
        ran.code == 1 && ran.err.contains("crds.yaml: no CustomResourceDefinition in it; give the file"),
        "{}",
        ran.err
    );
}

#[test]
fn crds_come_in_folders_and_lists() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(file("parcels-crd.yaml")).unwrap();
    let crd: Value = statusguard::document::json(&statusguard::document::parse(&text).unwrap()[0]).unwrap();
    let policy = file("typos.yaml");
    let expected = run(&["policy", "lint", "--crd", &file("parcels-crd.yaml"), &policy]).out;
    assert!(expected.contains(".status.atempts"), "{expected}");
    std::fs::create_dir_all(folder.0.path().join("crds/deep")).unwrap();
    folder.write("crds/deep/parcels.yaml", &text);
    folder.write("crds/other.yaml", "kind: ConfigMap\n---\nkind: Secret\n");
    let list = folder.write("list.json", &json!({ "kind": "List", "items": [{ "kind": "Job" }, crd] }).to_string());
    let several = folder.write("several.yaml", &format!("kind: Job\n---\n{text}"));
    for crds in [folder.0.path().join("crds").to_str().unwrap(), &list, &several] {
        let ran = run(&["policy", "lint", "--crd", crds, &policy]);
        assert_eq!(ran.out, expected, "{crds}: {}", ran.err);
    }
    // None, too many, and one that is almost meant.
    let ran = run(&["policy", "lint", "--crd", &folder.write("none.yaml", "kind: Job\n"), &policy]);
    assert!(ran.code == 1 && ran.err.contains("none.yaml: no CustomResourceDefinition in it"), "{}", ran.err);
    let ran = run(&["policy", "lint", "--crd", &list, "--crd", &several, &file("text.yaml")]);
    let said = format!(
        "spec.target: compared with the first CRD of parcels.example.org in {list}, which is also in {several}\n"
    );
    assert!(ran.out.contains(&said) && ran.out.ends_with("0 errors, 2 warnings\n"), "{}", ran.out);
    let near = folder.write("near.yaml", &text.replace("parcels", "parcel"));
    let far = folder.write("far.yaml", &text.replace("group: example.org", "group: example.net"));
    let ran = run(&["policy", "lint", "--crd", &far, &file("text.yaml")]);
    assert!(
        ran.out.contains(&format!(
            "text.yaml:5:3: warning: spec.target: not compared with a schema: {far} has no CRD of parcels.example.org\n    \
             did you mean `parcels.example.net`?\n"
        )),
        "{}",
        ran.out
    );
    let ran = run(&["policy", "lint", "--crd", &near, &file("text.yaml")]);
    assert!(
        ran.out.contains("has no CRD of parcels.example.org\n    did you mean `parcel.example.org`?\n"),
        "{}",
        ran.out
    );
    let beta = folder.write("beta.yaml", &text.replace("apiextensions.k8s.io/v1", "apiextensions.k8s.io/v1beta1"));
    let ran = run(&["policy", "lint", "--crd", &beta, &policy]);
    assert!(
        ran.code == 1
            && ran.err.contains(
                "`parcels.example.org` is a CRD of apiextensions.k8s.io/v1beta1, which is not read; \
                 give it as v1: `kubectl get crd parcels.example.org -o yaml` prints that"
            ),
        "{}",
        ran.err
    );
    // Kubernetes' own kinds have none.
    let pods = "metadata: { name: pods }\nspec: { target: { group: '', version: v1, resource: pods, core: true }, setOnce: [{ path: .status.podIP }] }\n";
    let pods = folder.write("pods.yaml", &format!("apiVersion: statusguard.dev/v1alpha1\nkind: StatusPolicy\n{pods}"));
    let ran = run(&["policy", "lint", "--crd", &list, &pods]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 policy, 0 errors, 0 warnings\n"));
    assert!(ran.err.contains("pods is one of Kubernetes' own kinds, which have no CRD: not compared"), "{}", ran.err);
}
