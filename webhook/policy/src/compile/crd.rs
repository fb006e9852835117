//! A policy's target beside its CRD.

use serde_json::Value as Json;

use super::compiler::Compiler;
use super::schema::Schema;
use crate::shown::cut;
use crate::spec;

/// Characters of a list of versions that a hint shows.
const SHOWN_NAMES: usize = 160;

impl<'c> Compiler<'c> {
    /// Compares the target with its CRD, and gives the schema of the status, as far as it is known.
    pub(super) fn definition(&mut self, target: &spec::Target, crd: &'c Json) -> Schema<'c> {
        let spec = &crd["spec"];
        if self.unread("spec.target") || self.unread("spec.target.version") {
            return Schema::Open;
        }
        if spec["group"] != *target.group {
            self.error(
                "spec.target.group",
                format!("the CRD is of the group `{}`", text(&spec["group"])),
                "name this group, or give the CRD of the target",
            );
            return Schema::Open;
        }
        let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let Some(version) = versions.iter().find(|version| version["name"] == *target.version) else {
            let names: Vec<&str> = versions.iter().map(|version| text(&version["name"])).collect();
            let hint = format!("name one of {}", cut(&names.join(", "), SHOWN_NAMES));
            self.error("spec.target.version", format!("the CRD has no version `{}`", target.version), hint);
            return Schema::Open;
        };
        self.served(&target.version, version, versions);
        self.subresource(target, version);
        if spec["preserveUnknownFields"] == true {
            return Schema::Open;
        }
        let root =
            version.get("schema").and_then(|schema| schema.get("openAPIV3Schema")).map_or(Schema::Open, Schema::Of);
        root.member("status").unwrap_or_else(|| {
            let hint = "the API server removes it from every object; name another version, or correct the CRD";
            self.error("spec.target", "the CRD's schema has no `.status`", hint);
            Schema::Open
        })
    }

    fn served(&mut self, name: &str, version: &Json, versions: &[Json]) {
        let that = |is: &str| versions.iter().find(|version| version[is] == true).map(|version| text(&version["name"]));
        if version["served"] == false {
            let hint = match that("served") {
                Some(other) => format!("name one that is, such as `{other}`"),
                None => "the API server has no object of this kind".into(),
            };
            self.error("spec.target.version", format!("the version `{name}` is not served"), hint);
        } else if let (false, Some(stored)) = (version["storage"] == true, that("storage")) {
            self.warning(
                "spec.target.version",
                format!("`{name}` is not the version that is stored, `{stored}`"),
                format!("name `{stored}`, unless its status has other fields: every write is converted to the version named here"),
            );
        }
    }

    fn subresource(&mut self, target: &spec::Target, version: &Json) {
        let has = version["subresources"].get("status").is_some_and(|status| !status.is_null());
        // A default is not in the document; then this names the target.
        match (target.subresource.as_str(), has) {
            ("status", false) => self.error(
                "spec.target.subresource",
                format!("the CRD has no status subresource in version `{}`, so nothing is ever written to it", target.version),
                "say `subresource: \"\"` to guard writes to the object itself, or add `subresources: { status: {} }` to the CRD",
            ),
            ("", true) => self.warning(
                "spec.target.subresource",
                "the CRD has a status subresource: writes to the object itself do not change its status",
                "leave `subresource` out to guard the writes to the status",
            ),
            _ => {}
        }
    }
}

/// The plural that the CRD at hand gives the target's resource, if that is called by another of its names.
pub(super) fn plural<'c>(target: &spec::Target, crd: &'c Json) -> Option<&'c str> {
    let names = &crd["spec"]["names"];
    let plural = names["plural"].as_str()?;
    let group = crd["spec"]["group"] == *target.group;
    (group && plural != target.resource).then_some(plural)
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}
