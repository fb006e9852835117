//! How long to rest between two tries.
//!
//! While something does not work: full jitter, growing. When another writer was faster, somebody makes progress, and
//! who rests longer the more often it loses would starve: all rest for a few requests' time, whoever won, so that each
//! is as likely as the others to be the next. The winner needs no read, and without a rest would win every time.

use std::time::Duration;

use rand::RngExt as _;

use crate::protocol::Rest;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);
/// Requests that others may make in the rest of a writer that competes with them. Measured with ten processes: a
/// shorter rest ends in more conflicts, a longer one leaves the API server idle.
const TURN: u32 = 4;

/// The rests of one write.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
    asked: Option<Duration>,
    /// How long the last request took.
    latency: Duration,
}

impl Backoff {
    /// What the API server asked for (`Retry-After`) holds for the next rest.
    pub(crate) fn asked(&mut self, wait: Option<Duration>) {
        self.asked = wait;
    }

    pub(crate) fn took(&mut self, latency: Duration) {
        self.latency = latency;
    }

    /// The write is over; the next one begins with the shortest rest.
    pub(crate) fn answered(&mut self) {
        *self = Self { latency: self.latency, ..Self::default() };
    }

    /// The next rest.
    pub(crate) fn next(&mut self, rest: Rest) -> Duration {
        let longest = match rest {
            Rest::None => return Duration::ZERO,
            Rest::Contention => (TURN * self.latency).min(LONGEST),
            Rest::Trouble => {
                self.tries += 1;
                longest(self.tries - 1)
            }
        };
        rand::rng().random_range(Duration::ZERO..=longest).max(self.asked.take().unwrap_or_default())
    }
}

fn longest(tries: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losing_to_another_writer_makes_no_rest_longer() {
        let mut backoff = Backoff::default();
        backoff.took(Duration::from_millis(3));
        assert!((0..1000).all(|_| backoff.next(Rest::Contention) <= Duration::from_millis(12)));
        assert!(backoff.next(Rest::Trouble) <= FIRST, "nor the one after a fault");
        backoff.answered();
        assert!(
            (0..1000).any(|_| backoff.next(Rest::Contention) > Duration::from_millis(3)),
            "the winner rests as well"
        );
    }

    #[test]
    fn rests_grow_from_five_to_five_hundred_milliseconds() {
        let millis: Vec<u128> = [0, 1, 2, 6, 7, 31, 32, 1000].map(|tries| longest(tries).as_millis()).to_vec();
        assert_eq!(millis, [5, 10, 20, 320, 500, 500, 500, 500]);
    }
}
