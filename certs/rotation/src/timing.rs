//! How long things last, and which durations fit together.

use std::time::Duration;

/// Lifetimes and waiting times. All are used in whole seconds; parts of a second are ignored.
///
/// All replicas must have the same `leaf_life`, because each bounds the ends of leaves that others have signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// From `not_before` to `not_after` of an authority; one year.
    pub authority_life: Duration,
    /// From `not_before` to `not_after` of a leaf, at most; seven days.
    pub leaf_life: Duration,
    /// How long a bundle must have been published before leaves rely on it; 30 seconds. One API server uses a changed
    /// `caBundle` within 10 milliseconds; several hear of it one after another.
    pub spread: Duration,
    /// How far the clocks of two machines may be apart, and how far one may jump back without harm; two hours. What
    /// is made is valid from that much earlier, and what is taken out of the bundle stays that much longer.
    pub skew: Duration,
    /// The longest time until the caller looks again, because the wall clock may jump while it waits; one minute.
    pub tick: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        const HOUR: u64 = 60 * 60;
        Timing {
            authority_life: Duration::from_secs(365 * 24 * HOUR),
            leaf_life: Duration::from_secs(7 * 24 * HOUR),
            spread: Duration::from_secs(30),
            skew: Duration::from_secs(2 * HOUR),
            tick: Duration::from_secs(60),
        }
    }
}

/// Durations that do not fit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadTiming {
    /// `leaf_life`, `skew` or `tick` has less than one second.
    #[error("the leaf's life, the clock skew and the tick must each have at least one second")]
    TooShort,
    /// A leaf begins `skew` in the past, and could be due for renewal when it is made.
    #[error("the leaf's life must be at least four times the clock skew and six ticks")]
    LeafTooShort,
    /// A retired authority could still be in the bundle when the next one is due.
    #[error(
        "a third of the authority's life must hold the leaf's life, twice the clock skew, twice the spread and six ticks"
    )]
    AuthorityTooShort,
}

impl BadTiming {
    /// A name for labels of metrics.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            BadTiming::TooShort => "timing_too_short",
            BadTiming::LeafTooShort => "leaf_life_too_short",
            BadTiming::AuthorityTooShort => "authority_life_too_short",
        }
    }
}

impl Timing {
    pub(crate) fn check(&self) -> Result<(), BadTiming> {
        let second = Duration::from_secs(1);
        if [self.leaf_life, self.skew, self.tick].iter().any(|duration| *duration < second) {
            return Err(BadTiming::TooShort);
        }
        if self.leaf_life < self.skew.saturating_mul(4) || self.leaf_life < self.tick.saturating_mul(6) {
            return Err(BadTiming::LeafTooShort);
        }
        let waits = self.skew.saturating_add(self.spread).saturating_mul(2);
        let rotation = self.leaf_life.saturating_add(waits).saturating_add(self.tick.saturating_mul(6));
        if self.authority_life / 3 < rotation { Err(BadTiming::AuthorityTooShort) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn the_defaults_and_scaled_ones_fit() {
        assert_eq!(Timing::default().check(), Ok(()));
        let scaled = Timing {
            authority_life: seconds(60),
            leaf_life: seconds(6),
            spread: seconds(1),
            skew: seconds(1),
            tick: seconds(1),
        };
        assert_eq!(scaled.check(), Ok(()));
    }

    #[test]
    fn durations_that_do_not_fit_are_refused() {
        let good = Timing::default();
        let refused = |timing: Timing| timing.check().unwrap_err().category();
        assert_eq!(refused(Timing { tick: Duration::from_millis(999), ..good }), "timing_too_short");
        assert_eq!(refused(Timing { skew: seconds(43 * 60 * 60), ..good }), "leaf_life_too_short");
        assert_eq!(refused(Timing { tick: seconds(29 * 60 * 60), ..good }), "leaf_life_too_short");
        assert_eq!(refused(Timing { leaf_life: seconds(122 * 86_400), ..good }), "authority_life_too_short");
        assert_eq!(refused(Timing { spread: Duration::MAX, ..good }), "authority_life_too_short");
    }
}
