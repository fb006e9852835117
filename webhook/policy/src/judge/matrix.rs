//! R8.3 and R8.4 on two short lists, entry by entry.
//!
//! A time without a fraction equals every time of the same second, so that equality is not transitive where times with and
//! without a fraction meet. Such entries cannot be numbered; they are compared one by one.

use crate::verdict::Class;

/// The longest list that is compared in this way.
pub(super) const MAX_ENTRIES: usize = 64;

/// Which entries of two lists are equal.
pub(super) struct Matrix {
    /// For each old entry one bit for each new entry.
    rows: Vec<u64>,
    /// The number of new entries.
    new: usize,
}

impl Matrix {
    /// Compares all entries of two lists of at most [`MAX_ENTRIES`].
    pub(super) fn new(old: usize, new: usize, equal: impl Fn(usize, usize) -> bool) -> Self {
        let row = |old| (0..new).filter(|new| equal(old, *new)).fold(0, |row, new| row | 1 << new);
        Self { rows: (0..old).map(row).collect(), new }
    }

    /// R8.3: `None` if the new list begins with all of the old one.
    pub(super) fn append_violation(&self) -> Option<Class> {
        let common = self.run(0, 0);
        if common == self.rows.len() {
            return None;
        }
        let seen = self.rows[common..].iter().any(|row| row & !first(common) != 0);
        Some(if seen { Class::Invalid } else { Class::Stale })
    }

    /// R8.4: `None` if the new list begins with an end of the old one, no entry before that end follows, and everything
    /// or `enough` is left.
    pub(super) fn window_violation(&self, enough: bool) -> Option<Class> {
        let old = self.rows.len();
        let slides = |start: usize| {
            let kept = old - start;
            (start == 0 || enough)
                && self.run(start, 0) == kept
                && self.rows[..start].iter().all(|row| row & !first(kept) == 0)
        };
        if old == 0 || (0..old).any(slides) {
            return None;
        }
        // Whether all shared entries are in the run that begins at these two, which is without the newest old entry or all
        // that there is.
        let explains = |(from, at): (usize, usize)| {
            let run = self.run(from, at);
            let length = if run == old { old } else { run.min(old - 1 - from) };
            let run = first(at + length) & !first(at);
            let is_in_run = |row: usize| (from..from + length).contains(&row);
            (0..old).all(|row| self.rows[row] & if is_in_run(row) { 0 } else { !run } == 0)
        };
        let mut starts = (0..old).flat_map(|from| (0..self.new).map(move |at| (from, at)));
        let nothing_shared = self.rows.iter().all(|row| *row == 0);
        Some(if nothing_shared || starts.any(explains) { Class::Stale } else { Class::Invalid })
    }

    /// How many entries are equal in turn, from an old and a new one on.
    fn run(&self, old: usize, new: usize) -> usize {
        (0..(self.rows.len() - old).min(self.new - new))
            .take_while(|next| self.rows[old + next] >> (new + next) & 1 == 1)
            .count()
    }
}

/// The bits of the first `count` new entries.
fn first(count: usize) -> u64 {
    u32::try_from(count).ok().and_then(|count| u64::MAX.checked_shl(count)).map_or(u64::MAX, |rest| !rest)
}
