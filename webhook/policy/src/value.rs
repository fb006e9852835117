//! JSON values as the policy language reads them: numbers keep their text, nothing is rounded.
//!
//! A value borrows from the bytes it was parsed from. Object members are kept
//! sorted by key, so that the order in which they were written cannot matter;
//! of duplicate keys the last one wins, as in the API server.

mod parse;
mod read;
mod shared;
mod text;

use std::borrow::Cow;

use crate::number::Decimal;
use crate::time::Instant;

pub use parse::ParseError;
pub use shared::Shared;
pub(crate) use text::{quoted, write};

/// Deepest nesting that is read; the API server's own CRD schemas stay far below.
pub const MAX_DEPTH: usize = 512;

/// One JSON value.
// A wide tag keeps the payload aligned in every variant: with a narrow one values are moved in misaligned halves, which
// made up half of the time of reading.
#[repr(u64)]
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// `null`, and what is absent.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its JSON text.
    Number(Cow<'a, str>),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    List(Shared<'a, Value<'a>>),
    /// An object: members sorted by key, keys unique.
    Object(Shared<'a, (Cow<'a, str>, Value<'a>)>),
}

/// The value of everything that is absent.
pub(crate) static ABSENT: Value<'static> = Value::Null;

impl<'a> Value<'a> {
    /// Parses one JSON text (RFC 8259) of at most [`MAX_DEPTH`] levels.
    ///
    /// # Errors
    /// When the bytes are not UTF-8, not JSON, nested too deep, or followed by anything but white space.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        parse::parse(bytes, &Value::Null)
    }

    /// As [`Value::parse`], faster the more the text has in common with that of another value:
    /// lists and objects that both have at the same place are shared.
    ///
    /// # Errors
    /// As of [`Value::parse`].
    pub fn parse_like(bytes: &'a [u8], like: &Self) -> Result<Self, ParseError> {
        parse::parse(bytes, like)
    }

    /// Builds an object from members in any order; of equal keys the last one wins.
    #[must_use]
    pub fn object(members: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        Value::Object(parse::sorted(members).into())
    }

    /// The JSON text that this list or object was read from; empty for everything else.
    #[must_use]
    pub fn raw(&self) -> &'a [u8] {
        match self {
            Value::List(items) => items.raw(),
            Value::Object(members) => members.raw(),
            _ => &[],
        }
    }

    /// Whether both are one and the same list or object: shared, not just equal.
    pub(crate) fn ptr_eq(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => a.ptr_eq(b),
            (Value::Object(a), Value::Object(b)) => a.ptr_eq(b),
            _ => false,
        }
    }

    /// The member `key`, or the absent value; also when this is no object.
    #[must_use]
    pub fn get(&self, key: &str) -> &Value<'a> {
        match self {
            Value::Object(members) => {
                members.binary_search_by(|(name, _)| name.as_ref().cmp(key)).map_or(&ABSENT, |index| &members[index].1)
            }
            _ => &ABSENT,
        }
    }

    /// Whether this counts as not set: `null`, `""`, zero, `false`, `[]`, `{}` and objects of only such.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(text) => Decimal::of_json(text).is_zero(),
            Value::String(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Object(members) => members.iter().all(|(_, value)| value.is_unset()),
        }
    }

    /// Whether a policy takes the two for the same value.
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

    /// The same value with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(text) => Value::Number(text.into_owned().into()),
            Value::String(text) => Value::String(text.into_owned().into()),
            Value::List(items) => Value::List(items.iter().cloned().map(Value::into_owned).collect()),
            Value::Object(members) => {
                let owned = |(key, value): &(Cow<'_, str>, Value<'_>)| {
                    (key.clone().into_owned().into(), value.clone().into_owned())
                };
                Value::Object(members.iter().map(owned).collect())
            }
        }
    }
}

/// `same` over the union of the members of two objects.
fn members_equal(a: &[(Cow<'_, str>, Value<'_>)], b: &[(Cow<'_, str>, Value<'_>)]) -> bool {
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
