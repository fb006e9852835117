//! Numbers things: equal ones alike, from zero on.

use std::hash::{BuildHasher, Hash, RandomState};

use crate::budget::{Budget, HeldMemory, Unfinished};

/// Slots that are made at once; the rest follows as they fill.
const MOST_AT_ONCE: usize = 1 << 10;

/// The first thing of each number, in an open table. A reference takes 21 to 32 bytes, where a `HashMap` of the standard
/// library takes 27 to 55 with its number.
pub(super) struct Numbers<'b, T> {
    /// At most three quarters are taken.
    slots: Vec<Slot<T>>,
    count: u32,
    /// With a random key: nobody can choose things that collide.
    hasher: RandomState,
    budget: &'b Budget<'b>,
    held: HeldMemory<'b>,
}

#[derive(Clone, Copy)]
struct Slot<T> {
    hash: u32,
    number: u32,
    /// None in a slot that is free.
    first: Option<T>,
}

impl<'b, T: Copy> Numbers<'b, T> {
    /// Room for about so many numbers, which are to be told from each other.
    pub(super) fn new(expected: usize, budget: &'b Budget<'b>) -> Result<Self, Unfinished> {
        let held = budget.hold(0)?;
        let mut numbers = Self { slots: Vec::new(), count: 0, hasher: RandomState::new(), budget, held };
        numbers.resize((expected + expected / 3 + 2).min(MOST_AT_ONCE))?;
        Ok(numbers)
    }

    /// How many numbers there are.
    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// The number of a thing: that of the first one which is the `same`, else the next one. Things that are the same
    /// have the same `key`.
    pub(super) fn number(&mut self, thing: T, key: impl Hash, same: impl Fn(&T) -> bool) -> Result<u32, Unfinished> {
        // At least one slot stays free, so that a search ends.
        if self.len() == self.slots.len() - self.slots.len().div_ceil(4) {
            self.resize(self.slots.len() + self.slots.len().div_ceil(2))?;
        }
        // The lower half tells enough things apart; where it does not, they are compared.
        let hash = self.hasher.hash_one(key) as u32;
        let mut at = place(hash, self.slots.len());
        while let Slot { hash: other, number, first: Some(first) } = &self.slots[at] {
            if *other == hash && same(first) {
                return Ok(*number);
            }
            at = after(at, self.slots.len());
        }
        let number = self.count;
        self.slots[at] = Slot { hash, number, first: Some(thing) };
        self.count = number.checked_add(1).expect("four billion values do not fit into a body");
        Ok(number)
    }

    fn resize(&mut self, slots: usize) -> Result<(), Unfinished> {
        let held = self.budget.hold(slots * size_of::<Slot<T>>())?;
        let mut wider = vec![Slot { hash: 0, number: 0, first: None }; slots];
        for slot in self.slots.iter().filter(|slot| slot.first.is_some()) {
            let mut at = place(slot.hash, slots);
            while wider[at].first.is_some() {
                at = after(at, slots);
            }
            wider[at] = *slot;
        }
        self.slots = wider;
        self.held = held;
        Ok(())
    }
}

/// Where a search begins: the hash as a fraction of all slots.
fn place(hash: u32, slots: usize) -> usize {
    ((u64::from(hash) * slots as u64) >> u32::BITS) as usize
}

fn after(at: usize, slots: usize) -> usize {
    if at + 1 == slots { 0 } else { at + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_things_have_equal_numbers() {
        let budget = Budget::unlimited();
        for expected in [0, 1, 3, 10_000] {
            let mut numbers = Numbers::new(expected, &budget).unwrap();
            for turn in 0..2 {
                for thing in 0..10_000_u32 {
                    // Only ten keys for all of some: what collides is compared.
                    let key = if thing < 100 { thing % 10 } else { thing };
                    let number = numbers.number(thing, key, |other| *other == thing).unwrap();
                    assert_eq!(number, thing, "{expected} {turn}");
                }
            }
            assert_eq!(numbers.len(), 10_000);
        }
    }

    #[test]
    fn a_table_ends_with_its_memory_and_gives_it_back() {
        let budget = Budget::unlimited().within(100_000);
        let mut numbers = Numbers::new(0, &budget).unwrap();
        let ended = (0..100_000_u32).find_map(|thing| numbers.number(thing, thing, |other| *other == thing).err());
        assert_eq!(ended, Some(Unfinished::TooMuchMemory { limit: 100_000 }));
        assert!(numbers.len() > 1000);
        drop(numbers);
        assert_eq!(budget.take(100_000), Ok(()));
    }
}
