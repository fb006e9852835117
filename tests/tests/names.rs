//! The names and the modules of the workspace's sources: one type name has one meaning, and no modules go in a circle.

#![cfg(test)]

#[path = "names/source.rs"]
mod source;

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::MetadataCommand;

use self::source::{Modules, defined_types, rust_files};

/// Names that every crate may define for itself, because they say what they are together with their crate's name.
const EVERY_CRATE: [&str; 2] = ["Args", "Error"];

/// Crates whose modules must not depend on each other in a circle.
const WITHOUT_CIRCLES: [&str; 4] = ["statusguard-policy", "statusguard-edge", "statusguard-rotation", "atomic-status"];

/// Crate → its folder.
fn crates() -> BTreeMap<String, std::path::PathBuf> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new().manifest_path(manifest).no_deps().exec().unwrap();
    let packages = metadata.workspace_packages();
    packages.iter().map(|p| (p.name.to_string(), p.manifest_path.parent().unwrap().into())).collect()
}

#[test]
fn no_type_name_is_defined_in_two_crates() {
    let crates = crates();
    let mut places: BTreeMap<String, BTreeMap<&str, String>> = BTreeMap::new();
    for (name, folder) in &crates {
        for file in rust_files(folder, |path| crates.values().any(|other| other != folder && path == other)) {
            let text = std::fs::read_to_string(&file).unwrap();
            let shown = file.strip_prefix(folder).unwrap().display().to_string();
            for defined in defined_types(&text) {
                places.entry(defined).or_default().insert(name, shown.clone());
            }
        }
    }
    assert!(places.len() > 300, "only {} types were found", places.len());
    let collisions: Vec<String> = places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !EVERY_CRATE.contains(&name.as_str()))
        .map(|(name, places)| {
            let places: Vec<String> = places.iter().map(|(package, file)| format!("{package} {file}")).collect();
            format!("{name}: {}", places.join(", "))
        })
        .collect();
    assert!(collisions.is_empty(), "{} names stand in two crates:\n{}", collisions.len(), collisions.join("\n"));
}

#[test]
fn no_modules_go_in_a_circle() {
    let mut found = Vec::new();
    for (name, folder) in crates().into_iter().filter(|(name, _)| WITHOUT_CIRCLES.contains(&name.as_str())) {
        let uses = Modules::read(&folder.join("src")).uses();
        let count: usize = uses.values().map(BTreeSet::len).sum();
        assert!(count >= 10, "{name}: only {count} uses between modules were found");
        found.extend(source::circles(&uses).into_iter().map(|circle| format!("{name}: {}", circle.join(", "))));
    }
    assert!(found.is_empty(), "modules that need each other:\n{}", found.join("\n"));
}

#[test]
fn what_defines_a_type() {
    let text = "
pub struct One<T> { x: T }
pub(crate) enum Two { A }
    trait Three {
        type NotOne;
    }
// struct NotTwo
impl Deref for One<u8> {
    type Target = u8;
}
type Four = u8;
struct Five;
";
    assert_eq!(defined_types(text), ["One", "Two", "Three", "Four", "Five"]);
}

#[test]
fn which_modules_use_each_other() {
    let modules = Modules::from_texts([
        ("", "mod a;\nmod b;\npub use a::A;\n"),
        ("a", "mod inner;\nuse crate::b::{B, c::C};\npub struct A;\n"),
        ("a::inner", "// use crate::b::X;\nuse super::A;\nfn f() { super::super::b::g() }\n"),
        ("b", "pub struct B(crate::A);\n#[cfg(test)]\nmod tests {\n    use crate::a::inner::X;\n}\n"),
    ]);
    let uses = modules.uses();
    let of = |module: &str| uses[module].iter().map(String::as_str).collect::<Vec<_>>();
    assert_eq!((of("a"), of("a::inner"), of("b")), (vec!["b"], vec!["a", "b"], vec!["a"]));
    assert_eq!(source::circles(&uses), [["a", "b"]]);
}
