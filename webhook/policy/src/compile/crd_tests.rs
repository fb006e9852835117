//! Policies beside the CRD of their target: versions, subresources and paths.

mod types;

use serde_json::{Value as Json, json};

use crate::{Policy, Severity};

/// A CRD of jobs whose status has these fields.
fn crd(status: Json) -> Json {
    let status = json!({ "type": "object", "properties": status });
    let schema = json!({ "type": "object", "properties": { "status": status } });
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "spec": {
            "group": "example.org", "names": { "kind": "Job", "plural": "jobs", "singular": "job" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": schema },
            }],
        },
    })
}

/// `E path: message; hint` or `W ...` of everything said of a policy for jobs with these members in its spec.
fn said(spec: Json, crd: &Json) -> Vec<String> {
    let mut document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy", "metadata": { "name": "jobs.example.org" },
        "spec": { "target": { "group": "example.org", "version": "v1", "resource": "jobs" } },
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    let problems =
        Policy::compile_for(&document, Some(crd)).map_or_else(|problems| problems, |policy| policy.warnings().to_vec());
    let show = |problem: &crate::Problem| {
        let severity = if problem.severity == Severity::Error { 'E' } else { 'W' };
        format!("{severity} {}: {}; {}", problem.path, problem.message, problem.hint)
    };
    problems.iter().map(show).collect()
}

/// What is said of one rule of a kind.
fn of_rule(kind: &str, rule: Json, crd: &Json) -> Vec<String> {
    said(json!({ kind: [rule] }), crd)
}

const NOTHING: [&str; 0] = [];

/// Fields of every type.
fn fields() -> Json {
    json!({
        "flag": { "type": "boolean" },
        "count": { "type": "integer", "nullable": true },
        "ratio": { "type": "number" },
        "port": { "x-kubernetes-int-or-string": true, "anyOf": [{ "type": "integer" }, { "type": "string" }] },
        "text": { "type": "string" },
        "date": { "type": "string", "format": "date" },
        "time": { "type": "string", "format": "date-time" },
        "level": { "type": "string", "enum": ["Low", "High"] },
        "digits": { "type": "string", "enum": ["1", "2"] },
        "log": { "type": "array", "items": { "type": "object", "properties": {
            "name": { "type": "string" }, "time": { "type": "string", "format": "date-time" }, "done": { "type": "boolean" } } } },
        "tags": { "type": "array", "items": { "type": "string" } },
        "nodes": { "type": "object", "additionalProperties": { "type": "object", "properties": {
            "phase": { "type": "string", "enum": ["A", "B"] }, "tries": { "type": "integer" } } } },
        "part": { "type": "object", "properties": { "state": { "type": "string" }, "retries": { "type": "integer" } } },
        "empty": { "type": "object" },
        "open": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "known": { "type": "boolean" } } },
        "free": { "x-kubernetes-preserve-unknown-fields": true },
        "anything": { "type": "object", "additionalProperties": true },
        "embedded": { "type": "object", "x-kubernetes-embedded-resource": true },
        "closed": { "type": "object", "additionalProperties": false },
        "untyped": { "properties": { "a": { "type": "integer" } } },
    })
}

#[test]
fn paths_that_the_schema_holds_are_accepted() {
    let crd = crd(fields());
    for path in [
        "flag",
        "count",
        "text",
        "log",
        "nodes",
        "nodes.any.tries",
        "part",
        "part.state",
        "empty",
        "open.known",
        "open.other.x",
        "free",
        "free.a.b",
        "anything.x",
        "embedded.metadata.name",
        "embedded.kind",
        "untyped.a",
    ] {
        assert_eq!(of_rule("setOnce", json!({ "path": format!(".status.{path}") }), &crd), NOTHING, "{path}");
    }
}

