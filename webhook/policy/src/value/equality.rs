//! When the language takes a value for unset, and two values for the same.

use super::data::{Member, Value};
use crate::number::Decimal;
use crate::time::Instant;

impl Value<'_> {
    /// Whether a policy treats the two as the same value.
    #[must_use]
    pub fn semantically_equal(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Object(a), Value::Object(b)) => a.ptr_eq(b) || members_equal(a, b),
            (Value::List(a), Value::List(b)) => {
                a.ptr_eq(b) || (a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| a.semantically_equal(b)))
            }
            (Value::String(a), Value::String(b)) => a == b || times_equal(a, b),
            (Value::Number(a), Value::Number(b)) => a == b || Decimal::of_json(a) == Decimal::of_json(b),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            _ => self.is_unset() && other.is_unset(),
        }
    }
}

/// `same` over the union of the members of two objects.
fn members_equal(a: &[Member<'_>], b: &[Member<'_>]) -> bool {
    let (mut i, mut j) = (0, 0);
    loop {
        match (a.get(i), b.get(j)) {
            (None, None) => return true,
            (Some((ka, va)), Some((kb, vb))) if ka == kb => {
                if !va.semantically_equal(vb) {
                    return false;
                }
                i += 1;
                j += 1;
            }
            (Some((ka, va)), other) if other.is_none_or(|(kb, _)| ka < kb) => {
                if !va.is_unset() {
                    return false;
                }
                i += 1;
            }
            (_, Some((_, vb))) => {
                if !vb.is_unset() {
                    return false;
                }
                j += 1;
            }
            (Some(_), None) => return false,
        }
    }
}

fn times_equal(a: &str, b: &str) -> bool {
    match (Instant::parse(a), Instant::parse(b)) {
        (Some(a), Some(b)) => a.semantically_equal(&b),
        _ => false,
    }
}
