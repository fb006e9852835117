//! Two lists with their entries numbered by identity.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};

use foldhash::fast::RandomState;

use crate::number::Decimal;
use crate::rules::CollectionRule;
use crate::spec::Order;
use crate::time::Instant;
use crate::value::Value;
use crate::verdict::Class;

/// Pairs of entries that are looked at for one verdict, besides some for each entry: more than lists of some hundred
/// equal entries need, and what keeps hostile ones from costing quadratic time. When they are used up, what could not be
/// found out is taken for the milder answer: a write is not refused, and a refused one is Stale.
pub(super) const MAX_STEPS: usize = 1 << 18;

/// One entry of a list, in the order in which it is judged.
pub(super) struct ListEntry<'v, 'a> {
    pub(super) value: &'v Value<'a>,
    /// Its place in the list as it stands.
    pub(super) index: usize,
    identity_id: usize,
    /// How many entries of its identity come before it.
    ordinal: usize,
    pub(super) ignored: bool,
}

/// Two lists with their entries numbered by identity.
pub(super) struct Lists<'v, 'r> {
    pub(super) key: &'r [Box<str>],
    pub(super) each: bool,
    pub(super) old: Vec<ListEntry<'v, 'v>>,
    pub(super) new: Vec<ListEntry<'v, 'v>>,
    /// Positions of each identity in `old` and `new`.
    pub(super) old_of: Positions,
    pub(super) new_of: Positions,
    /// How many of [`MAX_STEPS`] are left.
    steps: Cell<usize>,
}

/// The positions of each identity in a list, all in one vector.
#[derive(Default)]
pub(super) struct Positions {
    /// Where each identity begins in `at`, and the end.
    starts: Vec<usize>,
    at: Vec<usize>,
}

impl Positions {
    /// Collects the positions by identity and numbers the entries of each identity.
    fn new(entries: &mut [ListEntry<'_, '_>], identities: usize) -> Self {
        let mut starts = vec![0; identities + 1];
        for entry in entries.iter_mut() {
            entry.ordinal = starts[entry.identity_id + 1];
            starts[entry.identity_id + 1] += 1;
        }
        for identity_id in 0..identities {
            starts[identity_id + 1] += starts[identity_id];
        }
        let mut at = vec![0; entries.len()];
        for (position, entry) in entries.iter().enumerate() {
            at[starts[entry.identity_id] + entry.ordinal] = position;
        }
        Self { starts, at }
    }

    pub(super) fn of(&self, identity_id: usize) -> &[usize] {
        &self.at[self.starts[identity_id]..self.starts[identity_id + 1]]
    }

    pub(super) fn identities(&self) -> usize {
        self.starts.len() - 1
    }
}

