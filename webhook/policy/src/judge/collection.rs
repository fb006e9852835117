//! R8: lists and maps whose entries stay.
//!
//! Entries of a list are numbered by identity: equal identities share an id, and the i-th entry of an id in the old list
//! pairs with the i-th in the new one. The rules of order then compare small integers.

use std::borrow::Cow;

use super::evaluation::{Evaluation, Violation};
use super::lists::Lists;
use crate::path::{Location, LocationStep};
use crate::rules::CollectionRule;
use crate::spec::{Keep, Order};
use crate::value::{ABSENT, Value};
use crate::verdict::{Class, Reason};

/// R8.6: an entry of the new value with its pair in the old one, [`Value::Null`] if it has none.
pub(super) struct Pair<'v> {
    pub(super) step: LocationStep<'v>,
    pub(super) old: &'v Value<'v>,
    pub(super) new: &'v Value<'v>,
}

/// What a collection path holds.
#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Unset,
    List,
    Map,
    Malformed,
}

impl Shape {
    fn of(value: &Value<'_>) -> Self {
        match value {
            value if value.is_unset() => Shape::Unset,
            Value::List(_) => Shape::List,
            Value::Object(_) => Shape::Map,
            _ => Shape::Malformed,
        }
    }
}

impl Evaluation<'_> {
    /// R8 but for the rules of each entry, which are to be judged on the pairs that this returns.
    pub(super) fn collection<'v>(
        &mut self,
        rule: &CollectionRule,
        old: &'v Value<'v>,
        new: &'v Value<'v>,
        location: &Location<'_>,
    ) -> Vec<Pair<'v>> {
        if old.semantically_equal(new) {
            return Vec::new();
        }
        let violation = |class| Violation { reason: Reason::Malformed, class, old, new };
        match (Shape::of(old), Shape::of(new)) {
            (Shape::Malformed, _) => {
                self.waive(location, Reason::Malformed);
                Vec::new()
            }
            (_, Shape::Malformed) => {
                self.report(location, violation(Class::Invalid), |new| format!("is neither a list nor a map: {new}"));
                Vec::new()
            }
            (Shape::List, Shape::Map) | (Shape::Map, Shape::List) => {
                let replaced = rule.resets.any() || rule.keep == Keep::Newest(0);
                let class = if replaced { Class::Stale } else { Class::Invalid };
                self.report(location, violation(class), |_| "changed between a list and a map".into());
                Vec::new()
            }
            (Shape::Map, _) | (_, Shape::Map) => self.map(rule, members(old), members(new), location),
            (Shape::List | Shape::Unset, Shape::List | Shape::Unset) => self.list(rule, old, new, location),
        }
    }

    fn map<'v>(
        &mut self,
        rule: &CollectionRule,
        old: Members<'v>,
        new: Members<'v>,
        location: &Location<'_>,
    ) -> Vec<Pair<'v>> {
        if !self.resets_apply(&rule.resets) {
            let mut gone = old.iter().filter(|(key, value)| !value.is_unset() && member(new, key).is_unset());
            if let (Some((key, value)), false) = (gone.next(), rule.keep == Keep::Newest(0)) {
                let name = self.name(location, &Value::String(key.as_ref().into()));
                self.truncated(location, value, &name, gone.count());
            }
            if rule.each.is_none() {
                for (key, value) in new {
                    let before = member(old, key);
                    if !before.is_unset() && !value.is_unset() && !before.semantically_equal(value) {
                        self.rewritten(before, value, &location.then(LocationStep::Key(key)));
                    }
                }
            }
        }
        if rule.each.is_none() {
            return Vec::new();
        }
        let set = new.iter().filter(|(_, value)| !value.is_unset());
        set.map(|(key, value)| Pair { step: LocationStep::Key(key), old: member(old, key), new: value }).collect()
    }

    fn list<'v>(
        &mut self,
        rule: &CollectionRule,
        old: &'v Value<'v>,
        new: &'v Value<'v>,
        location: &Location<'_>,
    ) -> Vec<Pair<'v>> {
        let mut lists = Lists::new(rule, items(old), items(new), self.steps);
        if !rule.key.is_empty() {
            self.copies(&mut lists, new, location);
        }
        if !self.resets_apply(&rule.resets) {
            if rule.order == Order::Any || rule.keep == Keep::Newest(0) {
                self.unordered(rule, &lists, location);
            } else {
                self.ordered(rule, &lists, (old, new), location);
            }
        }
        self.steps = lists.steps();
        if rule.each.is_none() {
            return Vec::new();
        }
        let before = |entry| lists.pair(&lists.old_of, entry).map_or(&ABSENT, |at| lists.old[at].value);
        lists
            .new
            .iter()
            .map(|entry| Pair { step: LocationStep::Index(entry.index), old: before(entry), new: entry.value })
            .collect()
    }

    /// R8.1: identities that are there more than once. Takes surplus copies that went out of the old list.
    fn copies(&mut self, lists: &mut Lists<'_, '_>, new: &Value<'_>, location: &Location<'_>) {
        let mut waived = false;
        for id in 0..lists.identities() {
            let (before, after) = (lists.old_of.of(id).len(), lists.new_of.of(id).len());
            if after > 1 && after > before {
                let class = if before > 0 && after == before + 1 { Class::Stale } else { Class::Invalid };
                let last = lists.new_of.of(id).iter().map(|at| lists.new[*at].index).max().unwrap_or_default();
                let entry = lists.new[lists.new_of.of(id)[0]].value;
                let name = self.name(location, &identity(entry, lists.key));
                let violation =
                    Violation { reason: Reason::HistoryDuplicate, class, old: &ABSENT, new: &items(new)[last] };
                self.report(&location.then(LocationStep::Index(last)), violation, |_| {
                    format!("has entry {name} {after} times")
                });
            } else if after > 1 {
                waived = true;
            }
            if before > 1 && after < before {
                waived = true;
                let keep = after.max(1);
                for at in &lists.old_of.of(id)[keep..] {
                    lists.old[*at].ignored = true;
                }
            }
        }
        if waived {
            self.waive(location, Reason::HistoryDuplicate);
        }
        if waived {
            lists.old.retain(|entry| !entry.ignored);
            lists.reindex(lists.identities());
        }
    }

    /// R8.2.
    fn unordered(&mut self, rule: &CollectionRule, lists: &Lists<'_, '_>, location: &Location<'_>) {
        let mut gone = lists.old.iter().filter(|entry| lists.pair(&lists.new_of, entry).is_none());
        if let (Some(entry), false) = (gone.next(), rule.keep == Keep::Newest(0)) {
            let name = self.name(location, &identity(entry.value, lists.key));
            self.truncated(location, entry.value, &name, gone.count());
        }
        if rule.each.is_some() {
            return;
        }
        for entry in &lists.new {
            if let Some(before) = lists.pair(&lists.old_of, entry).map(|at| &lists.old[at])
                && !before.value.semantically_equal(entry.value)
            {
                self.rewritten(before.value, entry.value, &location.then(LocationStep::Index(entry.index)));
            }
        }
    }

    /// R8.3 to R8.5.
    fn ordered(
        &mut self,
        rule: &CollectionRule,
        lists: &Lists<'_, '_>,
        values: (&Value<'_>, &Value<'_>),
        location: &Location<'_>,
    ) {
        let class = match rule.keep {
            Keep::All => lists.append_violation(),
            Keep::Newest(count) => lists.window_violation(count as usize),
        };
        let Some(class) = class else { return };
        let class = if rule.resets.any() { Class::Stale } else { class };
        let went = |id: usize| lists.old_of.of(id).len() > lists.new_of.of(id).len();
        let mut gone = lists.old.iter().filter(|entry| lists.pair(&lists.new_of, entry).is_none());
        if (0..lists.identities()).any(went) {
            let first = gone.next();
            let name = first
                .map_or_else(|| "at the end".into(), |entry| self.name(location, &identity(entry.value, lists.key)));
            let lost = and_more(gone.count());
            let violation = Violation { reason: Reason::HistoryTruncated, class, old: values.0, new: values.1 };
            return self.report(location, violation, |_| format!("lost entry {name}{lost}"));
        }
        let changed = lists.new.iter().find_map(|entry| {
            let before = lists.pair(&lists.old_of, entry).map(|at| lists.old[at].value)?;
            (!lists.each && !before.semantically_equal(entry.value)).then_some((before, entry))
        });
        match changed {
            Some((before, entry)) => {
                let item = location.then(LocationStep::Index(entry.index));
                self.rewritten_as(before, entry.value, &item, class);
            }
            None => {
                let violation = Violation { reason: Reason::HistoryRewritten, class, old: values.0, new: values.1 };
                self.report(location, violation, |_| "has its old entries at other positions".into());
            }
        }
    }

    fn truncated(&mut self, location: &Location<'_>, entry: &Value<'_>, name: &str, others: usize) {
        let violation = Violation { reason: Reason::HistoryTruncated, class: Class::Stale, old: entry, new: &ABSENT };
        let lost = and_more(others);
        self.report(location, violation, |_| format!("lost entry {name}{lost}"));
    }

    fn rewritten(&mut self, before: &Value<'_>, after: &Value<'_>, location: &Location<'_>) {
        self.rewritten_as(before, after, location, Class::Stale);
    }

    /// Reports a changed entry at the first part of it that differs.
    fn rewritten_as(&mut self, before: &Value<'_>, after: &Value<'_>, location: &Location<'_>, class: Class) {
        if let (Value::Object(old), Value::Object(new)) = (before, after) {
            let names = old.iter().chain(new.iter()).map(|(name, _)| name);
            for name in names {
                let (old, new) = (before.get(name), after.get(name));
                if !old.semantically_equal(new) {
                    return self.rewritten_as(old, new, &location.then(LocationStep::Name(name)), class);
                }
            }
        }
        let violation = Violation { reason: Reason::HistoryRewritten, class, old: before, new: after };
        self.report_change(location, violation, |old, new| format!("was written as {old} and became {new}"));
    }
}

fn and_more(others: usize) -> String {
    if others > 0 { format!(" and {others} more") } else { String::new() }
}

type Members<'v> = &'v [(Cow<'v, str>, Value<'v>)];

fn members<'v>(value: &'v Value<'v>) -> Members<'v> {
    match value {
        Value::Object(members) => members,
        _ => &[],
    }
}

fn items<'v>(value: &'v Value<'v>) -> &'v [Value<'v>] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn member<'v>(members: Members<'v>, key: &str) -> &'v Value<'v> {
    members.binary_search_by(|(name, _)| name.as_ref().cmp(key)).map_or(&ABSENT, |index| &members[index].1)
}

/// The identity of an entry as a value that can be shown.
fn identity<'a>(entry: &Value<'a>, key: &[Box<str>]) -> Value<'a> {
    match key {
        [] => entry.clone(),
        [name] => entry.get(name).clone(),
        names => Value::List(names.iter().map(|name| entry.get(name).clone()).collect()),
    }
}
