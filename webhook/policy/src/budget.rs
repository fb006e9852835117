//! How much work one judgement may do.

use std::cell::Cell;

/// Steps between two calls of `stop`.
const STEPS_PER_CHECK: u64 = 1 << 14;

/// A limit on the work of one judgement.
///
/// A step is the work on about one byte of the status, or one turn of a loop. Work is counted before it is done, and the
/// number of steps grows almost linearly with the size of the two statuses.
pub struct Budget<'s> {
    limit: u64,
    stop: &'s dyn Fn() -> bool,
    spent: Cell<u64>,
    /// The number of steps at which `stop` is called next.
    next_check: Cell<u64>,
}

/// Why a judgement was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// It would have taken more steps than its budget has.
    #[error("the judgement takes more than {limit} steps")]
    TooManySteps {
        /// The limit of the budget.
        limit: u64,
    },
    /// The caller stopped it.
    #[error("the judgement was stopped after {steps} steps")]
    Stopped {
        /// The steps that were taken.
        steps: u64,
    },
}

impl Unfinished {
    /// All names that [`Unfinished::category`] gives.
    pub const CATEGORIES: [&str; 2] = ["too_many_steps", "stopped"];

    /// A name for labels of metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Unfinished::TooManySteps { .. } => "too_many_steps",
            Unfinished::Stopped { .. } => "stopped",
        }
    }
}

impl<'s> Budget<'s> {
    /// A budget of `limit` steps. `stop` is called every few thousand steps; once it returns true, the judgement ends.
    #[must_use]
    pub fn new(limit: u64, stop: &'s dyn Fn() -> bool) -> Self {
        Self { limit, stop, spent: Cell::new(0), next_check: Cell::new(STEPS_PER_CHECK) }
    }

    /// A budget that never ends.
    #[must_use]
    pub fn unlimited() -> Budget<'static> {
        Budget::new(u64::MAX, &|| false)
    }

    /// The steps that were taken so far.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent.get()
    }

    /// Counts work that is about to be done.
    pub(crate) fn spend(&self, steps: usize) -> Result<(), Unfinished> {
        let spent = self.spent.get().saturating_add(u64::try_from(steps).unwrap_or(u64::MAX));
        self.spent.set(spent);
        if spent > self.limit {
            return Err(Unfinished::TooManySteps { limit: self.limit });
        }
        if spent >= self.next_check.get() {
            self.next_check.set(spent.saturating_add(STEPS_PER_CHECK));
            if (self.stop)() {
                return Err(Unfinished::Stopped { steps: spent });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_by_its_limit_or_when_it_is_stopped() {
        let budget = Budget::new(10, &|| true);
        assert_eq!(budget.spend(10), Ok(()));
        assert_eq!(budget.spend(1), Err(Unfinished::TooManySteps { limit: 10 }));
        assert_eq!(budget.spend(0), Err(Unfinished::TooManySteps { limit: 10 }), "it stays over");

        let calls = Cell::new(0);
        let stop = || {
            calls.set(calls.get() + 1);
            calls.get() > 3
        };
        let budget = Budget::new(u64::MAX, &stop);
        let stopped = (0..1_000_000).find_map(|_| budget.spend(1).err());
        assert_eq!(stopped, Some(Unfinished::Stopped { steps: 4 * STEPS_PER_CHECK }));
        assert_eq!(Budget::unlimited().spend(usize::MAX), Ok(()));
    }
}
