//! Two lists whose entries are numbered by identity.

use super::identity::{Fractions, Identity, fractions, has_fractions};
use super::matrix::{MAX_ENTRIES, Matrix};
use super::numbers::Numbers;
use super::order::{NOWHERE, append_violation, window_violation};
use crate::budget::{Budget, HeldMemory, Unfinished};
use crate::rules::CollectionRule;
use crate::spec::{Keep, Order};
use crate::value::Value;
use crate::verdict::Class;

/// Steps that one entry counts: it is hashed, compared and numbered a few times.
pub(super) const STEPS_PER_ENTRY: usize = 32;

/// The ordinal of an entry that went out of its list.
const IGNORED: u32 = u32::MAX;

/// One entry of a list, in the order in which it is judged.
pub(super) struct ListEntry<'v> {
    pub(super) value: &'v Value<'v>,
    identity_id: u32,
    /// How many entries of its identity come before it.
    ordinal: u32,
}

impl ListEntry<'_> {
    /// Marks an entry that is to go out of its list.
    pub(super) fn ignore(&mut self) {
        self.ordinal = IGNORED;
    }

    pub(super) fn is_ignored(&self) -> bool {
        self.ordinal == IGNORED
    }
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
    /// Whether the entries stand in the order opposite to that of the lists.
    reversed: bool,
    budget: &'v Budget<'v>,
    _held: HeldMemory<'v>,
}

/// The positions of each identity in a list, all in one vector.
#[derive(Default)]
pub(super) struct Positions {
    /// Where each identity begins in `at`, and the end.
    starts: Vec<u32>,
    at: Vec<u32>,
}

