//! Who wrote a version: what `managedFields` prove about a write whose answer was lost.
//!
//! The API server moves a field to the manager whose request changes it, takes it from all others, and
//! sets the time of that manager's entry. The manager's name is unique to one
//! [`StatusWriter`](crate::StatusWriter), which has at most one write of an object under way and never
//! bases it on a version older than its own last one. So, for a write that left a base and whose
//! answer was lost:
//!
//! * *Next version after the base.* One request made it. If an entry of `managedFields` is new, has
//!   another time or more fields than in the base, that entry's manager made the request. If none
//!   has (two requests of a manager in one second may leave no other trace), the fields that
//!   changed tell by their owners: we hold at least one of those that our write has set.
//! * *Any later version.* If our entry is new or its time moved, or a field that differs from the base
//!   has the value that we sent and is ours, a write of ours landed after the base, and only the
//!   lost one can have. Nothing about entries proves the contrary.
//!
//! Who holds a field is told by [`fields`]. A field may change without an owner: a default of the CRD, a
//! conversion, a webhook. A removed field leaves no owner behind. Neither proves anything.
//!
//! A write that was given up as unknown may still land on its base. Such a base is *unresolved*: what
//! is ours on the next version may be of either write, unless it is exactly what was sent.
//!
//! Where owners prove nothing, the identities of [`AppendOnly`] lists may.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::json::{alike, canonical};

mod fields;

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
#[derive(Debug)]
pub(crate) struct AppendOnly {
    /// JSON pointer to the list, from the status.
    list: String,
    /// The member of an entry that holds its identity.
    identity: String,
    /// Whether all identities that this writer has appended were stored as they were sent; unknown before the first.
    stored_as_sent: Mutex<Option<bool>>,
}

/// Judges the first version after the base.
pub(crate) fn of_next(lost: &Lost<'_>, next: &Value) -> Author {
    let ours = has_trace(lost, next, |entry| entry["manager"] == lost.manager);
    let others = has_trace(lost, next, |entry| entry["manager"] != lost.manager && entry["manager"] != FOLDED);
    let author = match (ours, others) {
        (true, false) => Author::Ours,
        (false, true) => Author::Other,
        _ => of_next_by_fields(lost, next),
    };
    match author {
        // Two writes of ours may have made it. With the very status that was sent it makes no difference which: the
        // other one can never land any more.
        Author::Ours if lost.unresolved && !next.get("status").is_some_and(|next| alike(next, lost.sent)) => {
            by_identity(lost, next)
        }
        Author::Unclear => by_identity(lost, next),
        author => author,
    }
}

fn of_next_by_fields(lost: &Lost<'_>, next: &Value) -> Author {
    let changes = fields::changes(lost, next);
    // Without a trace of anybody, even a value that the API server changed is ours; where a cache has stripped the base
    // of its entries, there are no traces to look for, and only what we sent is.
    let ours = changes.ours_as_sent || (changes.ours && is_tracked(lost.base));
    // A write that only sets fields holds one of them.
    let holds_nothing = || {
        let base = lost.base.get("status").unwrap_or(&Value::Null);
        is_tracked(next) && !changes.unclear && !fields::removes(base, lost.sent)
    };
    match (ours, changes.others) {
        _ if changes.none => Author::Other,
        (true, false) => Author::Ours,
        _ if !changes.ours && (changes.others || holds_nothing()) => Author::Other,
        _ => Author::Unclear,
    }
}

/// Judges some version after the base, with others possibly in between.
pub(crate) fn of_later(lost: &Lost<'_>, later: &Value) -> Author {
    let ours = || {
        let moved = |entry: &Value| match counterpart(lost.base, entry) {
            Some(before) => before["time"] != entry["time"],
            None => is_tracked(lost.base),
        };
        entries(later).any(|entry| entry["manager"] == lost.manager && moved(entry))
            || fields::changes(lost, later).ours_as_sent
    };
    if !lost.unresolved && ours() { Author::Ours } else { by_identity(lost, later) }
}

