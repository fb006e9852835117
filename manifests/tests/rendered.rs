//! The rendered manifests are what the code says.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::{fs, path::Path};

use statusguard_manifests::{Difference, check, rendered, write};

#[test]
fn the_committed_files_are_what_the_code_renders() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rendered");
    let differences: Vec<_> = check(&root).unwrap().iter().map(ToString::to_string).collect();
    assert!(
        differences.is_empty(),
        "run `cargo run -p statusguard-manifests -- write` and commit the result:\n{}",
        differences.join("\n")
    );
}

#[test]
fn writing_repairs_every_kind_of_difference() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let files = rendered().unwrap();
    assert_eq!(write(root).unwrap().len(), files.len(), "an empty folder misses every file");
    assert_eq!(check(root).unwrap(), []);

    let (changed, text) = files.iter().next().unwrap();
    fs::write(root.join(changed), text.replacen("kind:", "Kind:", 1)).unwrap();
    let missing = files.keys().next_back().unwrap();
    fs::remove_file(root.join(missing)).unwrap();
    fs::write(root.join("crds/stray.yaml"), "{}").unwrap();
    let line = text.lines().position(|line| line.contains("kind:")).unwrap() + 1;
    let found = check(root).unwrap();
    assert_eq!(
        found,
        [
            Difference::Stray("crds/stray.yaml".into()),
            Difference::Changed { path: changed.clone(), line },
            Difference::Missing(missing.clone()),
        ]
    );
    assert_eq!(write(root).unwrap(), found);
    assert_eq!(check(root).unwrap(), []);
}

#[test]
fn what_is_rendered_reads_back_as_it_was() {
    for crd in kubernaut_api::crds() {
        let name = format!("kubernaut-crds/{}_{}.yaml", crd.spec.group, crd.spec.names.plural);
        let text = &rendered().unwrap()[Path::new(&name)];
        let read: k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition =
            serde_saphyr::from_str(text).unwrap();
        assert_eq!(read, crd, "{name}");
    }
}
