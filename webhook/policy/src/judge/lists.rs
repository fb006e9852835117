//! Two lists whose entries are numbered by identity.

use std::collections::HashMap;

use super::identity::{Fractions, Identity, fractions};
use super::matrix::{MAX_ENTRIES, Matrix};
use super::order::{append_violation, window_violation};
use crate::budget::Unfinished;
use crate::rules::CollectionRule;
use crate::spec::{Keep, Order};
use crate::value::Value;
use crate::verdict::Class;

/// One entry of a list, in the order in which it is judged.
pub(super) struct ListEntry<'v> {
    pub(super) value: &'v Value<'v>,
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
    /// Whether the content of entries counts when they are compared.
    pub(super) frozen: bool,
    pub(super) old: Vec<ListEntry<'v>>,
    pub(super) new: Vec<ListEntry<'v>>,
    /// Positions of each identity in `old` and `new`.
    pub(super) old_of: Positions,
    pub(super) new_of: Positions,
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
    fn new(entries: &mut [ListEntry<'_>], identities: usize) -> Self {
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
}

impl<'v, 'r> Lists<'v, 'r> {
    /// Numbers the entries of two lists; `count` is told of each before.
    pub(super) fn new(
        rule: &'r CollectionRule,
        old: &'v [Value<'v>],
        new: &'v [Value<'v>],
        count: impl Fn(&Value<'_>) -> Result<(), Unfinished>,
    ) -> Result<Self, Unfinished> {
        // Hashed with a random key of this process: nobody can choose entries that collide.
        let mut identities: HashMap<Identity<'_, '_>, usize> = HashMap::with_capacity(old.len().max(new.len()));
        let mut entries = |items: &'v [Value<'v>], others: &[ListEntry<'v>]| {
            let mut entries: Vec<ListEntry<'v>> = Vec::with_capacity(items.len());
            // The position after the last entry that both lists share.
            let mut ahead = 0;
            let mut add = |(index, value): (usize, &'v Value<'v>)| -> Result<(), Unfinished> {
                let candidates = [ahead, ahead + 1, entries.len()];
                let shared =
                    candidates.into_iter().find(|at| others.get(*at).is_some_and(|other| other.value.ptr_eq(value)));
                let identity_id = match shared {
                    Some(at) => {
                        ahead = at + 1;
                        others[at].identity_id
                    }
                    None => {
                        count(value)?;
                        let next = identities.len();
                        *identities.entry(Identity { entry: value, key: &rule.key }).or_insert(next)
                    }
                };
                entries.push(ListEntry { value, index, identity_id, ordinal: 0, ignored: false });
                Ok(())
            };
            match rule.order {
                Order::Prepend => items.iter().enumerate().rev().try_for_each(&mut add)?,
                Order::Append | Order::Any => items.iter().enumerate().try_for_each(&mut add)?,
            }
            Ok(entries)
        };
        let old = entries(old, &[])?;
        let new = entries(new, &old)?;
        let identities = identities.len();
        let (old_of, new_of) = (Positions::default(), Positions::default());
        let mut lists = Self { key: &rule.key, frozen: rule.each.is_none(), old, new, old_of, new_of };
        lists.reindex(identities);
        Ok(lists)
    }

    /// How many identities there are; their ids are the numbers below.
    pub(super) fn identities(&self) -> usize {
        self.old_of.starts.len() - 1
    }

    pub(super) fn reindex(&mut self, identities: usize) {
        self.old_of = Positions::new(&mut self.old, identities);
        self.new_of = Positions::new(&mut self.new, identities);
    }

    /// Where the pair of an entry is in the other list.
    pub(super) fn pair(&self, of: &Positions, entry: &ListEntry<'_>) -> Option<usize> {
        of.of(entry.identity_id).get(entry.ordinal).copied()
    }

    /// Whether the old list has more entries of some identity than the new one.
    pub(super) fn went(&self) -> bool {
        (0..self.identities()).any(|id| self.old_of.of(id).len() > self.new_of.of(id).len())
    }

    /// Whether two entries are equal.
    fn equal(&self, old: &ListEntry<'_>, new: &ListEntry<'_>) -> bool {
        old.identity_id == new.identity_id
            && (self.key.is_empty() || old.ordinal == new.ordinal)
            && (!self.frozen || old.value.semantically_equal(new.value))
    }

    /// R8.3 and R8.4: `None` when the new list follows from the old one.
    pub(super) fn order_violation(&self, keep: Keep) -> Option<Class> {
        let common = self.old.iter().zip(&self.new).take_while(|(old, new)| self.equal(old, new)).count();
        if common == self.old.len() {
            return None;
        }
        let enough = |count: u32| !self.went() || self.new.len() >= count as usize;
        let violation = |(old, new): (&[usize], &[usize]), before: &[Option<usize>]| match keep {
            Keep::All => append_violation(old, new),
            Keep::Newest(count) => window_violation(old, new, before, enough(count)),
        };
        if !self.key.is_empty() {
            // Each entry is equal to its pair or to none.
            let old: Vec<usize> = (0..self.old.len()).collect();
            let before: Vec<Option<usize>> = self.new.iter().map(|entry| self.pair(&self.old_of, entry)).collect();
            let number = |(at, pair): (usize, &Option<usize>)| {
                pair.filter(|pair| self.equal(&self.old[*pair], &self.new[at])).unwrap_or(old.len() + at)
            };
            let new: Vec<usize> = before.iter().enumerate().map(number).collect();
            return violation((&old, &new), &before);
        }
        let numbered = |old: Vec<usize>, new: Vec<usize>| {
            let first: HashMap<usize, usize> = old.iter().enumerate().rev().map(|(at, number)| (*number, at)).collect();
            let before: Vec<Option<usize>> = new.iter().map(|number| first.get(number).copied()).collect();
            violation((&old, &new), &before)
        };
        let identities = |entries: &[ListEntry<'_>]| entries.iter().map(|entry| entry.identity_id).collect();
        if !self.frozen {
            return numbered(identities(&self.old), identities(&self.new));
        }
        match self.contents() {
            Some((old, new)) => numbered(old, new),
            None if self.old.len().max(self.new.len()) <= MAX_ENTRIES => {
                let matrix =
                    Matrix::new(self.old.len(), self.new.len(), |old, new| self.equal(&self.old[old], &self.new[new]));
                match keep {
                    Keep::All => matrix.append_violation(),
                    Keep::Newest(count) => matrix.window_violation(enough(count)),
                }
            }
            // The milder answer: in a window fractions do not count, and nothing proves that the writer saw an entry.
            None if keep == Keep::All => Some(Class::Stale),
            None => numbered(identities(&self.old), identities(&self.new)).map(|_| Class::Stale),
        }
    }

    /// Numbers the contents of the old and the new entries, which are told apart by identity and fractions of a second.
    /// `None` if entries with the same identity have fractions at different times: their equality is not transitive.
    fn contents(&self) -> Option<(Vec<usize>, Vec<usize>)> {
        let mut numbers: HashMap<(usize, Fractions<'_>), usize> = HashMap::new();
        let mut times: HashMap<usize, Vec<usize>> = HashMap::new();
        let mut number = |entry: &ListEntry<'v>| {
            let fractions = fractions(entry.value);
            let own: Vec<usize> = fractions.iter().map(|(time, _)| *time).collect();
            let next = numbers.len();
            let number = *numbers.entry((entry.identity_id, fractions)).or_insert(next);
            (*times.entry(entry.identity_id).or_insert_with(|| own.clone()) == own).then_some(number)
        };
        let old = self.old.iter().map(&mut number).collect::<Option<_>>()?;
        Some((old, self.new.iter().map(&mut number).collect::<Option<_>>()?))
    }
}
