//! The architecture page against `cargo metadata`: a dependency that is not in its picture fails here.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeSet;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// The page whose picture shows every dependency between the workspace's crates as `a --> b`.
const PICTURE: &str = include_str!("../../.github/ARCHITECTURE.md");

/// Crates that stay pure, and what must never be below them.
const PURE: [(&str, &[&str]); 2] = [
    ("statusguard-policy", &["tokio", "kube-client", "kube-runtime", "hyper"]),
    ("statusguard-rotation", &["tokio", "kube", "kube-client", "kube-runtime", "hyper", "rcgen", "ring", "rustls"]),
];

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).exec().unwrap()
}

fn normal_dependencies(package: &Package) -> BTreeSet<String> {
    let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

/// The solid arrows of the picture.
fn drawn() -> BTreeSet<(String, String)> {
    let (_, picture) = PICTURE.split_once("```mermaid").expect("a picture");
    let (picture, _) = picture.split_once("```").expect("the picture's end");
    let arrows = picture.lines().filter_map(|line| line.trim().split_once(" --> "));
    arrows.map(|(from, to)| (from.to_owned(), to.to_owned())).collect()
}

#[test]
fn the_picture_shows_every_dependency_between_crates() {
    let metadata = metadata();
    let packages = metadata.workspace_packages();
    let ours: BTreeSet<String> = packages.iter().map(|package| package.name.to_string()).collect();
    for name in &ours {
        assert!(PICTURE.contains(&format!("{name}[\"{name}<br>")), "{name} is not in the picture");
    }
    let found: BTreeSet<(String, String)> = packages
        .iter()
        .flat_map(|package| normal_dependencies(package).into_iter().map(|to| (package.name.to_string(), to)))
        .filter(|(_, to)| ours.contains(to))
        .collect();
    let drawn = drawn();
    let missing: Vec<_> = found.difference(&drawn).collect();
    let removed: Vec<_> = drawn.difference(&found).collect();
    assert!(missing.is_empty(), "not in the picture of .github/ARCHITECTURE.md: {missing:?}");
    assert!(removed.is_empty(), "in the picture, but not in any Cargo.toml: {removed:?}");
}

#[test]
fn pure_crates_stay_pure() {
    let metadata = metadata();
    for (name, banned) in PURE {
        // Each crate alone: in the workspace's graph, features that others ask for would show.
        let package =
            metadata.workspace_packages().into_iter().find(|p| *p.name == name).unwrap().manifest_path.clone();
        let output = std::process::Command::new(env!("CARGO"))
            .args(["tree", "--edges", "normal", "--prefix", "none", "--locked", "--manifest-path"])
            .arg(package)
            .output()
            .unwrap();
        let tree = String::from_utf8(output.stdout).unwrap();
        assert!(tree.starts_with(name), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
        for line in tree.lines() {
            let found = line.split(' ').next().unwrap();
            assert!(!banned.contains(&found), "{name} reaches {line}");
        }
    }
}

#[test]
fn one_kube_and_one_crypto_library() {
    let metadata = metadata();
    for name in ["kube-core", "ring", "rustls"] {
        assert_eq!(metadata.packages.iter().filter(|package| *package.name == name).count(), 1, "{name}");
    }
}

#[test]
fn versions_lints_and_profiles_live_in_the_workspace() {
    for package in metadata().workspace_packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        assert!(manifest.contains("[lints]\nworkspace = true"), "{} has its own lints", package.name);
        assert!(!manifest.contains("[profile"), "{} has a profile", package.name);
        let versioned = manifest.lines().find(|line| line.contains("version = \"") && !line.contains("workspace"));
        assert_eq!(versioned, None, "{} names a version", package.name);
    }
}
