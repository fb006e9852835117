//! Judgements of large bodies: each has a thread of its own, and all of them a total of memory.
//!
//! Threads and memory are given in the order in which they were asked for: a large judgement is not overtaken for ever by
//! smaller ones.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::judge::LEAST_MEMORY;

/// Memory that a judgement is given for each byte of its body.
const TIMES_BODY: usize = 6;
/// What memory is counted in: a semaphore gives no more than 2^32 at a time.
const UNIT: usize = 1 << 10;

/// Threads and memory for all of them.
pub(crate) struct LongJudgements {
    threads: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    /// Units of memory in all.
    total: u32,
    held: Gauge,
}

/// A thread and memory for one, given back on drop.
pub(crate) struct LongJudgement {
    /// Bytes that it may hold.
    pub(crate) memory: usize,
    held: Gauge,
    _permits: [OwnedSemaphorePermit; 2],
}

impl LongJudgements {
    /// The gauge shows how much of `memory`, in bytes, is given away.
    pub(crate) fn new(threads: usize, memory: usize, held: Gauge) -> Self {
        let total = u32::try_from(memory / UNIT).unwrap_or(u32::MAX);
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { threads: semaphore(threads), memory: semaphore(total as usize), total, held }
    }

    /// Waits for a thread, then for memory to judge so many bytes of body. A body that may need more than there is gets all
    /// of it.
    pub(crate) async fn begin(&self, body: usize) -> LongJudgement {
        let wanted = body.saturating_mul(TIMES_BODY).max(LEAST_MEMORY).div_ceil(UNIT);
        let units = u32::try_from(wanted).unwrap_or(u32::MAX).min(self.total);
        let permits = [acquire(&self.threads, 1).await, acquire(&self.memory, units).await];
        let memory = units as usize * UNIT;
        self.held.inc_by(memory as i64);
        LongJudgement { memory, held: self.held.clone(), _permits: permits }
    }
}

impl Drop for LongJudgement {
    fn drop(&mut self) {
        self.held.dec_by(self.memory as i64);
    }
}

async fn acquire(semaphore: &Arc<Semaphore>, permits: u32) -> OwnedSemaphorePermit {
    Arc::clone(semaphore).acquire_many_owned(permits).await.expect("nobody closes it")
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    const MIB: usize = 1 << 20;

    /// What is there without waiting.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn memory_is_given_by_the_size_of_the_body() {
        let held = Gauge::default();
        let judgements = LongJudgements::new(3, 100 * MIB, held.clone());
        let memory = |body| now(judgements.begin(body)).map(|judgement| judgement.memory);
        assert_eq!(memory(64 << 10), Some(4 * MIB), "the least");
        assert_eq!(memory(8 * MIB), Some(48 * MIB));
        assert_eq!(memory(usize::MAX), Some(100 * MIB), "all that there is");
        let large = now(judgements.begin(16 * MIB)).unwrap();
        assert_eq!(held.get(), 96 << 20);
        assert_eq!(memory(MIB), None, "it waits");
        let small = now(judgements.begin(1)).unwrap();
        assert_eq!(held.get(), 100 << 20);
        drop((large, small));
        assert_eq!((held.get(), memory(MIB)), (0, Some(6 * MIB)));
    }

    #[test]
    fn no_more_are_judged_than_there_are_threads() {
        let judgements = LongJudgements::new(1, 100 * MIB, Gauge::default());
        let first = now(judgements.begin(1)).unwrap();
        assert!(now(judgements.begin(1)).is_none());
        drop(first);
        assert!(now(judgements.begin(1)).is_some());
    }
}
