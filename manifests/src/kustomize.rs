//! Folders that `kubectl apply -k` takes.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::install::{self, Manifest};
use crate::{Error, monitoring, yaml};

const ORIGIN: &str = "manifests/src/install.rs";

/// A folder with its files and what they are changed by.
struct KustomizeFolder {
    name: &'static str,
    /// Before all else: also when all is deleted.
    first: Option<Manifest>,
    /// Other folders that belong to it.
    bases: &'static [&'static str],
    manifests: Vec<Manifest>,
    /// Strategic merge patches.
    patches: Vec<Value>,
}

/// All folders' files, by their paths below `manifests/rendered/`.
///
/// # Errors
/// If a manifest cannot be written as YAML.
pub fn files() -> Result<Vec<(PathBuf, String)>, Error> {
    let mut files = Vec::new();
    for KustomizeFolder { name, first, bases, manifests, patches } in folders() {
        let mut resources = Vec::new();
        let mut add = |Manifest { file, object }: &Manifest| {
            let file = format!("{file}.yaml");
            files.push((PathBuf::from(name).join(&file), yaml::document(ORIGIN, object)?));
            Ok(file)
        };
        resources.extend(first.iter().map(&mut add).collect::<Result<Vec<_>, Error>>()?);
        resources.extend(bases.iter().map(|base| format!("../{base}")));
        resources.extend(manifests.iter().map(&mut add).collect::<Result<Vec<_>, Error>>()?);
        files.push(kustomization(name, resources, patches)?);
    }
    Ok(files)
}

/// The kustomization of a folder.
///
/// # Errors
/// If it cannot be written as YAML.
pub fn kustomization(folder: &str, resources: Vec<String>, patches: Vec<Value>) -> Result<(PathBuf, String), Error> {
    let mut kustomization = json!({ "apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization",
        // In the order of the files, and not by kind: who deletes all of them switches the guard off first.
        "sortOptions": { "order": "fifo" }, "resources": resources });
    if !patches.is_empty() {
        let texts = patches.iter().map(yaml::text).collect::<Result<Vec<_>, _>>();
        let texts = texts.map_err(|source| Error::Render { origin: ORIGIN, source })?;
        kustomization["patches"] = texts.into_iter().map(|patch| json!({ "patch": patch })).collect();
    }
    Ok((
        PathBuf::from(folder).join("kustomization.yaml"),
        yaml::document("manifests/src/kustomize.rs", &kustomization)?,
    ))
}

fn folders() -> Vec<KustomizeFolder> {
    let overlay =
        |name, manifests, patches| KustomizeFolder { name, first: None, bases: &["guard"], manifests, patches };
    vec![
        KustomizeFolder {
            name: "guard",
            first: Some(install::configuration()),
            bases: &["crds"],
            manifests: install::objects(),
            patches: Vec::new(),
        },
        overlay("network-policy", vec![install::network_policy()], Vec::new()),
        overlay("monitoring", monitoring::objects(), Vec::new()),
        overlay("host-network", Vec::new(), install::host_network()),
        overlay("cert-manager", install::issued_by_cert_manager(), vec![install::with_mounted_certificate()]),
    ]
}
