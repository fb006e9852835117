//! Lists and maps whose entries are kept (R8).
//!
//! Entries of a list are numbered by identity: equal identities share an id, and
//! the i-th of an id in the old list pairs with the i-th in the new one. The rules
//! of order then compare small integers.

mod lists;

use std::borrow::Cow;

use crate::judge::{Evaluation, Violation};
use crate::path::{Place, Step};
use crate::rules::{CollectionRule, Rules};
use crate::spec::{Keep, Order};
use crate::value::{ABSENT, Value};
use crate::verdict::{Class, Reason};

use lists::Lists;
pub(crate) use lists::MAX_STEPS;

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
    /// R8.
    pub(crate) fn collection(&mut self, rule: &CollectionRule, old: &Value<'_>, new: &Value<'_>, place: &Place<'_>) {
        if old.semantically_equal(new) {
            return;
        }
        let violation = |class| Violation { reason: Reason::Malformed, class, old, new };
        match (Shape::of(old), Shape::of(new)) {
            (Shape::Malformed, _) => self.waive(place, Reason::Malformed),
            (_, Shape::Malformed) => {
                self.report(place, violation(Class::Invalid), |new| format!("is neither a list nor a map: {new}"));
            }
            (Shape::List, Shape::Map) | (Shape::Map, Shape::List) => {
                let replaced = rule.resets.any() || rule.keep == Keep::Newest(0);
                let class = if replaced { Class::Stale } else { Class::Invalid };
                self.report(place, violation(class), |_| "changed between a list and a map".into());
            }
            (Shape::Map, _) | (_, Shape::Map) => self.map(rule, members(old), members(new), place),
            (Shape::List | Shape::Unset, Shape::List | Shape::Unset) => self.list(rule, old, new, place),
        }
    }

    fn map(&mut self, rule: &CollectionRule, old: Members<'_, '_>, new: Members<'_, '_>, place: &Place<'_>) {
        if !self.resets_apply(&rule.resets) {
            let mut gone = old.iter().filter(|(key, value)| !value.is_unset() && member(new, key).is_unset());
            if let (Some((key, value)), false) = (gone.next(), rule.keep == Keep::Newest(0)) {
                let name = self.name(place, &Value::String(key.as_ref().into()));
                self.truncated(place, value, &name, gone.count());
            }
            if rule.each.is_none() {
                for (key, value) in new {
                    let before = member(old, key);
                    if !before.is_unset() && !value.is_unset() && !before.semantically_equal(value) {
                        self.rewritten(before, value, &place.then(Step::Key(key)));
                    }
                }
            }
        }
        let Some(each) = &rule.each else { return };
        for (key, value) in new.iter().filter(|(_, value)| !value.is_unset()) {
            self.rules(each, member(old, key), value, Some(&place.then(Step::Key(key))));
        }
    }

    fn list(&mut self, rule: &CollectionRule, old: &Value<'_>, new: &Value<'_>, place: &Place<'_>) {
        let mut lists = Lists::new(rule, items(old), items(new), self.steps);
        if !rule.key.is_empty() {
            self.copies(&mut lists, new, place);
        }
        if !self.resets_apply(&rule.resets) {
            if rule.order == Order::Any || rule.keep == Keep::Newest(0) {
                self.unordered(rule, &lists, place);
            } else {
                self.ordered(rule, &lists, (old, new), place);
            }
        }
        self.steps = lists.steps();
        if let Some(each) = &rule.each {
            self.each(each, &lists, place);
        }
    }

    /// R8.1: identities that are there more than once. Takes surplus copies that went out of the old list.
    fn copies(&mut self, lists: &mut Lists<'_, '_>, new: &Value<'_>, place: &Place<'_>) {
        let mut waived = false;
        for id in 0..lists.identities() {
            let (before, after) = (lists.old_of.of(id).len(), lists.new_of.of(id).len());
            if after > 1 && after > before {
                let class = if before > 0 && after == before + 1 { Class::Stale } else { Class::Invalid };
                let last = lists.new_of.of(id).iter().map(|at| lists.new[*at].index).max().unwrap_or_default();
                let entry = lists.new[lists.new_of.of(id)[0]].value;
                let name = self.name(place, &identity(entry, lists.key));
                let violation =
                    Violation { reason: Reason::HistoryDuplicate, class, old: &ABSENT, new: &items(new)[last] };
                self.report(&place.then(Step::Index(last)), violation, |_| format!("has entry {name} {after} times"));
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
            self.waive(place, Reason::HistoryDuplicate);
        }
        if waived {
            lists.old.retain(|entry| !entry.ignored);
            lists.reindex(lists.identities());
        }
    }

    /// R8.2.
    fn unordered(&mut self, rule: &CollectionRule, lists: &Lists<'_, '_>, place: &Place<'_>) {
        let mut gone = lists.old.iter().filter(|entry| lists.pair(&lists.new_of, entry).is_none());
        if let (Some(entry), false) = (gone.next(), rule.keep == Keep::Newest(0)) {
            let name = self.name(place, &identity(entry.value, lists.key));
            self.truncated(place, entry.value, &name, gone.count());
        }
        if rule.each.is_some() {
            return;
        }
        for entry in &lists.new {
            if let Some(before) = lists.pair(&lists.old_of, entry).map(|at| &lists.old[at])
                && !before.value.semantically_equal(entry.value)
            {
                self.rewritten(before.value, entry.value, &place.then(Step::Index(entry.index)));
            }
        }
    }

    /// R8.3 to R8.5.
    fn ordered(
        &mut self,
        rule: &CollectionRule,
        lists: &Lists<'_, '_>,
        values: (&Value<'_>, &Value<'_>),
        place: &Place<'_>,
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
            let name =
                first.map_or_else(|| "at the end".into(), |entry| self.name(place, &identity(entry.value, lists.key)));
            let lost = and_more(gone.count());
            let violation = Violation { reason: Reason::HistoryTruncated, class, old: values.0, new: values.1 };
            return self.report(place, violation, |_| format!("lost entry {name}{lost}"));
        }
        let changed = lists.new.iter().find_map(|entry| {
            let before = lists.pair(&lists.old_of, entry).map(|at| lists.old[at].value)?;
            (!lists.each && !before.semantically_equal(entry.value)).then_some((before, entry))
        });
        match changed {
            Some((before, entry)) => {
                let item = place.then(Step::Index(entry.index));
                self.rewritten_as(before, entry.value, &item, class);
            }
            None => {
                let violation = Violation { reason: Reason::HistoryRewritten, class, old: values.0, new: values.1 };
                self.report(place, violation, |_| "has its old entries in other places".into());
            }
        }
    }

    /// R8.6.
    fn each(&mut self, rules: &Rules, lists: &Lists<'_, '_>, place: &Place<'_>) {
        for entry in &lists.new {
            let before = lists.pair(&lists.old_of, entry).map_or(&ABSENT, |at| lists.old[at].value);
            self.rules(rules, before, entry.value, Some(&place.then(Step::Index(entry.index))));
        }
    }

    fn truncated(&mut self, place: &Place<'_>, entry: &Value<'_>, name: &str, others: usize) {
        let violation = Violation { reason: Reason::HistoryTruncated, class: Class::Stale, old: entry, new: &ABSENT };
        let lost = and_more(others);
        self.report(place, violation, |_| format!("lost entry {name}{lost}"));
    }

    fn rewritten(&mut self, before: &Value<'_>, after: &Value<'_>, place: &Place<'_>) {
        self.rewritten_as(before, after, place, Class::Stale);
    }

    /// Reports a changed entry at the first part of it that differs.
    fn rewritten_as(&mut self, before: &Value<'_>, after: &Value<'_>, place: &Place<'_>, class: Class) {
        if let (Value::Object(old), Value::Object(new)) = (before, after) {
            let names = old.iter().chain(new.iter()).map(|(name, _)| name);
            for name in names {
                let (old, new) = (before.get(name), after.get(name));
                if !old.semantically_equal(new) {
                    return self.rewritten_as(old, new, &place.then(Step::Name(name)), class);
                }
            }
        }
        let violation = Violation { reason: Reason::HistoryRewritten, class, old: before, new: after };
        self.report_change(place, violation, |old, new| format!("was written as {old} and became {new}"));
    }
}

fn and_more(others: usize) -> String {
    if others > 0 { format!(" and {others} more") } else { String::new() }
}

type Members<'v, 'a> = &'v [(Cow<'a, str>, Value<'a>)];

fn members<'v, 'a>(value: &'v Value<'a>) -> Members<'v, 'a> {
    match value {
        Value::Object(members) => members,
        _ => &[],
    }
}

fn items<'v, 'a>(value: &'v Value<'a>) -> &'v [Value<'a>] {
    match value {
        Value::List(items) => items,
        _ => &[],
    }
}

fn member<'v, 'a>(members: Members<'v, 'a>, key: &str) -> &'v Value<'a> {
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