/// The identities that a write appended are found if and only if it landed. All of them: a write may
/// carry one of an earlier attempt together with new ones, and then the earlier may have landed
/// instead; on an unresolved base even finding all of them proves nothing.
fn by_identity(lost: &Lost<'_>, version: &Value) -> Author {
    let mut author = Author::Unclear;
    for list in lost.append_only {
        let status = version.get("status");
        let present = list.identities(status);
        let has_grown = list.entries(status).len() > list.entries(lost.base.get("status")).len();
        for id in list.appended(lost.base, lost.sent) {
            if present.contains(&canonical(id)) {
                if !lost.unresolved {
                    author = Author::Ours;
                }
            } else if !has_grown || list.is_stored_as_sent(id) {
                return Author::Other;
            }
        }
    }
    author
}

impl AppendOnly {
    pub(crate) fn new(list: String, identity: String) -> Self {
        Self { list, identity, stored_as_sent: Mutex::new(None) }
    }

    /// Learns from the version that a write has made whether identities are stored as they are sent: a CRD may not
    /// declare them, or a webhook change them.
    pub(crate) fn learn(&self, base: &Value, sent: &Value, version: &Value) {
        let appended = self.appended(base, sent);
        if appended.is_empty() {
            return;
        }
        let present = self.identities(version.get("status"));
        let all = appended.iter().all(|id| present.contains(&canonical(id)));
        let mut so_far = self.stored_as_sent.lock().unwrap_or_else(PoisonError::into_inner);
        *so_far = Some(all && *so_far != Some(false));
    }

    /// Whether the absence of `id` proves something.
    fn is_stored_as_sent(&self, id: &Value) -> bool {
        // Other numbers may be rounded, each in its own way.
        let is_exact = id.is_string() || id.is_i64();
        is_exact && *self.stored_as_sent.lock().unwrap_or_else(PoisonError::into_inner) == Some(true)
    }

    /// The identities that the status sent has and the base has not.
    fn appended<'a>(&self, base: &Value, sent: &'a Value) -> Vec<&'a Value> {
        let known = self.identities(base.get("status"));
        let sent = self.entries(Some(sent)).iter().filter_map(|entry| entry.get(&self.identity));
        sent.filter(|id| !known.contains(&canonical(id))).collect()
    }

    fn identities(&self, status: Option<&Value>) -> HashSet<String> {
        self.entries(status).iter().filter_map(|entry| Some(canonical(entry.get(&self.identity)?))).collect()
    }

    fn entries<'a>(&self, status: Option<&'a Value>) -> &'a [Value] {
        let list = status.and_then(|status| status.pointer(&self.list)).and_then(Value::as_array);
        list.map_or(&[], Vec::as_slice)
    }
}

/// Whether an entry of `managedFields` shows that its manager has changed something since the base.
fn has_trace(lost: &Lost<'_>, version: &Value, is_wanted: impl Fn(&Value) -> bool) -> bool {
    let changed = |entry: &Value| {
        let before = counterpart(lost.base, entry);
        before.is_none_or(|before| before["time"] != entry["time"] || gained(&before["fieldsV1"], &entry["fieldsV1"]))
    };
    is_tracked(lost.base) && entries(version).any(|entry| is_wanted(entry) && changed(entry))
}

/// Whether a field set holds what it did not hold before.
fn gained(before: &Value, after: &Value) -> bool {
    let Value::Object(after) = after else { return false };
    after.iter().any(|(element, after)| before.get(element).is_none_or(|before| gained(before, after)))
}

/// Whether an object has entries at all; a cache may have stripped it of them.
fn is_tracked(object: &Value) -> bool {
    entries(object).next().is_some()
}

/// The entry that an entry of a later version was in `object`.
fn counterpart<'a>(object: &'a Value, entry: &Value) -> Option<&'a Value> {
    let same = |before: &&Value| {
        ["manager", "operation", "apiVersion", "subresource"].iter().all(|part| before.get(part) == entry.get(part))
    };
    entries(object).find(same)
}

fn entries(object: &Value) -> impl Iterator<Item = &Value> {
    object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten()
}

#[cfg(test)]
mod tests;
