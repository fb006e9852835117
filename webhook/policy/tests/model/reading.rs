//! "Reading values": unset, same, magnitude, advanced, identity.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::decimal::Decimal;
use super::time::Time;
use super::value::{NULL, Val};

/// The value at a path; `.` is the value itself, and what is not in an object is unset.
pub(crate) fn get<'a>(root: &'a Val, path: &str) -> &'a Val {
    let mut value = root;
    for name in path.split('.').filter(|name| !name.is_empty()) {
        value = match value {
            Val::Map(members) => members.get(name).unwrap_or(&NULL),
            _ => &NULL,
        };
    }
    value
}

/// Principle 3.
pub(crate) fn unset(value: &Val) -> bool {
    match value {
        Val::Null => true,
        Val::Bool(b) => !b,
        Val::Num(text) => Decimal::parse(text).is_zero(),
        Val::Str(text) => text.is_empty(),
        Val::List(items) => items.is_empty(),
        Val::Map(members) => members.values().all(unset),
    }
}

/// What times count as equal: rules compare fractions where both have one, identities never.
#[derive(Clone, Copy, PartialEq)]
enum Cut {
    WhereEitherHasNone,
    Always,
}

pub(crate) fn same(a: &Val, b: &Val) -> bool {
    alike(a, b, Cut::WhereEitherHasNone)
}

pub(crate) fn same_identity(a: &Val, b: &Val) -> bool {
    alike(a, b, Cut::Always)
}

fn alike(a: &Val, b: &Val, cut: Cut) -> bool {
    if unset(a) || unset(b) {
        return unset(a) && unset(b);
    }
    match (a, b) {
        (Val::Map(x), Val::Map(y)) => {
            let names: BTreeSet<&String> = x.keys().chain(y.keys()).collect();
            names.into_iter().all(|name| alike(a.at(name), b.at(name), cut))
        }
        (Val::List(x), Val::List(y)) => x.len() == y.len() && x.iter().zip(y).all(|(v, w)| alike(v, w, cut)),
        (Val::Num(x), Val::Num(y)) => Decimal::parse(x).compare(&Decimal::parse(y)) == Ordering::Equal,
        (Val::Str(x), Val::Str(y)) => match (Time::parse(x), Time::parse(y)) {
            (Some(s), Some(t)) if cut == Cut::Always => s.seconds == t.seconds,
            (Some(s), Some(t)) => s.same(&t),
            _ => x == y,
        },
        _ => a == b,
    }
}

/// What counts when values are compared by size.
#[derive(Clone, Debug)]
pub(crate) enum Magnitude {
    /// Unset: the zero of numbers and of times.
    Zero,
    Number(Decimal),
    /// Seconds.
    Time(i64),
    Malformed,
}

pub(crate) fn magnitude(value: &Val) -> Magnitude {
    if unset(value) {
        return Magnitude::Zero;
    }
    match value {
        Val::Num(text) => Magnitude::Number(Decimal::parse(text)),
        Val::Str(text) if text.bytes().all(|b| b.is_ascii_digit()) => Magnitude::Number(Decimal::parse(text)),
        Val::Str(text) => Time::parse(text).map_or(Magnitude::Malformed, |t| Magnitude::Time(t.seconds)),
        _ => Magnitude::Malformed,
    }
}

impl Magnitude {
    pub(crate) fn malformed(&self) -> bool {
        matches!(self, Magnitude::Malformed)
    }

    /// How two magnitudes compare; a number and a time do not.
    pub(crate) fn compare(&self, other: &Magnitude) -> Option<Ordering> {
        match (self, other) {
            (Magnitude::Zero, Magnitude::Zero) => Some(Ordering::Equal),
            (Magnitude::Zero, Magnitude::Number(n)) => Some(Decimal::zero().compare(n)),
            (Magnitude::Number(n), Magnitude::Zero) => Some(n.compare(&Decimal::zero())),
            (Magnitude::Number(a), Magnitude::Number(b)) => Some(a.compare(b)),
            (Magnitude::Zero, Magnitude::Time(_)) => Some(Ordering::Less),
            (Magnitude::Time(_), Magnitude::Zero) => Some(Ordering::Greater),
            (Magnitude::Time(a), Magnitude::Time(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        match self {
            Magnitude::Zero => true,
            Magnitude::Number(n) => n.is_zero(),
            _ => false,
        }
    }

    /// A time is above every bound.
    pub(crate) fn above(&self, bound: &Decimal) -> bool {
        match self {
            Magnitude::Zero => Decimal::zero().compare(bound) == Ordering::Greater,
            Magnitude::Number(n) => n.compare(bound) == Ordering::Greater,
            Magnitude::Time(_) => true,
            Magnitude::Malformed => false,
        }
    }
}

/// The bound that `atMost: .metadata.generation` means on this object.
pub(crate) fn generation(object: &Val) -> Decimal {
    match get(object, ".metadata.generation") {
        Val::Num(text) => Decimal::parse(text),
        _ => Decimal::zero(),
    }
}

pub(crate) fn advanced(o: &Val, n: &Val) -> bool {
    if unset(n) {
        return false;
    }
    if unset(o) {
        return true;
    }
    if let (Val::List(a), Val::List(b)) = (o, n) {
        return b.len() > a.len();
    }
    magnitude(n).compare(&magnitude(o)) == Some(Ordering::Greater)
}

/// A value that is there, but of a type that no collection has.
pub(crate) fn no_collection(value: &Val) -> bool {
    !unset(value) && !matches!(value, Val::List(_) | Val::Map(_))
}

/// Entries: every list item, set or not; map values that are set.
pub(crate) fn len(value: &Val) -> usize {
    match value {
        Val::List(items) => items.len(),
        Val::Map(members) => members.values().filter(|v| !unset(v)).count(),
        _ => 0,
    }
}

/// The identity of a list's entry.
pub(crate) fn identity(key: Option<&[String]>, item: &Val) -> Val {
    match key {
        Some(names) => Val::List(names.iter().map(|name| item.at(name).clone()).collect()),
        None => item.clone(),
    }
}

/// One side of `equal`.
pub(crate) fn sum(root: &Val, terms: &Val) -> Decimal {
    let mut total = Decimal::zero();
    for term in terms.words() {
        let value = match term.strip_prefix("len(").and_then(|t| t.strip_suffix(')')) {
            Some(path) => Decimal::from_usize(len(get(root, path))),
            None => match magnitude(get(root, &term)) {
                Magnitude::Number(n) => n,
                _ => Decimal::zero(),
            },
        };
        total = total.plus(&value);
    }
    total
}
