//! R8.3 and R8.4 on lists of numbers: equal entries have equal numbers.

use std::collections::{HashMap, HashSet};

use crate::budget::{Budget, Unfinished};
use crate::verdict::Class;

/// Stands for a place that there is none of.
pub(super) const NOWHERE: u32 = u32::MAX;

/// Bytes that a set or map of the standard library takes for each of so many entries at most: of its room, a power of two,
/// an eighth stays free.
const fn hashed(entry: usize) -> usize {
    (entry + 1) * 16 / 7
}

/// R8.3: `None` if `new` begins with all of `old`.
pub(super) fn append_violation(old: &[u32], new: &[u32], budget: &Budget<'_>) -> Result<Option<Class>, Unfinished> {
    let common = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    if common == old.len() {
        return Ok(None);
    }
    let _held = budget.hold((old.len() - common) * hashed(size_of::<u32>()))?;
    let rest: HashSet<u32> = old[common..].iter().copied().collect();
    let seen = new[common..].iter().any(|entry| rest.contains(entry));
    Ok(Some(if seen { Class::Invalid } else { Class::Stale }))
}

/// R8.4: `None` if `new` begins with an end of `old`, no entry before that end follows, and everything or `enough` is
/// left. `before` holds for each entry of `new` where in `old` it, or its identity, first is, or [`NOWHERE`].
pub(super) fn window_violation(
    old: &[u32],
    new: &[u32],
    before: &[u32],
    enough: bool,
    budget: &Budget<'_>,
) -> Result<Option<Class>, Unfinished> {
    if old.is_empty() || slides(old, new, before, enough, budget)? {
        return Ok(None);
    }
    let shared = shared(old, new, budget)?;
    // What an older window shares is one run: without the newest old entry, or all that there is.
    let explained = shared == 0
        || have_common_run(&old[..old.len() - 1], new, shared, budget)?
        || (shared == old.len() && have_common_run(old, new, shared, budget)?);
    Ok(Some(if explained { Class::Stale } else { Class::Invalid }))
}

fn slides(old: &[u32], new: &[u32], before: &[u32], enough: bool, budget: &Budget<'_>) -> Result<bool, Unfinished> {
    let _held = budget.hold(2 * new.len() * size_of::<u32>())?;
    // The first place in `old` of all that follows from each place of `new` on.
    let mut first_of_rest = vec![NOWHERE; new.len() + 1];
    for (at, place) in before.iter().enumerate().rev() {
        first_of_rest[at] = (*place).min(first_of_rest[at + 1]);
    }
    let slides = |kept: usize| {
        let start = old.len() - kept;
        (start == 0 || enough) && first_of_rest[kept] as usize >= start
    };
    let (shorter, longest) = overlaps(old, new);
    Ok(ends(&shorter, longest).any(slides))
}

/// The longest end of `old` that `new` begins with, and for each beginning of `new` the longest shorter beginning that it
/// ends with (Knuth, Morris and Pratt).
fn overlaps(old: &[u32], new: &[u32]) -> (Vec<u32>, u32) {
    let mut shorter = vec![0; new.len()];
    let extend = |shorter: &[u32], mut length: u32, entry: u32| {
        while length > 0 && new.get(length as usize) != Some(&entry) {
            length = shorter[length as usize - 1];
        }
        length + u32::from(new.get(length as usize) == Some(&entry))
    };
    for at in 1..new.len() {
        shorter[at] = extend(&shorter, shorter[at - 1], new[at]);
    }
    let longest = old.iter().fold(0, |length, entry| extend(&shorter, length, *entry));
    (shorter, longest)
}

/// The lengths of all ends of `old` that `new` begins with, from what [`overlaps`] found.
fn ends(shorter: &[u32], longest: u32) -> impl Iterator<Item = usize> {
    let some = |length: u32| Some(length as usize).filter(|length| *length > 0);
    std::iter::successors(some(longest), move |length| some(shorter[*length - 1]))
}

/// How many entries of the two lists can be matched one to one.
fn shared(old: &[u32], new: &[u32], budget: &Budget<'_>) -> Result<usize, Unfinished> {
    let numbers = old.iter().chain(new).max().map_or(0, |most| *most as usize + 1);
    let _held = budget.hold(numbers * size_of::<u32>())?;
    let mut free = vec![0_u32; numbers];
    old.iter().for_each(|entry| free[*entry as usize] += 1);
    let take = |entry: &&u32| {
        let left = &mut free[**entry as usize];
        let any = *left > 0;
        *left -= u32::from(any);
        any
    };
    Ok(new.iter().filter(take).count())
}

/// Whether some run of `length` entries is in both lists.
fn have_common_run(old: &[u32], new: &[u32], length: usize, budget: &Budget<'_>) -> Result<bool, Unfinished> {
    if length > old.len() || length > new.len() {
        return Ok(false);
    }
    let count = old.len() + new.len();
    let _held = budget.hold(count * (size_of::<u32>() + hashed(size_of::<[u32; 3]>())))?;
    // Runs are numbered, equal ones alike: those of twice the width by the pair of numbers of their halves.
    let (mut old, mut new, mut width) = (old.to_vec(), new.to_vec(), 1);
    let mut numbers: HashMap<(u32, u32), u32> = HashMap::with_capacity(count);
    while width < length {
        let step = width.min(length - width);
        numbers.clear();
        let mut next = 0;
        // A run takes the place of its first half, which nothing behind it needs.
        let mut combine = |runs: &mut Vec<u32>| {
            for at in 0..runs.len() - step {
                runs[at] = *numbers.entry((runs[at], runs[at + step])).or_insert_with(|| {
                    next += 1;
                    next - 1
                });
            }
            runs.truncate(runs.len() - step);
        };
        combine(&mut old);
        combine(&mut new);
        width += step;
    }
    drop(numbers);
    let runs: HashSet<u32> = old.into_iter().collect();
    Ok(new.iter().any(|run| runs.contains(run)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lists of up to five entries out of three.
    fn lists() -> Vec<Vec<u32>> {
        let mut lists = vec![vec![]];
        let mut from = 0;
        for _ in 0..5 {
            let end = lists.len();
            for at in from..end {
                for entry in 0..3 {
                    let mut longer = lists[at].clone();
                    longer.push(entry);
                    lists.push(longer);
                }
            }
            from = end;
        }
        lists
    }

    #[test]
    fn overlaps_and_runs_are_those_found_by_trying() {
        let (lists, budget) = (lists(), Budget::unlimited());
        assert_eq!(lists.len(), 364);
        for old in &lists {
            for new in &lists {
                let tried: Vec<usize> =
                    (1..=old.len()).rev().filter(|length| new.starts_with(&old[old.len() - length..])).collect();
                let (shorter, longest) = overlaps(old, new);
                assert_eq!(ends(&shorter, longest).collect::<Vec<_>>(), tried, "{old:?} {new:?}");
                for length in 1..6 {
                    let tried = old.windows(length).any(|run| new.windows(length).any(|other| run == other));
                    assert_eq!(have_common_run(old, new, length, &budget), Ok(tried), "{old:?} {new:?} {length}");
                }
                let count = |list: &[u32], entry| list.iter().filter(|other| **other == entry).count();
                let tried: usize = (0..3).map(|entry| count(old, entry).min(count(new, entry))).sum();
                assert_eq!(shared(old, new, &budget), Ok(tried), "{old:?} {new:?}");
            }
        }
    }
}
