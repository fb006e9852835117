//! Exact decimals: comparison without rounding and without allocating, and sums.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};

/// Largest decimal exponent that takes part in a sum; a double ends at 308.
const MAX_SUM_EXPONENT: i64 = 4096;
/// Most digits of a number that takes part in a sum.
const MAX_SUM_DIGITS: usize = 1 << 16;

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
        let mut zeros = 0;
        for digit in self.digits() {
            if digit == b'0' {
                zeros += 1;
            } else {
                (zeros, digit).hash(state);
                zeros = 0;
            }
        }
    }
}

/// An exact sum: `small` + `digits` × 10^`exponent`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// Counts and integers of few digits, which is what counters are: they need no memory.
    small: i128,
    digits: BigInt,
    /// Zero or less.
    exponent: i64,
}

impl ExactSum {
    pub(crate) fn add_count(&mut self, count: usize) {
        self.small += count as i128;
    }

    /// Adds a number. One far beyond any double is left out, so that a few bytes cannot ask for
    /// gigabytes of digits, nor many for minutes of work.
    pub(crate) fn add(&mut self, number: &Decimal<'_>) {
        let digits = number.whole.len() + number.fraction.len();
        if number.is_zero() || number.exponent.abs() > MAX_SUM_EXPONENT || digits > MAX_SUM_DIGITS {
            return;
        }
        let integer = number.exponent == 0 && number.fraction.is_empty();
        if let (true, Ok(small)) = (integer, number.whole.parse::<i64>()) {
            self.small += i128::from(if number.negative { -small } else { small });
            return;
        }
        let text: Vec<u8> = number.whole.bytes().chain(number.fraction.bytes()).collect();
        let sign = if number.negative { Sign::Minus } else { Sign::Plus };
        let digits = BigInt::parse_bytes(&text, 10).unwrap_or_default();
        let digits = if sign == Sign::Minus { -digits } else { digits };
        let fraction = i64::try_from(number.fraction.len()).unwrap_or(i64::MAX);
        let exponent = number.exponent.saturating_sub(fraction);
        let common = self.exponent.min(exponent);
        self.digits = rescaled(&self.digits, self.exponent, common) + rescaled(&digits, exponent, common);
        self.exponent = common;
    }

    /// The absolute difference of two sums.
    pub(crate) fn gap(&self, other: &ExactSum) -> ExactSum {
        if let Some((a, b)) = self.small().zip(other.small()) {
            return ExactSum { small: (a - b).abs(), ..ExactSum::default() };
        }
        let common = self.exponent.min(other.exponent);
        let difference = self.total(common) - other.total(common);
        ExactSum { small: 0, digits: difference.magnitude().clone().into(), exponent: common }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.small().map_or_else(|| self.total(self.exponent).sign() == Sign::NoSign, |sum| sum == 0)
    }

    /// The sum, if `digits` add nothing to it.
    fn small(&self) -> Option<i128> {
        (self.digits.sign() == Sign::NoSign).then_some(self.small)
    }

    /// The sum in units of 10^`exponent`, which is not above its own one.
    fn total(&self, exponent: i64) -> BigInt {
        rescaled(&self.digits, self.exponent, exponent) + rescaled(&self.small.into(), 0, exponent)
    }
}

fn rescaled(digits: &BigInt, from: i64, to: i64) -> BigInt {
    let power = u32::try_from(from - to).unwrap_or(0);
    if power == 0 { digits.clone() } else { digits * BigInt::from(10).pow(power) }
}

impl Ord for ExactSum {
    fn cmp(&self, other: &Self) -> Ordering {
        if let Some((a, b)) = self.small().zip(other.small()) {
            return a.cmp(&b);
        }
        let common = self.exponent.min(other.exponent);
        self.total(common).cmp(&other.total(common))
    }
}

impl PartialOrd for ExactSum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for ExactSum {}

/// Plain decimal text.
impl std::fmt::Display for ExactSum {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(sum) = self.small() {
            return write!(out, "{sum}");
        }
        let total = self.total(self.exponent);
        if self.exponent == 0 {
            return write!(out, "{total}");
        }
        let text = format!("{total}e{}", self.exponent);
        match text.parse::<f64>() {
            Ok(value) => write!(out, "{value}"),
            Err(_) => out.write_str(&text),
        }
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

    #[test]
    fn sums_are_exact() {
        let sum = |terms: &[&str]| {
            let mut sum = ExactSum::default();
            for term in terms {
                sum.add(&Decimal::of_json(term));
            }
            sum
        };
        assert_eq!(sum(&["0.1", "0.2"]), sum(&["0.3"]));
        assert_eq!(sum(&["1e3", "-1000", "2.50"]), sum(&["2.5"]));
        assert!(sum(&["1", "-1.0"]).is_zero());
        assert_eq!(sum(&["9223372036854775807", "1", "0.5"]), sum(&["9223372036854775808.5"]));
        assert_eq!(sum(&["9223372036854775808", "-1"]), sum(&["9223372036854775807"]));
        assert!(sum(&["9223372036854775808", "-9223372036854775807", "-1"]).is_zero());
        assert_eq!(sum(&["7", "0.5"]).gap(&sum(&["9"])), sum(&["1.5"]));
        assert!(sum(&["7", "1.5"]) < sum(&["8.6"]));
        assert_eq!(sum(&["7", "1.5"]).to_string(), "8.5");
        assert_eq!(sum(&["9007199254740993"]).gap(&sum(&["9007199254740992"])), sum(&["1"]));
        assert!(sum(&["1e999999999"]).is_zero(), "no memory for absurd exponents");
        assert!(sum(&["7".repeat(1 << 20).as_str()]).is_zero(), "no time for absurd digits");
    }
}
