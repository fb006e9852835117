//! Lists and maps whose entries are kept (POLICY.md, R8).
//!
//! Entries of a list are numbered by identity: equal identities share a class, and
//! the i-th of a class in the old list pairs with the i-th in the new one. The rules
//! of order then compare small integers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;

use crate::compile::{CollectionRule, Rules};
use crate::judge::{Charge, Court};
use crate::number::Decimal;
use crate::path::{Place, Step};
use crate::spec::{Keep, Order};
use crate::time::Instant;
use crate::value::{ABSENT, Value};
use crate::verdict::{Class, Reason};

/// Candidates that one entry is compared with where only the content tells them apart;
/// keeps hostile lists of equal entries from costing quadratic time.
const MAX_CANDIDATES: usize = 64;
/// Places where a run of shared entries is looked for.
const MAX_RUNS: usize = 4096;

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

impl Court<'_> {
    /// R8.
    pub(crate) fn collection(&mut self, rule: &CollectionRule, old: &Value<'_>, new: &Value<'_>, place: &Place<'_>) {
        if old.same(new) {
            return;
        }
        let charge = |class| Charge { reason: Reason::Malformed, class, old, new };
        match (Shape::of(old), Shape::of(new)) {
            (Shape::Malformed, _) => self.waive(place, Reason::Malformed),
            (_, Shape::Malformed) => {
                self.find(place, charge(Class::Invalid), |new| format!("is neither a list nor a map: {new}"));
            }
            (Shape::List, Shape::Map) | (Shape::Map, Shape::List) => {
                let replaced = rule.resets.any() || rule.keep == Keep::Newest(0);
                let class = if replaced { Class::Stale } else { Class::Invalid };
                self.find(place, charge(class), |_| "changed between a list and a map".into());
            }
            (Shape::Map, _) | (_, Shape::Map) => self.map(rule, members(old), members(new), place),
            (Shape::List | Shape::Unset, Shape::List | Shape::Unset) => self.list(rule, old, new, place),
        }
    }

    fn map(&mut self, rule: &CollectionRule, old: Members<'_, '_>, new: Members<'_, '_>, place: &Place<'_>) {
        if !self.fires(&rule.resets) {
            let mut gone = old.iter().filter(|(key, value)| !value.is_unset() && find(new, key).is_unset());
            if let (Some((key, value)), false) = (gone.next(), rule.keep == Keep::Newest(0)) {
                self.truncated(place, value, &format!("{key:?}"), gone.count());
            }
            if rule.each.is_none() {
                for (key, value) in new {
                    let before = find(old, key);
                    if !before.is_unset() && !value.is_unset() && !before.same(value) {
                        self.rewritten(before, value, &place.then(Step::Key(key)));
                    }
                }
            }
        }
        let Some(each) = &rule.each else { return };
        for (key, value) in new.iter().filter(|(_, value)| !value.is_unset()) {
            self.rules(each, find(old, key), value, Some(&place.then(Step::Key(key))));
        }
    }

    fn list(&mut self, rule: &CollectionRule, old: &Value<'_>, new: &Value<'_>, place: &Place<'_>) {
        let mut lists = Lists::new(rule, items(old), items(new));
        if !rule.key.is_empty() {
            self.copies(&mut lists, new, place);
        }
        if !self.fires(&rule.resets) {
            if rule.order == Order::Any || rule.keep == Keep::Newest(0) {
                self.unordered(rule, &lists, place);
            } else {
                self.ordered(rule, &lists, (old, new), place);
            }
        }
        if let Some(each) = &rule.each {
            self.each(each, &lists, place);
        }
    }

    /// R8.1: identities that are there more than once. Takes surplus copies that went out of the old list.
    fn copies(&mut self, lists: &mut Lists<'_, '_>, new: &Value<'_>, place: &Place<'_>) {
        let mut waived = false;
        for class in 0..lists.classes() {
            let (before, after) = (lists.old_of.of(class).len(), lists.new_of.of(class).len());
            if after > 1 && after > before {
                let class_of = if before > 0 && after == before + 1 { Class::Stale } else { Class::Invalid };
                let last = lists.new_of.of(class).iter().map(|at| lists.new[*at].index).max().unwrap_or_default();
                let entry = lists.new[lists.new_of.of(class)[0]].value;
                let name = self.name(place, &identity(entry, lists.key));
                let charge =
                    Charge { reason: Reason::HistoryDuplicate, class: class_of, old: &ABSENT, new: &items(new)[last] };
                self.find(&place.then(Step::Index(last)), charge, |_| format!("has entry {name} {after} times"));
            } else if after > 1 {
                waived = true;
            }
            if before > 1 && after < before {
                waived = true;
                let keep = after.max(1);
                for at in &lists.old_of.of(class)[keep..] {
                    lists.old[*at].ignored = true;
                }
            }
        }
        if waived {
            self.waive(place, Reason::HistoryDuplicate);
        }
        if waived {
            lists.old.retain(|entry| !entry.ignored);
            lists.reindex(lists.classes());
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
                && !before.value.same(entry.value)
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
            Keep::All => lists.broken_append(),
            Keep::Newest(count) => lists.broken_window(count as usize),
        };
        let Some(class) = class else { return };
        let class = if rule.resets.any() { Class::Stale } else { class };
        let went = |class: usize| lists.old_of.of(class).len() > lists.new_of.of(class).len();
        let mut gone = lists.old.iter().filter(|entry| lists.pair(&lists.new_of, entry).is_none());
        if (0..lists.classes()).any(went) {
            let first = gone.next();
            let name =
                first.map_or_else(|| "at the end".into(), |entry| self.name(place, &identity(entry.value, lists.key)));
            let lost = and_more(gone.count());
            let charge = Charge { reason: Reason::HistoryTruncated, class, old: values.0, new: values.1 };
            return self.find(place, charge, |_| format!("lost entry {name}{lost}"));
        }
        let changed = lists.new.iter().find_map(|entry| {
            let before = lists.pair(&lists.old_of, entry).map(|at| lists.old[at].value)?;
            (!lists.each && !before.same(entry.value)).then_some((before, entry))
        });
        match changed {
            Some((before, entry)) => {
                let item = place.then(Step::Index(entry.index));
                self.rewritten_as(before, entry.value, &item, class);
            }
            None => {
                let charge = Charge { reason: Reason::HistoryRewritten, class, old: values.0, new: values.1 };
                self.find(place, charge, |_| "has its old entries in other places".into());
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
        let charge = Charge { reason: Reason::HistoryTruncated, class: Class::Stale, old: entry, new: &ABSENT };
        let lost = and_more(others);
        self.find(place, charge, |_| format!("lost entry {name}{lost}"));
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
                if !old.same(new) {
                    return self.rewritten_as(old, new, &place.then(Step::Name(name)), class);
                }
            }
        }
        let charge = Charge { reason: Reason::HistoryRewritten, class, old: before, new: after };
        self.compare(place, charge, |old, new| format!("was written as {old} and became {new}"));
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

fn find<'v, 'a>(members: Members<'v, 'a>, key: &str) -> &'v Value<'a> {
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

/// One entry of a list, in the order in which it is judged.
struct Entry<'v, 'a> {
    value: &'v Value<'a>,
    /// Its place in the list as it stands.
    index: usize,
    class: usize,
    /// How many of its class come before it.
    ordinal: usize,
    ignored: bool,
}

/// Two lists with their entries classed by identity.
struct Lists<'v, 'r> {
    key: &'r [Box<str>],
    each: bool,
    old: Vec<Entry<'v, 'v>>,
    new: Vec<Entry<'v, 'v>>,
    /// Positions of each class in `old` and `new`.
    old_of: Positions,
    new_of: Positions,
}

/// The positions of each class in a list, all in one vector.
#[derive(Default)]
struct Positions {
    /// Where each class begins in `at`, and the end.
    starts: Vec<usize>,
    at: Vec<usize>,
}

impl Positions {
    /// Collects the positions by class and numbers the entries within their class.
    fn new(entries: &mut [Entry<'_, '_>], classes: usize) -> Self {
        let mut starts = vec![0; classes + 1];
        for entry in entries.iter_mut() {
            entry.ordinal = starts[entry.class + 1];
            starts[entry.class + 1] += 1;
        }
        for class in 0..classes {
            starts[class + 1] += starts[class];
        }
        let mut at = vec![0; entries.len()];
        for (position, entry) in entries.iter().enumerate() {
            at[starts[entry.class] + entry.ordinal] = position;
        }
        Self { starts, at }
    }

    fn of(&self, class: usize) -> &[usize] {
        &self.at[self.starts[class]..self.starts[class + 1]]
    }

    fn classes(&self) -> usize {
        self.starts.len() - 1
    }
}

impl<'v, 'r> Lists<'v, 'r> {
    fn new(rule: &'r CollectionRule, old: &'v [Value<'v>], new: &'v [Value<'v>]) -> Self {
        let mut classes: HashMap<Identity<'_, '_>, usize, RandomState> =
            HashMap::with_capacity_and_hasher(old.len().max(new.len()), RandomState::default());
        let mut entries = |items: &'v [Value<'v>], others: &[Entry<'v, 'v>]| {
            let mut entries: Vec<Entry<'v, 'v>> = Vec::with_capacity(items.len());
            // The others from here on were not met again yet.
            let mut ahead = 0;
            let mut add = |(index, value): (usize, &'v Value<'v>)| {
                let candidates = [ahead, ahead + 1, entries.len()];
                let met = candidates.into_iter().find(|at| others.get(*at).is_some_and(|other| other.value.is(value)));
                let class = match met {
                    // One and the same entry: no need to look at its identity again.
                    Some(at) => {
                        ahead = at + 1;
                        others[at].class
                    }
                    None => {
                        let next = classes.len();
                        *classes.entry(Identity { entry: value, key: &rule.key }).or_insert(next)
                    }
                };
                entries.push(Entry { value, index, class, ordinal: 0, ignored: false });
            };
            match rule.order {
                Order::Prepend => items.iter().enumerate().rev().for_each(&mut add),
                Order::Append | Order::Any => items.iter().enumerate().for_each(&mut add),
            }
            entries
        };
        let old = entries(old, &[]);
        let new = entries(new, &old);
        let count = classes.len();
        let mut lists = Self {
            key: &rule.key,
            each: rule.each.is_some(),
            old,
            new,
            old_of: Positions::default(),
            new_of: Positions::default(),
        };
        lists.reindex(count);
        lists
    }

    fn classes(&self) -> usize {
        self.old_of.classes()
    }

    fn reindex(&mut self, classes: usize) {
        self.old_of = Positions::new(&mut self.old, classes);
        self.new_of = Positions::new(&mut self.new, classes);
    }

    /// Where the pair of an entry is in the other list.
    fn pair(&self, of: &Positions, entry: &Entry<'_, '_>) -> Option<usize> {
        of.of(entry.class).get(entry.ordinal).copied()
    }

    /// Whether two entries are equal.
    fn equal(&self, old: &Entry<'_, '_>, new: &Entry<'_, '_>) -> bool {
        old.class == new.class
            && (self.key.is_empty() || old.ordinal == new.ordinal)
            && (self.each || old.value.same(new.value))
    }

    /// Whether an entry of one list is equal to any of `range` of the other.
    fn among(
        &self,
        of: &Positions,
        range: std::ops::Range<usize>,
        class: usize,
        equal: impl Fn(usize) -> bool,
    ) -> bool {
        of.of(class).iter().filter(|at| range.contains(at)).take(MAX_CANDIDATES).any(|at| equal(*at))
    }

    /// R8.3: `None` when `new` begins with all of `old`.
    fn broken_append(&self) -> Option<Class> {
        let common = self.common(0);
        if common == self.old.len() {
            return None;
        }
        let seen = self.new[common..].iter().any(|entry| {
            self.among(&self.old_of, common..self.old.len(), entry.class, |at| self.equal(&self.old[at], entry))
        });
        Some(if seen { Class::Invalid } else { Class::Stale })
    }

    /// Length of the common beginning of `old` from `start` on and `new`.
    fn common(&self, start: usize) -> usize {
        self.old[start..].iter().zip(&self.new).take_while(|(old, new)| self.equal(old, new)).count()
    }

    /// R8.4: `None` when `new` is a later window of the same history.
    fn broken_window(&self, keep: usize) -> Option<Class> {
        let end = self.old.len();
        if end == 0 {
            return None;
        }
        let starts = self.new.first().map(|first| self.old_of.of(first.class)).unwrap_or_default();
        let fits = |start: usize| {
            let kept = end - start;
            let follows = |entry: &Entry<'_, '_>| {
                self.among(&self.old_of, 0..start, entry.class, |at| match self.key {
                    [] => self.equal(&self.old[at], entry),
                    _ => self.old[at].ordinal == entry.ordinal,
                })
            };
            self.common(start) == kept
                && (start == 0 || self.new.len() >= keep)
                && !self.new[kept..].iter().any(follows)
        };
        if starts.iter().rev().take(MAX_CANDIDATES).any(|start| fits(*start)) || starts.first() == Some(&0) && fits(0) {
            return None;
        }
        let stale = match self.shared() {
            0 => true,
            shared => self.one_run(shared),
        };
        Some(if stale { Class::Stale } else { Class::Invalid })
    }

    /// How many entries of the two lists can be matched one to one.
    fn shared(&self) -> usize {
        let mut shared = 0;
        for class in 0..self.classes() {
            let (old_of, new_of) = (self.old_of.of(class), self.new_of.of(class));
            let mut free: Vec<usize> = old_of.iter().copied().take(MAX_CANDIDATES).collect();
            for entry in new_of.iter().take(MAX_CANDIDATES).map(|at| &self.new[*at]) {
                if let Some(index) = free.iter().position(|at| self.equal(&self.old[*at], entry)) {
                    free.remove(index);
                    shared += 1;
                }
            }
        }
        shared
    }

    /// Whether all `shared` entries can be seen as one run in both lists that ends before the
    /// newest of the old one. Where entries repeat, any way to match them will do.
    fn one_run(&self, shared: usize) -> bool {
        let end = self.old.len() - 1;
        let starts = self.new.iter().enumerate().flat_map(|(new, entry)| {
            self.old_of.of(entry.class).iter().take(MAX_CANDIDATES).map(move |old| (*old, new))
        });
        let fits = starts.filter(|(old, new)| old + shared <= end && new + shared <= self.new.len());
        fits.take(MAX_RUNS).any(|(old, new)| {
            let pairs = self.old[old..old + shared].iter().zip(&self.new[new..new + shared]);
            pairs.into_iter().all(|(old, new)| self.equal(old, new))
        })
    }
}

/// What tells entries apart: the values at `key`, or the whole content. Missing parts
/// are unset and times are cut to the second.
struct Identity<'v, 'r> {
    entry: &'v Value<'v>,
    key: &'r [Box<str>],
}

impl PartialEq for Identity<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        match self.key {
            [] => part_eq(self.entry, other.entry),
            key => key.iter().all(|name| part_eq(self.entry.get(name), other.entry.get(name))),
        }
    }
}

impl Eq for Identity<'_, '_> {}

impl Hash for Identity<'_, '_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.key {
            [] => part_hash(self.entry, state),
            key => key.iter().for_each(|name| part_hash(self.entry.get(name), state)),
        }
    }
}

