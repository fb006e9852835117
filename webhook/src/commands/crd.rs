//! CustomResourceDefinitions from files.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use statusguard_policy::{Problem, Severity};

use crate::document::{self, Error};

/// The CustomResourceDefinitions of a file.
pub struct Crds {
    file: PathBuf,
    found: Vec<Json>,
}

impl Crds {
    /// Reads them, also those inside lists.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let mut found = Vec::new();
        for document in document::read(file)? {
            let json =
                document::json(&document).map_err(|error| Error::unfit(file, error.to_string(), "give a CRD"))?;
            let items = match json["items"].as_array() {
                Some(items) => items.clone(),
                None => vec![json],
            };
            found.extend(items.into_iter().filter(|item| item["kind"] == "CustomResourceDefinition"));
        }
        if found.is_empty() {
            return Err(Error::unfit(file, "no CustomResourceDefinition in it", "give the file of a CRD"));
        }
        Ok(Self { file: file.into(), found })
    }

    /// All of them.
    pub fn into_found(self) -> Vec<Json> {
        self.found
    }

    /// The schema of the objects that a policy speaks of, or why there is none.
    pub fn schema_of(&self, policy: &Json) -> Result<&Json, Problem> {
        let target = &policy["spec"]["target"];
        let (Some(group), Some(resource), Some(version)) =
            (target["group"].as_str(), target["resource"].as_str(), target["version"].as_str())
        else {
            return Err(problem(Severity::Warning, "not compared with a CRD", "mend the target first"));
        };
        let file = self.file.display();
        let is_target = |crd: &&Json| crd["spec"]["group"] == group && crd["spec"]["names"]["plural"] == resource;
        let Some(crd) = self.found.iter().find(is_target) else {
            return Err(problem(
                Severity::Warning,
                &format!("not compared with a schema: {file} has no CRD of {resource}.{group}"),
                "name the file of that CRD with --crd",
            ));
        };
        let versions = versions(crd);
        match versions.iter().find(|candidate| candidate["name"] == version) {
            Some(found) => Ok(&found["schema"]["openAPIV3Schema"]),
            None => Err(problem(
                Severity::Error,
                &format!("the CRD of {resource}.{group} in {file} has no version `{version}`"),
                &format!("name one of {}", names(versions)),
            )),
        }
    }
}

fn problem(severity: Severity, message: &str, hint: &str) -> Problem {
    Problem { severity, path: "spec.target".into(), message: message.into(), hint: hint.into() }
}

/// The versions of a CRD.
pub fn versions(crd: &Json) -> &[Json] {
    crd["spec"]["versions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Their names, as a list in a sentence.
pub fn names(versions: &[Json]) -> String {
    versions.iter().map(|version| text(&version["name"])).collect::<Vec<_>>().join(", ")
}

/// The string, or nothing.
pub fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().into()
}
