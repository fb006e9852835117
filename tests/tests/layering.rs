//! The arrows between the crates, from `cargo metadata`: a dependency that points the wrong way fails here.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};

/// Crate → the crates of this workspace that it may depend on. A new crate has to be listed.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("statusguard-policy", &[]),
    ("statusguard-edge", &[]),
    ("statusguard", &["statusguard-edge", "statusguard-policy"]),
    ("kubernaut-api", &[]),
    ("atomic-status", &[]),
    ("statusguard-manifests", &["kubernaut-api", "statusguard-policy"]),
    (
        "statusguard-tests",
        &[
            "atomic-status",
            "kubernaut-api",
            "statusguard",
            "statusguard-edge",
            "statusguard-manifests",
            "statusguard-policy",
        ],
    ),
];

/// Crates that stay pure, and what must never be below them.
const PURE: [(&str, &[&str]); 1] = [("statusguard-policy", &["tokio", "kube-client", "kube-runtime", "hyper"])];

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).exec().unwrap()
}

fn normal_dependencies(package: &Package) -> BTreeSet<String> {
    let normal = package.dependencies.iter().filter(|d| d.kind == DependencyKind::Normal);
    normal.map(|dependency| dependency.name.clone()).collect()
}

#[test]
fn arrows_point_one_way() {
    let metadata = metadata();
    let ours: BTreeMap<String, BTreeSet<String>> =
        metadata.workspace_packages().iter().map(|p| (p.name.to_string(), normal_dependencies(p))).collect();
    let listed: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(ours.keys().cloned().collect::<BTreeSet<_>>(), listed, "list every crate in ALLOWED");
    for (name, allowed) in ALLOWED {
        let found: Vec<&String> = ours[name].iter().filter(|dependency| ours.contains_key(*dependency)).collect();
        let wrong: Vec<&&String> = found.iter().filter(|dependency| !allowed.contains(&dependency.as_str())).collect();
        assert!(wrong.is_empty(), "{name} must not depend on {wrong:?}");
    }
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
fn one_kube_and_one_crypto_provider() {
    let metadata = metadata();
    let versions = |name: &str| metadata.packages.iter().filter(|package| *package.name == name).count();
    assert_eq!(versions("kube-core"), 1);
    assert_eq!(versions("rustls"), 1);
    assert_eq!(versions("ring"), 1);
    for other in ["aws-lc-rs", "aws-lc-sys", "openssl", "native-tls"] {
        assert_eq!(versions(other), 0, "{other}");
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
