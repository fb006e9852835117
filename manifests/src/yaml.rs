//! One manifest as one YAML document: sorted keys, whole numbers without a fraction, a header that says where it is from.

use serde::Serialize;
use serde_json::Value;

use crate::Error;

/// `manifest` as the text of a file.
///
/// # Errors
/// If it cannot be serialised.
pub(crate) fn document<T: Serialize>(origin: &'static str, manifest: &T) -> Result<String, Error> {
    let text = text(manifest).map_err(|source| Error::Render { origin, source })?;
    Ok(format!(
        "# Rendered from {origin} by `cargo run -p statusguard-manifests -- write`: change the code, not this file.\n\
         {text}"
    ))
}

/// The same without the header.
pub(crate) fn text<T: Serialize>(manifest: &T) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let mut value = serde_json::to_value(manifest)?;
    whole_numbers(&mut value);
    Ok(serde_saphyr::to_string(&value)?)
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
