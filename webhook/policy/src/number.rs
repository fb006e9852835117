//! Exact decimals, compared without rounding and without allocating.

use std::cmp::Ordering;

/// A decimal number, as a view of its text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Decimal<'a> {
    /// Reads a JSON number; the text was checked by the parser.
    pub(crate) fn of_json(text: &'a str) -> Self {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Self { negative, whole: whole.trim_start_matches('0'), fraction, exponent }
    }

    /// Reads a string of one or more ASCII digits of any length.
    pub(crate) fn of_digits(text: &'a str) -> Option<Self> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| Self { negative: false, whole: text.trim_start_matches('0'), fraction: "", exponent: 0 })
    }

    pub(crate) const ZERO: Decimal<'static> = Decimal { negative: false, whole: "", fraction: "", exponent: 0 };

    pub(crate) fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.bytes().all(|byte| byte == b'0')
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.negative
    }

    /// The number, if it is an integer of few digits.
    pub(crate) fn as_small(&self) -> Option<i64> {
        let plain = self.exponent == 0 && self.fraction.is_empty() && self.whole.len() <= 18;
        let number: i64 = if self.whole.is_empty() { 0 } else { self.whole.parse().ok()? };
        plain.then_some(if self.negative { -number } else { number })
    }

    /// The digits from the last one on, and the power of ten of the last one.
    pub(crate) fn digits_from_last(&self) -> (i64, impl Iterator<Item = u8>) {
        let power = self.exponent.saturating_sub(i64::try_from(self.fraction.len()).unwrap_or(i64::MAX));
        (power, self.fraction.bytes().rev().chain(self.whole.bytes().rev()).map(|digit| digit - b'0'))
    }

    /// Power of ten of the first digit that is not zero; only for numbers other than zero.
    fn magnitude(&self) -> i64 {
        let digits = if self.whole.is_empty() {
            let zeros = self.fraction.bytes().take_while(|byte| *byte == b'0').count();
            -i64::try_from(zeros).unwrap_or(i64::MAX)
        } else {
            i64::try_from(self.whole.len()).unwrap_or(i64::MAX)
        };
        digits.saturating_add(self.exponent)
    }

    /// Its digits from the first one that is not zero, then zeros without end.
    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes()).skip_while(|byte| *byte == b'0')
    }

    fn cmp_magnitude(&self, other: &Decimal<'_>) -> Ordering {
        self.magnitude().cmp(&other.magnitude()).then_with(|| {
            let (mut a, mut b) = (self.digits(), other.digits());
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return Ordering::Equal,
                    (a, b) => match a.unwrap_or(b'0').cmp(&b.unwrap_or(b'0')) {
                        Ordering::Equal => {}
                        order => return order,
                    },
                }
            }
        })
    }
}

/// An exponent with its sign; beyond 64 bits it counts as the largest one.
fn exponent_of(text: &str) -> i64 {
    let limit = if text.starts_with('-') { i64::MIN / 2 } else { i64::MAX / 2 };
    text.parse::<i64>().unwrap_or(limit).clamp(i64::MIN / 2, i64::MAX / 2)
}

impl Ord for Decimal<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_zero(), other.is_zero()) {
            (true, true) => Ordering::Equal,
            (true, false) => {
                if other.negative {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (false, true) => {
                if self.negative {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (false, false) => match (self.negative, other.negative) {
                (false, false) => self.cmp_magnitude(other),
                (true, true) => other.cmp_magnitude(self),
                (false, true) => Ordering::Greater,
                (true, false) => Ordering::Less,
            },
        }
    }
}

impl PartialOrd for Decimal<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal<'_> {}

/// Equal numbers hash alike, however they are written.
impl std::hash::Hash for Decimal<'_> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        if self.is_zero() {
            return state.write_u8(0);
        }
        (self.negative, self.magnitude()).hash(state);
        let mut zeros = 0_usize;
        for digit in self.digits() {
            zeros += 1;
            if digit != b'0' {
                (1..zeros).for_each(|_| state.write_u8(b'0'));
                state.write_u8(digit);
                zeros = 0;
            }
        }
        // The end is not a digit, so that no number is the beginning of another one.
        state.write_u8(u8::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_by_value() {
        let rows = [
            ("1", "1.0", Ordering::Equal),
            ("1e2", "100", Ordering::Equal),
            ("0", "-0.0e9", Ordering::Equal),
            ("0.1", "0.10000000000000000001", Ordering::Less),
            ("9007199254740993", "9007199254740992", Ordering::Greater),
            ("-2", "-1", Ordering::Less),
            ("-1", "0", Ordering::Less),
            ("0.001", "1e-3", Ordering::Equal),
            ("0.009", "0.01", Ordering::Less),
            ("1e999999999999999999999", "2", Ordering::Greater),
            ("1e-999999999999999999999", "2", Ordering::Less),
            ("12", "2", Ordering::Greater),
            ("10", "1", Ordering::Greater),
        ];
        for (a, b, order) in rows {
            assert_eq!(Decimal::of_json(a).cmp(&Decimal::of_json(b)), order, "{a} against {b}");
            assert_eq!(Decimal::of_json(b).cmp(&Decimal::of_json(a)), order.reverse(), "{b} against {a}");
        }
        assert_eq!(Decimal::of_digits("0010"), Some(Decimal::of_json("10")));
        assert_eq!(Decimal::of_digits("-1"), None);
    }
}
