//! The links of the project's Markdown files: one that leads to a file of the repository must find it.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Markdown files below `folder`, but not what was built there.
fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != ".git" {
            markdown(&path, found);
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// `text` without fenced blocks and without `code`.
fn prose(text: &str) -> String {
    let unfenced = text.split("```").step_by(2).collect::<String>();
    unfenced.split('`').step_by(2).collect()
}

/// The targets of `[text](target)` that are paths, without their `#fragment`.
fn targets(prose: &str) -> Vec<&str> {
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = links.filter_map(|(target, _)| target.split('#').next());
    targets.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

#[test]
fn links_between_files_lead_somewhere() {
    let mut files = Vec::new();
    markdown(&root(), &mut files);
    let mut checked = 0;
    for file in files {
        let text = prose(&std::fs::read_to_string(&file).unwrap());
        for target in targets(&text) {
            assert!(file.parent().unwrap().join(target).exists(), "{}: no file {target}", file.display());
            checked += 1;
        }
    }
    assert!(checked > 10, "only {checked} links were found");
}

#[test]
fn what_is_a_link_to_a_file() {
    let text = prose("[`a`](b/c.md#part), `[d](e)`\n```\n[f](g)\n```\n[h](https://example.org/i) [j](#part) [k](../l)");
    assert_eq!(targets(&text), ["b/c.md", "../l"]);
}