/// Like [`Value::same`], with times cut to the second: an equivalence.
fn part_eq(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Object(_), Value::Object(_)) => {
            let (mut a, mut b) = (set_members(a), set_members(b));
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return true,
                    (Some((ka, va)), Some((kb, vb))) if ka == kb && part_eq(va, vb) => {}
                    _ => return false,
                }
            }
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| part_eq(a, b)),
        (Value::String(a), Value::String(b)) => {
            a == b || Instant::parse(a).zip(Instant::parse(b)).is_some_and(|(a, b)| a.seconds == b.seconds)
        }
        _ => a.same(b),
    }
}

fn set_members<'v, 'a>(value: &'v Value<'a>) -> impl Iterator<Item = (&'v str, &'v Value<'a>)> {
    members(value).iter().filter(|(_, value)| !value.is_unset()).map(|(key, value)| (key.as_ref(), value))
}

fn part_hash<H: Hasher>(value: &Value<'_>, state: &mut H) {
    match value {
        value if value.is_unset() => state.write_u8(0),
        Value::Null => state.write_u8(0),
        Value::Bool(value) => (1u8, value).hash(state),
        Value::Number(text) => {
            state.write_u8(2);
            Decimal::of_json(text).hash(state);
        }
        Value::String(text) => match Instant::parse(text) {
            Some(instant) => (3u8, instant.seconds).hash(state),
            None => (4u8, text).hash(state),
        },
        Value::List(items) => {
            (5u8, items.len()).hash(state);
            items.iter().for_each(|item| part_hash(item, state));
        }
        Value::Object(_) => {
            state.write_u8(6);
            for (key, value) in set_members(value) {
                key.hash(state);
                part_hash(value, state);
            }
        }
    }
}
