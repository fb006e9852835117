//! How long to rest between two tries: full jitter, growing.

use std::time::Duration;

use rand::RngExt as _;
use tokio::time::Instant;

use crate::protocol::Event;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);

/// The rests of one write.
#[derive(Debug)]
pub(crate) struct Backoff {
    tries: u32,
    asked: Option<Duration>,
}

impl Backoff {
    pub(crate) fn new() -> Self {
        Self { tries: 0, asked: None }
    }

    /// What the API server asked for (`Retry-After`) holds for the next rest.
    pub(crate) fn asked(&mut self, wait: Option<Duration>) {
        self.asked = wait;
    }

    /// Rests after an event that calls for another try, but not past `until`.
    pub(crate) async fn rest(&mut self, after: Event, until: Option<Instant>) {
        use Event::{Conflict, Fatal, Fault, NextIsOther, NotApplied, Refused, Same, Unknown};
        // An answer that no repetition will change is asked for again in doubt only.
        if !matches!(after, Conflict | Fatal | Fault | NextIsOther | NotApplied | Refused | Same | Unknown) {
            return;
        }
        let jitter = rand::rng().random_range(Duration::ZERO..=longest(self.tries));
        self.tries += 1;
        let rest = jitter.max(self.asked.take().unwrap_or_default());
        let left = until.map_or(rest, |until| until.saturating_duration_since(Instant::now()));
        tokio::time::sleep(rest.min(left)).await;
    }
}

fn longest(tries: u32) -> Duration {
    FIRST.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX)).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_from_five_to_five_hundred_milliseconds() {
        let millis: Vec<u128> = [0, 1, 2, 6, 7, 31, 32, 1000].map(|tries| longest(tries).as_millis()).to_vec();
        assert_eq!(millis, [5, 10, 20, 320, 500, 500, 500, 500]);
    }
}
