//! Exact sums of decimals, at a cost that grows with the digits and not with the exponents.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use crate::number::Decimal;

/// Decimal digits of one limb.
const LIMB_DIGITS: i64 = 18;
/// Ten to the power of [`LIMB_DIGITS`].
const LIMB: i128 = 1_000_000_000_000_000_000;

/// An exact sum: `small` plus each limb times 10^(18 × its position).
///
/// Only limbs with digits are stored: a number of a few bytes costs a limb or two, whatever its exponent. Limbs have signs
/// of their own and take sums of up to 10^20 numbers, so that adding never carries.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExactSum {
    /// Counts and integers of up to 18 digits, which is what counters are.
    small: i128,
    limbs: BTreeMap<i64, i128>,
}

impl ExactSum {
    pub(crate) fn add_count(&mut self, count: usize) {
        self.small += count as i128;
    }

    pub(crate) fn add(&mut self, number: &Decimal<'_>) {
        if let Some(small) = number.as_small() {
            self.small += i128::from(small);
            return;
        }
        // From the last digit on, whose power of ten is the first.
        let (mut power, digits) = number.digits_from_last();
        for digit in digits {
            if digit > 0 {
                let value = i128::from(digit) * 10_i128.pow(u32::try_from(power.rem_euclid(LIMB_DIGITS)).unwrap_or(0));
                let limb = self.limbs.entry(power.div_euclid(LIMB_DIGITS)).or_default();
                *limb += if number.is_negative() { -value } else { value };
            }
            power += 1;
        }
    }

    /// The absolute difference of two sums.
    pub(crate) fn gap(&self, other: &ExactSum) -> ExactSum {
        let difference = self.minus(other);
        if difference.sign().is_lt() { ExactSum::default().minus(&difference) } else { difference }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.sign().is_eq()
    }

    fn minus(&self, other: &ExactSum) -> ExactSum {
        let mut difference = self.clone();
        difference.small -= other.small;
        for (position, limb) in &other.limbs {
            *difference.limbs.entry(*position).or_default() -= limb;
        }
        difference
    }

    fn sign(&self) -> Ordering {
        if self.limbs.is_empty() {
            return self.small.cmp(&0);
        }
        // What lies below the highest limb is smaller than that limb.
        self.carried().last_key_value().map_or(Ordering::Equal, |(_, limb)| limb.cmp(&0))
    }

    /// The sum in limbs between -10^18 and 10^18, none of them zero.
    fn carried(&self) -> BTreeMap<i64, i128> {
        let mut open = self.limbs.clone();
        *open.entry(0).or_default() += self.small;
        let mut carried = BTreeMap::new();
        while let Some((position, limb)) = open.pop_first() {
            if limb / LIMB != 0 {
                *open.entry(position + 1).or_default() += limb / LIMB;
            }
            if limb % LIMB != 0 {
                carried.insert(position, limb % LIMB);
            }
        }
        carried
    }
}

impl Ord for ExactSum {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.limbs.is_empty() && other.limbs.is_empty() {
            return self.small.cmp(&other.small);
        }
        self.minus(other).sign()
    }
}

impl PartialOrd for ExactSum {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ExactSum {}

/// Integers of up to 36 digits in full, other sums to the precision of a double.
impl fmt::Display for ExactSum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.carried();
        let Some((top, high)) = limbs.pop_last() else { return out.write_str("0") };
        let low = limbs.remove(&(top - 1)).unwrap_or_default();
        match (top, limbs.is_empty()) {
            (0, true) if low == 0 => return write!(out, "{high}"),
            (1, true) => return write!(out, "{}", high * LIMB + low),
            _ => {}
        }
        let text = format!("{}e{}", high * LIMB + low, (top - 1) * LIMB_DIGITS);
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() && value != 0.0 => write!(out, "{value}"),
            _ => out.write_str(&text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(terms: &[&str]) -> ExactSum {
        let mut sum = ExactSum::default();
        for term in terms {
            sum.add(&Decimal::of_json(term));
        }
        sum
    }

    #[test]
    fn sums_are_exact() {
        assert_eq!(sum(&["0.1", "0.2"]), sum(&["0.3"]));
        assert_eq!(sum(&["1e3", "-1000", "2.50"]), sum(&["2.5"]));
        assert!(sum(&["1", "-1.0"]).is_zero());
        assert_eq!(sum(&["9223372036854775807", "1", "0.5"]), sum(&["9223372036854775808.5"]));
        assert_eq!(sum(&["9223372036854775808", "-1"]), sum(&["9223372036854775807"]));
        assert!(sum(&["9223372036854775808", "-9223372036854775807", "-1"]).is_zero());
        assert_eq!(sum(&["7", "0.5"]).gap(&sum(&["9"])), sum(&["1.5"]));
        assert_eq!(sum(&["9"]).gap(&sum(&["7", "0.5"])), sum(&["1.5"]));
        assert!(sum(&["7", "1.5"]) < sum(&["8.6"]));
        assert!(sum(&["-0.5"]) < sum(&[]) && sum(&[]) < sum(&["1e-300"]));
        assert_eq!(sum(&["9007199254740993"]).gap(&sum(&["9007199254740992"])), sum(&["1"]));
    }

    #[test]
    fn exponents_and_digits_are_unlimited() {
        assert!(sum(&["1e999999999", "-1"]) > sum(&["1e999999998"]));
        assert_eq!(sum(&["1e999999999", "1", "-1e999999999"]), sum(&["1"]));
        assert!(sum(&["1e-999999999"]) > sum(&[]));
        assert_eq!(sum(&["1e999999999"]).limbs.len(), 1);
        let long = "7".repeat(1 << 20);
        assert_eq!(sum(&[&long, &format!("-{long}"), "3"]), sum(&["3"]));
        assert!(sum(&["1e99999999999999999999"]) > sum(&["1e999999999"]));
    }

    #[test]
    fn sums_are_shown_in_bounded_length() {
        let rows: [(&[&str], &str); 10] = [
            (&[], "0"),
            (&["-3"], "-3"),
            (&["7", "1.5"], "8.5"),
            (&["1", "-0.25"], "0.75"),
            (&["9007199254740993"], "9007199254740993"),
            (&["1e18", "-1"], "999999999999999999"),
            (&["1e20", "-1"], "99999999999999999999"),
            (&["-123456789012345678901234567890"], "-123456789012345678901234567890"),
            (&["1e300"], &format!("1{}", "0".repeat(300))),
            (&["1e4000", "1"], "10000000000000000000000e3978"),
        ];
        for (terms, shown) in rows {
            assert_eq!(sum(terms).to_string(), shown, "{terms:?}");
        }
        assert!(sum(&["7".repeat(1 << 20).as_str()]).to_string().len() < 400);
    }
}
