//! RFC 3339 times as instants, with every digit of the fraction.

/// `YYYY-MM-DDThh:mm:ss[.f](Z|±hh:mm)` in upper case, of the years 0001 to 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instant<'a> {
    /// Seconds since 1970-01-01T00:00:00Z, cut to the second.
    pub(crate) seconds: i64,
    /// Digits of the fraction without zeros at the end; `None` when it was not written.
    pub(crate) fraction: Option<&'a str>,
}

impl<'a> Instant<'a> {
    /// Reads a time; anything else is a plain string.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() < 20 || bytes[4] != b'-' || bytes[10] != b'T' || !bytes.is_ascii() {
            return None;
        }
        if bytes[7] != b'-' || bytes[13] != b':' || bytes[16] != b':' {
            return None;
        }
        let year = digits(&bytes[0..4])?;
        let month = digits(&bytes[5..7])?;
        let day = digits(&bytes[8..10])?;
        let hour = at_most(&bytes[11..13], 23)?;
        let minute = at_most(&bytes[14..16], 59)?;
        let second = at_most(&bytes[17..19], 59)?;
        if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_of(year, month) {
            return None;
        }
        let rest = &text[19..];
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => {
                let end = rest.bytes().position(|byte| !byte.is_ascii_digit())?;
                if end == 0 {
                    return None;
                }
                (Some(rest[..end].trim_end_matches('0')), &rest[end..])
            }
            None => (None, rest),
        };
        let offset = offset_of(zone.as_bytes())?;
        let seconds = day_number(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
        Some(Self { seconds, fraction })
    }

    /// Equal instants; to the second if either has no fraction.
    pub(crate) fn semantically_equal(&self, other: &Instant<'_>) -> bool {
        self.seconds == other.seconds
            && match (self.fraction, other.fraction) {
                (Some(a), Some(b)) => a == b,
                _ => true,
            }
    }
}

/// Seconds east of UTC.
fn offset_of(zone: &[u8]) -> Option<i64> {
    match zone {
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), hour @ .., b':', m1, m2] if hour.len() == 2 => {
            let seconds = at_most(hour, 23)? * 3600 + at_most(&[*m1, *m2], 59)? * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |number, byte| byte.is_ascii_digit().then(|| number * 10 + i64::from(byte - b'0')))
}

fn at_most(text: &[u8], limit: i64) -> Option<i64> {
    digits(text).filter(|number| *number <= limit)
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that the leap day is the last one.
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(text: &str) -> Option<i64> {
        Instant::parse(text).map(|instant| instant.seconds)
    }

    #[test]
    fn instants_are_counted_from_1970() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-03-01T00:00:00Z"), Some(951_868_800));
        assert_eq!(seconds("2026-11-21T10:21:00+01:00"), Some(1_795_252_860));
        assert_eq!(seconds("1969-12-31T23:59:59-00:00"), Some(-1));
        assert_eq!(seconds("0001-01-01T00:00:00Z"), Some(-62_135_596_800));
        assert_eq!(seconds("2024-02-29T12:00:00.250Z"), seconds("2024-02-29T12:00:00Z"));
    }

    #[test]
    fn anything_else_is_a_string() {
        for text in [
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-04-31T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2024-01-01t00:00:00Z",
            "2024-01-01T00:00:00z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00+0100",
            "2024-01-01T00:00:00+01:60",
            "2024-01-01 00:00:00Z",
            "2024-01-01T00:00:00Z ",
            "2024-01-01T00:00Z",
            "",
            "+024-01-01T00:00:00Z",
        ] {
            assert_eq!(Instant::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn same_to_the_second_unless_both_have_a_fraction() {
        let same = |a, b| Instant::parse(a).zip(Instant::parse(b)).is_some_and(|(a, b)| a.semantically_equal(&b));
        assert!(same("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.9Z"));
        assert!(same("2024-01-01T00:00:00.50Z", "2024-01-01T01:00:00.5+01:00"));
        assert!(!same("2024-01-01T00:00:00.0Z", "2024-01-01T00:00:00.5Z"));
        assert!(!same("2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"));
    }
}
