//! R8: lists and maps whose entries stay.
//!
//! Entries of a list are numbered by identity: equal identities share an id, and the i-th entry of an id in the old list
//! pairs with the i-th in the new one. The rules of order then compare small integers.

use super::evaluation::{Evaluation, Violation};
use super::lists::{Lists, STEPS_PER_ENTRY};
use crate::budget::Unfinished;
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

/// The entries that are to be judged by the rules for each, found one by one.
pub(super) enum Pairs<'v, 'r> {
    None,
    /// Those of two maps.
    Maps(&'v Value<'v>, &'v Value<'v>),
    Lists(Box<Lists<'v, 'r>>),
}

impl<'v> Pairs<'v, '_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Pair<'v>> {
        let (maps, lists) = match self {
            Pairs::None => (None, None),
            Pairs::Maps(old, new) => (Some((*old, *new)), None),
            Pairs::Lists(lists) => (None, Some(lists)),
        };
        let of_maps = maps.into_iter().flat_map(|(old, new)| {
            new.set_members().map(|(key, new)| Pair { step: LocationStep::Key(key), old: old.get(key), new })
        });
        let of_lists = lists.into_iter().flat_map(|lists| {
            lists.new.iter().enumerate().map(|(at, entry)| {
                let old = lists.pair(&lists.old_of, entry).map_or(&ABSENT, |at| lists.old[at].value);
                Pair { step: LocationStep::Index(lists.index(at)), old, new: entry.value }
            })
        });
        of_maps.chain(of_lists)
    }
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

