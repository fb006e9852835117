//! Times as "Reading values" has them: `YYYY-MM-DDThh:mm:ss[.f](Z|±hh:mm)`, nothing else.

/// An instant: seconds since a fixed day, and the digits of the fraction, if it was written.
#[derive(Clone, Debug)]
pub(crate) struct Time {
    pub(crate) seconds: i64,
    fraction: Option<String>,
}

impl Time {
    pub(crate) fn parse(text: &str) -> Option<Time> {
        // A ± is one character of the pattern; the fraction is cut out first.
        let bytes = text.as_bytes();
        if !text.is_ascii() || bytes.len() < 20 {
            return None;
        }
        let (moment, rest) = text.split_at(19);
        let fraction: Option<String> =
            rest.strip_prefix('.').map(|f| f.chars().take_while(char::is_ascii_digit).collect());
        let zone = match &fraction {
            Some(digits) if digits.is_empty() => return None,
            Some(digits) => &rest[1 + digits.len()..],
            None => rest,
        };
        let n = numbers(moment, "dddd-dd-ddTdd:dd:dd")?;
        let (year, month, day, hour, minute, second) = (n[0], n[1], n[2], n[3], n[4], n[5]);
        let offset = match zone.chars().next()? {
            'Z' if zone.len() == 1 => 0,
            sign @ ('+' | '-') => {
                let o = numbers(&zone[1..], "dd:dd")?;
                if o[0] > 23 || o[1] > 59 {
                    return None;
                }
                (o[0] * 60 + o[1]) * if sign == '+' { 60 } else { -60 }
            }
            _ => return None,
        };
        let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let months = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        if year < 1 || !(1..=12).contains(&month) || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let before = usize::try_from(month - 1).ok()?;
        if day < 1 || day > months[before] {
            return None;
        }
        let past = year - 1;
        let days = past * 365 + past / 4 - past / 100 + past / 400 + months[..before].iter().sum::<i64>() + day;
        Some(Time { seconds: ((days * 24 + hour) * 60 + minute) * 60 + second - offset, fraction })
    }

    /// One instant, to the second if either has no fraction.
    pub(crate) fn same(&self, other: &Time) -> bool {
        let digits = |f: &str| f.trim_end_matches('0').to_owned();
        self.seconds == other.seconds
            && match (&self.fraction, &other.fraction) {
                (Some(a), Some(b)) => digits(a) == digits(b),
                _ => true,
            }
    }
}

/// The numbers in a text of that shape, `d` standing for a digit.
fn numbers(text: &str, shape: &str) -> Option<Vec<i64>> {
    if text.len() != shape.len() {
        return None;
    }
    let mut found = vec![String::new()];
    for (c, s) in text.chars().zip(shape.chars()) {
        match s {
            'd' if c.is_ascii_digit() => found.last_mut()?.push(c),
            'd' => return None,
            _ if c == s => found.push(String::new()),
            _ => return None,
        }
    }
    found.iter().map(|f| f.parse().ok()).collect()
}
