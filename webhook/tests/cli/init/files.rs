//! Which files `policy init` reads, and what of them.

use serde_json::{Value, json};

use super::{FILES, NOTHING, crd, init_file, lint, rules};
use crate::{MANIFESTS, Ran, run, run_with};

/// The first policy for a file of several CRDs, or why there is none.
fn init_of(crds: &[Value], flags: &[&str]) -> Ran {
    let texts: Vec<String> = crds.iter().map(Value::to_string).collect();
    let arguments: Vec<&str> = ["policy", "init", "--crd", "-"].iter().chain(flags).copied().collect();
    run_with(&arguments, &texts.join("\n---\n"))
}

#[test]
fn kinds_and_versions_are_chosen_or_named() {
    let number = json!({ "observedGeneration": { "type": "integer" } });
    let with = |group: &str, plural: &str, kind: &str| {
        let mut crd = crd(&number);
        crd["spec"]["group"] = group.into();
        crd["spec"]["names"] = json!({ "plural": plural, "kind": kind });
        crd
    };
    let crds = [with("a.org", "jobs", "Job"), with("a.org", "tasks", "Task"), with("b.org", "jobs", "Job")];
    let said = |crds: &[Value], flags: &[&str], expected: &str| {
        let ran = init_of(crds, flags);
        assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains(expected), "{flags:?} {}", ran.err);
    };
    said(&crds[..2], &[], "2 CustomResourceDefinitions; choose with --kind Job|Task\n");
    said(&crds[..2], &["--kind", "Other"], "no CustomResourceDefinition of kind Other; choose with --kind Job|Task\n");
    said(&crds, &["--kind", "Job"], "2 CustomResourceDefinitions; choose with --kind jobs.a.org|jobs.b.org\n");
    for (flags, name) in [(["--kind", "Task"], "tasks.a.org"), (["--kind", "jobs.b.org"], "jobs.b.org")] {
        assert!(init_of(&crds, &flags).out.contains(&format!("\n  name: {name}\n")), "{flags:?}");
    }
    // As `kubectl get crd -o yaml` prints several.
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": crds });
    assert!(init_of(&[list], &["--kind", "Task"]).out.contains("\n  name: tasks.a.org\n"));

    let mut crd = crd(&number);
    let versions = [("v1", true, false), ("v2", false, true), ("v3", true, false)];
    let mut all: Vec<Value> = Vec::new();
    for (name, served, storage) in versions {
        let mut version = crd["spec"]["versions"][0].clone();
        (version["name"], version["served"], version["storage"]) = (name.into(), served.into(), storage.into());
        all.push(version);
    }
    crd["spec"]["versions"] = all.into();
    said(&[crd.clone()], &["--version", "v9"], "no version v9; choose with --version v1|v3\n");
    said(&[crd.clone()], &["--version", "v2"], "version v2 is not served; choose with --version v1|v3\n");
    assert!(init_of(&[crd.clone()], &["--version", "v3"]).out.contains("\n    version: v3\n"));
    // The stored version is not served: the first that is.
    assert!(init_of(&[crd.clone()], &[]).out.contains("\n    version: v1\n"));
    crd["spec"]["versions"][1]["served"] = true.into();
    assert!(init_of(&[crd], &[]).out.contains("\n    version: v2\n"));
}

#[test]
fn a_crd_of_v1beta1_without_a_subresource_is_read_as_well() {
    let first = init_file(&format!("{FILES}/lanes.yaml"));
    assert!(
        first.contains("\n    version: v1alpha1\n    resource: lanes\n    # The CRD has no status subresource"),
        "{first}"
    );
    assert!(first.contains("\n    subresource: \"\"\n"), "{first}");
    assert!(
        first.contains("#- path: .status.passage\n")
            && first.contains("does not list them, inside these.\n  #     .status\n"),
        "{first}"
    );
    for rule in [".status.observed_generation, atMost", ".status.retryCount, toZero"] {
        assert!(rules(&first).contains(&format!("\n    - {{ path: {rule}")), "{first}");
    }
    assert_eq!(lint(&first), NOTHING);
}

#[test]
fn a_status_without_fields_is_said() {
    for schema in [
        Value::Null,
        json!({ "openAPIV3Schema": { "type": "object" } }),
        json!({ "openAPIV3Schema": { "properties": { "status": {
            "type": "object", "x-kubernetes-preserve-unknown-fields": true } } } }),
    ] {
        let mut crd = crd(&json!({}));
        crd["spec"]["versions"][0]["schema"] = schema;
        let ran = init_of(&[crd], &[]);
        assert!(
            ran.code == 1 && ran.err.contains("the schema of Job v1 does not describe the fields of `.status`; write"),
            "{}",
            ran.err
        );
    }
}

#[test]
fn the_guard_has_no_first_policy_for_itself() {
    let ran =
        run(&["policy", "init", "--crd", &format!("{MANIFESTS}/rendered/crds/statusguard.dev_statuspolicies.yaml")]);
    assert!(ran.code == 1 && ran.err.contains("the guard does not guard itself; give"), "{}{}", ran.err, ran.out);
}

#[test]
fn first_policies_of_own_groups_lint_clean() {
    for (group, core) in [
        ("batch", true),
        ("snapshot.storage.k8s.io", false),
        ("gateway.networking.x-k8s.io", false),
        ("example.org", false),
    ] {
        let mut crd = crd(&json!({ "observedGeneration": { "type": "integer" } }));
        crd["spec"]["group"] = group.into();
        let first = init_of(&[crd], &[]);
        assert_eq!(first.out.contains("\n    core: true\n"), core, "{}", first.out);
        assert_eq!(first.out.contains("one of Kubernetes' own"), core, "{}", first.out);
        assert_eq!(lint(&first.out), NOTHING, "{}", first.out);
    }
}

#[test]
fn first_policies_are_yaml_whatever_the_names_are() {
    let status = json!({
        "phase": { "type": "string", "enum": ["a\"b", "c\\d", "e\u{1}f", "g\u{85}h\u{2028}i", "true", "*", "Done"] },
        "x\n  evil: 1": { "type": "integer" },
        "y\u{85}  evil: 1": { "type": "integer" },
        "history": { "type": "array", "x-kubernetes-list-map-keys": ["true", "null"] },
        "log": { "type": "array", "x-kubernetes-list-map-keys": ["a.b"] },
        "observedGeneration": { "type": "integer" },
    });
    for (plural, version) in [("jobs", "v1"), ("true", "1"), ("1e3", "v1e5")] {
        let mut crd = crd(&status);
        crd["spec"]["names"] = json!({ "plural": plural, "kind": "X\nevil: 1" });
        crd["spec"]["versions"][0]["name"] = version.into();
        crd["spec"]["versions"][0]["additionalPrinterColumns"] =
            json!([{ "jsonPath": ".status.conditions[?(@.type==\"A\nevil: 1\")].status" }]);
        let first = init_of(&[crd], &[]);
        assert_eq!(lint(&first.out), NOTHING, "{}{}", first.err, first.out);
        assert!(!first.out.contains('\u{85}') && !first.out.contains('\u{2028}'), "{}", first.out);
    }
}
