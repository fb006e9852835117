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
//! edited, and a new entry inherits none.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

/// Members by which Kubernetes types name the entries of a list, most telling first.
const IDENTITIES: [&str; 5] = ["type", "name", "id", "uid", "key"];

/// Applies the difference `before` → `after` to `raw`, of which `before` is the typed reading.
pub(crate) fn apply(raw: &mut Value, before: &Value, after: &Value) {
    if before == after {
        return;
    }
    match (raw, before, after) {
        (Value::Object(raw), Value::Object(before), Value::Object(after)) => members(raw, before, after),
        (Value::Array(raw), Value::Array(before), Value::Array(after)) => entries(raw, before, after),
        (raw, _, after) => *raw = after.clone(),
    }
}

fn members(raw: &mut Map<String, Value>, before: &Map<String, Value>, after: &Map<String, Value>) {
    for name in before.keys().filter(|name| !after.contains_key(*name)) {
        raw.remove(name);
    }
    for (name, after) in after {
        let before = before.get(name);
        match raw.get_mut(name) {
            Some(raw) => apply(raw, before.unwrap_or(&blank(after)), after),
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
    let raw_of = origins(raw, before);
    let before_of = sources(before, after);
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
                    apply(&mut entry, &before[index], after);
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

/// For each entry of `before` the entry of `raw` that it was read from.
fn origins(raw: &[Value], before: &[Value]) -> Vec<Option<usize>> {
    // A type reads entries in order, leaving out what it cannot see.
    if let Some(in_order) = subsequence(raw, before) {
        return in_order;
    }
    // In whatever order, a name tells.
    if let Some(by_name) = namesakes(raw, before) {
        return by_name;
    }
    // It may fill in defaults as well, unless what it says stands elsewhere in just these words: then it was moved.
    let aligned = raw.len() == before.len();
    let pairs = || raw.iter().zip(before);
    let elsewhere: HashSet<String> =
        pairs().filter(|(raw, before)| raw != before).map(|(raw, _)| raw.to_string()).collect();
    let moved = pairs().any(|(raw, before)| !holds(raw, before) && elsewhere.contains(&before.to_string()));
    let in_place = || (0..before.len()).map(Some).collect();
    if aligned && !moved && pairs().all(|(raw, before)| agreement(raw, before) > Some(0)) {
        return in_place();
    }
    // Or sort and fold them: then each that did not stay is the one it agrees with most.
    let stayed = |index: usize| aligned && raw[index] == before[index];
    let mut free: Vec<usize> = (0..raw.len()).filter(|index| !stayed(*index)).collect();
    let mut found: Vec<Option<usize>> = before
        .iter()
        .enumerate()
        .map(|(index, before)| {
            if stayed(index) {
                return Some(index);
            }
            let rank = |index: usize| (raw[index] == *before, agreement(&raw[index], before));
            let likely = |at: &usize| rank(free[*at]).1 > Some(0);
            // Of equals the first.
            let at = (0..free.len()).rev().filter(likely).max_by_key(|at| rank(free[*at]))?;
            Some(free.remove(at))
        })
        .collect();
    // Or write values in another form (times, numbers, variants it does not know), which only the position can tell.
    if aligned && found.contains(&None) {
        if !moved {
            return in_place();
        }
        found.iter_mut().filter(|found| found.is_none()).zip(free).for_each(|(found, left)| *found = Some(left));
    }
    found
}

/// For each entry of `before` the only one of `raw` with its name, if an identity names them all.
fn namesakes(raw: &[Value], before: &[Value]) -> Option<Vec<Option<usize>>> {
    IDENTITIES.iter().find_map(|member| {
        unique(before, member)?;
        let mut bearers: HashMap<&str, Vec<usize>> = HashMap::new();
        for (index, entry) in raw.iter().enumerate() {
            if let Some(name) = entry.get(member).and_then(Value::as_str) {
                bearers.entry(name).or_default().push(index);
            }
        }
        let only = |before: &Value| match bearers.get(before[*member].as_str()?)?[..] {
            [index] => Some(Some(index)),
            _ => None,
        };
        before.iter().map(only).collect()
    })
}

/// `before` as a part of `raw` in the same order, if every entry holds all that its reading says, and that is something.
fn subsequence(raw: &[Value], before: &[Value]) -> Option<Vec<Option<usize>>> {
    let mut indexed = raw.iter().enumerate();
    let next = |before: &Value| {
        let something = before.as_object().is_none_or(|before| !before.is_empty());
        indexed.find(|(_, raw)| *raw == before || (something && holds(raw, before))).map(|(index, _)| Some(index))
    };
    before.iter().map(next).collect()
}

/// Whether `raw` says all that `typed` does.
fn holds(raw: &Value, typed: &Value) -> bool {
    match (raw, typed) {
        (Value::Object(raw), Value::Object(typed)) => {
            typed.iter().all(|(name, typed)| raw.get(name).is_some_and(|raw| holds(raw, typed)))
        }
        (Value::Array(raw), Value::Array(typed)) => {
            raw.len() == typed.len() && raw.iter().zip(typed).all(|(raw, typed)| holds(raw, typed))
        }
        (raw, typed) => raw == typed,
    }
}

/// How many values `raw` and `typed` have in common; none if they contradict each other, and `typed` then is not the
/// reading of `raw`.
fn agreement(raw: &Value, typed: &Value) -> Option<usize> {
    match (raw, typed) {
        (Value::Object(raw), Value::Object(typed)) => {
            typed.iter().filter_map(|(name, typed)| Some(agreement(raw.get(name)?, typed))).sum()
        }
        (Value::Array(raw), Value::Array(typed)) if raw.len() == typed.len() => {
            raw.iter().zip(typed).map(|(raw, typed)| agreement(raw, typed)).sum()
        }
        (raw, typed) => (raw == typed).then_some(1),
    }
}

/// For each entry of `after` the entry of `before` that it continues.
fn sources(before: &[Value], after: &[Value]) -> Vec<Option<usize>> {
    if let Some(by_name) = named(before, after) {
        return by_name;
    }
    let mut source = vec![None; after.len()];
    let head = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    let tail = before[head..].iter().rev().zip(after[head..].iter().rev()).take_while(|(b, a)| b == a).count();
    let (before_end, after_end) = (before.len() - tail, after.len() - tail);
    source[..head].iter_mut().zip(0..).for_each(|(source, index)| *source = Some(index));
    source[after_end..].iter_mut().zip(before_end..).for_each(|(source, index)| *source = Some(index));

    let mut free: Vec<usize> = (head..before_end).collect();
    for index in head..after_end {
        if let Some(at) = free.iter().position(|candidate| before[*candidate] == after[index]) {
            source[index] = Some(free.remove(at));
        }
    }
    for index in head..after_end {
        if source[index].is_none() {
            let here = free.iter().position(|candidate| *candidate == index && edited(&before[index], &after[index]));
            let at = here.or_else(|| free.iter().position(|candidate| edited(&before[*candidate], &after[index])));
            source[index] = at.map(|at| free.remove(at));
        }
    }
    source
}

/// Pairs entries by an identity, if one names every entry of both lists.
fn named(before: &[Value], after: &[Value]) -> Option<Vec<Option<usize>>> {
    IDENTITIES.iter().find_map(|member| {
        let old = unique(before, member)?;
        unique(after, member)?;
        Some(after.iter().map(|entry| old.get(entry[member].as_str()?).copied()).collect())
    })
}

/// The position of each name, if every entry has one and no two share it.
fn unique<'a>(list: &'a [Value], member: &str) -> Option<HashMap<&'a str, usize>> {
    let names = list.iter().enumerate().map(|(index, entry)| Some((entry.get(member)?.as_str()?, index)));
    let names: HashMap<&str, usize> = names.collect::<Option<_>>()?;
    (names.len() == list.len()).then_some(names)
}

/// Without an identity an entry is taken for an edited one when at least half of it stayed.
fn edited(before: &Value, after: &Value) -> bool {
    let (Value::Object(before), Value::Object(after)) = (before, after) else {
        return false;
    };
    let kept = before.iter().filter(|(name, value)| after.get(*name) == Some(value)).count();
    kept > 0 && kept * 2 >= before.len()
}

#[cfg(test)]
mod tests;