#[test]
fn paths_that_the_schema_cannot_hold_are_errors() {
    let crd = crd(fields());
    for (path, message, hint) in [
        ("cuont", "the CRD's schema has no `.status.cuont`", "did you mean `.status.count`?"),
        ("part.stat", "the CRD's schema has no `.status.part.stat`", "did you mean `.status.part.state`?"),
        ("prat.state", "the CRD's schema has no `.status.prat.state`", "did you mean `.status.part.state`?"),
        ("prat.stat", "the CRD's schema has no `.status.prat.stat`", "did you mean `.status.part.state`?"),
        ("nodes.a.tris", "the CRD's schema has no `.status.nodes.a.tris`", "did you mean `.status.nodes.a.tries`?"),
        // Elsewhere in the status, if only there.
        ("retries", "the CRD's schema has no `.status.retries`", "did you mean `.status.part.retries`?"),
        ("part.odd", "the CRD's schema has no `.status.part.odd`", "the members of `.status.part` are retries, state"),
        (
            "empty.odd",
            "the CRD's schema has no `.status.empty.odd`",
            "`.status.empty` has no members there, and the API server removes unknown ones",
        ),
        (
            "closed.x",
            "the CRD's schema has no `.status.closed.x`",
            "`.status.closed` has no members there, and the API server removes unknown ones",
        ),
        (
            "text.a.b",
            "`.status.text` is a string: `.status.text.a.b` is never set",
            "end the path there, or name another field",
        ),
        (
            "open.known.a",
            "`.status.open.known` is a boolean: `.status.open.known.a` is never set",
            "end the path there, or name another field",
        ),
        (
            "log.name",
            "`.status.log` is a list: `.status.log.name` is never set",
            "guard its entries with `each` in a rule of `collections`",
        ),
        ("untyped.b", "the CRD's schema has no `.status.untyped.b`", "the members of `.status.untyped` are a"),
    ] {
        let expected = [format!("E spec.setOnce[0].path: {message}; {hint}")];
        assert_eq!(of_rule("setOnce", json!({ "path": format!(".status.{path}") }), &crd), expected, "{path}");
    }
}

#[test]
fn every_path_of_a_policy_is_compared() {
    let crd = crd(fields());
    let spec = json!({
        "redact": [".status.a1"],
        "phases": [{ "path": ".status.a2", "initial": ["A"], "final": ["A"] }],
        "monotone": [{ "path": ".status.a3", "resets": { "with": [".status.a4"] } }],
        "setOnce": [{ "path": ".status.a5" }],
        "collections": [
            { "path": ".status.a6" },
            { "path": ".status.log", "key": ["a7"], "each": {
                "setOnce": [{ "path": ".a8", "resets": { "with": [".status.a9"], "within": [".b1"] } }],
                "monotone": [{ "path": ".time" }],
            } },
            { "path": ".status.nodes", "each": { "equal": [{ "left": [".tries"], "right": [".b2", "len(.b3)"] }] } },
        ],
        "equal": [{ "left": [".status.b4", "len(.status.b5)"], "right": [".status.count"] }],
    });
    let mut paths: Vec<String> = said(spec, &crd)
        .into_iter()
        .filter(|said| said.starts_with('E'))
        .map(|said| said[2..].split(':').next().unwrap().to_owned())
        .collect();
    paths.sort();
    let mut expected = [
        "spec.redact[0]",
        "spec.phases[0].path",
        "spec.monotone[0].path",
        "spec.monotone[0].resets.with[0]",
        "spec.setOnce[0].path",
        "spec.collections[0].path",
        "spec.collections[1].key[0]",
        "spec.collections[1].each.setOnce[0].path",
        "spec.collections[1].each.setOnce[0].resets.with[0]",
        "spec.collections[1].each.setOnce[0].resets.within[0]",
        "spec.collections[2].each.equal[0].right[0]",
        "spec.collections[2].each.equal[0].right[1]",
        "spec.equal[0].left[0]",
        "spec.equal[0].left[1]",
    ];
    expected.sort_unstable();
    assert_eq!(paths, expected);
}

