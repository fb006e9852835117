//! One manifest as one YAML document: sorted keys, whole numbers without a fraction, a header that says where it is from.

use serde::Serialize;
use serde_json::Value;

use crate::Error;

/// `manifest` as the text of a file.
///
/// # Errors
/// If it cannot be serialised.
pub(crate) fn document<T: Serialize>(origin: &'static str, manifest: &T) -> Result<String, Error> {
    let mut value = serde_json::to_value(manifest).map_err(|source| Error::Render { origin, source: source.into() })?;
    whole_numbers(&mut value);
    let text = serde_saphyr::to_string(&value).map_err(|source| Error::Render { origin, source: source.into() })?;
    Ok(format!(
        "# Rendered from {origin} by `cargo run -p statusguard-manifests -- --write`: change the code, not this file.\n\
         {text}"
    ))
}

/// Limits in schemas are floating-point numbers to the types, whole numbers to a reader.
fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(float) = number.as_f64().filter(|_| number.is_f64())
                && float.fract() == 0.0
                && float.abs() < 1e15
            {
                #[allow(clippy::cast_possible_truncation, reason = "the value is whole and fits")]
                let whole = float as i64;
                *value = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
