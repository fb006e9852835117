//! Policies beside the CRD of their target.

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
fn monotone_is_for_what_can_rise() {
    let crd = crd(fields());
    let monotone = |field: &str| of_rule("monotone", json!({ "path": format!(".status.{field}") }), &crd);
    for field in ["count", "ratio", "port", "time", "free", "open.other", "part.retries"] {
        assert_eq!(monotone(field), NOTHING, "{field}");
    }
    for (field, kind, hint) in [
        ("flag", "a boolean", "guard it with `setOnce`"),
        ("log", "a list", "guard it with `collections`"),
        ("part", "an object", "name a number or a time inside it, or guard it with `setOnce` or `collections`"),
        ("nodes", "an object", "name a number or a time inside it, or guard it with `setOnce` or `collections`"),
    ] {
        let message = format!("`.status.{field}` is {kind}, which cannot rise or fall");
        assert_eq!(monotone(field), [format!("E spec.monotone[0].path: {message}; {hint}")]);
    }
    for field in ["text", "date", "digits"] {
        let message = format!("`.status.{field}` is a string without `format: date-time`");
        let hint = "make sure that it only ever holds digits or RFC 3339 times: any other text is refused as malformed";
        assert_eq!(monotone(field), [format!("W spec.monotone[0].path: {message}; {hint}")]);
    }
    assert_eq!(
        monotone("level"),
        ["W spec.monotone[0].path: `.status.level` is one of Low, High: neither numbers nor times; \
          make it a machine in `phases`: as `monotone` every value is refused as malformed"]
    );
}

#[test]
fn phases_are_strings_of_the_enum() {
    let mut fields = fields();
    fields["phase"] = json!({ "type": "string", "enum": ["", "Pending", "Running", "Done", "Failed"] });
    let crd = crd(fields);
    let machine = |path: &str, names: [&str; 3]| {
        let [first, second, last] = names;
        let edges = json!([{ "from": [first], "to": [second] }, { "from": [second], "to": [last] }]);
        of_rule("phases", json!({ "path": path, "initial": [first], "transitions": edges, "final": [last] }), &crd)
    };
    for path in [".status.text", ".status.port", ".status.free"] {
        assert_eq!(machine(path, ["A", "B", "C"]), NOTHING, "{path}");
    }
    for (field, kind, hint) in [
        ("count", "a number", "name a string"),
        ("flag", "a boolean", "name a string"),
        ("part", "an object", "name a string"),
        ("log", "a list", "say in `states` which conditions are which phases, or name a string"),
    ] {
        let message = format!("`.status.{field}` is {kind}, and a phase is a string");
        assert_eq!(
            machine(&format!(".status.{field}"), ["A", "B", "C"]),
            [format!("E spec.phases[0].path: {message}; {hint}")]
        );
    }
    let unknown = |names: &str| {
        format!(
            "W spec.phases[0].path: the enum of `.status.phase` has phases that no transition names: {names}; \
             add their transitions, unless the controller never writes them: a write of an unknown phase is refused"
        )
    };
    assert_eq!(machine(".status.phase", ["Pending", "Running", "Done"]), [unknown("Failed")]);
    // One mistake is said once: `Dnoe` is what was to be `Done`.
    assert_eq!(
        machine(".status.phase", ["Pending", "Running", "Dnoe"]),
        [
            "W spec.phases[0].transitions[1].to[0]: the CRD's schema does not allow the phase `Dnoe`; did you mean `Done`?".into(),
            unknown("Failed"),
        ]
    );
    assert_eq!(
        machine(".status.phase", ["Pending", "Running", "Archived"])[0],
        "W spec.phases[0].transitions[1].to[0]: the CRD's schema does not allow the phase `Archived`; \
         the enum of `.status.phase` has Pending, Running, Done, Failed"
    );
    // Every phase is a target of `*`.
    let any = json!({ "path": ".status.phase", "transitions": [{ "from": ["*"], "to": ["*"] }] });
    assert_eq!(of_rule("phases", any, &crd), NOTHING);
}

