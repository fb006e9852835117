//! Readers that go away.

use std::process::Command;

use crate::POLICY;

#[test]
fn a_closed_pipe_ends_lint_quietly() {
    for format in ["table", "json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(env!("CARGO_BIN_EXE_statusguard"));
        let output = command.args(["policy", "lint", "-o", format, POLICY]).stdout(writer).output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8(output.stderr).unwrap().as_str()),
            (Some(0), ""),
            "{format}"
        );
    }
}
