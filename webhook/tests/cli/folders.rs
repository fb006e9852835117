//! Folders of policies and tests, and files that are neither.

use std::path::Path;

use serde_json::Value;

use crate::{Folder, MANIFESTS, POLICY, run};

/// A folder as people keep it: a policy, its tests below, and something else.
fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.0.path().join("team/tests")).unwrap();
    std::fs::copy(POLICY, folder.0.path().join("team/jobs.yaml")).unwrap();
    folder.write("team/rights.yaml", "apiVersion: v1\nkind: ConfigMap\n");
    folder.write("team/tests/writers.yaml", "users: [jane]\ncases: [{ user: jane, code: 200 }]\n");
    folder.write(
        "team/tests/jobs.yaml",
        "policy: ../jobs.yaml\ncases: [{ name: first, oldStatus: null, newStatus: {phase: Pending}, expect: Allow }]\n",
    );
    folder
}

#[test]
fn lint_and_test_go_through_folders() {
    let folder = folder();
    let root = folder.0.path().to_str().unwrap();
    let ran = run(&["policy", "lint", root]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 policy, 0 errors, 0 warnings\n"), "{}", ran.err);
    assert!(ran.err.contains("rights.yaml does not hold a StatusPolicy; skipped"), "{}", ran.err);
    assert!(!ran.err.contains("tests/jobs.yaml"), "{}", ran.err);
    let ran = run(&["policy", "test", root]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 passed, 0 failed\n"), "{}", ran.err);
    assert!(ran.err.contains("writers.yaml is not a policy test file; skipped"), "{}", ran.err);
    assert!(!ran.err.contains("team/jobs.yaml"), "{}", ran.err);
    // What cannot be read may be either.
    folder.write("team/broken.yaml", "a: [1");
    for command in ["lint", "test"] {
        let ran = run(&["policy", command, root]);
        assert!(ran.code == 1 && ran.out.contains("broken.yaml"), "{command}: {}", ran.out);
    }
    // Named by hand, nothing is skipped.
    let writers = folder.0.path().join("team/tests/writers.yaml");
    let ran = run(&["policy", "test", writers.to_str().unwrap()]);
    assert!(ran.code == 1 && ran.out.contains("unknown key `users`"), "{}", ran.out);
}

#[test]
fn nothing_found_is_a_failure() {
    let folder = Folder::new();
    let root = folder.0.path().to_str().unwrap();
    // What else is named is not lost for it.
    let tests = folder.write(
        "tests.txt",
        &format!("policy: {POLICY}\ncases: [{{ name: a, oldStatus: {{}}, newStatus: {{}}, expect: Allow }}]\n"),
    );
    let ran = run(&["policy", "lint", root, POLICY]);
    assert!(ran.code == 1 && ran.out.contains("(the folder): no policy in it\n    name a folder"), "{}", ran.out);
    assert!(ran.out.ends_with("\n1 policy, 1 error, 0 warnings\n"), "{}", ran.out);
    let ran = run(&["policy", "test", root, &tests]);
    assert!(ran.code == 1 && ran.out.contains("no policy tests in it; name a folder"), "{}", ran.out);
    assert!(ran.out.ends_with("\n1 passed, 1 failed\n"), "{}", ran.out);
    let empty = folder.write("empty.yaml", "cases: []\n");
    let ran = run(&["policy", "test", "--policy", POLICY, &empty]);
    assert!(ran.code == 1 && ran.out.contains("`cases` is empty; write a case"), "{}", ran.out);
}

#[test]
fn links_that_lead_back_up_are_not_followed() {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.path().join("team")).unwrap();
    folder.write("team/jobs.yaml", &std::fs::read_to_string(POLICY).unwrap());
    let team = folder.0.path().join("team");
    std::os::unix::fs::symlink(&team, team.join("again")).unwrap();
    std::os::unix::fs::symlink(&team, team.join("and-again")).unwrap();
    let ran = run(&["policy", "lint", folder.0.path().to_str().unwrap()]);
    assert_eq!((ran.code, ran.out.as_str()), (0, "1 policy, 0 errors, 0 warnings\n"), "{}", ran.err);
}

#[test]
fn problems_name_the_document_of_a_file_with_several() {
    let folder = Folder::new();
    let policy = std::fs::read_to_string(POLICY).unwrap();
    let two = folder.write(
        "two.yaml",
        &format!("{policy}\n---\n{}\n---\n5\n", policy.replace("kind: StatusPolicy", "kind: Policy")),
    );
    let ran = run(&["policy", "lint", &two]);
    assert!(ran.out.contains("two.yaml:23:7: error: kind: expected"), "{}", ran.out);
    assert!(ran.out.contains("two.yaml:43:1: error: the document is not an object"), "{}", ran.out);
    assert!(ran.out.ends_with("3 policies, 2 errors, 0 warnings\n"), "{}", ran.out);
    let ran = run(&["policy", "lint", "-o", "json", &two]);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(report["problems"][0]["document"], 2);
}

#[test]
fn the_whole_library_is_linted_and_tested_at_once() {
    let library = Path::new(MANIFESTS).join("policies");
    let ran = run(&["policy", "test", library.to_str().unwrap()]);
    assert!(ran.code == 0 && ran.out.ends_with(" passed, 0 failed\n"), "{}{}", ran.out, ran.err);
    let ran = run(&["policy", "lint", library.to_str().unwrap()]);
    assert!(ran.code == 0 && ran.out.contains(" policies, 0 errors, "), "{}{}", ran.out, ran.err);
}

#[test]
fn unusable_files_have_a_hint_of_their_own() {
    let folder = Folder::new();
    let broken = folder.write("broken.yaml", "a: [1");
    let empty = folder.write("empty.yaml", "");
    for (file, message, hint) in [
        ("nowhere.yaml", "cannot be read: No such file", "name a file that is there"),
        (&*broken, "unclosed bracket", "write YAML or JSON"),
        (&*empty, "the file is empty", "write a StatusPolicy"),
    ] {
        let ran = run(&["policy", "lint", "-o", "json", file]);
        assert_eq!(ran.code, 1);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let problem = &report["problems"][0];
        assert_eq!(
            (&problem["file"], &problem["path"], &problem["hint"]),
            (&file.into(), &"(the file)".into(), &hint.into())
        );
        assert!(problem["message"].as_str().unwrap().contains(message), "{problem}");
    }
}
