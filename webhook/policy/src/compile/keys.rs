//! The keys that the objects of a policy may have.

use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use crate::near::meant;
use crate::spec::StatusPolicySpec;

/// The keys of a policy's spec, as its CRD declares them.
pub(super) struct SpecKeys(Json);

impl SpecKeys {
    pub(super) fn new() -> Self {
        let mut settings = SchemaSettings::openapi3();
        settings.inline_subschemas = true;
        Self(settings.into_generator().into_root_schema_for::<StatusPolicySpec>().to_value())
    }

    /// What to do about an unknown key at a path, such as `spec.monotone[0].odd`.
    pub(super) fn hint(&self, path: &str) -> String {
        let (around, key) = path.rsplit_once('.').unwrap_or_default();
        let keys: Vec<&str> = self.keys_at(around).unwrap_or_default();
        meant(key, keys.iter().copied(), || match keys.is_empty() {
            true => "check the spelling against the schema (names are camelCase)".into(),
            false => format!("the keys here are {}", keys.join(", ")),
        })
    }

    /// The keys of the object at a path.
    fn keys_at(&self, path: &str) -> Option<Vec<&str>> {
        let (mut schema, mut in_entry) = (&self.0, false);
        for name in path.split('.').skip(1) {
            let name = name.split('[').next().unwrap_or_default();
            in_entry = name == "each";
            // The rules of an entry are those of the whole, which the CRD cannot say.
            schema = if in_entry { &self.0 } else { &schema["properties"][name] };
            schema = schema.get("items").unwrap_or(schema);
            // Optional ones.
            schema = schema["anyOf"].get(0).unwrap_or(schema);
        }
        let keys = schema["properties"].as_object()?.keys().map(String::as_str);
        let rules = ["phases", "monotone", "setOnce", "collections", "equal"];
        Some(keys.filter(|key| !in_entry || rules.contains(key)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_is_corrected() {
        let keys = SpecKeys::new();
        for (path, hint) in [
            ("spec.monotne", "did you mean `monotone`?"),
            ("spec.target.subresuorce", "did you mean `subresource`?"),
            ("spec.exempt.user", "did you mean `users`?"),
            ("spec.phases[0].finals", "did you mean `final`?"),
            ("spec.phases[0].transitions[3].form", "did you mean `from`?"),
            ("spec.monotone[0].tozero", "did you mean `toZero`?"),
            ("spec.setOnce[0].resets.wiht", "did you mean `with`?"),
            ("spec.collections[0].each.setonce", "did you mean `setOnce`?"),
            ("spec.collections[0].each.collections[1].each.setOnce[2].requiredin", "did you mean `requiredIn`?"),
            ("spec.equal[0].lefft", "did you mean `left`?"),
            ("spec.equal[0].odd", "the keys here are left, right"),
            ("spec.collections[0].each.targets", "the keys here are collections, equal, monotone, phases, setOnce"),
        ] {
            assert_eq!(keys.hint(path), hint, "{path}");
        }
    }
}
