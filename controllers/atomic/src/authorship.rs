//! Who wrote a version: what `managedFields` prove about a write whose answer was lost.
//!
//! The API server moves a field to the manager whose write changes it and takes it from all others.
//! The manager's name is unique to one [`StatusWriter`](crate::StatusWriter), which has at most one
//! write of an object under way and never bases it on a version older than its own last one. A write
//! that was given up as unknown may still land on its base; such a base is *unresolved*, and ownership
//! proves nothing there. Else, for a write that left a base and whose answer was lost:
//!
//! * *Next version after the base.* One request made it, and that request's manager owns every
//!   field that changed to a new value. If one of them is ours, so is the version; if one of them
//!   belongs to others only, so does the version.
//! * *Any later version.* If a field that differs from the base is ours, the last change of it was
//!   ours and happened after the base, and only the lost write can have made it. The same holds when
//!   our entry appeared, or its time moved, since the base. Nothing here proves the contrary.
//!
//! A removed field leaves no owner behind, so a write that only removes fields proves nothing.

use serde_json::{Map, Value};

/// Into this manager the API server folds the oldest entries when there are more than ten.
const FOLDED: &str = "ancient-changes";

/// What is known about the author of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Author {
    Ours,
    Other,
    Unclear,
}

/// A write whose answer was lost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost<'a> {
    /// The object it was based on.
    pub(crate) base: &'a Value,
    /// The status it sent.
    pub(crate) sent: &'a Value,
    /// The name of our manager.
    pub(crate) manager: &'a str,
    /// Whether an older PUT on the same base was given up and may have landed instead.
    pub(crate) unresolved: bool,
    /// Lists whose entries have a unique identity, which no other writer appends, and never go.
    pub(crate) append_only: &'a [AppendOnly],
}

/// A list of the status whose entries carry an identity that is unique everywhere and for ever, and appended by one
/// writer only: who overwrites an atomic list takes it over whole, so its owner does not tell who appended an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppendOnly {
    /// JSON pointer to the list, from the status.
    pub(crate) list: String,
    /// The member of an entry that holds its identity.
    pub(crate) identity: String,
}

/// A value that differs from the base, and the managers nearest to it.
struct Leaf<'a> {
    managers: Vec<&'a str>,
    as_sent: bool,
}

/// The entries of `managedFields` that reach a node, each with the node's field set.
type Trees<'a> = Vec<(&'a str, &'a Map<String, Value>)>;

/// Judges the first version after the base.
pub(crate) fn of_next(lost: &Lost<'_>, next: &Value) -> Author {
    if lost.base.get("status") == next.get("status") {
        return Author::Other;
    }
    let leaves = changed(lost, next);
    if leaves.iter().any(|leaf| leaf.as_sent && leaf.managers.contains(&lost.manager)) {
        // Two writes of ours may have made it. With the very status that was sent it makes no
        // difference which: the other one can never land any more.
        if !lost.unresolved || next.get("status") == Some(lost.sent) {
            return Author::Ours;
        }
        return by_identity(lost, next);
    }
    let others = |leaf: &Leaf<'_>| {
        !leaf.managers.is_empty() && !leaf.managers.iter().any(|name| *name == lost.manager || *name == FOLDED)
    };
    if leaves.iter().any(others) { Author::Other } else { by_identity(lost, next) }
}

/// Judges some version after the base, with others possibly in between.
pub(crate) fn of_later(lost: &Lost<'_>, later: &Value) -> Author {
    if let author @ (Author::Ours | Author::Other) = by_identity(lost, later) {
        return author;
    }
    if lost.unresolved {
        return Author::Unclear;
    }
    let ours = |leaf: &Leaf<'_>| leaf.as_sent && leaf.managers.contains(&lost.manager);
    if changed(lost, later).iter().any(ours) || left_a_mark(lost, later) {
        return Author::Ours;
    }
    Author::Unclear
}

/// The identities that a write appended are found if and only if it landed. All of them: a write may
/// carry one of an earlier attempt together with new ones, and then the earlier may have landed
/// instead; on a unresolved base even finding all of them proves nothing.
fn by_identity(lost: &Lost<'_>, version: &Value) -> Author {
    let mut author = Author::Unclear;
    for AppendOnly { list, identity } in lost.append_only {
        let ids = |status: Option<&Value>| -> Vec<Value> {
            let list = status.and_then(|status| status.pointer(list)).and_then(Value::as_array);
            list.into_iter().flatten().filter_map(|entry| entry.get(identity).cloned()).collect()
        };
        let known = ids(lost.base.get("status"));
        let present = ids(version.get("status"));
        for id in ids(Some(lost.sent)).iter().filter(|id| !known.contains(id)) {
            if !present.contains(id) {
                return Author::Other;
            }
            if !lost.unresolved {
                author = Author::Ours;
            }
        }
    }
    author
}

