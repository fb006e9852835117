//! JSON values compared as the API server stores them: numbers by value, members in any order.

use serde_json::{Number, Value};

/// Whether two values say the same: the API server stores the float 1.0 as the integer 1.
pub(crate) fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || number(one) == number(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let same = |(name, one)| other.get(name).is_some_and(|other| alike(one, other));
            one.len() == other.len() && one.iter().all(same)
        }
        (one, other) => one == other,
    }
}

/// One JSON text for all values that are alike, to find them by hash.
pub(crate) fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(value) => text.push_str(&number(value)),
        Value::Array(entries) => {
            text.push('[');
            for (index, entry) in entries.iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                write_canonical(entry, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                text.push_str(if index > 0 { "," } else { "" });
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

fn number(value: &Number) -> String {
    match value.as_f64().filter(|_| value.is_f64()) {
        // From 1e17 on a float is not written out in digits.
        Some(float) if float.fract() == 0.0 && float.abs() < 1e17 => format!("{:.0}", float + 0.0),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_compare_by_value_and_exactly() {
        for (one, other, same) in [
            (json!(1.0), json!(1), true),
            (json!([{"a": -2.0, "b": 0.5}]), json!([{"b": 0.5, "a": -2}]), true),
            (json!(0.0), json!(-0.0), true),
            (json!(9_223_372_036_854_775_809_u64), json!(9_223_372_036_854_775_808.0), false),
            (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992.0), false),
            (json!(1), json!("1"), false),
            (json!({"a": null}), json!({}), false),
        ] {
            assert_eq!(alike(&one, &other), same, "{one} {other}");
            assert_eq!(canonical(&one) == canonical(&other), same, "{one} {other}");
        }
    }
}
