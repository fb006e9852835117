use serde_json::{Value as Json, json};

use crate::problem::Severity;
use crate::spec::Mode;
use crate::{Policy, is_core};

/// A policy for jobs with these members in its spec.
fn document(spec: Json) -> Json {
    let mut document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy", "metadata": { "name": "jobs.example.org" },
        "spec": { "target": { "group": "example.org", "version": "v1", "resource": "jobs" } },
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    document
}

/// `path: message` of everything said of a document, as the compiler orders it.
fn said_of(document: &Json) -> Vec<String> {
    let show = |problem: &crate::Problem| format!("{}: {}", problem.path, problem.message);
    match Policy::compile(document) {
        Ok(policy) => policy.warnings().iter().map(show).collect(),
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            assert!(problems.iter().all(|problem| !problem.hint.is_empty()));
            problems.iter().map(show).collect()
        }
    }
}

fn said(spec: Json) -> Vec<String> {
    said_of(&document(spec))
}

#[test]
fn a_list_is_no_object() {
    let no_object = |paths: &[&str]| paths.iter().map(|path| format!("{path}: expected an object")).collect::<Vec<_>>();
    let rows = [
        (json!({ "target": ["example.org", "v1", "jobs"] }), no_object(&["spec.target"])),
        (json!({ "phase": [".status.phase"] }), no_object(&["spec.phase"])),
        (json!({ "exempt": [] }), no_object(&["spec.exempt"])),
        (json!({ "monotone": [[".status.a"], { "path": ".status.b" }] }), no_object(&["spec.monotone[0]"])),
        (json!({ "setOnce": [{ "path": ".status.a", "resets": [["A"]] }] }), no_object(&["spec.setOnce[0].resets"])),
        (json!({ "equal": [[[".status.a"], [".status.b"]]] }), no_object(&["spec.equal[0]"])),
        (
            json!({ "phase": { "path": ".status.phase", "states": [], "transitions": [[["A"], ["B"]]], "resets": [] } }),
            no_object(&["spec.phase.states", "spec.phase.resets", "spec.phase.transitions[0]"]),
        ),
        (json!({ "collections": [{ "path": ".status.log", "each": [] }] }), no_object(&["spec.collections[0].each"])),
        (
            json!({ "collections": [{ "path": ".status.a", "each": {
                "phase": [".phase"],
                "monotone": [".n"],
                "collections": [{ "path": ".log", "each": [] }],
            } }] }),
            no_object(&[
                "spec.collections[0].each.phase",
                "spec.collections[0].each.monotone[0]",
                "spec.collections[0].each.collections[0].each",
            ]),
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(said(spec.clone()), expected, "{spec}");
    }
    // A state may be called as a key is.
    let states = json!({ "phase": "Phase=True", "each": "Each=True" });
    let initial = json!(["phase", "each"]);
    let phase =
        json!({ "path": ".status.conditions", "states": states, "initial": initial, "final": ["phase", "each"] });
    assert_eq!(said(json!({ "phase": phase })), Vec::<String>::new());
}

#[test]
fn everything_of_a_wrong_type_is_named_at_once() {
    let mut document = document(json!({
        "mode": "enforce",
        "redact": 5,
        "phase": { "path": ".status.phase", "finals": ["Done"] },
        "monotone": [
            { "path": "status.x" },
            { "path": 5, "toZero": "yes", "atMost": ".spec.x" },
            "x",
            { "path": "status.y" },
        ],
        "collections": [{ "key": [1], "each": { "setOnce": [{ "path": ".a", "requiredIn": "Done", "odd": 1 }] } }],
    }));
    document["metadata"]["name"] = "job".into();
    let enforce = "unknown variant `enforce`, expected one of `Enforce`, `Warn`, `Audit`, `Off`";
    let mut said = said_of(&document);
    let mut expected = [
        "spec.monotone[2]: expected an object".into(),
        format!("spec.mode: {enforce}"),
        "spec.redact: invalid type: integer `5`, expected a sequence".into(),
        "spec.monotone[1].path: invalid type: integer `5`, expected a string".into(),
        "spec.monotone[1].toZero: invalid type: string \"yes\", expected a boolean".into(),
        "spec.collections[0]: missing field `path`".into(),
        "spec.collections[0].key[0]: invalid type: integer `1`, expected a string".into(),
        "spec.collections[0].each.setOnce[0].requiredIn: invalid type: string \"Done\", expected a sequence".into(),
        "spec.phase.finals: unknown key".into(),
        "spec.collections[0].each.setOnce[0].odd: unknown key".into(),
        "metadata.name: `job` does not match the target".into(),
        "spec.monotone[0].path: bad path `status.x`".into(),
        "spec.monotone[1].atMost: `.spec.x` is not a valid bound".into(),
        "spec.monotone[3].path: bad path `status.y`".into(),
    ];
    said.sort();
    expected.sort();
    assert_eq!(said, expected);
}

#[test]
fn many_wrong_items_hide_nothing() {
    for count in [32, 64] {
        let transitions: Vec<Json> = (0..count).map(|_| json!(["A", "B"])).collect();
        let said = said_of(&document(json!({
            "typo": 1,
            "phase": { "path": ".status.phase", "transitions": transitions },
            "monotone": [{ "path": "bad" }],
        })));
        assert_eq!(said.len(), count + 2, "{said:?}");
        assert!(
            said.contains(&"spec.typo: unknown key".into())
                && said.contains(&"spec.monotone[0].path: bad path `bad`".into())
        );
    }
    assert_eq!(said_of(&json!(5)), [": the document is not an object"]);
}

#[test]
fn what_cannot_be_read_has_no_other_consequence() {
    let rows = [
        // Nothing is said of phases that may be in the part that was not read.
        (
            json!({
                "phase": { "path": ".status.phase", "initial": ["A"], "transitions": [{ "from": "A", "to": ["B"] }] },
                "setOnce": [{ "path": ".status.a", "requiredIn": ["C"], "resets": { "to": ["D"] } }],
            }),
            vec!["spec.phase.transitions[0].from: invalid type: string \"A\", expected a sequence"],
        ),
        (
            json!({ "phase": 5, "setOnce": [{ "path": ".status.a", "requiredIn": ["C"], "resets": { "to": ["D"] } }] }),
            vec!["spec.phase: expected an object"],
        ),
        // Nor of a witness that such a rule may guard, nor of a target that is not known.
        (
            json!({ "monotone": [{ "path": 5 }], "setOnce": [{ "path": ".status.a", "resets": { "with": [".status.b"] } }] }),
            vec!["spec.monotone[0].path: invalid type: integer `5`, expected a string"],
        ),
        (json!({ "target": { "version": "v1", "resource": "jobs" } }), vec!["spec.target: missing field `group`"]),
        (
            json!({ "target": { "group": 5, "version": "v1" } }),
            vec![
                "spec.target.group: invalid type: integer `5`, expected a string",
                "spec.target: missing field `resource`",
            ],
        ),
        (
            json!({ "target": { "group": "example.org", "version": "v1", "resource": "jobs/status" } }),
            vec!["spec.target.resource: `jobs/status` is not a resource"],
        ),
        // A bad path hides nothing of its rule, and nothing of the others.
        (
            json!({
                "phase": { "path": "status.phase", "initial": [], "transitions": [{ "from": ["A"], "to": ["B"] }], "final": ["B"] },
                "setOnce": [{ "path": ".status.a", "requiredIn": ["B", "C"], "resets": { "from": ["A"] } }],
            }),
            vec![
                "spec.phase.path: bad path `status.phase`",
                "spec.phase.initial: empty list",
                "spec.setOnce[0].requiredIn[1]: no such phase `C`",
                "spec.phase: phase `A` cannot be reached",
                "spec.phase: phase `B` cannot be reached",
            ],
        ),
        // An item of a list hides neither the others nor their places.
        (
            json!({
                "redact": [5, "x"],
                "phase": { "path": ".status.phase", "initial": [5, "*"], "final": [{}, "A"], "skip": [1, "B"] },
                "equal": [{ "left": [1, "len(x"], "right": [] }],
            }),
            vec![
                "spec.equal[0].left[0]: invalid type: integer `1`, expected a string",
                "spec.phase.final[0]: invalid type: map, expected a string",
                "spec.phase.initial[0]: invalid type: integer `5`, expected a string",
                "spec.phase.skip[0]: invalid type: integer `1`, expected a string",
                "spec.redact[0]: invalid type: integer `5`, expected a string",
                "spec.redact[1]: bad path `x`",
                "spec.phase.initial[1]: `\"*\"` cannot be the name of a phase here",
                "spec.equal[0].left[1]: `len(x` has no closing bracket",
            ],
        ),
    ];
    for (spec, expected) in rows {
        assert_eq!(said(spec.clone()), expected, "{spec}");
    }
    let many: Vec<Json> = (0..200).map(|_| json!({ "path": 5 })).collect();
    let said = said(json!({ "monotone": many }));
    assert_eq!(said.last().unwrap(), "spec: more values cannot be read");
}

#[test]
fn sets_without_a_stale_write_are_all_named() {
    let edge = |from: &str, to: &str| json!({ "from": [from], "to": [to] });
    let transitions = [edge("A", "B"), edge("B", "A"), edge("B", "C"), edge("C", "B")];
    let phase = json!({ "path": ".status.phase", "initial": ["A"], "transitions": transitions });
    assert_eq!(
        said(json!({ "phase": phase })),
        [
            "spec.phase: every write among A, B is allowed, so a stale write among them is not detected",
            "spec.phase: every write among B, C is allowed, so a stale write among them is not detected",
        ]
    );
}

#[test]
fn a_reset_is_a_way_out() {
    let phase = |path: &str, resets: Json| json!({ "path": path, "initial": ["A"], "transitions": [{ "from": ["A"], "to": ["B"] }], "resets": resets });
    let not_left = |at: &str| vec![format!("{at}.phase: no transition leaves phase `B`")];
    let root = |resets: Json| said(json!({ "phase": phase(".status.phase", resets) }));
    assert_eq!(root(json!({})), not_left("spec"));
    assert_eq!(root(json!({ "from": ["A"] })), not_left("spec"));
    assert_eq!(root(json!({ "from": ["B"] })), Vec::<String>::new());
    // Also one that is wrong, so that only that is said.
    assert_eq!(root(json!({ "with": ["x"] })), ["spec.phase.resets.with[0]: bad path `x`"]);
    assert_eq!(root(json!({ "to": ["C"] })), ["spec.phase.resets.to: no such phase `C`"]);
    assert_eq!(root(json!({ "from": 5 })), ["spec.phase.resets.from: invalid type: integer `5`, expected a sequence"]);
    // In an entry, `from` names phases of the root, whatever their numbers are.
    let entry = |resets: Json| {
        let root = json!({ "path": ".status.phase", "initial": ["X"], "final": ["X"] });
        let each = json!({ "phase": phase(".phase", resets) });
        said(json!({ "phase": root, "collections": [{ "path": ".status.nodes", "each": each }] }))
    };
    assert_eq!(entry(json!({})), not_left("spec.collections[0].each"));
    assert_eq!(entry(json!({ "from": ["X"] })), Vec::<String>::new());
}

#[test]
fn the_longest_name_decides_the_mode() {
    let modes = json!({ "team-a": "Off", "team-*": "Warn", "team-a*": "Enforce", "*": "Audit" });
    let policy = Policy::compile(&document(json!({ "mode": "Enforce", "modeIn": modes }))).unwrap();
    for (namespace, mode) in [
        ("team-a", Mode::Off),
        ("team-ab", Mode::Enforce),
        ("team-b", Mode::Warn),
        ("team-", Mode::Warn),
        ("team", Mode::Audit),
        ("", Mode::Audit),
    ] {
        assert_eq!(policy.mode_in(namespace), mode, "{namespace}");
    }
    let policy = Policy::compile(&document(json!({ "modeIn": { "": "Audit" } }))).unwrap();
    assert_eq!((policy.mode_in(""), policy.mode_in("team-a")), (Mode::Audit, Mode::Enforce));
    for (name, mode) in [("team*a", "Warn"), ("Team", "Warn"), ("a/b", "Warn"), ("**", "Warn")] {
        let said = said_of(&document(json!({ "modeIn": { name: mode } })));
        assert_eq!(said, [format!("spec.modeIn.{name}: `{name}` cannot name a namespace")]);
    }
    assert_eq!(said_of(&document(json!({ "modeIn": ["a"] }))), ["spec.modeIn: expected an object"]);
}

#[test]
fn groups_of_kubernetes_are_known_by_name() {
    for (group, core) in
        [("", true), ("apps", true), ("batch", true), ("networking.k8s.io", true), ("gateway.networking.k8s.io", false)]
    {
        assert_eq!(is_core(group), core, "{group}");
    }
    assert!(!is_core("snapshot.storage.k8s.io") && !is_core("metrics.k8s.io") && !is_core("example"));
}
