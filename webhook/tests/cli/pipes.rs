//! Readers that go away.

use std::process::Command;

use crate::POLICY;

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let folder = crate::Folder::new();
    let tests = folder.write("tests.yaml", "cases: [{ name: a, oldStatus: null, newStatus: null, expect: Allow }]");
    let object = folder.object("object.json", serde_json::json!({}));
    for arguments in [
        &["policy", "lint", "-o", "table", POLICY][..],
        &["policy", "lint", "-o", "json", POLICY],
        &["policy", "test", "-v", "--policy", POLICY, &tests],
        &["policy", "test", "-o", "json", "--policy", POLICY, &tests],
        &["policy", "explain", POLICY],
        &["policy", "graph", POLICY],
        &["check", "--policy", POLICY, "--old", &object, "--new", &object],
        &["completion", "bash"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_statusguard"));
        let output = command.args(arguments).stdout(writer).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), said.as_str()), (Some(0), ""), "{arguments:?}");
    }
}
