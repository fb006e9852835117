//! How much work one judgement may do, and how much memory it may hold.

use std::cell::Cell;

/// Steps between two calls of `stop`.
const STEPS_PER_CHECK: u64 = 1 << 14;

/// A limit on the work and the memory of one judgement.
///
/// A step is the work on about one byte of the status, or one turn of a loop. Work is counted before it is done, and the
/// number of steps grows almost linearly with the size of the two statuses. Memory is counted before it is allocated: what
/// grows with the statuses, as the allocator is asked for it.
pub struct Budget<'s> {
    limit: u64,
    memory: u64,
    stop: &'s dyn Fn() -> bool,
    spent: Cell<u64>,
    held: Cell<u64>,
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
    /// It would have held more memory than its budget has.
    #[error("the judgement takes more than {limit} bytes of memory")]
    TooMuchMemory {
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
    pub const CATEGORIES: [&str; 3] = ["too_many_steps", "too_much_memory", "stopped"];

    /// A name for labels of metrics.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Unfinished::TooManySteps { .. } => "too_many_steps",
            Unfinished::TooMuchMemory { .. } => "too_much_memory",
            Unfinished::Stopped { .. } => "stopped",
        }
    }
}

impl<'s> Budget<'s> {
    /// A budget of `limit` steps and any memory. `stop` is called every few thousand steps; once it returns true, the judgement ends.
    #[must_use]
    pub fn new(limit: u64, stop: &'s dyn Fn() -> bool) -> Self {
        let (spent, held, next_check) = (Cell::new(0), Cell::new(0), Cell::new(STEPS_PER_CHECK));
        Self { limit, memory: u64::MAX, stop, spent, held, next_check }
    }

    /// The same budget with a limit on the bytes that are held at a time.
    #[must_use]
    pub fn within(self, memory: u64) -> Self {
        Self { memory, ..self }
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

    /// Counts memory that is about to be allocated.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Unfinished> {
        let held = self.held.get().saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if held > self.memory {
            return Err(Unfinished::TooMuchMemory { limit: self.memory });
        }
        self.held.set(held);
        Ok(())
    }

    /// Counts memory that was freed.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.held.set(self.held.get().saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX)));
    }

    /// Takes memory until what is returned is dropped.
    pub(crate) fn hold(&self, bytes: usize) -> Result<HeldMemory<'_>, Unfinished> {
        let mut held = HeldMemory { budget: self, bytes: 0 };
        held.take(bytes)?;
        Ok(held)
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

/// Memory of a budget, given back on drop.
pub(crate) struct HeldMemory<'b> {
    budget: &'b Budget<'b>,
    bytes: usize,
}

impl HeldMemory<'_> {
    /// Takes more.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Unfinished> {
        self.budget.take(bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for HeldMemory<'_> {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
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

    #[test]
    fn memory_counts_as_long_as_it_is_held() {
        let budget = Budget::unlimited().within(10);
        let too_much = Unfinished::TooMuchMemory { limit: 10 };
        budget.take(4).unwrap();
        let mut held = budget.hold(5).unwrap();
        assert_eq!(held.take(2), Err(too_much));
        assert_eq!(held.take(1), Ok(()));
        assert_eq!(budget.take(1), Err(too_much));
        drop(held);
        assert_eq!(budget.take(6), Ok(()));
        budget.give_back(10);
        assert_eq!(budget.take(usize::MAX), Err(too_much));
        assert_eq!(Budget::unlimited().take(usize::MAX), Ok(()));
    }
}
