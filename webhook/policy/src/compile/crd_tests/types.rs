//! Rules beside the types of what they judge.

use serde_json::{Value as Json, json};

use super::{NOTHING, crd, fields, of_rule, said};

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
    assert_eq!(said("one", json!(["a", "b"])), differs("key", "one", "a"));
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
        json!({ "count": { "type": "integer" }, "outer": { "type": "object", "additionalProperties": { "type": "object", "properties": { "inner": inner } } } }),
    );
    let deep = |path: &str| {
        let each =
            json!({ "collections": [{ "path": ".inner", "key": ["n"], "each": { "monotone": [{ "path": path }] } }] });
        of_rule("collections", json!({ "path": ".status.outer", "each": each }), &crd)
    };
    let at = "spec.collections[0].each.collections[0].each.monotone[0].path";
    assert_eq!(deep(".n"), NOTHING);
    // Witnesses are of the whole status, or within the entry.
    let resets = json!({ "with": [".status.count"], "within": [".n"] });
    let each = json!({ "monotone": [{ "path": ".n" }], "setOnce": [{ "path": ".ok", "resets": resets }] });
    let inner = json!({ "collections": [{ "path": ".inner", "key": ["n"], "each": each }] });
    let rules = json!({ "monotone": [{ "path": ".status.count" }], "collections": [{ "path": ".status.outer", "each": inner }] });
    assert_eq!(said(rules, &crd), NOTHING);
    assert_eq!(
        deep(".ok"),
        [format!("E {at}: `.ok` is a boolean, which cannot rise or fall; guard it with `setOnce`")]
    );
    assert_eq!(deep(".m"), [format!("E {at}: the CRD's schema has no `.m`; the members of `.` are n, ok")]);
    let object = "an object, which cannot rise or fall; name a number or a time inside it, or guard it with `setOnce` or `collections`";
    assert_eq!(deep("."), [format!("E {at}: `.` is {object}")]);
}
