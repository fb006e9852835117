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
        (json!({ "phases": [[".status.phase"]] }), no_object(&["spec.phases[0]"])),
        (json!({ "exempt": [] }), no_object(&["spec.exempt"])),
        (json!({ "monotone": [[".status.a"], { "path": ".status.b" }] }), no_object(&["spec.monotone[0]"])),
        (json!({ "setOnce": [{ "path": ".status.a", "resets": [["A"]] }] }), no_object(&["spec.setOnce[0].resets"])),
        (json!({ "equal": [[[".status.a"], [".status.b"]]] }), no_object(&["spec.equal[0]"])),
        (
            json!({ "phases": [{ "path": ".status.phase", "states": [], "transitions": [[["A"], ["B"]]], "resets": [] }] }),
            no_object(&["spec.phases[0].states", "spec.phases[0].resets", "spec.phases[0].transitions[0]"]),
        ),
        (json!({ "collections": [{ "path": ".status.log", "each": [] }] }), no_object(&["spec.collections[0].each"])),
        (
            json!({ "collections": [{ "path": ".status.a", "each": {
                "phases": [[".phase"]],
                "monotone": [".n"],
                "collections": [{ "path": ".log", "each": [] }],
            } }] }),
            no_object(&[
                "spec.collections[0].each.phases[0]",
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
    assert_eq!(said(json!({ "phases": [phase] })), Vec::<String>::new());
}

#[test]
fn everything_of_a_wrong_type_is_named_at_once() {
    let mut document = document(json!({
        "mode": "enforce",
        "redact": 5,
        "phases": [{ "path": ".status.phase", "finals": ["Done"] }],
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
        "spec.phases[0].finals: unknown key".into(),
        "spec.phases[0]: the machine names no phase, so every phase is refused".into(),
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
            "phases": [{ "path": ".status.phase", "transitions": transitions }],
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
                "phases": [{ "path": ".status.phase", "initial": ["A"], "transitions": [{ "from": "A", "to": ["B"] }] }],
                "setOnce": [{ "path": ".status.a", "requiredIn": ["C"], "resets": { "to": ["D"] } }],
            }),
            vec!["spec.phases[0].transitions[0].from: invalid type: string \"A\", expected a sequence"],
        ),
        (
            json!({ "phases": [5], "setOnce": [{ "path": ".status.a", "requiredIn": ["C"], "resets": { "to": ["D"] } }] }),
            vec!["spec.phases[0]: expected an object"],
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
                "phases": [{ "path": "status.phase", "initial": [], "transitions": [{ "from": ["A"], "to": ["B"] }], "final": ["B"] }],
                "setOnce": [{ "path": ".status.a", "requiredIn": ["B", "C"], "resets": { "from": ["A"] } }],
            }),
            vec![
                "spec.phases[0].initial: empty list",
                "spec.phases[0].path: bad path `status.phase`",
                "spec.setOnce[0].requiredIn[1]: no such phase `C`",
                "spec.phases[0]: phase `A` cannot be reached",
                "spec.phases[0]: phase `B` cannot be reached",
            ],
        ),
        // An item of a list hides neither the others nor their places.
        (
            json!({
                "redact": [5, "x"],
                "phases": [{ "path": ".status.phase", "initial": [5, "*"], "final": [{}, "A"], "skip": [1, "B"] }],
                "equal": [{ "left": [1, "len(x"], "right": [] }],
            }),
            vec![
                "spec.equal[0].left[0]: invalid type: integer `1`, expected a string",
                "spec.phases[0].final[0]: invalid type: map, expected a string",
                "spec.phases[0].initial[0]: invalid type: integer `5`, expected a string",
                "spec.phases[0].skip[0]: invalid type: integer `1`, expected a string",
                "spec.redact[0]: invalid type: integer `5`, expected a string",
                "spec.redact[1]: bad path `x`",
                "spec.phases[0].initial[1]: `\"*\"` cannot be the name of a phase here",
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
        said(json!({ "phases": [phase] })),
        [
            "spec.phases[0]: every write among A, B is allowed, so a stale write among them is not detected",
            "spec.phases[0]: every write among B, C is allowed, so a stale write among them is not detected",
        ]
    );
}

#[test]
fn a_reset_is_a_way_out() {
    let phase = |path: &str, resets: Json| json!({ "path": path, "initial": ["A"], "transitions": [{ "from": ["A"], "to": ["B"] }], "resets": resets });
    let not_left = |at: &str| vec![format!("{at}.phases[0]: no transition leaves phase `B`")];
    let root = |resets: Json| said(json!({ "phases": [phase(".status.phase", resets)] }));
    assert_eq!(root(json!({})), not_left("spec"));
    assert_eq!(root(json!({ "from": ["A"] })), not_left("spec"));
    assert_eq!(root(json!({ "from": ["B"] })), Vec::<String>::new());
    // Also one that is wrong, so that only that is said.
    assert_eq!(root(json!({ "with": ["x"] })), ["spec.phases[0].resets.with[0]: bad path `x`"]);
    assert_eq!(root(json!({ "to": ["C"] })), ["spec.phases[0].resets.to[0]: no such phase `C`"]);
    assert_eq!(
        root(json!({ "from": 5 })),
        ["spec.phases[0].resets.from: invalid type: integer `5`, expected a sequence"]
    );
    // In an entry, `from` names phases of the root, whatever their numbers are.
    let entry = |resets: Json| {
        let root = json!({ "path": ".status.phase", "initial": ["X"], "final": ["X"] });
        let each = json!({ "phases": [phase(".phase", resets)] });
        said(json!({ "phases": [root], "collections": [{ "path": ".status.nodes", "each": each }] }))
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

#[test]
fn machines_stand_side_by_side() {
    let plain = |path: &str, first: &str, last: &str| json!({ "path": path, "initial": [first], "transitions": [{ "from": [first], "to": [last] }], "final": [last] });
    let flag = |kind: &str, name: &str| json!({ "path": ".status.conditions", "states": { name: format!("{kind}=True") }, "transitions": [{ "from": [name], "to": [""] }] });
    let one = plain(".status.phase", "A", "B");
    let two = plain(".status.state", "C", "D");
    // Names speak of the machine that knows them, and `""` of the first.
    let once = json!([{ "path": ".status.x", "requiredIn": ["B", "D"], "resets": { "from": ["A", ""], "to": ["C"] } }]);
    assert_eq!(said(json!({ "phases": [one, two], "setOnce": once })), Vec::<String>::new());
    let known = plain(".status.state", "A", "D");
    assert_eq!(
        said(
            json!({ "phases": [one, known], "setOnce": [{ "path": ".status.x", "requiredIn": ["A", "E"], "resets": { "to": ["A"] } }] })
        ),
        [
            "spec.setOnce[0].resets.to[0]: more than one machine knows the phase `A`",
            "spec.setOnce[0].requiredIn[0]: more than one machine knows the phase `A`",
            "spec.setOnce[0].requiredIn[1]: no such phase `E`",
        ]
    );
    assert_eq!(
        said(json!({ "phases": [one], "setOnce": [{ "path": ".status.x", "requiredIn": [""] }] })),
        ["spec.setOnce[0].requiredIn[0]: `\"\"` cannot require a field"]
    );
    assert_eq!(
        said(json!({ "phases": [one, plain(".status.phase", "C", "D")] })),
        ["spec.phases[1].path: `.status.phase` already has a machine, `phases[0]`"]
    );
    // A list of conditions holds a machine for each type, and may be a collection as well.
    let collection = json!([{ "path": ".status.conditions", "key": ["type"], "order": "Any", "each": {} }]);
    assert_eq!(
        said(json!({ "phases": [flag("Up", "Up"), flag("Old", "Old")], "collections": collection })),
        Vec::<String>::new()
    );
    assert_eq!(
        said(json!({ "phases": [flag("Up", "Up"), flag("Up", "Down")] })),
        ["spec.phases[1].states: the condition `Up` is already read by `phases[0]`"]
    );
    assert_eq!(
        said(json!({ "phases": [flag("Up", "Up"), plain(".status.conditions", "A", "B")] })),
        ["spec.phases[1].path: `.status.conditions` already has a machine, `phases[0]`"]
    );
}

#[test]
fn a_single_machine_is_a_list_of_one() {
    let machine = json!({ "path": ".status.phase", "initial": ["A"], "final": ["A"] });
    let spec = json!({ "phase": machine, "setOnce": [{ "path": ".status.x", "requiredIn": ["A"], "resets": { "to": ["A"] } }] });
    let problems = Policy::compile(&document(spec)).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(said, ["error: spec.phase: unknown key; write `phases`, a list with one machine each"]);
    let each = json!({ "phase": machine, "setOnce": [{ "path": ".x", "requiredIn": ["A"] }] });
    let problems = said_of(&document(json!({ "collections": [{ "path": ".status.l", "each": each }] })));
    assert_eq!(problems, ["spec.collections[0].each.phase: unknown key"]);
}

#[test]
fn a_policy_without_rules_guards_nothing() {
    let nothing = "spec: there is no rule, so every write is allowed";
    assert_eq!(said(json!({})), [nothing]);
    assert_eq!(said(json!({ "monotone": [] })), [nothing]);
    assert_eq!(said(json!({ "monotone": 5 })), ["spec.monotone: invalid type: integer `5`, expected a sequence"]);
    assert_eq!(said(json!({ "collections": [{ "path": ".status.x", "keep": 0 }] })), Vec::<String>::new());
}

#[test]
fn an_empty_each_is_not_one_without_rules() {
    let each = |each: Json| said(json!({ "collections": [{ "path": ".status.x", "each": each }] }));
    let frozen =
        "spec.collections[0].each: `each` has no value, which is as if it were not there: entries do not change";
    assert_eq!(each(Json::Null), [frozen]);
    assert_eq!(each(json!({})), Vec::<String>::new());
}

#[test]
fn a_witness_within_an_entry() {
    let entry =
        |rules: Json| said(json!({ "collections": [{ "path": ".status.pods", "key": ["name"], "each": rules }] }));
    let started = |within: Json| json!([{ "path": ".started", "resets": { "within": within } }]);
    assert_eq!(
        entry(json!({ "monotone": [{ "path": ".restarts" }], "setOnce": started(json!([".restarts"])) })),
        Vec::<String>::new()
    );
    assert_eq!(
        entry(json!({ "setOnce": started(json!([".restarts"])) })),
        ["spec.collections[0].each.setOnce[0].resets.within[0]: no rule guards the witness `.restarts`"]
    );
    assert_eq!(
        entry(json!({ "setOnce": started(json!([])) })),
        ["spec.collections[0].each.setOnce[0].resets.within: empty list"]
    );
    assert_eq!(
        said(json!({ "setOnce": [{ "path": ".status.x", "resets": { "within": [".status.n"] } }] })),
        ["spec.setOnce[0].resets.within: `within` is for rules inside `each`"]
    );
}

#[test]
fn conditions_that_may_hold_at_once_are_not_phases_of_one_machine() {
    let machine = |states: Json, both: bool| {
        let mut transitions = vec![json!({ "from": ["A"], "to": ["B"] })];
        transitions.extend(both.then(|| json!({ "from": ["B"], "to": ["A"] })));
        json!({ "path": ".status.conditions", "states": states, "transitions": transitions })
    };
    let two = json!({ "A": "Scaling=True", "B": "Replacing=True" });
    let ambiguous = "spec.phases[0].states: `A` and `B` are different conditions, and edges lead both ways: when both hold, the phase is ambiguous";
    assert_eq!(said(json!({ "phases": [machine(two.clone(), true)] })), [ambiguous]);
    let left = "spec.phases[0]: no transition leaves phase `B`";
    assert_eq!(said(json!({ "phases": [machine(two, false)] })), [left]);
    // Of one condition only one status is there.
    let one = json!({ "A": "Ready=True", "B": "Ready=False" });
    let free = "spec.phases[0]: every write among A, B is allowed, so a stale write among them is not detected";
    assert_eq!(said(json!({ "phases": [machine(one.clone(), true)] })), [free]);
    // Unless the time of the transition tells a stale one.
    let each = json!({ "monotone": [{ "path": ".lastTransitionTime" }] });
    let conditions = json!([{ "path": ".status.conditions", "key": ["type"], "order": "Any", "each": each }]);
    assert_eq!(said(json!({ "phases": [machine(one, true)], "collections": conditions })), Vec::<String>::new());
}

#[test]
fn phases_among_which_every_write_is_allowed_are_named_beside_conditions_that_may_hold_at_once() {
    let states = json!({ "A": "X=True", "B": "Y=True", "C": "X=False" });
    let transitions = json!([{ "from": ["A", "B", "C"], "to": ["A", "B", "C"] }]);
    let machine = json!({ "path": ".status.conditions", "states": states, "transitions": transitions });
    let problems = said(json!({ "phases": [machine] }));
    let named = problems.iter().filter(|problem| problem.contains("every write among"));
    assert_eq!(named.count(), 1, "A and C are statuses of one condition: {problems:?}");
}

#[test]
fn a_witness_out_of_place_hides_no_other_problem() {
    let problems = said(json!({ "monotone": [
        { "path": ".status.x", "resets": { "within": [".a"] } },
        { "path": ".status.y", "resets": { "with": [".status.z"] } },
    ] }));
    let unguarded = "spec.monotone[1].resets.with[0]: no rule guards the witness `.status.z`";
    assert!(problems.iter().any(|problem| problem == unguarded), "{problems:?}");
}

#[test]
fn states_that_cannot_be_read_are_the_only_mistake_of_a_machine() {
    let beside = |states: Json| {
        let machines = json!([
            { "path": ".status.conditions", "states": { "A": "X=True" }, "final": ["A"] },
            { "path": ".status.conditions", "states": states, "final": ["B"] },
        ]);
        said(json!({ "phases": machines }))
    };
    assert_eq!(beside(json!(5)), ["spec.phases[1].states: expected an object"]);
    assert_eq!(beside(json!({ "B": "Ready" })), ["spec.phases[1].states.B: `Ready` is not a condition"]);
}
