//! What `policy lint` says of policies beside their CRDs: each problem with its place and a cure.

use std::path::Path;

use serde_json::{Value, json};

use crate::{Folder, MANIFESTS, Ran, run};

const FILES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/files/lint");

/// A file of the fixtures.
pub(crate) fn file(name: &str) -> String {
    format!("{FILES}/{name}")
}

/// Lints a policy beside the CRDs of this folder.
fn lint(name: &str, more: &[&str]) -> Ran {
    let (file, crd, other) = (file(name), file("parcels-crd.yaml"), file("no-subresource-crd.yaml"));
    run(&[&["policy", "lint", "--crd", &crd, "--crd", &other, &file], more].concat())
}

/// `line:column severity path: message; hint` of each problem.
fn problems(name: &str) -> Vec<String> {
    let ran = lint(name, &["-o", "json"]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let show = |problem: &Value| {
        assert_eq!(problem["file"], file(name));
        let text = |key: &str| problem[key].as_str().unwrap().to_owned();
        let place = format!("{}:{}", problem["line"], problem["column"]);
        format!("{place} {} {}: {}; {}", text("severity"), text("path"), text("message"), text("hint"))
    };
    report["problems"].as_array().unwrap().iter().map(show).collect()
}

#[test]
fn misspelt_names_are_corrected() {
    assert_eq!(
        problems("typos.yaml"),
        [
            "19:7 error spec.monotone[0].tozero: unknown key; did you mean `toZero`?",
            "18:13 error spec.monotone[0].path: the CRD's schema has no `.status.atempts`; did you mean `.status.attempts`?",
            "21:57 error spec.setOnce[0].requiredIn[1]: no such phase `Losst`; did you mean `Lost`?",
            "22:15 error spec.setOnce[1].path: `.status.state` is a string: `.status.state.reason` is never set; \
             end the path there, or name another field",
            "24:36 error spec.collections[0].key[0]: the items of `.status.stops` have no `deopt`; did you mean `depot`?",
            "14:15 warning spec.phases[0].transitions[1].to[0]: the CRD's schema does not allow the phase `Deliverd`; \
             did you mean `Delivered`?",
        ]
    );
}

#[test]
fn rules_are_for_types_that_they_can_judge() {
    let no_order =
        "which cannot rise or fall; name a number or a time inside it, or guard it with `setOnce` or `collections`";
    assert_eq!(
        problems("odds.yaml"),
        [
            "6:12 error spec.redact[0]: the CRD's schema has no `.status.token`; \
             the members of `.status` are attempts, depots, handledAt, route, state, stops, trackingCode",
            "8:13 error spec.phases[0].path: `.status.attempts` is a number, and a phase is a string; name a string",
            &format!("12:15 error spec.monotone[0].path: `.status.route` is an object, {no_order}"),
            &format!("13:15 error spec.monotone[1].path: `.status.depots` is an object, {no_order}"),
            "15:15 error spec.monotone[3].path: the CRD's schema has no `.status.distance`; \
             did you mean `.status.route.distance`?",
            "21:15 error spec.collections[1].path: `.status.attempts` is a number, and a collection is a list or a map; \
             name a list or a map, or guard it with `monotone` or `setOnce`",
            "22:38 error spec.collections[2].order: the CRD's schema calls this a map; omit `order`: maps are not ordered",
            "24:14 error spec.equal[0].left[0]: `.status.attempts` is a number, which has no length; \
             did you mean `.status.attempts`, its value?",
            "26:11 error spec.equal[0].right[0]: `.status.stops` is a list, which counts 0 in a sum; \
             did you mean `len(.status.stops)`?",
            "14:15 warning spec.monotone[2].path: `.status.trackingCode` is a string without `format: date-time`; \
             make sure that it only ever holds digits or RFC 3339 times: any other text is refused as malformed",
            "20:30 warning spec.collections[0].key: the CRD's schema tells the items of `.status.stops` apart by other members: depot; \
             say `key: [depot]`, unless one of these items may stand for several entries in turn",
        ]
    );
}

#[test]
fn a_crd_without_a_status_subresource_has_no_such_writes() {
    assert_eq!(
        problems("no-subresource.yaml"),
        [
            "5:3 error spec.target.subresource: the CRD has no status subresource in version `v1`, so nothing is ever written \
          to it; say `subresource: \"\"` to guard writes to the object itself, or add `subresources: { status: {} }` to the CRD"
        ]
    );
}

#[test]
fn warnings_fail_only_if_that_is_asked_for() {
    for (name, warning) in [
        (
            "text.yaml",
            "8:15: warning: spec.monotone[1].path: `.status.trackingCode` is a string without `format: date-time`\n    make sure",
        ),
        ("empty.yaml", "4:1: warning: spec: there is no rule, so every write is allowed\n    add rules for what its"),
    ] {
        for (more, code) in [(&[][..], 0), (&["--strict"][..], 1)] {
            let ran = lint(name, more);
            assert_eq!(ran.code, code, "{name} {more:?}");
            assert!(ran.out.starts_with(&format!("{}:{warning}", file(name))), "{}", ran.out);
            assert!(ran.out.ends_with("\n1 policy, 0 errors, 1 warning\n"), "{}", ran.out);
        }
    }
    assert_eq!(lint("no-subresource.yaml", &["--strict"]).code, 1);
    assert_eq!(run(&["policy", "lint", "--strict", crate::POLICY]).code, 0);
}

#[test]
fn a_terminal_shows_errors_and_warnings_in_colour() {
    let out = lint("typos.yaml", &["--color", "always"]).out;
    assert!(
        out.contains(": \u{1b}[1m\u{1b}[31merror\u{1b}[0m: spec.")
            && out.contains(": \u{1b}[33mwarning\u{1b}[0m: spec."),
        "{out}"
    );
}

#[test]
fn annotations_of_a_pull_request() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(file("empty.yaml")).unwrap();
    let name = folder.write("50%,a:b.yaml", &text);
    let escaped = name.replace("50%,a:b", "50%25%2Ca%3Ab");
    let ran = run(&["policy", "lint", "-o", "github", &name]);
    assert_eq!(
        (ran.code, ran.out),
        (
            0,
            format!(
                "::warning file={escaped},line=4,col=1,title=spec::there is no rule, so every write is allowed%0A\
             add rules for what its controller guarantees, or remove the policy\n1 policy, 0 errors, 1 warning\n"
            )
        )
    );
    let ran = run(&["policy", "lint", "-o", "github", &folder.write("none.yaml", "")]);
    assert!(
        ran.code == 1 && ran.out.contains("none.yaml,title=(the file)::the file is empty%0Awrite a StatusPolicy\n"),
        "{}",
        ran.out
    );
    let ran = run(&["policy", "lint", "-o", "github", &folder.write("p.yaml", &text.replace("v1,", "\"1\\n%\","))]);
    assert!(
        ran.out.contains("line=5,col=42,title=spec.target.version::`1%0A%25` is not a version%0Aname"),
        "{}",
        ran.out
    );
}

