//! The difference between a configuration as it is and as the guard wants it: a pure function on raw JSON.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value as Json};

use super::authorities::ENDS;
use super::entry::SUFFIX;
use super::selector;

/// Which terms of the selectors the guard wrote: entry → selector → terms. Without it a term that a policy has no more
/// could not be told from one of another writer. It would stay then.
pub(super) const RECORD: &str = "statusguard.dev/selector-terms";

/// Longer than this, the record is left out: the API server takes 256 KiB of annotations.
const MAX_RECORD: usize = 128 << 10;

const SELECTORS: [&str; 2] = ["namespaceSelector", "objectSelector"];

/// A configuration with everything of the guard as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Repair {
    /// The whole object.
    pub object: Json,
    /// What is different from before; never empty.
    pub changes: Vec<EntryChange>,
}

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// An entry is missing.
    Added(String),
    /// An entry of a policy that is not there any more, or a second one of the same name.
    Removed(String),
    /// An entry differs.
    ///
    /// The fields are those of the entry, and of its `clientConfig`.
    Changed(String, Vec<String>),
    /// Only the record of written terms differs.
    Record,
    /// The record of authorities that go at some time differs.
    Authorities,
}

/// What makes `current` hold exactly the entries `desired`, among those of others; `None` if it does.
///
/// Of a desired entry, only the fields that it has are compared, and of its selectors only its terms. Fields that only
/// `current` has stay, unless they contradict: `clientConfig.url` excludes a service.
#[must_use]
pub fn repaired(current: &Json, desired: &[Json]) -> Option<Repair> {
    let record = record(current).unwrap_or_default();
    let mut changes = Vec::new();
    let mut entries = Vec::new();
    let mut seen = BTreeSet::new();
    for entry in current["webhooks"].as_array().into_iter().flatten() {
        let name = name(entry);
        if !is_ours(name) {
            entries.push(entry.clone());
            continue;
        }
        match desired.iter().find(|desired| self::name(desired) == name) {
            Some(desired) if seen.insert(name) => {
                let merged = merged_entry(entry, desired, record.get(name).unwrap_or(&Json::Null));
                let parts = changed_parts(entry, &merged);
                if !parts.is_empty() {
                    changes.push(EntryChange::Changed(name.to_owned(), parts));
                }
                entries.push(merged);
            }
            _ => changes.push(EntryChange::Removed(name.to_owned())),
        }
    }
    for entry in desired {
        if seen.insert(name(entry)) {
            changes.push(EntryChange::Added(name(entry).to_owned()));
            entries.push(entry.clone());
        }
    }
    let new_record = new_record(&record, desired);
    let recorded = self::record(current).as_ref() == new_record.as_ref();
    if changes.is_empty() && recorded {
        return None;
    }
    if changes.is_empty() {
        changes.push(EntryChange::Record);
    }
    let mut object = current.as_object().cloned().unwrap_or_default();
    object.insert("webhooks".to_owned(), Json::Array(entries));
    let mut object = Json::Object(object);
    if !recorded {
        annotate(&mut object, RECORD, new_record.map(|record| Json::Object(record).to_string()));
    }
    Some(Repair { object, changes })
}

/// The guard's entries of a configuration, with their names.
pub(super) fn our_entries(object: &Json) -> impl Iterator<Item = (&str, &Json)> {
    let entries = object["webhooks"].as_array().into_iter().flatten();
    entries.map(|entry| (name(entry), entry)).filter(|(name, _)| is_ours(name))
}

/// What the guard has recorded, if anything.
pub(super) fn record(object: &Json) -> Option<Map<String, Json>> {
    serde_json::from_str(object["metadata"]["annotations"][RECORD].as_str()?).ok()
}

pub(super) fn name(entry: &Json) -> &str {
    entry["name"].as_str().unwrap_or_default()
}

fn is_ours(name: &str) -> bool {
    name.ends_with(SUFFIX)
}

