//! From when until when a certificate holds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use x509_parser::certificate::Validity as X509Validity;

/// From when until when a certificate holds, in whole seconds (RFC 5280, 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first moment.
    pub not_before: SystemTime,
    /// The last moment.
    pub not_after: SystemTime,
}

impl Validity {
    /// Whether a moment is within.
    #[must_use]
    pub fn holds(&self, now: SystemTime) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    pub(crate) fn of(validity: &X509Validity) -> Self {
        let time = |seconds: i64| match u64::try_from(seconds) {
            Ok(seconds) => UNIX_EPOCH + Duration::from_secs(seconds),
            Err(_) => UNIX_EPOCH,
        };
        Self { not_before: time(validity.not_before.timestamp()), not_after: time(validity.not_after.timestamp()) }
    }

    /// As rcgen writes it.
    pub(crate) fn times(&self) -> (OffsetDateTime, OffsetDateTime) {
        (OffsetDateTime::from(self.not_before), OffsetDateTime::from(self.not_after))
    }
}
