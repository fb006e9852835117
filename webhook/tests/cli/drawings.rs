//! Policies as drawings and as sentences.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::{Folder, POLICY, run};

/// The output of a command on a policy with this target and these rules.
fn show(command: &[&str], target: Value, rules: &Value) -> String {
    let folder = Folder::new();
    let (group, resource) = (target["group"].as_str().unwrap(), target["resource"].as_str().unwrap());
    let name = format!("{resource}.{group}");
    let mut policy = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": name.trim_end_matches('.') }, "spec": rules,
    });
    policy["spec"]["target"] = target;
    let file = folder.write("p.json", &policy.to_string());
    let ran = run(&[&["policy"], command, &[file.as_str()]].concat());
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    ran.out
}

fn draw(format: &str, rules: &Value) -> String {
    show(&["graph", "--format", format], json!({ "group": "example.org", "version": "v1", "resource": "jobs" }), rules)
}

/// A machine of the root, and one in each entry of a map.
fn two_machines() -> Value {
    let phase = |path: &str| json!({ "path": path, "initial": ["A"], "transitions": [{ "from": ["A"], "to": ["B"] }], "final": ["B"] });
    json!({
        "phases": [phase(".status.phase")],
        "collections": [{ "path": ".status.nodes", "each": { "phases": [phase(".phase")] } }],
    })
}

#[test]
fn several_machines_have_a_frame_each() {
    let mermaid = draw("mermaid", &two_machines());
    assert_eq!(
        mermaid,
        "stateDiagram-v2
    state \".status.phase\" as m0 {
        state \"A\" as m0p0
        state \"B\" as m0p1
        [*] --> m0p0
        m0p0 --> m0p1
        m0p1 --> [*]
    }
    state \"each .status.nodes[].phase\" as m1 {
        state \"A\" as m1p0
        state \"B\" as m1p1
        [*] --> m1p0
        m1p0 --> m1p1
        m1p1 --> [*]
    }
