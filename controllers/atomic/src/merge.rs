//! Carrying a typed change over to the raw status, so that what the type does not know survives.
//!
//! ```text
//! raw ──parse──▶ typed ──closure──▶ typed'
//!                  │ before            │ after     (both serialised)
//!                  └──── difference ───┘
//!                             ▼
//!                   raw + difference = what is sent
//! ```
//!
//! Invariants: what is equal before and after is not touched in `raw`; with nothing unknown in `raw`
//! the result equals `after`; an entry of a list takes its unknown fields along when it moves or is
//! edited, and a new entry inherits none. Which entry is which is told by [`pairing`].

use serde_json::{Map, Value};

mod pairing;

/// Members that tell what an object is. With another one it is another object, such as the next variant of an enum.
const TAGS: [&str; 2] = ["type", "kind"];

/// Applies the difference `before` → `after` to a `raw` status, of which `before` is the typed reading.
pub(crate) fn apply(raw: &mut Value, before: &Value, after: &Value) {
    match (raw, before, after) {
        // The status itself stays what it is, whatever its members say.
        (Value::Object(raw), Value::Object(before), Value::Object(after)) => members(raw, before, after),
        (raw, before, after) => apply_part(raw, before, after),
    }
}

fn apply_part(raw: &mut Value, before: &Value, after: &Value) {
    if before == after {
        return;
    }
    match (raw, before, after) {
        (Value::Object(raw), Value::Object(before), Value::Object(after)) if !is_another(before, after) => {
            members(raw, before, after);
        }
        (Value::Array(raw), Value::Array(before), Value::Array(after)) => entries(raw, before, after),
        (raw, _, after) => *raw = after.clone(),
    }
}

fn is_another(before: &Map<String, Value>, after: &Map<String, Value>) -> bool {
    TAGS.iter().any(|tag| match (before.get(*tag), after.get(*tag)) {
        (Some(Value::String(before)), Some(Value::String(after))) => before != after,
        _ => false,
    })
}

fn members(raw: &mut Map<String, Value>, before: &Map<String, Value>, after: &Map<String, Value>) {
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        raw.remove(name);
    }
    for (name, after) in after {
        let before = before.get(name);
        match raw.get_mut(name) {
            Some(raw) => apply_part(raw, before.unwrap_or(&blank(after)), after),
            // A default the type filled in; it is written once it differs.
            None if before == Some(after) => {}
            None => {
                raw.insert(name.clone(), after.clone());
            }
        }
    }
}

/// What a skipped field stood for: types leave out what is empty.
fn blank(like: &Value) -> Value {
    match like {
        Value::Object(_) => Value::Object(Map::new()),
        Value::Array(_) => Value::Array(Vec::new()),
        _ => Value::Null,
    }
}

fn entries(raw: &mut Vec<Value>, before: &[Value], after: &[Value]) {
    let raw_of = pairing::origins(raw, before);
    let before_of = pairing::sources(before, after);
    let mut old: Vec<Option<Value>> = std::mem::take(raw).into_iter().map(Some).collect();

    // Entries the type cannot see stay behind the entry they followed.
    let mut read = vec![false; old.len()];
    for index in raw_of.iter().flatten() {
        read[*index] = true;
    }
    let unseen_from = |start: usize, old: &mut Vec<Option<Value>>| -> Vec<Value> {
        (start..old.len()).take_while(|index| !read[*index]).filter_map(|index| old[index].take()).collect()
    };

    raw.extend(unseen_from(0, &mut old));
    for (after, source) in after.iter().zip(before_of) {
        let origin = source.and_then(|index| raw_of[index].map(|origin| (index, origin)));
        match origin {
            Some((index, origin)) => {
                if let Some(mut entry) = old[origin].take() {
                    apply_part(&mut entry, &before[index], after);
                    raw.push(entry);
                }
                raw.extend(unseen_from(origin + 1, &mut old));
            }
            None => raw.push(after.clone()),
        }
    }
    // Those that followed a removed entry.
    raw.extend((0..old.len()).filter(|index| !read[*index]).filter_map(|index| old[index].take()).collect::<Vec<_>>());
}

#[cfg(test)]
mod tests;
