//! R8.3 and R8.4 on lists of numbers: equal entries have equal numbers.

use std::collections::{HashMap, HashSet};

use crate::verdict::Class;

/// R8.3: `None` if `new` begins with all of `old`.
pub(super) fn append_violation(old: &[usize], new: &[usize]) -> Option<Class> {
    let common = old.iter().zip(new).take_while(|(old, new)| old == new).count();
    if common == old.len() {
        return None;
    }
    let rest: HashSet<usize> = old[common..].iter().copied().collect();
    let seen = new[common..].iter().any(|entry| rest.contains(entry));
    Some(if seen { Class::Invalid } else { Class::Stale })
}

/// R8.4: `None` if `new` begins with an end of `old`, no entry before that end follows, and everything or `enough` is
/// left. `before` holds for each entry of `new` where in `old` it, or its identity, first is.
pub(super) fn window_violation(old: &[usize], new: &[usize], before: &[Option<usize>], enough: bool) -> Option<Class> {
    // The first place in `old` of all that follows from each place of `new` on.
    let mut first_of_rest = vec![usize::MAX; new.len() + 1];
    for (at, place) in before.iter().enumerate().rev() {
        first_of_rest[at] = place.unwrap_or(usize::MAX).min(first_of_rest[at + 1]);
    }
    let slides = |kept: &usize| {
        let start = old.len() - kept;
        (start == 0 || enough) && first_of_rest[*kept] >= start
    };
    if old.is_empty() || overlaps(old, new).iter().any(slides) {
        return None;
    }
    let shared = shared(old, new);
    let explained = shared == 0 || have_common_run(&old[..old.len() - 1], new, shared);
    Some(if explained { Class::Stale } else { Class::Invalid })
}

/// The lengths of all ends of `old` that `new` begins with (Knuth, Morris and Pratt).
fn overlaps(old: &[usize], new: &[usize]) -> Vec<usize> {
    // For each beginning of `new` the longest shorter beginning that it ends with.
    let mut shorter = vec![0; new.len()];
    let extend = |shorter: &[usize], mut length: usize, entry: usize| {
        while length > 0 && new.get(length) != Some(&entry) {
            length = shorter[length - 1];
        }
        length + usize::from(new.get(length) == Some(&entry))
    };
    for at in 1..new.len() {
        shorter[at] = extend(&shorter, shorter[at - 1], new[at]);
    }
    let longest = old.iter().fold(0, |length, entry| extend(&shorter, length, *entry));
    let next = |length: &usize| Some(shorter[*length - 1]).filter(|length| *length > 0);
    std::iter::successors(Some(longest).filter(|length| *length > 0), next).collect()
}

/// How many entries of the two lists can be matched one to one.
fn shared(old: &[usize], new: &[usize]) -> usize {
    let mut free: HashMap<usize, usize> = HashMap::with_capacity(old.len());
    old.iter().for_each(|entry| *free.entry(*entry).or_default() += 1);
    let take = |entry: &&usize| {
        let left = free.get_mut(entry).filter(|left| **left > 0);
        left.map(|left| *left -= 1).is_some()
    };
    new.iter().filter(take).count()
}

/// Whether some run of `length` entries is in both lists.
fn have_common_run(old: &[usize], new: &[usize], length: usize) -> bool {
    if length > old.len() || length > new.len() {
        return false;
    }
    // Runs are numbered, equal ones alike: those of twice the width by the pair of numbers of their halves.
    let (mut old, mut new, mut width) = (old.to_vec(), new.to_vec(), 1);
    while width < length {
        let step = width.min(length - width);
        let mut numbers = HashMap::new();
        let mut combine = |runs: &[usize]| -> Vec<usize> {
            let pairs = runs.iter().zip(&runs[step..]);
            pairs
                .map(|(first, second)| {
                    let next = numbers.len();
                    *numbers.entry((*first, *second)).or_insert(next)
                })
                .collect()
        };
        (old, new) = (combine(&old), combine(&new));
        width += step;
    }
    let runs: HashSet<usize> = old.into_iter().collect();
    new.iter().any(|run| runs.contains(run))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lists of up to five entries out of three.
    fn lists() -> Vec<Vec<usize>> {
        let mut lists = vec![vec![]];
        let mut from = 0;
        for _ in 0..5 {
            let end = lists.len();
            for at in from..end {
                for entry in 0..3 {
                    let mut longer: Vec<usize> = lists[at].clone();
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
        let lists = lists();
        assert_eq!(lists.len(), 364);
        for old in &lists {
            for new in &lists {
                let tried: Vec<usize> =
                    (1..=old.len()).rev().filter(|length| new.starts_with(&old[old.len() - length..])).collect();
                assert_eq!(overlaps(old, new), tried, "{old:?} {new:?}");
                for length in 1..6 {
                    let tried = old.windows(length).any(|run| new.windows(length).any(|other| run == other));
                    assert_eq!(have_common_run(old, new, length), tried, "{old:?} {new:?} {length}");
                }
                let count = |list: &[usize], entry| list.iter().filter(|other| **other == entry).count();
                let tried: usize = (0..3).map(|entry| count(old, entry).min(count(new, entry))).sum();
                assert_eq!(shared(old, new), tried, "{old:?} {new:?}");
            }
        }
    }
}
