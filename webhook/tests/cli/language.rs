//! Every example of the language's reference, run as policy tests.

use serde_json::{Value, json};
use statusguard::document;

use super::{Folder, run};

const LANGUAGE: &str = include_str!("../../policy/LANGUAGE.md");

/// The sections of the rules: their number, and the YAML of their examples.
fn rules() -> Vec<(String, Vec<&'static str>)> {
    let sections = LANGUAGE.split("\n### ").skip(1);
    let examples = |section: &'static str| {
        section.split("```yaml\n").skip(1).map(|rest| rest.split_once("\n```").unwrap().0).collect()
    };
    sections.map(|section| (section.split(' ').next().unwrap().to_owned(), examples(section))).collect()
}

#[test]
fn every_rule_has_examples_that_hold() {
    let rules = rules();
    let numbers: Vec<&str> = rules.iter().map(|(number, _)| number.as_str()).collect();
    assert_eq!(numbers, ["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10", "R11"]);
    let folder = Folder::new();
    for (number, examples) in &rules {
        assert!(!examples.is_empty(), "{number} has no example");
        for example in examples {
            let documents = document::parse(example).unwrap();
            assert_eq!(documents.len(), 1, "{number}: {example}");
            let example: Value = document::json(&documents[0]).unwrap();
            let mut spec = example["rules"].clone();
            spec["target"] = json!({ "group": "example.org", "version": "v1", "resource": "jobs" });
            let policy = json!({
                "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
                "metadata": { "name": "jobs.example.org" }, "spec": spec,
            });
            folder.write("policy.yaml", &policy.to_string());
            let tests = json!({ "policy": "policy.yaml", "cases": example["cases"] });
            let ran = run(&["policy", "test", &folder.write("tests.yaml", &tests.to_string())]);
            let cases = example["cases"].as_array().unwrap().len();
            assert_eq!(ran.out, format!("{cases} passed, 0 failed\n"), "{number}: {}", ran.err);
        }
    }
}
