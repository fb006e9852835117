//! The metrics that the documentation lists are those that the server has.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{GuardProcess, PATH, stale_review};
use serde_json::json;

/// The table of all metrics.
const README: &str = include_str!("../README.md");
/// Other texts for users that name some.
const OTHER_TEXTS: [&str; 2] = [include_str!("../../README.md"), include_str!("../edge/README.md")];

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_lowercase() || c == '_';
    let starts = text.match_indices("`statusguard_").map(|(at, _)| &text[at + 1..]);
    let names = starts.map(|rest| &rest[..rest.find(|c| !word(c)).unwrap_or(rest.len())]);
    names.collect()
}

/// The metrics of a server with the types of their `# TYPE` lines.
fn served(metrics: &str) -> BTreeMap<String, &str> {
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.filter(|(name, _)| name.starts_with("statusguard_")).map(|(name, kind)| (name.to_owned(), kind)).collect()
}

#[test]
fn every_sample_follows_the_help_and_the_type_of_its_family_and_is_named_by_convention() {
    let guard = GuardProcess::start(&[]);
    let reply = guard.get("/metrics");
    let mut seen = BTreeSet::new();
    let mut family = ("", "");
    for line in reply.split_once("\r\n\r\n").unwrap().1.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, text) = help.split_once(' ').unwrap();
            assert!(seen.insert(name) && text.ends_with('.') && text.len() > 5, "{line}");
            family = (name, "");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, family.0, "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            family.1 = kind;
        } else {
            let name = line.split(['{', ' ']).next().unwrap();
            let suffixes: &[&str] = if family.1 == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(suffixes.iter().any(|suffix| name.strip_suffix(suffix) == Some(family.0)), "{family:?}: {line}");
            assert!(!family.1.is_empty(), "{line}");
        }
    }
    assert!(seen.len() > 20, "{seen:?}");
}

#[test]
fn the_documented_metrics_are_those_of_the_server() {
    let guard = GuardProcess::start(&["--max-body=4096"]);
    // What has labels is there before it was counted, and so it stays by what is counted: a refusal, a body that is not a
    // review, one that is too long.
    let first = guard.get("/metrics");
    let before = served(&first);
    let mut review = stale_review();
    assert_eq!(guard.admit(PATH, &review)["allowed"], false);
    assert_eq!(guard.call(PATH, "", &json!({})).0, 400);
    review["padding"] = json!("x".repeat(4096));
    assert_eq!(guard.call(PATH, "", &review).0, 413);

    let metrics = guard.get("/metrics");
    let served = served(&metrics);
    assert_eq!(before, served);
    let series = |metrics: &str| -> BTreeSet<String> {
        let lines = metrics.lines().filter(|line| line.starts_with("statusguard_") && !line.contains("_bucket{"));
        lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
    };
    assert_eq!(series(&first), series(&metrics), "each series is there from the start");
    for name in ["process_open_fds", "process_resident_memory_bytes", "process_start_time_seconds"] {
        assert!(guard.metric(name) > 0.0, "{name}");
    }
    assert!(metrics.contains("\nprocess_cpu_seconds_total "), "{metrics}");
    // What follows is served in a cluster alone; tests/tests/cluster.rs compares that.
    let (alone, _) = README.split_once("\n## In the cluster\n").unwrap();
    let table: String = alone.lines().filter(|line| line.starts_with("| `statusguard_")).collect();
    assert_eq!(named(&table), served.keys().map(String::as_str).collect(), "the table of webhook/README.md");
    for text in OTHER_TEXTS {
        let unknown: Vec<_> = named(text).into_iter().filter(|name| !served.contains_key(*name)).collect();
        assert!(unknown.is_empty(), "there are no such metrics: {unknown:?}");
    }
    // One observation for each policy of the folder.
    assert_eq!(served["statusguard_policy_compile_seconds"], "histogram");
    let value = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    assert_eq!(value("statusguard_policy_compile_seconds_count "), value("statusguard_policies_loaded "));
    assert!(value("statusguard_policy_compile_seconds_sum ").unwrap() > 0.0);
}
