//! How many updates one PUT may carry: all that wait, and fewer after a refusal, to find out whose it is.

use crate::queue::CAPACITY;

/// At most so many batches have to succeed before a larger one is tried.
const MOST_PATIENCE: u8 = 4;

/// The size of the next batch.
///
/// Halved when a batch is refused, doubled when batches succeed. Where many updates are refused one by one, a larger
/// batch fails again and again: each time, more have to succeed before the next try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Limit {
    updates: usize,
    /// How many batches have to succeed before it is doubled.
    patience: u8,
    /// How many of them are still to come.
    left: u8,
    /// Whether it was doubled since the last refusal.
    doubled: bool,
}

impl Limit {
    pub(crate) const fn new() -> Self {
        Self { updates: CAPACITY, patience: 1, left: 1, doubled: false }
    }

    pub(crate) fn updates(self) -> usize {
        self.updates
    }

    /// A batch of so many updates was refused, and only one of them may be to blame.
    pub(crate) fn halve(&mut self, updates: usize) {
        self.updates = (updates / 2).max(1);
        if self.doubled {
            self.patience = (self.patience * 2).min(MOST_PATIENCE);
        }
        self.left = self.patience;
        self.doubled = false;
    }

    /// A batch landed.
    pub(crate) fn succeed(&mut self) {
        self.left -= 1;
        if self.left > 0 {
            return;
        }
        self.updates = self.updates.saturating_mul(2);
        self.doubled = true;
        self.left = self.patience;
        if self.updates >= CAPACITY {
            *self = Self::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves so many updates, every `nth` of which is refused; returns the number of batches sent.
    fn batches(updates: usize, nth: usize) -> usize {
        let (mut limit, mut next, mut sent) = (Limit::new(), 0, 0);
        while next < updates {
            sent += 1;
            let batch = limit.updates().min(updates - next);
            let refused = (next..next + batch).any(|update| update % nth == nth - 1);
            match (refused, batch) {
                (true, 1) => next += 1,
                (true, _) => limit.halve(batch),
                (false, _) => {
                    next += batch;
                    limit.succeed();
                }
            }
        }
        sent
    }

    #[test]
    fn one_refused_update_costs_a_halving_and_a_doubling() {
        assert_eq!(batches(1000, usize::MAX), 1);
        // Two are refused; a thousand is halved ten times.
        assert!(batches(1000, 500) <= 2 * 3 * 10, "{}", batches(1000, 500));
    }

    #[test]
    fn where_half_are_refused_little_more_than_one_batch_is_sent_for_each() {
        assert!(batches(1000, 2) <= 1200, "{}", batches(1000, 2));
    }
}
