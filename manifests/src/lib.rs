//! Renders the manifests that install statusguard and its controllers, from code.
//!
//! # Invariants
//! - What stands in `manifests/rendered/` is exactly what [`rendered`] returns; a test fails when it differs.
//! - The same code renders the same bytes: keys are sorted, nothing depends on time or place.

mod error;
pub mod image;
mod install;
mod kustomize;
mod monitoring;
mod yaml;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

pub use error::Error;
pub use install::IMAGE;

/// Every rendered file: its path below `manifests/rendered/`, and its text.
///
/// # Errors
/// If a manifest cannot be written as YAML, which is a fault of the types it is made from.
pub fn rendered() -> Result<BTreeMap<PathBuf, String>, Error> {
    let mut files: BTreeMap<_, _> = kustomize::files()?.into_iter().collect();
    let guard = ("crds", "webhook/policy", vec![statusguard_policy::StatusPolicy::crd()]);
    let kinds = ("kubernaut-crds", "controllers/api", kubernaut_api::crds());
    for (folder, source, crds) in [guard, kinds] {
        let mut resources = Vec::new();
        for crd in crds {
            let file = crd_file(&crd);
            files.insert(PathBuf::from(folder).join(&file), yaml::document(source, &crd)?);
            resources.push(file);
        }
        files.extend([kustomize::kustomization(folder, resources, Vec::new())?]);
    }
    Ok(files)
}

fn crd_file(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

/// How a file below `manifests/rendered/` differs from what the code renders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Rendered, but not there.
    Missing(PathBuf),
    /// There, but not rendered.
    Stray(PathBuf),
    /// There with other content.
    Changed {
        /// The file.
        path: PathBuf,
        /// The first line that differs, counted from 1.
        line: usize,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{}: missing", path.display()),
            Self::Stray(path) => write!(f, "{}: not rendered from any code", path.display()),
            Self::Changed { path, line } => write!(f, "{}: differs from line {line} on", path.display()),
        }
    }
}

/// Compares `root` with what the code renders; empty when nothing differs.
///
/// # Errors
/// If rendering fails or a file cannot be read.
pub fn check(root: &Path) -> Result<Vec<Difference>, Error> {
    let files = rendered()?;
    let present = present(root)?;
    let mut differences: Vec<_> =
        present.iter().filter(|path| !files.contains_key(*path)).cloned().map(Difference::Stray).collect();
    for (path, text) in &files {
        if !present.contains(path) {
            differences.push(Difference::Missing(path.clone()));
            continue;
        }
        let found = read(&root.join(path))?;
        if found != *text {
            let same = found.lines().zip(text.lines()).take_while(|(found, text)| found == text).count();
            differences.push(Difference::Changed { path: path.clone(), line: same + 1 });
        }
    }
    Ok(differences)
}

/// Makes `root` what the code renders, and says what had to be changed.
///
/// # Errors
/// If rendering fails or a file cannot be written or removed.
pub fn write(root: &Path) -> Result<Vec<Difference>, Error> {
    let differences = check(root)?;
    let files = rendered()?;
    for difference in &differences {
        match difference {
            Difference::Stray(path) => {
                let path = root.join(path);
                fs::remove_file(&path).map_err(|source| Error::RemoveFile { path, source })?;
            }
            Difference::Missing(path) | Difference::Changed { path, .. } => {
                let Some(text) = files.get(path) else { continue };
                let path = root.join(path);
                let folder = path.parent().unwrap_or(root);
                fs::create_dir_all(folder).map_err(|source| Error::CreateFolder { path: folder.to_owned(), source })?;
                fs::write(&path, text).map_err(|source| Error::WriteFile { path, source })?;
            }
        }
    }
    Ok(differences)
}

fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| Error::ReadFile { path: path.to_owned(), source })
}

/// The YAML files below `root`, by their paths relative to it.
fn present(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => continue,
            Err(source) => return Err(Error::ReadFolder { path, source }),
        };
        for entry in entries {
            let entry = entry.map_err(|source| Error::ReadFolder { path: path.clone(), source })?;
            let relative = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(relative);
            } else if relative.extension().is_some_and(|extension| extension == "yaml") {
                found.push(relative);
            }
        }
    }
    found.sort();
    Ok(found)
}
