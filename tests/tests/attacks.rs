//! The benchmark of hostile requests, for seconds in place of minutes: every reply is its request's, probes and ordinary
//! calls are answered under every known attack, and nothing remains. It says so by its exit code.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::process::Command;

fn hostile(args: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_statusguard-bench")).arg("hostile").args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
}

/// One after the other: each wants the machine for itself.
#[test]
fn the_guard_outlives_attacks() {
    hostile(&["--seconds=5"]);
    hostile(&["--recipes", "--seconds=10", "--scale=16"]);
}
