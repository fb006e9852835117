//! CustomResourceDefinitions from files.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use statusguard_policy::{Problem, Severity, is_core, nearest};

use crate::document::{self, Error};
use crate::output;

/// CustomResourceDefinitions, and where they are from.
pub struct Crds {
    /// The files and folders that were named.
    names: Vec<PathBuf>,
    /// Each with its file.
    found: Vec<(PathBuf, Json)>,
}

impl Crds {
    /// Reads those of a file, also those inside lists.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let mut crds = Self { names: vec![file.into()], found: Vec::new() };
        crds.add(file)?;
        if crds.found.is_empty() {
            return Err(Error::unfit(file, "no CustomResourceDefinition in it", "give the file of a CRD"));
        }
        Ok(crds)
    }

    /// Reads those of files and of folders, where other things may lie beside them. All are of v1, as the compiler knows it.
    pub fn read_all(names: &[PathBuf]) -> Result<Self, Error> {
        let mut crds = Self { names: names.to_vec(), found: Vec::new() };
        for name in names {
            let before = crds.found.len();
            for file in document::files(name, true)? {
                crds.add(&file)?;
            }
            if crds.found.len() == before {
                return Err(Error::unfit(name, "no CustomResourceDefinition in it", "give the file of a CRD"));
            }
        }
        for (file, crd) in &crds.found {
            let version = text(&crd["apiVersion"]);
            if !["", "apiextensions.k8s.io/v1"].contains(&&*version) {
                let name = text(&crd["metadata"]["name"]);
                let reason = format!("`{name}` is a CRD of {version}, which is not read");
                let hint = format!("give it as v1: `kubectl get crd {name} -o yaml` prints that");
                return Err(Error::unfit(file, reason, hint));
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
                self.found.push((file.into(), crd));
            }
        }
        Ok(())
    }

    /// All of them.
    pub fn into_found(self) -> Vec<Json> {
        self.found.into_iter().map(|(_, crd)| crd).collect()
    }

    /// The CRD of a policy's target, and what is to be said of it; Kubernetes' own kinds have none. A target may name it in
    /// another way than by its plural; that is for the policy's compiler to report.
    pub fn of_target(&self, policy: &Json) -> (Option<&Json>, Option<Problem>) {
        let target = &policy["spec"]["target"];
        let (Some(group), Some(resource)) = (target["group"].as_str(), target["resource"].as_str()) else {
            return (None, Some(unmatched("not compared with a CRD", "correct the target first")));
        };
        let wanted = if group.is_empty() { resource.into() } else { format!("{resource}.{group}") };
        let of_group = || self.found.iter().filter(|(_, crd)| crd["spec"]["group"] == group);
        let plurals: Vec<_> = of_group().filter(|(_, crd)| crd["spec"]["names"]["plural"] == resource).collect();
        if let [(first, _), (second, _), ..] = &*plurals {
            let files = if first == second { "twice".into() } else { format!("also in {}", second.display()) };
            let message = format!("compared with the first CRD of {wanted} in {}, which is {files}", first.display());
            return (Some(&plurals[0].1), Some(unmatched(&message, "give only the one that is installed")));
        }
        let found = plurals.first().copied();
        if let Some((_, crd)) = found.or_else(|| of_group().find(|(_, crd)| is_called(&crd["spec"]["names"], resource)))
        {
            return (Some(crd), None);
        }
        if is_core(group) {
            output::remark(&format!("{wanted} is one of Kubernetes' own kinds, which have no CRD: not compared"));
            return (None, None);
        }
        let hint = match self.near(group, resource) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "name the file of that CRD with --crd".into(),
        };
        let names: Vec<String> = self.names.iter().map(|name| name.display().to_string()).collect();
        let message = format!("not compared with a schema: {} has no CRD of {wanted}", names.join(", "));
        (None, Some(unmatched(&message, &hint)))
    }

    /// The CRD that is probably meant: another one of the group, or of the same plural.
    fn near(&self, group: &str, resource: &str) -> Option<String> {
        let names = |crd: &Json| (text(&crd["spec"]["names"]["plural"]), text(&crd["spec"]["group"]));
        let names: Vec<(String, String)> = self.found.iter().map(|(_, crd)| names(crd)).collect();
        let plurals = names.iter().filter(|(_, other)| other == group).map(|(plural, _)| plural.as_str());
        let groups = names.iter().filter(|(plural, _)| plural == resource).map(|(_, group)| group.as_str());
        let of_group = nearest(resource, plurals).map(|plural| format!("{plural}.{group}"));
        of_group.or_else(|| nearest(group, groups).map(|group| format!("{resource}.{group}")))
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

/// The string, or nothing.
pub fn text(value: &Json) -> String {
    value.as_str().unwrap_or_default().into()
}
