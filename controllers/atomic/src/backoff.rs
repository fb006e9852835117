//! How long to rest between two tries: full jitter, growing while something does not work.

use std::time::Duration;

use rand::RngExt as _;

use crate::protocol::Rest;

const FIRST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_millis(500);

/// The rests of one write.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    tries: u32,
    asked: Option<Duration>,
}

impl Backoff {
    /// What the API server asked for (`Retry-After`) holds for the next rest.
    pub(crate) fn asked(&mut self, wait: Option<Duration>) {
        self.asked = wait;
    }

    /// The next rest.
    pub(crate) fn next(&mut self, rest: Rest) -> Duration {
        if rest == Rest::None {
            return Duration::ZERO;
        }
        let jitter = rand::rng().random_range(Duration::ZERO..=longest(self.tries));
        self.tries += 1;
        jitter.max(self.asked.take().unwrap_or_default())
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
