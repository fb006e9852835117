//! The `statusguard` command: the guard server and the tools of its policies.

use std::process::ExitCode;

use clap::Parser as _;
use statusguard::Args;

fn main() -> ExitCode {
    statusguard::main(Args::parse())
}