impl<'v> Evaluation<'v> {
    /// R8 but for the rules of each entry, which are to be judged on the pairs that this returns.
    pub(super) fn collection<'r>(
        &mut self,
        rule: &'r CollectionRule,
        reset: bool,
        (old, new): (&'v Value<'v>, &'v Value<'v>),
        location: &Location<'_>,
    ) -> Result<Pairs<'v, 'r>, Unfinished> {
        self.spend_on(old, new)?;
        if old.semantically_equal(new) {
            return Ok(Pairs::None);
        }
        let violation = |class| Violation { reason: Reason::Malformed, class, old, new };
        match (Shape::of(old), Shape::of(new)) {
            (Shape::Malformed, _) => {
                self.waive(location, Reason::Malformed);
                Ok(Pairs::None)
            }
            (_, Shape::Malformed) => {
                self.report(location, violation(Class::Invalid), |new| format!("is neither a list nor a map: {new}"));
                Ok(Pairs::None)
            }
            (Shape::List, Shape::Map) | (Shape::Map, Shape::List) => {
                // From unset either is legal: an older state may have been unset.
                self.report(location, violation(Class::Stale), |_| "changed between a list and a map".into());
                Ok(Pairs::None)
            }
            (Shape::Map, _) | (_, Shape::Map) => self.map(rule, reset, (old, new), location),
            (Shape::List | Shape::Unset, Shape::List | Shape::Unset) => self.list(rule, reset, (old, new), location),
        }
    }

    fn map<'r>(
        &mut self,
        rule: &'r CollectionRule,
        reset: bool,
        (old, new): (&'v Value<'v>, &'v Value<'v>),
        location: &Location<'_>,
    ) -> Result<Pairs<'v, 'r>, Unfinished> {
        self.spend_on(old, new)?;
        if !reset {
            let mut gone = old.set_members().filter(|(key, _)| new.get(key).is_unset());
            if let (Some((key, value)), false) = (gone.next(), rule.keep == Keep::Newest(0)) {
                let name = self.name(location, &Value::String(key.into()));
                self.truncated(location, value, &name, gone.count());
            }
            if rule.each.is_none() {
                for (key, value) in new.set_members() {
                    let before = old.get(key);
                    if !before.is_unset() && !before.semantically_equal(value) {
                        self.rewritten(before, value, &location.then(LocationStep::Key(key)), Class::Stale);
                    }
                }
            }
        }
        if rule.each.is_none() {
            return Ok(Pairs::None);
        }
        Ok(Pairs::Maps(old, new))
    }

    fn list<'r>(
        &mut self,
        rule: &'r CollectionRule,
        reset: bool,
        (old, new): (&'v Value<'v>, &'v Value<'v>),
        location: &Location<'_>,
    ) -> Result<Pairs<'v, 'r>, Unfinished> {
        let mut lists = Lists::new(rule, items(old), items(new), self.budget)?;
        if !rule.key.is_empty() {
            self.copies(&mut lists, new, location);
        }
        self.spend_on(old, new)?;
        if !reset {
            if rule.order == Order::Any || rule.keep == Keep::Newest(0) {
                self.unordered(rule, &lists, location);
            } else {
                self.spend(STEPS_PER_ENTRY * (lists.old.len() + lists.new.len()))?;
                self.ordered(rule, &lists, (old, new), location)?;
            }
        }
        if rule.each.is_none() {
            return Ok(Pairs::None);
        }
        Ok(Pairs::Lists(Box::new(lists)))
    }

    /// R8.1: identities that are there more than once. Takes surplus copies that went out of the old list.
    fn copies(&mut self, lists: &mut Lists<'_, '_>, new: &Value<'_>, location: &Location<'_>) {
        let mut waived = false;
        for id in 0..lists.identities() {
            let (before, after) = (lists.old_of.of(id).len(), lists.new_of.of(id).len());
            if after > 1 && after > before {
                let class = if before > 0 && after == before + 1 { Class::Stale } else { Class::Invalid };
                let last = lists.new_of.of(id).iter().map(|at| lists.index(*at as usize)).max().unwrap_or_default();
                let entry = lists.new[lists.new_of.of(id)[0] as usize].value;
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
                    lists.old[*at as usize].ignore();
                }
            }
        }
        if waived {
            self.waive(location, Reason::HistoryDuplicate);
            lists.old.retain(|entry| !entry.is_ignored());
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
        for (at, entry) in lists.new.iter().enumerate() {
            if let Some(before) = lists.pair(&lists.old_of, entry).map(|at| &lists.old[at])
                && !before.value.semantically_equal(entry.value)
            {
                self.rewritten(
                    before.value,
                    entry.value,
                    &location.then(LocationStep::Index(lists.index(at))),
                    Class::Stale,
                );
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
    ) -> Result<(), Unfinished> {
        let Some(class) = lists.order_violation(rule.keep)? else { return Ok(()) };
        let class = if rule.resets.restarts { Class::Stale } else { class };
        let mut gone = lists.old.iter().filter(|entry| lists.pair(&lists.new_of, entry).is_none());
        if lists.went() {
            let first = gone.next();
            let name = first
                .map_or_else(|| "at the end".into(), |entry| self.name(location, &identity(entry.value, lists.key)));
            let lost = and_more(gone.count());
            let violation = Violation { reason: Reason::HistoryTruncated, class, old: values.0, new: values.1 };
            self.report(location, violation, |_| format!("lost entry {name}{lost}"));
            return Ok(());
        }
        let changed = lists.new.iter().enumerate().find_map(|(at, entry)| {
            let before = lists.pair(&lists.old_of, entry).map(|at| lists.old[at].value)?;
            (lists.frozen && !before.semantically_equal(entry.value)).then_some((before, entry.value, at))
        });
        match changed {
            Some((before, after, at)) => {
                let item = location.then(LocationStep::Index(lists.index(at)));
                self.rewritten(before, after, &item, class);
            }
            None => {
                let violation = Violation { reason: Reason::HistoryRewritten, class, old: values.0, new: values.1 };
                self.report(location, violation, |_| "has its old entries at other positions".into());
            }
        }
        Ok(())
    }

    fn truncated(&mut self, location: &Location<'_>, entry: &Value<'_>, name: &str, others: usize) {
        let violation = Violation { reason: Reason::HistoryTruncated, class: Class::Stale, old: entry, new: &ABSENT };
        let lost = and_more(others);
        self.report(location, violation, |_| format!("lost entry {name}{lost}"));
    }

    /// Reports a changed entry at the first part of it that differs; false if no part does.
    fn rewritten(&mut self, before: &Value<'_>, after: &Value<'_>, location: &Location<'_>, class: Class) -> bool {
        if let (Value::Object(old), Value::Object(new)) = (before, after) {
            let added = new.iter().filter(|(name, _)| matches!(before.get(name), Value::Null));
            return old.iter().chain(added).any(|(name, _)| {
                let member = location.then(LocationStep::Name(name));
                self.rewritten(before.get(name), after.get(name), &member, class)
            });
        }
        if before.semantically_equal(after) {
            return false;
        }
        let violation = Violation { reason: Reason::HistoryRewritten, class, old: before, new: after };
        self.report_change(location, violation, |old, new| format!("was written as {old} and became {new}"));
        true
    }
}

fn and_more(others: usize) -> String {
    if others > 0 { format!(" and {others} more") } else { String::new() }
}

fn items<'v>(value: &'v Value<'v>) -> &'v [Value<'v>] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

/// The identity of an entry as a value that can be shown.
fn identity<'a>(entry: &Value<'a>, key: &[Box<str>]) -> Value<'a> {
    match key {
        [] => entry.clone(),
        [name] => entry.get(name).clone(),
        names => Value::list(names.iter().map(|name| entry.get(name).clone()).collect()),
    }
}
