//! Which fields of a status differ from the base, and who holds them.
//!
//! A field set of `managedFields` is a tree of path elements: `f:` and the name of a member, `k:` and the
//! keys of an entry of a list, or `v:` and a member of a set, both in JSON. A manager holds a
//! path that ends there (`{}`) or that has a `.`. It holds the whole value only where nobody
//! holds a part of it: a list or map that is *atomic*. Whoever holds only what is around a field does
//! not hold the field.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{FOLDED, Lost, entries};
use crate::json::{alike, canonical};

/// What a version changed of the status of the base.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Nothing at all.
    pub(super) none: bool,
    /// A field that is ours.
    pub(super) ours: bool,
    /// A field that is ours and has the value that was sent.
    pub(super) ours_as_sent: bool,
    /// A field that others hold, and we do not.
    pub(super) others: bool,
    /// A field that may be anybody's.
    pub(super) unclear: bool,
}

/// The field sets that reach a value, each with its manager.
type Sets<'a> = Vec<(&'a str, &'a Map<String, Value>)>;

pub(super) fn changes(lost: &Lost<'_>, version: &Value) -> Changes {
    let mut changes = Changes::default();
    let (base, now) = (lost.base.get("status"), version.get("status"));
    let Some(now) = now else {
        return Changes { none: base.is_none(), ..changes };
    };
    if base.is_some_and(|base| alike(base, now)) {
        return Changes { none: true, ..changes };
    }
    // Of the version that was asked for: entries of other ones name other fields.
    let api_version = version.get("apiVersion");
    let walk =
        Walk { base, sent: Some(lost.sent), sets: sets(version, api_version), was: sets(lost.base, api_version) };
    walk.collect(now, lost.manager, &mut changes);
    changes
}

fn sets<'a>(object: &'a Value, api_version: Option<&Value>) -> Sets<'a> {
    let of_status = |entry: &'a Value| {
        let set = entry.get("fieldsV1")?.get("f:status")?.as_object()?;
        Some((entry.get("manager")?.as_str()?, set))
    };
    entries(object).filter(|entry| entry.get("apiVersion") == api_version).filter_map(of_status).collect()
}

/// One value on the way down: the same place in the base, in what was sent, and in the field sets of both versions.
struct Walk<'a> {
    base: Option<&'a Value>,
    sent: Option<&'a Value>,
    sets: Sets<'a>,
    was: Sets<'a>,
}

impl<'a> Walk<'a> {
    fn collect(self, now: &'a Value, manager: &str, changes: &mut Changes) {
        if self.base.is_some_and(|base| alike(base, now)) {
            return;
        }
        let (sets, was) = (parts_of_sets(&self.sets), parts_of_sets(&self.was));
        if sets.is_empty() && was.is_empty() {
            return self.leaf(now, manager, changes);
        }
        let keys = keys_of(sets.keys().chain(was.keys()));
        let (base, sent) = (parts(self.base, &keys), parts(self.sent, &keys));
        for (element, now) in parts(Some(now), &keys) {
            let at = |parts: &HashMap<String, &'a Value>| parts.get(&element).copied();
            let of = |parts: &BTreeMap<String, Sets<'a>>| parts.get(&element).cloned().unwrap_or_default();
            Walk { base: at(&base), sent: at(&sent), sets: of(&sets), was: of(&was) }.collect(now, manager, changes);
        }
    }

    /// A value of which nobody holds a part.
    fn leaf(&self, now: &Value, manager: &str, changes: &mut Changes) {
        // What was emptied was only removed from. And whoever holds an empty map need not hold what is in it now.
        let is_filled = self.base.is_some_and(|base| base.is_object() && is_empty(base));
        let is_emptied = is_empty(now) && self.base.is_some_and(|base| base.is_array() == now.is_array());
        let holds = |wanted: &str| self.sets.iter().any(|(name, _)| *name == wanted);
        if is_filled || is_emptied {
            changes.unclear = true;
        } else if holds(manager) {
            changes.ours = true;
            changes.ours_as_sent |= self.sent.is_some_and(|sent| alike(sent, now));
        } else if holds(FOLDED) {
            changes.unclear = true;
        } else if !self.sets.is_empty() {
            changes.others = true;
        }
    }
}

/// Whether `sent` lacks something that the base has, or may lack it: where lists differ, for one.
pub(super) fn removes(base: &Value, sent: &Value) -> bool {
    match (base, sent) {
        (Value::Object(base), Value::Object(sent)) => {
            base.iter().any(|(name, base)| sent.get(name).is_none_or(|sent| removes(base, sent)))
        }
        (Value::Array(base), Value::Array(sent)) => {
            base.len() > sent.len() || base.iter().zip(sent).any(|(base, sent)| !alike(base, sent))
        }
        (base, sent) => sent.is_null() && !base.is_null(),
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty)
}

/// What is held of a value's parts, by their path elements.
fn parts_of_sets<'a>(sets: &Sets<'a>) -> BTreeMap<String, Sets<'a>> {
    let mut parts = BTreeMap::<String, Sets<'a>>::new();
    for (name, set) in sets {
        for (element, set) in set.iter().filter(|(element, _)| *element != ".") {
            if let Some(set) = set.as_object() {
                parts.entry(normalised(element)).or_default().push((name, set));
            }
        }
    }
    parts
}

/// A path element with its JSON in one form: the API server escapes what need not be escaped.
fn normalised(element: &str) -> String {
    let json = element.split_at_checked(2).filter(|(kind, _)| matches!(*kind, "k:" | "v:"));
    match json.and_then(|(kind, json)| Some((kind, serde_json::from_str(json).ok()?))) {
        Some((kind, value)) => format!("{kind}{}", canonical(&value)),
        None => element.to_owned(),
    }
}

/// The members that tell the entries of a list apart, if they are told apart by some.
fn keys_of<'s>(mut elements: impl Iterator<Item = &'s String>) -> Option<Vec<String>> {
    let key = elements.find_map(|element| element.strip_prefix("k:"))?;
    let key: Map<String, Value> = serde_json::from_str(key).ok()?;
    Some(key.into_iter().map(|(name, _)| name).collect())
}

/// The parts of a value by their path elements.
fn parts<'a>(value: Option<&'a Value>, keys: &Option<Vec<String>>) -> HashMap<String, &'a Value> {
    let element = |entry: &Value| match keys {
        Some(keys) => {
            let key: Map<String, Value> =
                keys.iter().filter_map(|name| Some((name.clone(), entry.get(name)?.clone()))).collect();
            format!("k:{}", canonical(&key.into()))
        }
        None => format!("v:{}", canonical(entry)),
    };
    match value {
        Some(Value::Object(members)) => members.iter().map(|(name, value)| (format!("f:{name}"), value)).collect(),
        Some(Value::Array(entries)) => entries.iter().map(|entry| (element(entry), entry)).collect(),
        _ => HashMap::new(),
    }
}
