//! The version of a CRD that a policy is written for.

use std::path::Path;

use serde_json::Value as Json;

use crate::commands::crd::{Crds, text};
use crate::document::Error;

/// One version of a CRD.
pub struct CrdVersion {
    pub group: String,
    pub resource: String,
    pub kind: String,
    pub version: String,
    /// Whether it has a status subresource.
    pub subresource: bool,
    /// Whether the whole kind keeps fields that its schema does not list.
    pub keeps_unknown: bool,
    pub columns: PrinterColumns,
    schema: Json,
}

impl CrdVersion {
    /// Chooses a kind and a version from a file.
    pub fn read(file: &Path, kind: Option<&str>, version: Option<&str>) -> Result<Self, Error> {
        let crd = one(file, Crds::read(file)?.into_found(), kind)?;
        let spec = &crd["spec"];
        let versions = versions(spec);
        let chosen = chosen(&versions, version).map_err(|reason| {
            let served = versions.iter().filter(|version| is_served(version));
            let names: Vec<String> = served.map(|version| text(&version["name"])).collect();
            Error::unfit(file, reason, format!("choose with --version {}", names.join("|")))
        })?;
        Ok(Self {
            group: text(&spec["group"]),
            resource: text(&spec["names"]["plural"]),
            kind: text(&spec["names"]["kind"]),
            version: text(&chosen["name"]),
            subresource: !chosen["subresources"]["status"].is_null(),
            keeps_unknown: spec["preserveUnknownFields"]
                .as_bool()
                .unwrap_or(crd["apiVersion"] == "apiextensions.k8s.io/v1beta1"),
            columns: PrinterColumns::of(&chosen["additionalPrinterColumns"]),
            schema: chosen["schema"]["openAPIV3Schema"].clone(),
        })
    }

    /// The schema of `.status`.
    pub fn status(&self) -> &Json {
        &self.schema["properties"]["status"]
    }
}

/// The only CRD, or the one that `kind` names by its kind or its whole name.
fn one(file: &Path, crds: Vec<Json>, kind: Option<&str>) -> Result<Json, Error> {
    let kind_of = |crd: &Json| text(&crd["spec"]["names"]["kind"]);
    let name_of = |crd: &Json| format!("{}.{}", text(&crd["spec"]["names"]["plural"]), text(&crd["spec"]["group"]));
    let is_meant = |crd: &Json| kind.is_none_or(|kind| kind_of(crd) == kind || name_of(crd) == kind);
    let (mut meant, others): (Vec<Json>, Vec<Json>) = crds.into_iter().partition(is_meant);
    let choice = |crds: &[Json]| {
        let mut kinds: Vec<String> = crds.iter().map(kind_of).collect();
        kinds.sort();
        kinds.dedup();
        // Kinds of one name are told apart by their groups.
        let names = if kinds.len() == crds.len() { kinds } else { crds.iter().map(name_of).collect() };
        format!("choose with --kind {}", names.join("|"))
    };
    match (meant.pop(), meant.len()) {
        (Some(crd), 0) => Ok(crd),
        (None, _) => {
            let reason = format!("no CustomResourceDefinition of kind {}", kind.unwrap_or_default());
            Err(Error::unfit(file, reason, choice(&others)))
        }
        (Some(crd), _) => {
            meant.push(crd);
            Err(Error::unfit(file, format!("{} CustomResourceDefinitions", meant.len()), choice(&meant)))
        }
    }
}

/// The versions, each with what `apiextensions.k8s.io/v1beta1` may say once for all of them.
fn versions(spec: &Json) -> Vec<Json> {
    let mut versions = spec["versions"].as_array().cloned().unwrap_or_default();
    if versions.is_empty() && spec["version"].is_string() {
        versions.push(serde_json::json!({ "name": spec["version"], "served": true, "storage": true }));
    }
    for version in versions.iter_mut().filter(|version| version.is_object()) {
        for (field, common) in [
            ("schema", "validation"),
            ("subresources", "subresources"),
            ("additionalPrinterColumns", "additionalPrinterColumns"),
        ] {
            if version[field].is_null() {
                version[field] = spec[common].clone();
            }
        }
    }
    versions
}

fn is_served(version: &Json) -> bool {
    version["served"] != false
}

/// The version of a name, else the stored one if it is served, else the first that is served.
fn chosen<'v>(versions: &'v [Json], name: Option<&str>) -> Result<&'v Json, String> {
    let mut served = versions.iter().filter(|version| is_served(version));
    match name {
        Some(name) if versions.iter().all(|version| version["name"] != name) => Err(format!("no version {name}")),
        Some(name) => {
            served.find(|version| version["name"] == name).ok_or_else(|| format!("version {name} is not served"))
        }
        None => {
            let served: Vec<&Json> = served.collect();
            let stored = served.iter().find(|version| version["storage"] == true);
            stored.or(served.first()).copied().ok_or_else(|| "no version is served".into())
        }
    }
}

/// What the columns of `kubectl get` show of a status.
#[derive(Default)]
pub struct PrinterColumns {
    /// Path and name of those that show a field.
    fields: Vec<(String, String)>,
    /// Types of the conditions that the others show.
    pub conditions: Vec<String>,
}

impl PrinterColumns {
    fn of(columns: &Json) -> Self {
        let mut found = Self::default();
        for column in columns.as_array().into_iter().flatten() {
            // `JSONPath` in apiextensions.k8s.io/v1beta1.
            let Some(path) = column["jsonPath"].as_str().or(column["JSONPath"].as_str()) else { continue };
            match path.strip_prefix(".status.conditions[?(@.type==") {
                Some(rest) => {
                    let name = rest.trim_start_matches(['"', '\'', '\\']);
                    let end = name.find(['"', '\'', '\\']).unwrap_or(name.len());
                    if !found.conditions.iter().any(|other| other == &name[..end]) {
                        found.conditions.push(name[..end].into());
                    }
                }
                None => found.fields.push((path.into(), text(&column["name"]))),
            }
        }
        found
    }

    /// The name of the column that shows the field at a path.
    pub fn name(&self, path: &str) -> Option<&str> {
        self.fields.iter().find(|(shown, _)| shown == path).map(|(_, name)| name.as_str())
    }
}
