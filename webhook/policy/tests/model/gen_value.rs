//! Random values, and the same values in other words.

use super::choices::Choices;
use super::decimal::Decimal;
use super::reading::unset;
use super::value::Val;

const ZERO_FORMS: [&str; 9] = ["null", "''", "0", "false", "[]", "{}", "{a: null}", "-0.0e9", "{a: {b: 0}}"];
/// Values that few rules can read.
pub(crate) const ODD: [&str; 8] =
    ["true", "'abc'", "[1]", "{a: 1}", "'-2'", "'1.5'", "[null]", "'2024-01-01T00:00:00z'"];

/// Puts a value at a path, making objects on the way.
pub(crate) fn set_path(root: &mut Val, path: &str, value: Val) {
    let names: Vec<&str> = path.split('.').filter(|name| !name.is_empty()).collect();
    match names.split_first() {
        None => *root = value,
        Some((name, rest)) => {
            let mut member = root.at(name).clone();
            set_path(&mut member, &rest.join("."), value);
            root.set(name, member);
        }
    }
}

/// Some unset value.
pub(crate) fn zero(choices: &mut Choices) -> Val {
    Val::parse(choices.word(&ZERO_FORMS))
}

/// A number in one of its spellings.
pub(crate) fn spelled(number: i64, choices: &mut Choices) -> Val {
    Val::Num(match choices.below(8) {
        0 => format!("{number}.0"),
        1 => format!("{number}e0"),
        2 if number != 0 => format!("{number}0E-1"),
        3 => format!("{number}.00e+0"),
        _ => number.to_string(),
    })
}

/// One of a few instants around the end of a February, in one of its spellings.
pub(crate) fn time(choices: &mut Choices) -> Val {
    let second = choices.below(5);
    Val::Str(match choices.below(7) {
        0 => format!("2024-03-01T01:00:0{second}+01:00"),
        1 => format!("2024-02-29T22:30:0{second}-01:30"),
        2 => format!("2024-03-01T00:00:0{second}.5Z"),
        3 => format!("2024-03-01T00:00:0{second}.{}Z", ["50", "25", "5000000000001"][choices.below(3)]),
        _ => format!("2024-03-01T00:00:0{second}Z"),
    })
}

/// Anything, nested so deep at most.
pub(crate) fn any(choices: &mut Choices, depth: usize) -> Val {
    match choices.below(if depth == 0 { 8 } else { 12 }) {
        0 | 1 => zero(choices),
        2 => Val::str(choices.word(&["a", "b", "1", "01", "0", "\"\\\u{1}é"])),
        3 | 4 => {
            let number = i64::try_from(choices.below(4)).unwrap_or(0);
            spelled(number, choices)
        }
        5 => time(choices),
        6 => Val::Bool(true),
        7 => Val::parse(choices.word(&["-1", "1e30", "1.5", "100000000000000000001"])),
        8 | 9 => Val::List((0..choices.below(3)).map(|_| any(choices, depth - 1)).collect()),
        _ => {
            let mut map = Val::map(vec![]);
            for name in ["a", "b", "name"] {
                if choices.percent(50) {
                    map.set(name, any(choices, depth - 1));
                }
            }
            map
        }
    }
}

/// The same value in other words.
pub(crate) fn respell(value: &Val, choices: &mut Choices) -> Val {
    if unset(value) {
        return zero(choices);
    }
    match value {
        Val::Num(text) => match Decimal::parse(text).as_small() {
            Some(number) => spelled(number, choices),
            None => value.clone(),
        },
        Val::Str(text) => match text.strip_prefix("2024-03-01T00:00:0").and_then(|t| t.strip_suffix('Z')) {
            Some(second) if choices.percent(50) => Val::Str(format!("2024-03-01T05:00:0{second}+05:00")),
            _ => value.clone(),
        },
        Val::List(items) => Val::List(items.iter().map(|i| respell(i, choices)).collect()),
        Val::Map(members) => {
            let mut map = Val::Map(members.iter().map(|(k, v)| (k.clone(), respell(v, choices))).collect());
            if choices.percent(20) {
                map.set("unset", zero(choices));
            }
            map
        }
        _ => value.clone(),
    }
}
