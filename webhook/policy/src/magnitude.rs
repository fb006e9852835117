//! What values weigh: numbers and times that are compared, and sums.

use std::cmp::Ordering;

use crate::budget::{HeldMemory, Unfinished};
use crate::number::Decimal;
use crate::path::Path;
use crate::rules::Term;
use crate::sum::ExactSum;
use crate::time::Instant;
use crate::value::Value;

/// What a value weighs in a monotone rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Magnitude<'v> {
    /// Unset: zero of any type.
    Zero,
    Number(Decimal<'v>),
    /// Seconds since 1970.
    Time(i64),
    Malformed,
}

impl<'v> Magnitude<'v> {
    pub(crate) fn of(value: &'v Value<'_>) -> Self {
        match value {
            value if value.is_unset() => Magnitude::Zero,
            Value::Number(text) => Magnitude::Number(Decimal::of_json(text)),
            Value::String(text) => match (Decimal::of_digits(text), Instant::parse(text)) {
                (Some(number), _) => Magnitude::Number(number),
                (None, Some(instant)) => Magnitude::Time(instant.seconds),
                (None, None) => Magnitude::Malformed,
            },
            _ => Magnitude::Malformed,
        }
    }

    /// `None` for a number against a time. Every time is above zero.
    pub(crate) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Magnitude::Zero, Magnitude::Zero) => Some(Ordering::Equal),
            (Magnitude::Zero, Magnitude::Number(n)) => Some(Decimal::ZERO.cmp(&n)),
            (Magnitude::Number(n), Magnitude::Zero) => Some(n.cmp(&Decimal::ZERO)),
            (Magnitude::Number(a), Magnitude::Number(b)) => Some(a.cmp(&b)),
            (Magnitude::Zero, Magnitude::Time(_)) => Some(Ordering::Less),
            (Magnitude::Time(_), Magnitude::Zero) => Some(Ordering::Greater),
            (Magnitude::Time(a), Magnitude::Time(b)) => Some(a.cmp(&b)),
            _ => None,
        }
    }

    pub(crate) fn is_zero(self) -> bool {
        match self {
            Magnitude::Zero => true,
            Magnitude::Number(number) => number.is_zero(),
            Magnitude::Time(_) | Magnitude::Malformed => false,
        }
    }

    /// Whether this is above a bound; a bound that is not a number counts as zero.
    pub(crate) fn above(self, bound: &Value<'_>) -> bool {
        let bound = match bound {
            Value::Number(text) => Decimal::of_json(text),
            _ => Decimal::ZERO,
        };
        match self {
            Magnitude::Zero => Decimal::ZERO > bound,
            Magnitude::Number(number) => number > bound,
            Magnitude::Time(_) => true,
            Magnitude::Malformed => false,
        }
    }
}

/// Whether a witness moved on.
pub(crate) fn advanced(old: &Value<'_>, new: &Value<'_>) -> bool {
    if new.is_unset() {
        return false;
    }
    if old.is_unset() {
        return true;
    }
    if let (Value::List(old), Value::List(new)) = (old, new) {
        return new.len() > old.len();
    }
    match (Magnitude::of(old), Magnitude::of(new)) {
        (Magnitude::Malformed, _) | (_, Magnitude::Malformed) => false,
        (old, new) => new.compare(old) == Some(Ordering::Greater),
    }
}

impl Term {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Term::Number(path) | Term::Length(path) => path,
        }
    }
}

/// Bytes that sums take for each digit of a long number: measured, with what comparing them takes.
const SUM_PER_DIGIT: usize = 9;

pub(crate) fn sum(terms: &[Term], item: &Value<'_>, held: &mut HeldMemory<'_>) -> Result<ExactSum, Unfinished> {
    let mut sum = ExactSum::default();
    for term in terms {
        match (term, term.path().of(item)) {
            (Term::Length(_), Value::List(items)) => sum.add_count(items.len()),
            (Term::Length(_), Value::Object(members)) => {
                sum.add_count(members.iter().filter(|(_, value)| !value.is_unset()).count());
            }
            (Term::Length(_), _) => {}
            (Term::Number(_), value) => {
                if let Magnitude::Number(number) = Magnitude::of(value) {
                    if number.as_small().is_none() {
                        held.take(SUM_PER_DIGIT * value.text_size())?;
                    }
                    sum.add(&number);
                }
            }
        }
    }
    Ok(sum)
}

/// The terms of one side, as the policy writes them.
pub(crate) fn terms(side: &[Term]) -> String {
    let terms: Vec<String> = side
        .iter()
        .map(|term| match term {
            Term::Number(path) => path.to_string(),
            Term::Length(path) => format!("len({path})"),
        })
        .collect();
    if terms.is_empty() { "0".into() } else { terms.join(" + ") }
}