fn merged_entry(current: &Json, desired: &Json, written: &Json) -> Json {
    let mut entry = current.as_object().cloned().unwrap_or_default();
    for (field, desired) in desired.as_object().into_iter().flatten() {
        let current = &current[field];
        let value = if SELECTORS.contains(&field.as_str()) {
            selector::merged(current, desired, &written[field])
        } else {
            merged(current, desired)
        };
        entry.insert(field.clone(), value);
    }
    if let Some(client) = entry.get_mut("clientConfig").and_then(Json::as_object_mut)
        && client.contains_key("service")
    {
        client.remove("url");
    }
    Json::Object(entry)
}

/// `desired`, with the fields that only `current` has.
fn merged(current: &Json, desired: &Json) -> Json {
    match (current, desired) {
        (Json::Object(current), Json::Object(desired)) => {
            let mut all = current.clone();
            for (field, value) in desired {
                all.insert(field.clone(), merged(current.get(field).unwrap_or(&Json::Null), value));
            }
            Json::Object(all)
        }
        (Json::Array(current), Json::Array(desired)) if current.len() == desired.len() => {
            Json::Array(current.iter().zip(desired).map(|(current, desired)| merged(current, desired)).collect())
        }
        _ => desired.clone(),
    }
}

fn changed_parts(before: &Json, after: &Json) -> Vec<String> {
    let differing = |before: &Json, after: &Json| -> Vec<String> {
        let keys = |value: &Json| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect();
        let keys: BTreeSet<String> = [keys(before), keys(after)].into_iter().flat_map(|keys: Vec<_>| keys).collect();
        keys.into_iter().filter(|key| before[key] != after[key]).collect()
    };
    let parts = differing(before, after).into_iter();
    let expanded = parts.flat_map(|part| match part.as_str() {
        "clientConfig" => differing(&before["clientConfig"], &after["clientConfig"]),
        _ => vec![part],
    });
    expanded.collect()
}

/// The terms of all entries that will be there; of one whose selectors are not to be changed, those recorded before.
/// `None` if there is nothing to record, or too much.
fn new_record(before: &Map<String, Json>, desired: &[Json]) -> Option<Map<String, Json>> {
    let mut record = Map::new();
    for entry in desired {
        let mut terms = before.get(name(entry)).and_then(Json::as_object).cloned().unwrap_or_default();
        for selector in SELECTORS {
            if let Some(value) = entry.get(selector) {
                terms.insert(selector.to_owned(), value.clone());
            }
        }
        record.insert(name(entry).to_owned(), Json::Object(terms));
    }
    let length = serde_json::to_string(&record).map_or(usize::MAX, |text| text.len());
    (!record.is_empty() && length <= MAX_RECORD).then_some(record)
}

/// Writes an annotation, or removes it.
pub(super) fn annotate(object: &mut Json, annotation: &str, value: Option<String>) {
    let Some(object) = object.as_object_mut() else { return };
    let annotations = object_at(object_at(object, "metadata"), "annotations");
    match value {
        Some(value) => annotations.insert(annotation.to_owned(), value.into()),
        None => annotations.remove(annotation),
    };
}

/// The object in a field, which is made one.
fn object_at<'m>(object: &'m mut Map<String, Json>, field: &str) -> &'m mut Map<String, Json> {
    let value = object.entry(field).or_insert(Json::Null);
    if !value.is_object() {
        *value = Json::Object(Map::new());
    }
    value.as_object_mut().expect("made an object above")
}

impl fmt::Display for EntryChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Added(entry) => write!(f, "{entry} added"),
            Self::Removed(entry) => write!(f, "{entry} removed"),
            Self::Changed(entry, parts) => write!(f, "{entry}: {} changed", parts.join(", ")),
            Self::Record => write!(f, "annotation {RECORD} changed"),
            Self::Authorities => write!(f, "annotation {ENDS} changed"),
        }
    }
}

#[cfg(test)]
mod tests;