#[test]
fn states_are_read_from_conditions() {
    let string = json!({ "type": "string" });
    let item = |properties: Json| json!({ "type": "array", "items": { "type": "object", "properties": properties } });
    let status = json!({ "type": "string", "enum": ["True", "False", "Unknown"] });
    let mut fields = fields();
    fields["conditions"] = item(json!({ "type": string, "status": status }));
    fields["health"] = item(json!({ "type": string, "state": string }));
    fields["flags"] = item(json!({ "type": string, "status": { "type": "boolean" } }));
    fields["loose"] = json!({ "type": "array", "items": { "x-kubernetes-preserve-unknown-fields": true } });
    let crd = crd(fields);
    let states = |field: &str, ready: &str| {
        let states = json!({ "Up": ready, "Down": "Ready=False" });
        let rule = json!({ "path": format!(".status.{field}"), "states": states, "initial": ["Up"],
            "transitions": [{ "from": ["Up"], "to": ["Down"] }], "final": ["Down"] });
        of_rule("phases", rule, &crd)
    };
    for field in ["conditions", "loose", "free"] {
        assert_eq!(states(field, "Ready=True"), NOTHING, "{field}");
    }
    for field in ["health", "flags", "tags"] {
        assert_eq!(
            states(field, "Ready=True"),
            [format!(
                "E spec.phases[0].path: the items of `.status.{field}` are not conditions; \
                 `states` are read from objects whose `type` and `status` are strings"
            )]
        );
    }
    assert_eq!(
        states("text", "Ready=True"),
        ["E spec.phases[0].path: `.status.text` is a string, and `states` are read from a list of conditions; \
          remove `states`, or name a list of conditions"]
    );
    assert_eq!(
        states("conditions", "Ready=Ture"),
        [
            "W spec.phases[0].states.Up: the CRD's schema does not allow `Ture` as the `status` of a condition; did you mean `True`?"
        ]
    );
}

#[test]
fn collections_are_lists_and_maps() {
    let crd = crd(fields());
    let collection = |rule: Json| of_rule("collections", rule, &crd);
    for rule in [
        json!({ "path": ".status.log", "key": ["name", "time"] }),
        json!({ "path": ".status.tags" }),
        json!({ "path": ".status.nodes" }),
        json!({ "path": ".status.part" }),
        json!({ "path": ".status.free", "key": ["x"] }),
        json!({ "path": ".status.nodes", "order": "Any" }),
    ] {
        assert_eq!(collection(rule.clone()), NOTHING, "{rule}");
    }
    for (field, kind) in
        [("count", "a number"), ("text", "a string"), ("flag", "a boolean"), ("port", "a number or a string")]
    {
        assert_eq!(
            collection(json!({ "path": format!(".status.{field}") })),
            [format!(
                "E spec.collections[0].path: `.status.{field}` is {kind}, and a collection is a list or a map; \
                 name a list or a map, or guard it with `monotone` or `setOnce`"
            )]
        );
    }
    assert_eq!(
        collection(json!({ "path": ".status.log", "key": ["time", "nmae", "id"] })),
        [
            "E spec.collections[0].key[1]: the items of `.status.log` have no `nmae`; did you mean `name`?",
            "E spec.collections[0].key[2]: the items of `.status.log` have no `id`; their members are done, name, time",
        ]
    );
    assert_eq!(
        collection(json!({ "path": ".status.tags", "key": ["name"] })),
        ["E spec.collections[0].key[0]: the items of `.status.tags` are not objects: each is a string; \
          remove `key`: without it each item is its own identity"]
    );
    assert_eq!(
        collection(json!({ "path": ".status.nodes", "order": "Prepend" })),
        ["E spec.collections[0].order: the CRD's schema calls this a map; omit `order`: maps are not ordered"]
    );
}

