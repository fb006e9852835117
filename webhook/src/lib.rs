//! The guard: the server that refuses stale status writes, and its operator's commands.
//!
//! A library as well as a binary, so that the demo, the tests and the benches run the
//! same [`run`] as an operator does.

mod args;
mod commands;
pub mod document;
mod guard;
pub mod policies;

use std::process::ExitCode;

use clap::CommandFactory as _;

pub use args::{Args, Bounds, CheckArgs, Command, GraphFormat, LogFormat, OutputFormat, PolicyCommand, WebhookArgs};
pub use guard::{Backend, Guard, Refusal, Refusals, webhook};

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or the write is allowed.
    Success,
    /// Something failed: a file, a policy, a test.
    Failure,
    /// The write is refused as stale.
    Stale,
    /// The write is refused as invalid.
    Invalid,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        // 2 is wrong usage, by clap.
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Stale => 3,
            Exit::Invalid => 4,
        })
    }
}

/// Runs a command to its exit code; errors go to standard error with all their causes.
#[must_use]
pub fn main(args: Args) -> ExitCode {
    match run(args) {
        Ok(exit) => exit.into(),
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(usage) => usage.exit(),
            None => {
                eprintln!("statusguard: {error:#}");
                Exit::Failure.into()
            }
        },
    }
}

/// Runs a command.
///
/// # Errors
/// What kept it from its work.
pub fn run(args: Args) -> anyhow::Result<Exit> {
    let Args { command } = args;
    match command {
        Command::Webhook(webhook) => guard::run(*webhook),
        Command::Check(check) => commands::check::run(&check),
        Command::Policy(policy) => commands::policy(policy),
        Command::Completion { shell } => {
            clap_complete::generate(shell, &mut Args::command(), "statusguard", &mut std::io::stdout());
            Ok(Exit::Success)
        }
    }
}