/// Whether our entry in `managedFields` appeared or moved in time since the base.
fn left_a_mark(lost: &Lost<'_>, later: &Value) -> bool {
    let entry = |object| managers(object).find(|entry| entry["manager"] == lost.manager);
    // A cache may have stripped the base of its entries; then their absence says nothing.
    let base_is_whole = managers(lost.base).next().is_some();
    match (entry(lost.base), entry(later)) {
        (None, Some(_)) => base_is_whole,
        (Some(before), Some(after)) => before["time"] != after["time"],
        _ => false,
    }
}

fn managers(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

fn changed<'a>(lost: &Lost<'a>, version: &'a Value) -> Vec<Leaf<'a>> {
    let trees: Trees<'a> = managers(version)
        .filter_map(|entry| {
            let fields = entry.get("fieldsV1")?.get("f:status")?.as_object()?;
            Some((entry.get("manager")?.as_str()?, fields))
        })
        .collect();
    let mut leaves = Vec::new();
    if let Some(status) = version.get("status") {
        let walk = Walk { base: lost.base.get("status"), sent: Some(lost.sent), near: Vec::new(), trees };
        walk.collect(status, &mut leaves);
    }
    leaves
}

/// One node on the way down: the same place in the base, in what was sent, and in the field sets.
struct Walk<'a> {
    base: Option<&'a Value>,
    sent: Option<&'a Value>,
    near: Vec<&'a str>,
    trees: Trees<'a>,
}

impl<'a> Walk<'a> {
    fn collect(mut self, now: &'a Value, leaves: &mut Vec<Leaf<'a>>) {
        if self.base == Some(now) {
            return;
        }
        if !self.trees.is_empty() {
            self.near = self.trees.iter().map(|(name, _)| *name).collect();
        }
        match now {
            Value::Object(members) if !members.is_empty() => {
                for (name, now) in members {
                    self.step(&format!("f:{name}"), |value| value.get(name)).collect(now, leaves);
                }
            }
            Value::Array(entries) if self.has_entries("k:") => self.keyed(entries, leaves),
            Value::Array(entries) if self.has_entries("v:") => {
                for entry in entries {
                    let held =
                        |list: &'a Value| list.as_array().and_then(|list| list.iter().find(|held| *held == entry));
                    self.step(&format!("v:{entry}"), held).collect(entry, leaves);
                }
            }
            // What was emptied was only removed from, and that leaves no owner.
            Value::Object(_) if self.base.is_some_and(Value::is_object) => {}
            Value::Array(entries) if entries.is_empty() && self.base.is_some_and(Value::is_array) => {}
            _ => leaves.push(Leaf { managers: self.near, as_sent: self.sent == Some(now) }),
        }
    }

    /// A list whose entries are told apart by some of their members.
    fn keyed(&self, entries: &'a [Value], leaves: &mut Vec<Leaf<'a>>) {
        let keys = self.trees.iter().flat_map(|(_, tree)| tree.keys()).filter_map(|key| key.strip_prefix("k:"));
        let mut keys: Vec<&str> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        for (text, key) in keys.into_iter().filter_map(|text| Some((text, serde_json::from_str::<Value>(text).ok()?))) {
            let Value::Object(key) = key else { continue };
            let matches = |entry: &&Value| key.iter().all(|(name, value)| entry.get(name) == Some(value));
            let held = |list: &'a Value| list.as_array().and_then(|list| list.iter().find(matches));
            if let Some(entry) = entries.iter().find(matches) {
                self.step(&format!("k:{text}"), held).collect(entry, leaves);
            }
        }
    }

    fn has_entries(&self, prefix: &str) -> bool {
        self.trees.iter().any(|(_, tree)| tree.keys().any(|key| key.starts_with(prefix)))
    }

    fn step(&self, field: &str, place: impl Fn(&'a Value) -> Option<&'a Value>) -> Walk<'a> {
        let trees = self.trees.iter().filter_map(|(name, tree)| Some((*name, tree.get(field)?.as_object()?)));
        Walk {
            base: self.base.and_then(&place),
            sent: self.sent.and_then(&place),
            near: self.near.clone(),
            trees: trees.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
