//! The guard: the server that refuses stale status writes, and its operator's commands.
//!
//! A library as well as a binary, so that the demo, the tests and the benches run the
//! same [`run`] as an operator does.

mod address;
mod args;
pub mod cluster;
mod commands;
pub mod document;
mod exit;
mod guard;
mod output;
pub mod policies;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;

pub use args::{
    Args, CertsCommand, CertsStatusArgs, CheckArgs, Command, DoctorArgs, GraphFormat, LintArgs, LintFormat, LogFormat,
    ManifestFormat, OutputFormat, PolicyCommand, TestArgs, TestOutput, UninstallArgs, WebhookArgs, WebhookConfigArgs,
};
pub use commands::certs::{AuthorityReport, CertificateReport, EntryReport, ReplicaReport};
pub use commands::doctor::{DoctorFinding, DoctorReport, FindingStatus};
pub use commands::uninstall::UninstallPlan;
pub use exit::Exit;
pub use guard::{ActivePolicy, EntriesKeptBy, Guard, PolicySource, PolicyStore, Refusal, Refusals};

/// Runs a command to its exit code; errors go to standard error with all their causes.
#[must_use]
pub fn main(args: Args) -> ExitCode {
    match run(args) {
        Ok(exit) => exit.into(),
        Err(error) => match error.downcast_ref::<clap::Error>() {
            Some(usage) => usage.exit(),
            None => {
                output::remark(&format!("{error:#}"));
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
    let Args { command, color } = args;
    output::choose(color);
    match command {
        Command::Webhook(webhook) => guard::run(*webhook),
        Command::Check(check) => commands::check::run(&check),
        Command::Policy(policy) => commands::policy(policy),
        Command::WebhookConfig(config) => commands::webhook_config::run(&config),
        Command::Certs(CertsCommand::Status(args)) => commands::block_on(commands::certs::status(&args)),
        Command::Doctor(args) => commands::block_on(commands::doctor::run(&args)),
        Command::Uninstall(args) => commands::block_on(commands::uninstall::run(&args)),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "statusguard", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
            Ok(Exit::Success)
        }
        Command::Man { folder } => {
            clap_mangen::generate_to(Args::command(), &folder)
                .with_context(|| format!("cannot write man pages to {}", folder.display()))?;
            Ok(Exit::Success)
        }
    }
}