impl Positions {
    /// Collects the positions by identity and numbers the entries of each identity.
    fn new(entries: &mut [ListEntry<'_>], identities: usize) -> Self {
        let mut starts = vec![0; identities + 1];
        for entry in entries.iter_mut() {
            entry.ordinal = starts[entry.identity_id as usize + 1];
            starts[entry.identity_id as usize + 1] += 1;
        }
        for identity_id in 0..identities {
            starts[identity_id + 1] += starts[identity_id];
        }
        let mut at = vec![0; entries.len()];
        for (position, entry) in (0..).zip(entries.iter()) {
            at[(starts[entry.identity_id as usize] + entry.ordinal) as usize] = position;
        }
        Self { starts, at }
    }

    pub(super) fn of(&self, identity_id: usize) -> &[u32] {
        &self.at[self.starts[identity_id] as usize..self.starts[identity_id + 1] as usize]
    }
}

impl<'v, 'r> Lists<'v, 'r> {
    /// Numbers the entries of two lists.
    pub(super) fn new(
        rule: &'r CollectionRule,
        old: &'v [Value<'v>],
        new: &'v [Value<'v>],
        budget: &'v Budget<'v>,
    ) -> Result<Self, Unfinished> {
        let count = old.len() + new.len();
        // Each entry with its number and its position; two positions for each identity follow.
        let mut held = budget.hold(count * (size_of::<ListEntry<'_>>() + size_of::<u32>()))?;
        let mut numbers: Numbers<'_, &'v Value<'v>> = Numbers::new(old.len().max(new.len()), budget)?;
        let mut entries = |items: &'v [Value<'v>], others: &[ListEntry<'v>]| {
            let mut entries: Vec<ListEntry<'v>> = Vec::with_capacity(items.len());
            // The position after the last entry that both lists share.
            let mut ahead = 0;
            let mut add = |value: &'v Value<'v>| -> Result<(), Unfinished> {
                let candidates = [ahead, ahead + 1, entries.len()];
                let shared =
                    candidates.into_iter().find(|at| others.get(*at).is_some_and(|other| other.value.ptr_eq(value)));
                let identity_id = match shared {
                    Some(at) => {
                        ahead = at + 1;
                        others[at].identity_id
                    }
                    None => {
                        budget.spend(STEPS_PER_ENTRY + value.size())?;
                        let identity = |entry| Identity { entry, key: &rule.key };
                        numbers.number(value, identity(value), |first| identity(first) == identity(value))?
                    }
                };
                entries.push(ListEntry { value, identity_id, ordinal: 0 });
                Ok(())
            };
            match rule.order {
                Order::Prepend => items.iter().rev().try_for_each(&mut add)?,
                Order::Append | Order::Any => items.iter().try_for_each(&mut add)?,
            }
            Ok(entries)
        };
        let old = entries(old, &[])?;
        let new = entries(new, &old)?;
        let identities = numbers.len();
        drop(numbers);
        held.take(identities * 2 * size_of::<u32>())?;
        let (old_of, new_of) = (Positions::default(), Positions::default());
        let (frozen, reversed) = (rule.each.is_none(), rule.order == Order::Prepend);
        let mut lists = Self { key: &rule.key, frozen, old, new, old_of, new_of, reversed, budget, _held: held };
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

    /// The place in the list as it stands of the new entry at a position.
    pub(super) fn index(&self, at: usize) -> usize {
        if self.reversed { self.new.len() - 1 - at } else { at }
    }

    /// Where the pair of an entry is in the other list.
    pub(super) fn pair(&self, of: &Positions, entry: &ListEntry<'_>) -> Option<usize> {
        of.of(entry.identity_id as usize).get(entry.ordinal as usize).map(|at| *at as usize)
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
    pub(super) fn order_violation(&self, keep: Keep) -> Result<Option<Class>, Unfinished> {
        let common = self.old.iter().zip(&self.new).take_while(|(old, new)| self.equal(old, new)).count();
        if common == self.old.len() {
            return Ok(None);
        }
        let enough = |count: u32| !self.went() || self.new.len() >= count as usize;
        // A number for each entry, a place for each number and one for each new entry.
        let (old_count, new_count) = (self.old.len(), self.new.len());
        let _held = self.budget.hold((2 * old_count + 3 * new_count) * size_of::<u32>())?;
        let violation = |(old, new): (&[u32], &[u32]), before: &[u32]| match keep {
            Keep::All => append_violation(old, new, self.budget),
            Keep::Newest(count) => window_violation(old, new, before, enough(count), self.budget),
        };
        if !self.key.is_empty() {
            // Each entry is equal to its pair or to none.
            let old: Vec<u32> = (0..).take(old_count).collect();
            let place = |entry| self.pair(&self.old_of, entry).map_or(NOWHERE, |at| old[at]);
            let before: Vec<u32> = self.new.iter().map(place).collect();
            let own = (0..).skip(old_count);
            let number = |((at, pair), own): ((usize, &u32), u32)| {
                let equal = *pair != NOWHERE && self.equal(&self.old[*pair as usize], &self.new[at]);
                if equal { *pair } else { own }
            };
            let new: Vec<u32> = before.iter().enumerate().zip(own).map(number).collect();
            return violation((&old, &new), &before);
        }
        let numbered = |old: &[u32], new: &[u32]| {
            let count = old.iter().chain(new).max().map_or(0, |most| *most as usize + 1);
            let mut first = vec![NOWHERE; count];
            for (at, number) in (0..).zip(old) {
                let first = &mut first[*number as usize];
                *first = at.min(*first);
            }
            let before: Vec<u32> = new.iter().map(|number| first[*number as usize]).collect();
            drop(first);
            violation((old, new), &before)
        };
        let identities =
            |entries: &[ListEntry<'_>]| entries.iter().map(|entry| entry.identity_id).collect::<Vec<u32>>();
        // Without fractions, entries of the same identity are equal.
        if !self.frozen || !self.old.iter().chain(&self.new).any(|entry| has_fractions(entry.value)) {
            return numbered(&identities(&self.old), &identities(&self.new));
        }
        match self.contents()? {
            Some([old, new]) => numbered(&old, &new),
            None if old_count.max(new_count) <= MAX_ENTRIES => {
                let matrix = Matrix::new(old_count, new_count, |old, new| self.equal(&self.old[old], &self.new[new]));
                Ok(match keep {
                    Keep::All => matrix.append_violation(),
                    Keep::Newest(count) => matrix.window_violation(enough(count)),
                })
            }
            // The milder answer: in a window fractions do not count, and nothing proves that the writer saw an entry.
            None if keep == Keep::All => Ok(Some(Class::Stale)),
            None => Ok(numbered(&identities(&self.old), &identities(&self.new))?.map(|_| Class::Stale)),
        }
    }

    /// Numbers the contents of the old and the new entries, which are told apart by identity and fractions of a second.
    /// `None` if entries with the same identity have fractions at different times: their equality is not transitive.
    fn contents<'s>(&'s self) -> Result<Option<[Vec<u32>; 2]>, Unfinished> {
        let mut numbers: Numbers<'_, &ListEntry<'_>> = Numbers::new(self.old.len().max(self.new.len()), self.budget)?;
        let times = |fractions: &Fractions<'_>| fractions.iter().map(|(time, _)| *time).collect::<Vec<usize>>();
        let mut number = |entries: &'s [ListEntry<'v>]| -> Result<Option<Vec<u32>>, Unfinished> {
            let mut numbered = Vec::with_capacity(entries.len());
            for entry in entries {
                // Times with fractions, of this entry and of another one: less than twice as much as their texts.
                let _held = self.budget.hold(4 * entry.value.size())?;
                let own = fractions(entry.value);
                let first = self.first_of(entry.identity_id).map(|first| fractions(first.value));
                if first.is_some_and(|first| times(&first) != times(&own)) {
                    return Ok(None);
                }
                let same =
                    |other: &&ListEntry<'_>| other.identity_id == entry.identity_id && fractions(other.value) == own;
                numbered.push(numbers.number(entry, (entry.identity_id, &own), same)?);
            }
            Ok(Some(numbered))
        };
        let Some(old) = number(&self.old)? else { return Ok(None) };
        Ok(number(&self.new)?.map(|new| [old, new]))
    }

    /// The first entry of an identity, of the old ones if there is one.
    fn first_of(&self, identity_id: u32) -> Option<&ListEntry<'v>> {
        let first = |of: &Positions| of.of(identity_id as usize).first().map(|at| *at as usize);
        first(&self.old_of).map(|at| &self.old[at]).or_else(|| first(&self.new_of).map(|at| &self.new[at]))
    }
}
