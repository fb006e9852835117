//! The identity of an entry of a list: the values at `key`, or its whole content. Times are cut to the second.

use std::hash::{Hash, Hasher};

use crate::number::Decimal;
use crate::time::Instant;
use crate::value::Value;

/// An identity, to be compared with others of the same `key`.
#[derive(Clone, Copy)]
pub(super) struct Identity<'v, 'r> {
    pub(super) entry: &'v Value<'v>,
    pub(super) key: &'r [Box<str>],
}

impl PartialEq for Identity<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        match self.key {
            [] => equal(self.entry, other.entry),
            key => key.iter().all(|name| equal(self.entry.get(name), other.entry.get(name))),
        }
    }
}

impl Eq for Identity<'_, '_> {}

/// Different identities give different sequences of bytes: each value begins with its kind and has a count or an end.
impl Hash for Identity<'_, '_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.key {
            [] => hash(self.entry, state),
            key => key.iter().for_each(|name| hash(self.entry.get(name), state)),
        }
    }
}

/// Like [`Value::semantically_equal`] with times cut to the second, which makes it an equivalence.
fn equal(a: &Value<'_>, b: &Value<'_>) -> bool {
    match (a, b) {
        (Value::Object(_), Value::Object(_)) => {
            let (mut a, mut b) = (a.set_members(), b.set_members());
            loop {
                match (a.next(), b.next()) {
                    (None, None) => return true,
                    (Some((a_name, a)), Some((b_name, b))) if a_name == b_name && equal(a, b) => {}
                    _ => return false,
                }
            }
        }
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(&**b).all(|(a, b)| equal(a, b)),
        (Value::String(a), Value::String(b)) => {
            a == b || Instant::parse(a).zip(Instant::parse(b)).is_some_and(|(a, b)| a.seconds == b.seconds)
        }
        _ => a.semantically_equal(b),
    }
}

fn hash<H: Hasher>(value: &Value<'_>, state: &mut H) {
    if value.is_unset() {
        return state.write_u8(0);
    }
    match value {
        Value::Null => {}
        Value::Bool(_) => state.write_u8(1),
        Value::Number(text) => {
            state.write_u8(2);
            Decimal::of_json(text).hash(state);
        }
        Value::String(text) => match Instant::parse(text) {
            Some(instant) => (3_u8, instant.seconds).hash(state),
            None => (4_u8, text).hash(state),
        },
        Value::List(items) => {
            (5_u8, items.len()).hash(state);
            items.iter().for_each(|item| hash(item, state));
        }
        Value::Object(_) => {
            state.write_u8(6);
            for (name, value) in value.set_members() {
                (7_u8, name).hash(state);
                hash(value, state);
            }
            state.write_u8(8);
        }
    }
}

/// Fractions of a second, each with the number of the time that has it.
pub(super) type Fractions<'v> = Vec<(usize, &'v str)>;

/// Whether any time in an entry has a fraction of a second.
pub(super) fn has_fractions(entry: &Value<'_>) -> bool {
    match entry {
        Value::String(text) => Instant::parse(text).is_some_and(|instant| instant.fraction.is_some()),
        Value::List(items) => items.iter().any(has_fractions),
        Value::Object(_) => entry.set_members().any(|(_, value)| has_fractions(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The fractions of a second in an entry.
///
/// Of entries with the same identity, two with the same fractions are equal. If the numbers are the same and a fraction
/// differs, they are not.
pub(super) fn fractions<'v>(entry: &'v Value<'_>) -> Fractions<'v> {
    fn collect<'v>(value: &'v Value<'_>, times: &mut usize, found: &mut Fractions<'v>) {
        match value {
            Value::String(text) => {
                if let Some(instant) = Instant::parse(text) {
                    found.extend(instant.fraction.map(|fraction| (*times, fraction)));
                    *times += 1;
                }
            }
            Value::List(items) => items.iter().for_each(|item| collect(item, times, found)),
            Value::Object(_) => value.set_members().for_each(|(_, value)| collect(value, times, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let (mut times, mut found) = (0, Vec::new());
    collect(entry, &mut times, &mut found);
    found
}
