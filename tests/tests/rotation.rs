//! The benchmark `rotation` with everything done once, one rotation of the authority included. The counts are printed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

use serde_json::Value;

#[test]
fn writers_notice_no_rotation_and_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let rows = folder.path().join("rows.json");
    let output = Command::new(env!("CARGO_BIN_EXE_statusguard-bench"))
        .args(["rotation", "--quick", "--json"])
        .arg(&rows)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (table, failures) = (text(&output.stdout), text(&output.stderr));
    println!("{table}");
    assert!(output.status.success(), "{table}{failures}");
    let rows: Value = serde_json::from_slice(&std::fs::read(rows).unwrap()).unwrap();
    let count = |case: &str, count: &str| {
        let row = rows["rows"].as_array().unwrap().iter().find(|row| row["case"] == case).unwrap();
        row[count].as_u64().unwrap()
    };
    for case in ["authority", "kill", "rolling", "apiserver", "delete-secret", "bundle"] {
        assert!(count(case, "writes") >= 100, "{case}: writers stood still: {table}{failures}");
        assert_eq!(count(case, "unguarded"), 0, "{case}: {table}{failures}");
    }
    for case in ["authority", "rolling", "apiserver"] {
        assert_eq!(count(case, "failed_by_guard"), 0, "{case}: {table}{failures}");
    }
    // What else fails is bounded by what heals, and most writes of these cases pass.
    for case in ["kill", "delete-secret", "bundle"] {
        assert!(count(case, "failed_by_guard") * 4 < count(case, "writes"), "{case}: {table}{failures}");
    }
}
