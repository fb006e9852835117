//! CustomResourceDefinitions from files.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use statusguard_policy::{Problem, Severity, is_core, nearest};

use crate::document::{self, Error};
use crate::output;

/// CustomResourceDefinitions, and where they are from.
pub struct Crds {
    file: PathBuf,
    found: Vec<Json>,
}

impl Crds {
    /// Reads those of a file, also those inside lists.
    pub fn read(file: &Path) -> Result<Self, Error> {
        Self::read_all(&[file.into()])
    }

    /// Reads those of files and of folders, where other things may lie beside them.
    pub fn read_all(names: &[PathBuf]) -> Result<Self, Error> {
        let mut crds = Self { file: names.first().cloned().unwrap_or_default(), found: Vec::new() };
        for name in names {
            let before = crds.found.len();
            for file in document::files(name, true)? {
                crds.add(&file)?;
            }
            if crds.found.len() == before {
                return Err(Error::unfit(name, "no CustomResourceDefinition in it", "give the file of a CRD"));
            }
        }
        Ok(crds)
    }

    fn add(&mut self, file: &Path) -> Result<(), Error> {
        for document in document::read(file)? {
            let mut json =
                document::json(&document).map_err(|error| Error::unfit(file, error.to_string(), "give a CRD"))?;
            let items = match json["items"].as_array_mut() {
                Some(items) => std::mem::take(items),
                None => vec![json],
            };
            for crd in items.into_iter().filter(|item| item["kind"] == "CustomResourceDefinition") {
                let version = text(&crd["apiVersion"]);
                if version == "apiextensions.k8s.io/v1beta1" {
                    let name = text(&crd["metadata"]["name"]);
                    let reason = format!("`{name}` is a CRD of {version}, which is not read");
                    let hint = format!("give it as v1: `kubectl get crd {name} -o yaml` prints that");
                    return Err(Error::unfit(file, reason, hint));
                }
                self.found.push(crd);
            }
        }
        Ok(())
    }

    /// The only one, or the one of a kind.
    pub fn one(self, kind: Option<&str>) -> Result<Json, Error> {
        let Self { file, found } = self;
        let kinds: Vec<String> = found.iter().map(|crd| text(&crd["spec"]["names"]["kind"])).collect();
        let mut matching = found.into_iter().filter(|crd| kind.is_none_or(|kind| crd["spec"]["names"]["kind"] == kind));
        match (matching.next(), matching.next()) {
            (Some(crd), None) => Ok(crd),
            (None, _) => {
                let reason = format!("no CustomResourceDefinition of kind {}", kind.unwrap_or_default());
                Err(Error::unfit(&file, reason, format!("the file holds: {}", kinds.join(", "))))
            }
            (Some(_), Some(_)) => {
                let hint = format!("choose with --kind: {}", kinds.join(", "));
                Err(Error::unfit(&file, "several CustomResourceDefinitions", hint))
            }
        }
    }

    /// The CRD of a policy's target, or why there is none; Kubernetes' own kinds have none. A target may name it in another way than by its plural; that is
    /// for the policy's compiler to report.
    pub fn of_target(&self, policy: &Json) -> Result<Option<&Json>, Problem> {
        let target = &policy["spec"]["target"];
        let (Some(group), Some(resource)) = (target["group"].as_str(), target["resource"].as_str()) else {
            return Err(unmatched("not compared with a CRD", "correct the target first"));
        };
        let of_group = || self.found.iter().filter(|crd| crd["spec"]["group"] == group);
        let is_plural = |crd: &&Json| crd["spec"]["names"]["plural"] == resource;
        let found = of_group().find(is_plural);
        if let Some(crd) = found.or_else(|| of_group().find(|crd| is_called(&crd["spec"]["names"], resource))) {
            return Ok(Some(crd));
        }
        let wanted = if group.is_empty() { resource.into() } else { format!("{resource}.{group}") };
        if is_core(group) {
            output::remark(&format!("{wanted} is one of Kubernetes' own kinds, which have no CRD: not compared"));
            return Ok(None);
        }
        let full = |crd: &Json| format!("{}.{}", text(&crd["spec"]["names"]["plural"]), text(&crd["spec"]["group"]));
        let known = self.found.iter().map(full).collect::<Vec<_>>();
        let hint = match nearest(&wanted, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name the file of that CRD with --crd".into(),
        };
        Err(unmatched(&format!("not compared with a schema: {} has no CRD of {wanted}", self.file.display()), &hint))
    }
}

fn unmatched(message: &str, hint: &str) -> Problem {
    Problem::new(Severity::Warning, "spec.target", message, hint)
}

/// Whether a kind is called so, in any case and by any of its names.
fn is_called(names: &Json, name: &str) -> bool {
    let is = |other: &Json| other.as_str().is_some_and(|other| other.eq_ignore_ascii_case(name));
    let short = names["shortNames"].as_array().into_iter().flatten();
    ["plural", "kind", "singular", "listKind"].iter().map(|key| &names[key]).chain(short).any(is)
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
