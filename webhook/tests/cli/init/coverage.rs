//! Every field of a status is guarded, switched off or named, and nothing else is.

use std::collections::BTreeSet;

use serde_json::Value;
use statusguard::document;

use super::{NO_RULE, crds, init_file, lint};

fn parse(text: &str) -> Value {
    document::json(&document::parse(text).unwrap()[0]).unwrap()
}

/// With every rule switched on.
fn switched_on(policy: &str) -> String {
    let on = |line: &str| match line.split_once('#') {
        Some((indent, rule)) if indent.trim().is_empty() && !rule.starts_with(' ') => format!("{indent}{rule}\n"),
        _ => format!("{line}\n"),
    };
    policy.lines().map(on).collect()
}

/// The paths of the rules of a set, from `.status` on, with `[]` for entries.
fn guarded(set: &Value, at: &str, found: &mut BTreeSet<String>) {
    let rules = |kind: &str| set[kind].as_array().cloned().unwrap_or_default();
    let path = |rule: &Value| format!("{at}{}", rule["path"].as_str().unwrap());
    for kind in ["phases", "monotone", "setOnce"] {
        found.extend(rules(kind).iter().map(path));
    }
    for rule in rules("collections") {
        let entry = format!("{}[]", path(&rule));
        if rule["each"].is_null() {
            found.insert(entry);
            continue;
        }
        let keys = rule["key"].as_array().into_iter().flatten().filter_map(Value::as_str);
        found.extend(keys.filter(|key| !key.is_empty()).map(|key| format!("{entry}.{key}")));
        guarded(&rule["each"], &entry, found);
    }
}

/// The paths that are named as not guarded.
fn named(policy: &str) -> BTreeSet<String> {
    let lines = policy.lines().filter_map(|line| line.strip_prefix("  #     "));
    lines.flat_map(|line| line.trim_end_matches(',').split(", ")).map(str::to_owned).collect()
}

/// All places of a schema; those without parts are leaves.
fn places(schema: &Value, at: &str, leaves: &mut BTreeSet<String>, all: &mut BTreeSet<String>) {
    all.insert(at.into());
    let entry = if schema["items"].is_object() { &schema["items"] } else { &schema["additionalProperties"] };
    if let Some(fields) = schema["properties"].as_object().filter(|fields| !fields.is_empty()) {
        for (name, field) in fields {
            let is_plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "_-".contains(letter));
            let place = if is_plain { format!("{at}.{name}") } else { format!("{at}[{name:?}]") };
            places(field, &place, leaves, all);
        }
    } else if entry.is_object() {
        places(entry, &format!("{at}[]"), leaves, all);
    } else {
        leaves.insert(at.into());
    }
}

/// Whether one of the paths is this place or one around it, but for the status itself.
fn covers(paths: &BTreeSet<String>, place: &str) -> bool {
    let is_around =
        |path: &str| place.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    paths.iter().any(|path| path != ".status" && is_around(path))
}

#[test]
fn every_field_is_guarded_or_switched_off_or_named_and_nothing_else_is() {
    for file in crds() {
        let first = init_file(&file);
        let crd = parse(&std::fs::read_to_string(&file).unwrap());
        let (mut leaves, mut all) = <(BTreeSet<String>, BTreeSet<String>)>::default();
        let versions = crd["spec"]["versions"].as_array().cloned().unwrap_or_default();
        let stored = versions.iter().find(|version| version["storage"] == true);
        let schema = stored.map_or(&crd["spec"]["validation"], |version| &version["schema"]);
        places(&schema["openAPIV3Schema"]["properties"]["status"], ".status", &mut leaves, &mut all);

        let (mut active, mut every) = <(BTreeSet<String>, BTreeSet<String>)>::default();
        guarded(&parse(&first)["spec"], "", &mut active);
        guarded(&parse(&switched_on(&first))["spec"], "", &mut every);
        let named = named(&first);
        assert!(!leaves.is_empty() && active.is_subset(&every), "{file}");
        for leaf in &leaves {
            assert!(covers(&every, leaf) || covers(&named, leaf), "{file}: nothing is said of {leaf}\n{first}");
            assert!(!(covers(&every, leaf) && covers(&named, leaf)), "{file}: {leaf} has a rule and is named\n{first}");
        }
        for path in every.iter().chain(&named) {
            assert!(all.contains(path), "{file}: there is no {path}\n{first}");
        }
    }
}

#[test]
fn what_is_switched_on_compiles_but_for_what_a_person_must_fill_in() {
    for file in crds() {
        let first = init_file(&file);
        let problems = lint(&first);
        assert!(problems.is_empty() || problems == [NO_RULE], "{file}: {problems:?}");
        let problems = lint(&switched_on(&first));
        let unfilled = ["error: empty list", "error: `` is not a member name"];
        for problem in &problems {
            let must = unfilled.contains(&problem.as_str()) || problem.starts_with("warning: ");
            assert!(must, "{file}: {problem}\n{first}");
        }
        // No machine compiles as it stands.
        let machines = first.matches("#transitions:").count();
        assert!(problems.iter().filter(|problem| *problem == unfilled[0]).count() >= machines, "{file}");
    }
}
