//! Durations as Kubernetes users write them: `5m30s`, in the format of Go's `time.Duration`.

use std::{borrow::Cow, fmt, str::FromStr};

use k8s_openapi::jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A signed duration that reads and writes as `1h0m0s`, `5m30s`, `250ms`, `-1m0s` or `0s`.
///
/// At most some 292 years either way, as in Go: what is longer does not parse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration(pub SignedDuration);

/// Why a text is not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Neither `0` nor numbers with a unit each.
    #[error("{text:?} is not a duration: write numbers with the units ns, us, ms, s, m or h, such as 5m30s")]
    Malformed {
        /// The text as given.
        text: String,
    },
    /// More than 64 bits of nanoseconds.
    #[error("the duration {text:?} is longer than 292 years")]
    TooLong {
        /// The text as given.
        text: String,
    },
}

impl DurationError {
    /// A bounded name of the error.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Malformed { .. } => "malformed_duration",
            Self::TooLong { .. } => "duration_too_long",
        }
    }
}

impl FromStr for GoDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || DurationError::Malformed { text: text.to_owned() };
        let too_long = || DurationError::TooLong { text: text.to_owned() };
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        if unsigned == "0" {
            return Ok(Self::default());
        }
        if unsigned.is_empty() {
            return Err(malformed());
        }
        let mut rest = unsigned;
        let mut total: i128 = 0;
        while !rest.is_empty() {
            let (whole, after) = digits(rest);
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) => digits(after),
                None => ("", after),
            };
            if whole.is_empty() && fraction.is_empty() {
                return Err(malformed());
            }
            let (unit, after) = unit(after).ok_or_else(malformed)?;
            let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| too_long())? };
            total = whole.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(too_long)?;
            let mut place = unit;
            for digit in fraction.bytes() {
                place /= 10;
                total += i128::from(digit - b'0') * place;
            }
            rest = after;
        }
        let nanos = i64::try_from(if negative { -total } else { total }).map_err(|_| too_long())?;
        Ok(Self(SignedDuration::from_nanos(nanos)))
    }
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len()))
}

/// The nanoseconds of the unit that `text` begins with, and what follows it.
fn unit(text: &str) -> Option<(i128, &str)> {
    const UNITS: [(&str, i128); 8] = [
        ("ns", 1),
        ("us", 1_000),
        ("\u{b5}s", 1_000),
        ("\u{3bc}s", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let end = text.bytes().position(|byte| byte == b'.' || byte.is_ascii_digit()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    UNITS.iter().find(|(unit, _)| *unit == name).map(|(_, nanos)| (*nanos, rest))
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        if nanos < 0 {
            f.write_str("-")?;
        }
        let nanos = nanos.unsigned_abs();
        let (seconds, below) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
        if seconds == 0 && below != 0 {
            let (unit, name) = match below {
                0..1_000 => (1, "ns"),
                1_000..1_000_000 => (1_000, "\u{b5}s"),
                _ => (1_000_000, "ms"),
            };
            return write!(f, "{}{name}", FractionalUnit(below / unit, below % unit, unit));
        }
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if seconds >= 60 {
            write!(f, "{minutes}m")?;
        }
        write!(f, "{}s", FractionalUnit(seconds % 60, below, 1_000_000_000))
    }
}

/// A whole part and `.1/.2` of one, without trailing zeros.
struct FractionalUnit(u128, u128, u128);

impl fmt::Display for FractionalUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(whole, part, of) = self;
        if *part == 0 {
            return write!(f, "{whole}");
        }
        let width = of.ilog10() as usize;
        write!(f, "{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for GoDuration {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    /// Five digits of hours and seven of what is shorter keep all that the schema admits within 64 bits.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "maxLength": 80,
            "pattern": "^[-+]?(0|([0-9]{1,5}(\\.[0-9]{1,9})?h|[0-9]{1,7}(\\.[0-9]{1,9})?(ns|us|\u{b5}s|ms|s|m)){1,4})$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_what_go_does() {
        for (text, nanos, written) in [
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("5m30s", 330_000_000_000, "5m30s"),
            ("15m", 900_000_000_000, "15m0s"),
            ("1h", 3_600_000_000_000, "1h0m0s"),
            ("1h0.5s", 3_600_500_000_000, "1h0m0.5s"),
            ("-1m", -60_000_000_000, "-1m0s"),
            ("+1.25s", 1_250_000_000, "1.25s"),
            (".5s", 500_000_000, "500ms"),
            ("5.s", 5_000_000_000, "5s"),
            ("250ms", 250_000_000, "250ms"),
            ("1.5us", 1_500, "1.5\u{b5}s"),
            ("7\u{3bc}s", 7_000, "7\u{b5}s"),
            ("3ns", 3, "3ns"),
            ("1m1m", 120_000_000_000, "2m0s"),
        ] {
            let read: GoDuration = text.parse().unwrap();
            assert_eq!(read.0.as_nanos(), nanos, "{text}");
            assert_eq!(read.to_string(), written, "{text}");
            assert_eq!(written.parse::<GoDuration>().unwrap(), read, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "-", "5", "m", ".s", "5x", "5 m", "1m-5s", "5min", "1e3s", "-+5s"] {
            assert_eq!(text.parse::<GoDuration>(), Err(DurationError::Malformed { text: text.to_owned() }), "{text:?}");
        }
        for text in ["999999999999999999h", "99999999999999999999999999999999999999999999h"] {
            assert_eq!(text.parse::<GoDuration>(), Err(DurationError::TooLong { text: text.to_owned() }), "{text:?}");
        }
    }

    #[test]
    fn whatever_the_schema_admits_can_be_read() {
        for unit in ["99999.999999999h", "9999999.999999999m"] {
            for sign in ["", "-"] {
                let longest = format!("{sign}{}", unit.repeat(4));
                assert!(longest.parse::<GoDuration>().is_ok(), "{longest}");
            }
        }
    }
}