impl<'v, 'r> Lists<'v, 'r> {
    pub(super) fn new(rule: &'r CollectionRule, old: &'v [Value<'v>], new: &'v [Value<'v>], steps: usize) -> Self {
        let mut identities: HashMap<Identity<'_, '_>, usize, RandomState> =
            HashMap::with_capacity_and_hasher(old.len().max(new.len()), RandomState::default());
        let mut entries = |items: &'v [Value<'v>], others: &[ListEntry<'v, 'v>]| {
            let mut entries: Vec<ListEntry<'v, 'v>> = Vec::with_capacity(items.len());
            // The others from here on were not met again yet.
            let mut ahead = 0;
            let mut add = |(index, value): (usize, &'v Value<'v>)| {
                let candidates = [ahead, ahead + 1, entries.len()];
                let met =
                    candidates.into_iter().find(|at| others.get(*at).is_some_and(|other| other.value.ptr_eq(value)));
                let identity_id = match met {
                    // One and the same entry: no need to look at its identity again.
                    Some(at) => {
                        ahead = at + 1;
                        others[at].identity_id
                    }
                    None => {
                        let next = identities.len();
                        *identities.entry(Identity { entry: value, key: &rule.key }).or_insert(next)
                    }
                };
                entries.push(ListEntry { value, index, identity_id, ordinal: 0, ignored: false });
            };
            match rule.order {
                Order::Prepend => items.iter().enumerate().rev().for_each(&mut add),
                Order::Append | Order::Any => items.iter().enumerate().for_each(&mut add),
            }
            entries
        };
        let old = entries(old, &[]);
        let new = entries(new, &old);
        let count = identities.len();
        let steps = steps + 8 * (old.len() + new.len());
        let mut lists = Self {
            key: &rule.key,
            each: rule.each.is_some(),
            old,
            new,
            old_of: Positions::default(),
            new_of: Positions::default(),
            steps: Cell::new(steps),
        };
        lists.reindex(count);
        lists
    }

    pub(super) fn identities(&self) -> usize {
        self.old_of.identities()
    }

    pub(super) fn reindex(&mut self, identities: usize) {
        self.old_of = Positions::new(&mut self.old, identities);
        self.new_of = Positions::new(&mut self.new, identities);
    }

    /// Where the pair of an entry is in the other list.
    pub(super) fn pair(&self, of: &Positions, entry: &ListEntry<'_, '_>) -> Option<usize> {
        of.of(entry.identity_id).get(entry.ordinal).copied()
    }

    /// Takes a step; `false` when there are none left.
    fn step(&self) -> bool {
        let left = self.steps.get();
        self.steps.set(left.saturating_sub(1));
        left > 0
    }

    /// How many steps are left.
    pub(super) fn steps(&self) -> usize {
        self.steps.get()
    }

    /// As [`Lists::entries_equal`], in a step.
    fn equal(&self, old: &ListEntry<'_, '_>, new: &ListEntry<'_, '_>) -> bool {
        self.step() && self.entries_equal(old, new)
    }

    /// Whether two entries are equal.
    fn entries_equal(&self, old: &ListEntry<'_, '_>, new: &ListEntry<'_, '_>) -> bool {
        old.identity_id == new.identity_id
            && (self.key.is_empty() || old.ordinal == new.ordinal)
            && (self.each || old.value.semantically_equal(new.value))
    }

    /// Whether an entry of one list is equal to any of `range` of the other.
    fn among(
        &self,
        of: &Positions,
        range: std::ops::Range<usize>,
        identity_id: usize,
        equal: impl Fn(usize) -> bool,
    ) -> bool {
        let at = of.of(identity_id);
        let first = at.partition_point(|at| *at < range.start);
        at[first..].iter().take_while(|at| **at < range.end && self.step()).any(|at| equal(*at))
    }

    /// R8.3: `None` when `new` begins with all of `old`.
    pub(super) fn append_violation(&self) -> Option<Class> {
        let common = self.old.iter().zip(&self.new).take_while(|(old, new)| self.entries_equal(old, new)).count();
        if common == self.old.len() {
            return None;
        }
        let seen = self.new[common..].iter().any(|entry| {
            self.among(&self.old_of, common..self.old.len(), entry.identity_id, |at| self.equal(&self.old[at], entry))
        });
        Some(if seen { Class::Invalid } else { Class::Stale })
    }

    /// Length of the common beginning of `old` from `start` on and `new`.
    fn common(&self, start: usize) -> usize {
        self.old[start..].iter().zip(&self.new).take_while(|(old, new)| self.equal(old, new)).count()
    }

    /// R8.4: `None` when `new` is a later window of the same history.
    pub(super) fn window_violation(&self, keep: usize) -> Option<Class> {
        let newest = self.old.last()?;
        let end = self.old.len();
        let starts = self.new.first().map(|first| self.old_of.of(first.identity_id)).unwrap_or_default();
        let fits = |start: usize| {
            let kept = end - start;
            let follows = |entry: &ListEntry<'_, '_>| {
                self.among(&self.old_of, 0..start, entry.identity_id, |at| match self.key {
                    [] => self.equal(&self.old[at], entry),
                    _ => self.old[at].ordinal == entry.ordinal,
                })
            };
            (start == 0 || self.new.len() >= keep)
                && self.new.get(kept - 1).is_some_and(|last| self.equal(newest, last))
                && self.common(start) == kept
                && !self.new[kept..].iter().any(follows)
        };
        // The window that keeps most is the one that is meant, as a rule.
        let kept =
            self.among(&self.new_of, 0..self.new.len(), newest.identity_id, |at| self.equal(newest, &self.new[at]));
        if (kept && starts.iter().any(|start| fits(*start))) || self.steps() == 0 {
            return None;
        }
        let stale = match self.shared() {
            0 => true,
            shared => self.one_run(shared) || self.steps() == 0,
        };
        Some(if stale { Class::Stale } else { Class::Invalid })
    }

    /// How many entries of the two lists can be matched one to one.
    fn shared(&self) -> usize {
        let mut shared = 0;
        for identity_id in 0..self.identities() {
            let mut free: VecDeque<usize> = self.old_of.of(identity_id).iter().copied().collect();
            for entry in self.new_of.of(identity_id).iter().map(|at| &self.new[*at]) {
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
            self.old_of.of(entry.identity_id).iter().take_while(|_| self.step()).map(move |old| (*old, new))
        });
        // If a run fits, so does its beginning.
        let begins =
            |old: usize, new: usize| old == 0 || new == 0 || !self.equal(&self.old[old - 1], &self.new[new - 1]);
        let mut fits = starts.filter(|(old, new)| old + shared <= end && new + shared <= self.new.len());
        fits.any(|(old, new)| {
            if !begins(old, new) {
                return false;
            }
            let mut pairs = self.old[old..old + shared].iter().zip(&self.new[new..new + shared]);
            pairs.all(|(old, new)| self.equal(old, new))
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

/// Like [`Value::semantically_equal`], with times cut to the second: an equivalence.
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
        _ => a.semantically_equal(b),
    }
}

fn set_members<'v, 'a>(value: &'v Value<'a>) -> impl Iterator<Item = (&'v str, &'v Value<'a>)> {
    let members: &[(Cow<'_, str>, Value<'_>)] = match value {
        Value::Object(members) => members,
        _ => &[],
    };
    members.iter().filter(|(_, value)| !value.is_unset()).map(|(key, value)| (key.as_ref(), value))
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
