//! `statusguard-bench`: what the guard and the atomic writer cost, each beside what is used today.

mod atomic;
mod figures;
mod rival;
mod tally;
mod worker;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures on a real control plane, started for the purpose.
///
/// Exit codes: 0 measured, 1 an update was lost, doubled or failed, or the bench itself failed.
#[derive(Parser)]
#[command(name = "statusguard-bench", version, about, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Status updates of many writers on one object: atomic-status beside client-go.
    Atomic(atomic::Args),
    /// One process of `atomic`.
    #[command(hide = true)]
    AtomicWorker(worker::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Atomic(args) => atomic::run(args).await,
        Command::AtomicWorker(args) => worker::run(args).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statusguard-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
