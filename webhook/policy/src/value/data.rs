//! The value itself, and how its parts are reached.
//!
//! A value takes three words, a member of an object five, and a list or object four more than its parts (`shared.rs`).
//! It borrows from the bytes it was parsed from. Object members are kept sorted by key, so that the order in which
//! they were written cannot matter; of duplicate keys the last one wins, as in the API server.

use super::shared::SharedSlice;
use super::string::Text;
use crate::number::Decimal;

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
    Number(Text<'a>),
    /// A string, unescaped.
    String(Text<'a>),
    /// An array.
    List(SharedSlice<'a, Value<'a>>),
    /// An object: members sorted by key, keys unique.
    Object(SharedSlice<'a, Member<'a>>),
}

/// A member of an object.
pub(super) type Member<'a> = (Text<'a>, Value<'a>);

/// What stands for everything that is absent.
pub(crate) static ABSENT: Value<'static> = Value::Null;

impl<'a> Value<'a> {
    /// Builds a list.
    #[must_use]
    pub fn list(items: Vec<Value<'a>>) -> Self {
        Self::list_from(items.into_iter(), &[])
    }

    /// Builds an object from members in any order; of equal keys the last one wins.
    #[must_use]
    pub fn object(mut members: Vec<(Text<'a>, Value<'a>)>) -> Self {
        if !are_sorted(&members) {
            sort(&mut members, 0);
        }
        let unset = all_unset(&members);
        Self::object_from(members.into_iter(), &[], unset)
    }

    /// A list that was read from `raw`.
    pub(super) fn list_from(items: impl ExactSizeIterator<Item = Value<'a>>, raw: &'a [u8]) -> Self {
        let unset = items.len() == 0;
        Value::List(SharedSlice::new(items, raw, unset))
    }

    /// An object that was read from `raw`, of sorted members.
    pub(super) fn object_from(members: impl ExactSizeIterator<Item = Member<'a>>, raw: &'a [u8], unset: bool) -> Self {
        Value::Object(SharedSlice::new(members, raw, unset))
    }

    /// Whether this counts as not set: `null`, `""`, zero, `false`, `[]`, `{}` and objects of only such.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(text) => Decimal::of_json(text).is_zero(),
            Value::String(text) => text.is_empty(),
            Value::List(items) => items.is_unset(),
            Value::Object(members) => members.is_unset(),
        }
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

    /// The bytes that work on this value is counted by: its JSON text. A list or object that was not parsed counts as one.
    pub(crate) fn size(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 1,
            Value::Number(text) | Value::String(text) => 1 + text.len(),
            Value::List(_) | Value::Object(_) => 1 + self.raw().len(),
        }
    }

    /// The bytes of a number's or a string's text; none for everything else.
    pub(crate) fn text_size(&self) -> usize {
        match self {
            Value::Number(text) | Value::String(text) => text.len(),
            _ => 0,
        }
    }

    /// The members of an object that are set, in the order of their names; none if this is not an object.
    pub(crate) fn set_members(&self) -> impl Iterator<Item = (&str, &Value<'a>)> {
        let members: &[Member<'a>] = match self {
            Value::Object(members) => members,
            _ => &[],
        };
        members.iter().filter(|(_, value)| !value.is_unset()).map(|(name, value)| (&**name, value))
    }

    /// Whether both share the same list or object in memory.
    pub(crate) fn ptr_eq(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::List(a), Value::List(b)) => a.ptr_eq(b),
            (Value::Object(a), Value::Object(b)) => a.ptr_eq(b),
            _ => false,
        }
    }

    /// The member `key`; [`Value::Null`] if there is none or this is not an object.
    #[must_use]
    pub fn get(&self, key: &str) -> &Value<'a> {
        match self {
            Value::Object(members) => {
                members.binary_search_by(|(name, _)| (**name).cmp(key)).map_or(&ABSENT, |index| &members[index].1)
            }
            _ => &ABSENT,
        }
    }

    /// A copy that does not borrow from the text.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(text) => Value::Number(text.into_owned()),
            Value::String(text) => Value::String(text.into_owned()),
            Value::List(items) => Value::list(items.iter().cloned().map(Value::into_owned).collect()),
            Value::Object(members) => {
                let owned = |(key, value): &Member<'_>| (key.clone().into_owned(), value.clone().into_owned());
                Value::object(members.iter().map(owned).collect())
            }
        }
    }
}

/// Whether none of some members is set.
pub(super) fn all_unset(members: &[Member<'_>]) -> bool {
    members.iter().all(|(_, value)| value.is_unset())
}

/// Whether members are in the order of their keys, each once.
fn are_sorted(members: &[Member<'_>]) -> bool {
    members.is_sorted_by(|a, b| comes_before(&a.0, &b.0))
}

/// Whether a key comes before another one. Most are told apart by their first bytes.
pub(super) fn comes_before(key: &str, other: &str) -> bool {
    match (key.as_bytes().first(), other.as_bytes().first()) {
        (Some(first), Some(other)) if first != other => first < other,
        _ => key < other,
    }
}

/// Sorts the members from `first` on by their keys; of equal keys the last one stays. Takes as much memory as they have.
pub(super) fn sort(members: &mut Vec<Member<'_>>, first: usize) {
    let tail = &mut members[first..];
    tail.sort_by(|a, b| a.0.cmp(&b.0));
    if tail.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        let mut tail = members.split_off(first);
        tail.reverse();
        tail.dedup_by(|later, first| later.0 == first.0);
        tail.reverse();
        members.append(&mut tail);
    }
}