#[test]
fn a_policy_is_there_once() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(file("text.yaml")).unwrap();
    let one = folder.write("one.yaml", &text);
    let two = folder.write("two.yaml", &format!("{}\n---\n{text}", text.replace("parcels", "crates")));
    let ran = run(&["policy", "lint", &one, &two]);
    let error = format!(
        "{two}:13:19: error: metadata.name: `parcels.example.org` is already the policy at {one}:3:19\n    \
         merge the two: there is one policy per resource\n3 policies, 1 error, 0 warnings\n"
    );
    assert_eq!((ran.code, ran.out), (1, error));
    let ran = run(&["policy", "lint", "-o", "json", &folder.write("three.yaml", &format!("{text}---\n{text}"))]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    let problem = &report["problems"][0];
    assert_eq!((&problem["document"], &problem["line"], &problem["column"]), (&json!(2), &json!(12), &json!(19)));
    // One file that is named twice is one file.
    let ran = run(&["policy", "lint", &one, &one]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 policy, 0 errors, 0 warnings\n"));
}

#[test]
fn resources_are_lower_case_plurals() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(file("text.yaml")).unwrap();
    for (resource, without, with) in [
        (
            "Parcel",
            Some("`Parcel` is not a resource\n    resources are lower-case plurals: did you mean `parcels`?"),
            true,
        ),
        (
            "Parcels",
            Some("`Parcels` is not a resource\n    resources are lower-case plurals: did you mean `parcels`?"),
            true,
        ),
        ("Box", Some("`Box` is not a resource\n    resources are lower-case plurals: did you mean `boxes`?"), false),
        // Only the CRD knows these.
        ("parcel", None, true),
        ("pcl", None, true),
    ] {
        let policy = folder.write("p.yaml", &text.replace("resource: parcels", &format!("resource: {resource}")));
        let ran = run(&["policy", "lint", &policy]);
        assert_eq!(ran.code, 1);
        if let Some(said) = without {
            assert!(ran.out.contains(&format!("p.yaml:5:56: error: spec.target.resource: {said}\n")), "{}", ran.out);
        }
        let ran = run(&["policy", "lint", "--crd", &file("parcels-crd.yaml"), &policy]);
        let said = format!(
            "5:56: error: spec.target.resource: `{resource}` is not the plural of the CRD's kind\n    write `parcels`:"
        );
        assert_eq!(ran.out.contains(&said), with, "{}", ran.out);
        assert!(ran.out.ends_with("\n1 policy, 1 error, 1 warning\n"), "{}", ran.out);
    }
}

