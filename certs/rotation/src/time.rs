//! Times in whole seconds, as certificates have them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A time in whole seconds since 1970-01-01T00:00:00Z. Arithmetic saturates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixTime(i64);

impl UnixTime {
    /// From seconds since 1970, negative before.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> UnixTime {
        UnixTime(seconds)
    }

    /// Seconds since 1970, negative before.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0
    }

    /// That much later; parts of a second are ignored.
    #[must_use]
    pub fn after(self, duration: Duration) -> UnixTime {
        UnixTime(self.0.saturating_add(whole_seconds(duration)))
    }

    /// That much earlier; parts of a second are ignored.
    #[must_use]
    pub fn before(self, duration: Duration) -> UnixTime {
        UnixTime(self.0.saturating_sub(whole_seconds(duration)))
    }
}

fn whole_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl From<SystemTime> for UnixTime {
    /// Rounds down, so that a later time never becomes an earlier one.
    fn from(time: SystemTime) -> UnixTime {
        match time.duration_since(UNIX_EPOCH) {
            Ok(since) => UnixTime(whole_seconds(since)),
            Err(before) => {
                let before = before.duration();
                let part = i64::from(before.subsec_nanos() > 0);
                UnixTime(0_i64.saturating_sub(whole_seconds(before)).saturating_sub(part))
            }
        }
    }
}

/// How long a certificate is valid: from `not_before`, and until just before `not_after`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Validity {
    /// The first second.
    pub not_before: UnixTime,
    /// The first second after the end. X.509 counts this second as valid; here it is not used any more.
    pub not_after: UnixTime,
}

impl Validity {
    /// Whether a certificate is valid at that time.
    #[must_use]
    pub fn contains(&self, time: UnixTime) -> bool {
        self.not_before <= time && time < self.not_after
    }

    /// The time at which this part (0 to 1) of the validity has passed.
    pub(crate) fn at_part(&self, part: f64) -> UnixTime {
        let length = self.not_after.0.saturating_sub(self.not_before.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "saturates; exact for years")]
        let passed = (length as f64 * part) as i64;
        UnixTime(self.not_before.0.saturating_add(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_times_are_rounded_down() {
        let at = |nanos: u64| UnixTime::from(UNIX_EPOCH + Duration::from_nanos(nanos)).seconds();
        assert_eq!([at(0), at(999_999_999), at(1_000_000_000)], [0, 0, 1]);
        let before = |nanos: u64| UnixTime::from(UNIX_EPOCH - Duration::from_nanos(nanos)).seconds();
        assert_eq!([before(1), before(1_000_000_000), before(1_000_000_001)], [-1, -1, -2]);
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(UnixTime(i64::MAX).after(Duration::MAX).seconds(), i64::MAX);
        assert_eq!(UnixTime(i64::MIN).before(Duration::MAX).seconds(), i64::MIN);
        let all = Validity { not_before: UnixTime(i64::MIN), not_after: UnixTime(i64::MAX) };
        assert!(all.at_part(1.0).seconds() >= -1, "no overflow");
    }

    #[test]
    fn the_end_does_not_belong_to_a_validity() {
        let validity = Validity { not_before: UnixTime(10), not_after: UnixTime(20) };
        assert_eq!([9, 10, 19, 20].map(|t| validity.contains(UnixTime(t))), [false, true, true, false]);
    }
}
