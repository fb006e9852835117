//! How results are shown: what is listed, in which form, and in which colours.

use crate::{Folder, POLICY, run};

const CASES: &str = "cases:
  - { name: attempts rise, oldStatus: {attempts: 1}, newStatus: {attempts: 2}, expect: Allow }
  - { name: attempts <fall>, oldStatus: {attempts: 2}, newStatus: {attempts: 1}, expect: Allow }
  - { name: a phase, oldStatus: null, newStatus: {phase: Pending}, expect: Allow }
";

fn test(folder: &Folder, arguments: &[&str]) -> crate::Ran {
    let file = folder.write("tests.yaml", CASES);
    run(&[&["policy", "test", "--policy", POLICY, &file], arguments].concat())
}

#[test]
fn cases_that_pass_are_listed_on_request() {
    let folder = Folder::new();
    let ran = test(&folder, &[]);
    assert!(!ran.out.contains("PASS") && ran.out.ends_with("\n2 passed, 1 failed\n"), "{}", ran.out);
    let ran = test(&folder, &["-v"]);
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(lines[0].starts_with("PASS ") && lines[0].ends_with("tests.yaml: attempts rise"), "{}", ran.out);
    assert!(ran.out.contains("tests.yaml: a phase\n2 passed, 1 failed\n"), "{}", ran.out);
    let ran = test(&folder, &["-v", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&report["passed"], &report["failed"]), (&2.into(), &1.into()));
    assert_eq!(report["failures"][0]["case"], "attempts <fall>");
    assert_eq!(report["passes"][1]["case"], "a phase");
}

#[test]
fn cases_are_chosen_by_their_names() {
    let folder = Folder::new();
    assert_eq!(test(&folder, &["--filter", "rise"]).out, "1 passed, 0 failed\n");
    let ran = test(&folder, &["--filter", "attempts"]);
    assert!(ran.code == 1 && ran.out.ends_with("1 passed, 1 failed\n"), "{}", ran.out);
    // Also those that cannot be read.
    let file = folder.write(
        "bad.yaml",
        "cases: [{ name: a, expects: Allow }, { name: b, oldStatus: null, newStatus: null, expect: Allow }]",
    );
    let chosen = |filter: &str| run(&["policy", "test", "--policy", POLICY, &file, "--filter", filter]);
    assert_eq!((chosen("b").code, chosen("a").code), (0, 1));
    let ran = test(&folder, &["--filter", "ries"]);
    assert_eq!((ran.code, ran.err.as_str()), (1, "statusguard: no case has `ries` in its name\n"));
}

#[test]
fn ci_systems_get_junit() {
    let folder = Folder::new();
    let ran = test(&folder, &["-o", "junit"]);
    assert_eq!(ran.code, 1);
    let file = folder.write("tests.yaml", CASES);
    assert_eq!(
        ran.out,
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="statusguard policy test" tests="3" failures="1">
  <testsuite name="{file}" tests="3" failures="1">
    <testcase name="attempts rise" classname="{file}"/>
    <testcase name="attempts &lt;fall&gt;" classname="{file}">
      <failure message="expected Allow, got Stale [&quot;CounterRegression&quot;]">Stale CounterRegression: status.attempts fell from 2 to 1</failure>
    </testcase>
    <testcase name="a phase" classname="{file}"/>
  </testsuite>
</testsuites>
"#
        )
    );
}

#[test]
fn colours_are_for_those_who_see_them() {
    let folder = Folder::new();
    // This output is not a terminal.
    assert!(!test(&folder, &[]).out.contains('\u{1b}'));
    let ran = test(&folder, &["--color", "always"]);
    assert!(ran.out.starts_with("\u{1b}[1m\u{1b}[31mFAIL\u{1b}[0m "), "{:?}", ran.out);
    assert!(!test(&folder, &["--color", "never"]).out.contains('\u{1b}'));
    let ran = run(&["--color", "sometimes", "policy", "lint", POLICY]);
    assert!(ran.code == 2 && ran.err.contains("auto, always, never"), "{}", ran.err);
}

#[test]
fn every_command_has_a_man_page() {
    let folder = tempfile::tempdir().unwrap();
    let ran = run(&["man", folder.path().to_str().unwrap()]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    let mut pages: Vec<String> =
        std::fs::read_dir(&folder).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    pages.sort();
    for page in ["statusguard.1", "statusguard-webhook.1", "statusguard-policy-test.1"] {
        assert!(pages.contains(&page.to_owned()), "no {page}: {pages:?}");
    }
    let page = std::fs::read_to_string(folder.path().join("statusguard-policy-test.1")).unwrap();
    assert!(page.contains("Run only the cases with this text in their names"), "{page}");
    let ran = run(&["man", "/nowhere/at/all"]);
    assert!(ran.code == 1 && ran.err.contains("cannot write man pages to /nowhere/at/all"), "{}", ran.err);
}
