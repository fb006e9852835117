//! Every YAML block of the policy author's guide stands in an example that is tested.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn policies() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies")
}

/// The contents of the fenced blocks of a language.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<Vec<&'a str>> {
    let fence = format!("```{language}");
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line == fence) {
        blocks.push(lines.by_ref().take_while(|line| *line != "```").collect());
    }
    blocks
}

fn examples() -> Vec<(PathBuf, String)> {
    ["examples", "examples/tests"]
        .iter()
        .flat_map(|folder| fs::read_dir(policies().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect()
}

#[test]
fn every_block_is_part_of_a_tested_example() {
    let guide = fs::read_to_string(policies().join("README.md")).unwrap();
    let blocks = blocks(&guide, "yaml");
    assert!(blocks.len() >= 10, "only {} blocks", blocks.len());
    let examples = examples();
    for block in blocks {
        assert!(!block.is_empty());
        let found = examples.iter().any(|(_, text)| {
            let lines: Vec<_> = text.lines().collect();
            lines.windows(block.len()).any(|window| window == block)
        });
        assert!(found, "no example has these lines:\n{}", block.join("\n"));
    }
}

#[test]
fn every_example_is_quoted() {
    let guide = fs::read_to_string(policies().join("README.md")).unwrap();
    let blocks = blocks(&guide, "yaml");
    for (path, text) in examples().into_iter().filter(|(path, _)| !path.parent().unwrap().ends_with("tests")) {
        let lines: Vec<_> = text.lines().collect();
        let quoted = blocks.iter().any(|block| lines.windows(block.len()).any(|window| window == *block));
        assert!(quoted, "the guide quotes nothing of {}", path.display());
    }
}

/// Links to files and folders lead somewhere.
#[test]
fn links_lead_somewhere() {
    for folder in ["", "kubernaut", "community", ".."] {
        let readme = policies().join(folder).join("README.md");
        let text = fs::read_to_string(&readme).unwrap();
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            if !target.starts_with("http") {
                assert!(readme.parent().unwrap().join(target).exists(), "{}: {target}", readme.display());
            }
        }
    }
}