/// Rules for everything below a schema: each field once, lists and maps as collections.
fn all_fields(schema: &Value, prefix: &str) -> Value {
    let (mut once, mut collections) = (Vec::new(), Vec::new());
    let mut open = vec![(schema, prefix.to_owned())];
    while let Some((schema, path)) = open.pop() {
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            open.push((field, path.clone()));
            once.push(json!({ "path": path }));
            for entries in ["items", "additionalProperties"].into_iter().filter_map(|key| field.get(key)) {
                let key = field.get("x-kubernetes-list-map-keys").cloned().unwrap_or(json!([]));
                collections.push(json!({ "path": path, "key": key, "each": all_fields(entries, "") }));
            }
        }
    }
    json!({ "setOnce": once, "collections": collections })
}

#[test]
fn every_field_of_a_crd_can_be_named() {
    let folder = Folder::new();
    let mut fields = 0;
    for entry in std::fs::read_dir(Path::new(MANIFESTS).join("rendered/kubernaut-crds")).unwrap() {
        let file = entry.unwrap().path();
        if file.ends_with("kustomization.yaml") {
            continue;
        }
        let documents = statusguard::document::read(&file).unwrap();
        let crd: Value = statusguard::document::json(&documents[0]).unwrap();
        let spec = &crd["spec"];
        let version = &spec["versions"][0];
        let mut policy = all_fields(&version["schema"]["openAPIV3Schema"]["properties"]["status"], ".status");
        let (group, plural) = (spec["group"].as_str().unwrap(), spec["names"]["plural"].as_str().unwrap());
        policy["target"] = json!({ "group": group, "version": version["name"], "resource": plural });
        fields += policy["setOnce"].as_array().unwrap().len();
        let policy = json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": format!("{plural}.{group}") }, "spec": policy,
        });
        let ran =
            run(&["policy", "lint", "--crd", file.to_str().unwrap(), &folder.write("all.json", &policy.to_string())]);
        assert_eq!((ran.code, ran.out.as_str()), (0, "1 policy, 0 errors, 0 warnings\n"), "{}", file.display());
    }
    assert!(fields > 100, "{fields}");
}

#[test]
fn our_policies_fit_their_crds() {
    let manifests = Path::new(MANIFESTS);
    let (policies, crds) = (manifests.join("policies/kubernaut"), manifests.join("rendered/kubernaut-crds"));
    let ran = run(&["policy", "lint", "--crd", crds.to_str().unwrap(), policies.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    // These are said without the CRD, too.
    let alone = run(&["policy", "lint", policies.to_str().unwrap()]);
    assert_eq!(ran.out, alone.out);
    assert!(ran.out.contains("6 policies, 0 errors, "), "{}", ran.out);
}
