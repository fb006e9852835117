//! Exact decimals by schoolbook arithmetic on digit vectors.

use std::cmp::Ordering;

/// A decimal number: `whole` and `fraction` are digits, the most significant first.
#[derive(Clone, Debug)]
pub(crate) struct Decimal {
    negative: bool,
    whole: Vec<u8>,
    fraction: Vec<u8>,
}

impl Decimal {
    pub(crate) fn zero() -> Decimal {
        Decimal { negative: false, whole: Vec::new(), fraction: Vec::new() }
    }

    /// From the text of a JSON number or of a string of digits.
    pub(crate) fn parse(text: &str) -> Decimal {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((m, e)) => (m, e.parse::<i32>().expect("exponents in tests are small")),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut whole: Vec<u8> = whole.bytes().map(|b| b - b'0').collect();
        let mut fraction: Vec<u8> = fraction.bytes().map(|b| b - b'0').collect();
        for _ in 0..exponent {
            whole.push(if fraction.is_empty() { 0 } else { fraction.remove(0) });
        }
        for _ in exponent..0 {
            fraction.insert(0, whole.pop().unwrap_or(0));
        }
        Decimal { negative, whole, fraction }
    }

    pub(crate) fn from_usize(number: usize) -> Decimal {
        Decimal::parse(&number.to_string())
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.whole.iter().chain(&self.fraction).all(|d| *d == 0)
    }

    /// Both numbers' digits, padded to one length, and the number of fraction digits.
    fn aligned(&self, other: &Decimal) -> (Vec<u8>, Vec<u8>, usize) {
        let whole = self.whole.len().max(other.whole.len());
        let fraction = self.fraction.len().max(other.fraction.len());
        let pad = |d: &Decimal| {
            let mut digits = vec![0; whole - d.whole.len()];
            digits.extend(&d.whole);
            digits.extend(&d.fraction);
            digits.resize(whole + fraction, 0);
            digits
        };
        (pad(self), pad(other), fraction)
    }

    pub(crate) fn compare(&self, other: &Decimal) -> Ordering {
        if self.is_zero() && other.is_zero() {
            return Ordering::Equal;
        }
        let (a, b, _) = self.aligned(other);
        let signs = (self.negative && !self.is_zero(), other.negative && !other.is_zero());
        match signs {
            (false, true) => Ordering::Greater,
            (true, false) => Ordering::Less,
            (false, false) => a.cmp(&b),
            (true, true) => b.cmp(&a),
        }
    }

    pub(crate) fn negated(&self) -> Decimal {
        Decimal { negative: !self.negative, ..self.clone() }
    }

    pub(crate) fn plus(&self, other: &Decimal) -> Decimal {
        let (a, b, fraction) = self.aligned(other);
        let mut digits = Vec::new();
        let negative;
        if self.negative == other.negative {
            negative = self.negative;
            let mut carry = 0;
            for (x, y) in a.iter().zip(&b).rev() {
                digits.push((x + y + carry) % 10);
                carry = (x + y + carry) / 10;
            }
            digits.push(carry);
        } else {
            let (large, small) = if a >= b { (&a, &b) } else { (&b, &a) };
            negative = if a >= b { self.negative } else { other.negative };
            let mut borrow = 0;
            for (x, y) in large.iter().zip(small).rev() {
                let taken = y + borrow;
                digits.push(if *x >= taken { x - taken } else { x + 10 - taken });
                borrow = u8::from(*x < taken);
            }
        }
        digits.reverse();
        let point = digits.len() - fraction;
        Decimal { negative, whole: digits[..point].to_vec(), fraction: digits[point..].to_vec() }
    }

    /// The distance between two numbers.
    pub(crate) fn gap(&self, other: &Decimal) -> Decimal {
        let mut gap = self.plus(&other.negated());
        gap.negative = false;
        gap
    }

    /// The value as a small integer, if it is one.
    pub(crate) fn as_small(&self) -> Option<i64> {
        if self.fraction.iter().any(|d| *d != 0) {
            return None;
        }
        let text: String = self.whole.iter().map(|d| char::from(b'0' + d)).collect();
        let text = text.trim_start_matches('0');
        let size: i64 = if text.is_empty() { 0 } else { text.parse().ok()? };
        Some(if self.negative { -size } else { size })
    }
}