#[test]
fn list_keys_are_those_of_the_schema() {
    let item = json!({ "type": "object", "properties": { "a": { "type": "string" }, "b": { "type": "string" } } });
    let list = |keys: Json| json!({ "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": keys, "items": item });
    let crd = crd(json!({ "one": list(json!(["a"])), "two": list(json!(["a", "b"])) }));
    let said = |field: &str, key: Json| {
        of_rule("collections", json!({ "path": format!(".status.{field}"), "key": key }), &crd)
    };
    assert_eq!(said("one", json!(["a"])), NOTHING);
    assert_eq!(said("two", json!(["b", "a"])), NOTHING);
    let differs = |at: &str, field: &str, keys: &str| {
        [format!(
            "W spec.collections[0].{at}: the CRD's schema tells the items of `.status.{field}` apart by other members: {keys}; \
             say `key: [{keys}]`, unless one of these items may stand for several entries in turn"
        )]
    };
    assert_eq!(said("one", json!(["b"])), differs("key", "one", "a"));
    assert_eq!(said("two", json!(["a"])), differs("key", "two", "a, b"));
    assert_eq!(said("one", json!([])), differs("path", "one", "a"));
    // A wrong member is said alone.
    let wrong = said("one", json!(["c"]));
    assert!(wrong.len() == 1 && wrong[0].starts_with("E spec.collections[0].key[0]: "), "{wrong:?}");
}

#[test]
fn sums_are_of_numbers_and_lengths() {
    let crd = crd(fields());
    let term = |term: &str| of_rule("equal", json!({ "left": [term], "right": [".status.count"] }), &crd);
    for good in [
        ".status.ratio",
        ".status.port",
        ".status.text",
        ".status.free",
        "len(.status.log)",
        "len(.status.nodes)",
        "len(.status.part)",
    ] {
        assert_eq!(term(good), NOTHING, "{good}");
    }
    for (text, message, hint) in [
        (".status.log", "`.status.log` is a list, which counts 0 in a sum", "did you mean `len(.status.log)`?"),
        (
            ".status.nodes",
            "`.status.nodes` is an object, which counts 0 in a sum",
            "did you mean `len(.status.nodes)`?",
        ),
        (".status.flag", "`.status.flag` is a boolean, which counts 0 in a sum", "name a number"),
        (".status.time", "`.status.time` is a time, which counts 0 in a sum", "name a number"),
        (
            "len(.status.ratio)",
            "`.status.ratio` is a number, which has no length",
            "did you mean `.status.ratio`, its value?",
        ),
        ("len(.status.text)", "`.status.text` is a string, which has no length", "name a list or a map"),
    ] {
        assert_eq!(term(text), [format!("E spec.equal[0].left[0]: {message}; {hint}")]);
    }
}

#[test]
fn entries_are_compared_as_deep_as_they_go() {
    let inner = json!({ "type": "array", "items": { "type": "object", "properties": { "n": { "type": "integer" }, "ok": { "type": "boolean" } } } });
    let crd = crd(
        json!({ "outer": { "type": "object", "additionalProperties": { "type": "object", "properties": { "inner": inner } } } }),
    );
    let deep = |path: &str| {
        let each =
            json!({ "collections": [{ "path": ".inner", "key": ["n"], "each": { "monotone": [{ "path": path }] } }] });
        of_rule("collections", json!({ "path": ".status.outer", "each": each }), &crd)
    };
    let at = "spec.collections[0].each.collections[0].each.monotone[0].path";
    assert_eq!(deep(".n"), NOTHING);
    assert_eq!(
        deep(".ok"),
        [format!("E {at}: `.ok` is a boolean, which cannot rise or fall; guard it with `setOnce`")]
    );
    assert_eq!(deep(".m"), [format!("E {at}: the CRD's schema has no `.m`; the members of `.` are n, ok")]);
    let object = "an object, which cannot rise or fall; name a number or a time inside it, or guard it with `setOnce` or `collections`";
    assert_eq!(deep("."), [format!("E {at}: `.` is {object}")]);
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
            "E spec.collections[0].key[0]: invalid type: integer `5`, expected a string; see the schema in `kubectl explain statuspolicies.spec`"
        ]
    );
    assert_eq!(
        of_rule("monotone", json!({ "path": "status.flag" }), &crd),
        ["E spec.monotone[0].path: bad path `status.flag`; a path starts with a dot"]
    );
}
