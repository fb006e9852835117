//! What can be wrong with one state alone: what every rule would waive.

use super::graph::{Graph, Machine, Reading, speaks_of};
use super::reading::{generation, get, identity, magnitude, no_collection, same_identity, sum, unset};
use super::value::Val;

/// The reasons for which this object is broken; none for a sound one.
pub(crate) fn broken(policy: &Val, object: &Val) -> Vec<String> {
    let mut reasons = Vec::new();
    rules(policy.at("spec"), object, object, &mut reasons);
    reasons
}

fn rules(rules: &Val, object: &Val, item: &Val, reasons: &mut Vec<String>) {
    let mut say = |reason: &str, rule: &Val| reasons.push(format!("{reason} by {}", rule.json()));
    let value = |rule: &Val| get(item, rule.at("path").as_str().expect("a rule has a path")).clone();
    let machines = Machine::all(rules, item, item);
    for rule in rules.at("phases").items() {
        let graph = Graph(rule, false);
        match graph.read(item).0 {
            Reading::Plain(name) if !graph.unknown(&name) || graph.any_target() => {}
            reading => say(&format!("phase {reading:?}"), rule),
        }
    }
    let is = |name: &String| speaks_of(&machines, name).is_some_and(|machine| machine.new.is(name));
    for rule in rules.at("monotone").items() {
        let size = magnitude(&value(rule));
        if size.malformed() || (rule.has("atMost") && size.above(&generation(object))) {
            say("monotone", rule);
        }
    }
    for rule in rules.at("setOnce").items() {
        if rule.at("requiredIn").words().iter().any(is) && unset(&value(rule)) {
            say("setOnce", rule);
        }
    }
    for rule in rules.at("equal").items() {
        if !sum(item, rule.at("left")).gap(&sum(item, rule.at("right"))).is_zero() {
            say("equal", rule);
        }
    }
    for rule in rules.at("collections").items() {
        if no_collection(&value(rule)) {
            say("collections", rule);
        }
        let key = rule.at("key").words();
        if rule.has("key") {
            let ids: Vec<Val> = value(rule).items().iter().map(|i| identity(Some(&key), i)).collect();
            if (1..ids.len()).any(|i| ids[..i].iter().any(|id| same_identity(id, &ids[i]))) {
                say("duplicate", rule);
            }
        }
    }
    for rule in rules.at("collections").items() {
        let entries: Vec<Val> = match value(rule) {
            Val::List(items) => items,
            Val::Map(members) => members.into_values().filter(|v| !unset(v)).collect(),
            _ => Vec::new(),
        };
        for entry in &entries {
            self::rules(rule.at("each"), object, entry, reasons);
        }
    }
}