#[test]
fn the_target_is_one_that_the_crd_serves() {
    let rule = json!([{ "path": ".status.count" }]);
    let target = |members: Json, crd: &Json| {
        let mut target = json!({ "group": "example.org", "version": "v1", "resource": "jobs" });
        for (key, value) in members.as_object().unwrap() {
            target[key] = value.clone();
        }
        said(json!({ "target": target, "setOnce": rule }), crd)
    };
    let mut crd = crd(json!({ "count": { "type": "integer" } }));
    let v1 = crd["spec"]["versions"][0].clone();
    for (name, served, storage) in [("v1alpha1", false, false), ("v1beta1", true, false)] {
        let mut version = v1.clone();
        version["name"] = name.into();
        version["served"] = served.into();
        version["storage"] = storage.into();
        crd["spec"]["versions"].as_array_mut().unwrap().push(version);
    }
    assert_eq!(target(json!({}), &crd), NOTHING);
    assert_eq!(
        target(json!({ "version": "v1beta1" }), &crd),
        ["W spec.target.version: `v1beta1` is not the version that is stored, `v1`; \
          name `v1`, unless its status has other fields: every write is converted to the version named here"]
    );
    assert_eq!(
        target(json!({ "version": "v1alpha1" }), &crd),
        ["E spec.target.version: the version `v1alpha1` is not served; name one that is, such as `v1`"]
    );
    assert_eq!(
        target(json!({ "version": "v1bata1" }), &crd),
        ["E spec.target.version: the CRD has no version `v1bata1`; name one of v1, v1alpha1, v1beta1"]
    );
    assert_eq!(
        target(json!({ "version": "v77" }), &crd),
        ["E spec.target.version: the CRD has no version `v77`; name one of v1, v1alpha1, v1beta1"]
    );
    for other in ["job", "Job", "joobs"] {
        assert_eq!(
            target(json!({ "resource": other }), &crd),
            [format!(
                "E spec.target.resource: `{other}` is not the plural of the CRD's kind; \
                 write `jobs`: resources are called by their lower-case plural"
            )]
        );
    }
    let group = target(json!({ "group": "other.org" }), &crd);
    assert!(group.contains(&"E spec.target.group: the CRD is of the group `example.org`; name this group, or give the CRD of the target".into()), "{group:?}");
    // Of the subresource.
    assert_eq!(
        target(json!({ "subresource": "" }), &crd),
        [
            "W spec.target.subresource: the CRD has a status subresource: writes to the object itself do not change its status; \
          leave `subresource` out to guard the writes to the status"
        ]
    );
    for without in [json!({}), json!({ "status": null }), Json::Null] {
        crd["spec"]["versions"][0]["subresources"] = without;
        assert_eq!(
            target(json!({}), &crd),
            [
                "E spec.target.subresource: the CRD has no status subresource in version `v1`, so nothing is ever written to it; \
              say `subresource: \"\"` to guard writes to the object itself, or add `subresources: { status: {} }` to the CRD"
            ]
        );
        assert_eq!(target(json!({ "subresource": "" }), &crd), NOTHING);
    }
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = json!({ "type": "object" });
    assert_eq!(
        target(json!({ "subresource": "" }), &crd),
        [
            "E spec.target: the CRD's schema has no `.status`; the API server removes it from every object; name another version, or correct the CRD"
        ]
    );
    crd["spec"]["preserveUnknownFields"] = true.into();
    assert_eq!(target(json!({ "subresource": "" }), &crd), NOTHING);
}

#[test]
fn what_cannot_be_read_is_not_compared() {
    let crd = crd(fields());
    assert_eq!(
        of_rule("collections", json!({ "path": ".status.log", "key": [5] }), &crd),
        [
            "E spec.collections[0].key[0]: invalid type: integer `5`, expected a string; the reference of the language has the type of each key"
        ]
    );
    assert_eq!(
        of_rule("monotone", json!({ "path": "status.flag" }), &crd),
        ["E spec.monotone[0].path: bad path `status.flag`; a path starts with a dot"]
    );
}