"
    );
    let dot = draw("dot", &two_machines());
    assert_eq!(
        dot,
        "digraph \"jobs.example.org\" {
    rankdir=LR;
    subgraph cluster_m0 {
        label=\".status.phase\";
        m0none [label=\"\", shape=point];
        m0p0 [label=\"A\", shape=box];
        m0p1 [label=\"B\", shape=doublecircle];
        m0none -> m0p0;
        m0p0 -> m0p1;
    }
    subgraph cluster_m1 {
        label=\"each .status.nodes[].phase\";
        m1none [label=\"\", shape=point];
        m1p0 [label=\"A\", shape=box];
        m1p1 [label=\"B\", shape=doublecircle];
        m1none -> m1p0;
        m1p0 -> m1p1;
    }
}
"
    );
    let text = draw("text", &two_machines());
    assert!(text.contains(".status.phase\n  (none) -> A\n  A -> B\n  B is final\n"), "{text}");
    assert!(text.contains("\n\neach .status.nodes[].phase\n  (none) -> A\n"), "{text}");
    // Conditions of one list are told apart by their types.
    let flag = |kind: &str| json!({ "path": ".status.conditions", "states": { kind: format!("{kind}=True") }, "final": [kind] });
    let flags = json!({ "phases": [flag("Up"), flag("Old")] });
    let text = draw("text", &flags);
    assert!(text.starts_with(".status.conditions (Up)\n") && text.contains("\n\n.status.conditions (Old)\n"), "{text}");
    // A lone machine has no frame.
    let alone = draw("mermaid", &json!({ "phases": [flag("Up")] }));
    assert!(
        alone.starts_with("stateDiagram-v2\n    %% .status.conditions (Up)\n    state \"Up\" as m0p0\n"),
        "{alone}"
    );
}

#[test]
fn several_machines_are_said_one_by_one() {
    let policy = json!({
        "phases": [
            { "path": ".status.phase", "initial": ["A"], "transitions": [{ "from": ["A"], "to": ["B"] }], "final": ["B"] },
            { "path": ".status.conditions", "states": { "Up": "Up=True" }, "final": ["Up"], "resets": { "to": ["A"] } },
        ],
        "collections": [{ "path": ".status.pods", "each": {
            "monotone": [{ "path": ".n" }],
            "setOnce": [{ "path": ".x", "resets": { "within": [".n"] } }],
        } }],
    });
    let text = show(&["explain"], json!({ "group": "example.org", "version": "v1", "resource": "jobs" }), &policy);
    for sentence in [
        "- The phase is `.status.phase`.\n  - It begins as A.\n  - From A it may go to B.\n",
        "- Beside it, a phase is read from the conditions in `.status.conditions`: Up (Up=True).\n  - It may begin as any of the phases named here.\n",
        "  - In a write where the new phase in `.status.phase` is A, it may begin again.\n",
        "  - `.x`, once set, neither changes nor goes, except in a write where the entry's `.n` advances.\n",
    ] {
        assert!(text.contains(sentence), "no {sentence:?}: {text}");
    }
}

#[test]
fn no_phase_is_a_state_where_an_edge_leads_to_it() {
    let rules = json!({ "phases": [{
        "path": ".status.phase", "initial": ["A"], "final": ["B"],
        "transitions": [{ "from": ["A"], "to": ["", "B"] }, { "from": ["A"], "to": ["*"] }],
    }] });
    let mermaid = draw("mermaid", &rules);
    let lines: BTreeSet<&str> = mermaid.lines().map(str::trim).collect();
    for line in [
        "state \"(none)\" as m0none",
        "state \"any other\" as m0other",
        "[*] --> m0none",
        "m0none --> m0p0",
        "m0p0 --> m0none",
        "m0p1 --> [*]",
        "m0p0 --> m0other",
    ] {
        assert!(lines.contains(line), "no {line}: {mermaid}");
    }
    assert!(!lines.contains("m0p0 --> [*]") && !lines.contains("[*] --> m0p0"), "{mermaid}");
    let dot = draw("dot", &rules);
    for line in
        ["m0none [label=\"(none)\", shape=box];", "m0p0 -> m0none;", "m0other [label=\"(any other)\", shape=box];"]
    {
        assert!(dot.contains(line), "no {line}: {dot}");
    }
}

#[test]
fn odd_names_stay_strings() {
    let rules = json!({ "phases": [{ "path": ".status.phase", "initial": ["a\"b\\c"], "final": ["a\"b\\c"] }] });
    assert!(draw("dot", &rules).contains(r#"m0p0 [label="a\"b\\c", shape=doublecircle];"#));
    assert!(draw("mermaid", &rules).contains(r#"state "a'b\c" as m0p0"#));
    let broken = json!({ "phases": [{ "path": ".status.phase", "initial": ["a\nb"], "final": ["a\nb"] }] });
    for format in ["mermaid", "dot", "text"] {
        assert!(draw(format, &broken).contains("a\u{fffd}b"), "{}", draw(format, &broken));
    }
    assert_eq!(draw("mermaid", &json!({})), "%% jobs.example.org has no phase rule\n");
}

#[test]
fn sentences_say_each_rule() {
    let ran = run(&["policy", "explain", POLICY]);
    for sentence in [
        "- From Pending it may go to Running or Failed.\n",
        "- `.status.attempts` never falls.\n",
        "The values of `.status.token` never leave the guard.",
        "A write that breaks a rule is refused: 409 Conflict",
    ] {
        assert!(ran.out.contains(sentence), "no {sentence:?}: {}", ran.out);
    }
}

/// R4: what concerns the new value alone holds in every write.
#[test]
fn resets_lift_neither_bounds_nor_what_is_required() {
    let target = json!({ "group": "example.org", "version": "v1", "resource": "jobs" });
    let resets = json!({ "with": [".status.startedAt"] });
    let text = show(
        &["explain"],
        target,
        &json!({
            "phases": [{ "path": ".status.phase", "transitions": [{ "from": [""], "to": ["Done"] }], "final": ["Done"] }],
            "monotone": [{ "path": ".status.n", "atMost": ".metadata.generation", "resets": resets }],
            "setOnce": [{ "path": ".status.at", "requiredIn": ["Done"], "resets": resets }],
        }),
    );
    for sentence in [
        "`.status.n` never falls, except in a write where `.status.startedAt` advances; it never passes `.metadata.generation`.",
        "neither changes nor goes, except in a write where `.status.startedAt` advances; it must be set in Done.",
    ] {
        assert!(text.contains(sentence), "no {sentence:?}: {text}");
    }
}

#[test]
fn own_kinds_of_kubernetes_are_explained_as_they_are_guarded() {
    let explain = |core: bool, failure_policy: &str| {
        let target = json!({ "group": "batch", "version": "v1", "resource": "jobs", "core": core });
        show(&["explain"], target, &json!({ "failurePolicy": failure_policy }))
    };
    let unguarded = "When the guard cannot be reached, writes go through unguarded";
    for failure_policy in ["Ignore", "Fail"] {
        let text = explain(true, failure_policy);
        assert!(text.contains("A write that breaks a rule is refused: 409 Conflict"), "{text}");
        let always = format!("{unguarded}, whatever `failurePolicy` says: that is what `core: true` means.\n");
        assert!(text.contains(&always) && !text.contains("status writes fail"), "{text}");
        // Without `core: true` no cluster enforces it.
        let text = explain(false, failure_policy);
        let off = "Not enforced in a cluster: this is one of Kubernetes' own kinds, and the policy does not say `core: true`.\n";
        assert!(text.contains(off), "{text}");
        assert!(!text.contains("is refused") && !text.contains("cannot be reached"), "{text}");
    }
    let target = json!({ "group": "example.org", "version": "v1", "resource": "jobs" });
    let text = show(&["explain"], target.clone(), &json!({ "failurePolicy": "Fail" }));
    assert!(text.contains("When the guard cannot be reached, status writes fail.\n"), "{text}");
    let text = show(&["explain"], target, &json!({ "failurePolicy": "Fail", "mode": "Off" }));
    assert!(text.contains("switched off") && !text.contains("status writes fail"), "{text}");
}

#[test]
fn the_mode_of_each_namespace_is_said() {
    let folder = Folder::new();
    let explained = |modes: &str| {
        let policy = std::fs::read_to_string(POLICY).unwrap().replace("spec:\n", &format!("spec:\n  {modes}\n"));
        run(&["policy", "explain", &folder.write("policy.yaml", &policy)]).out
    };
    let out = explained(r#"modeIn: { "*": Off, "team-*": Audit, lab: Warn, "": Audit }"#);
    let said: Vec<&str> = out.lines().skip(1).take(4).collect();
    assert_eq!(
        said,
        [
            "For cluster-scoped objects, a write that breaks a rule is allowed, and recorded.",
            "In the namespace `lab`, a write that breaks a rule is allowed with a warning to the client, and recorded.",
            "In namespaces that begin with `team-`, a write that breaks a rule is allowed, and recorded.",
            "Everywhere else, nothing is judged.",
        ]
    );
    let out = explained(r#"modeIn: { "*": Audit }"#);
    assert!(out.contains("\nA write that breaks a rule is allowed, and recorded.\n"), "{out}");
    assert!(!out.contains("refused"), "{out}");
}
