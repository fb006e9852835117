//! `statusguard-local`: a real control plane on this machine, with the guard in front of it.

mod cluster;
mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Runs a real kube-apiserver and etcd on this machine, guarded by statusguard.
#[derive(Parser)]
#[command(name = "statusguard-local", version, about)]
struct Args {
    #[command(subcommand)]
    command: LocalCommand,
}

#[derive(Subcommand)]
enum LocalCommand {
    /// Start everything, print some commands to try, and run until Ctrl-C.
    Up,
    /// Show a lost update: first without the guard, then with it.
    Demo,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Args { command } = Args::parse();
    let result = match command {
        LocalCommand::Up => demo::up().await,
        // Dropping the demo stops everything it started.
        LocalCommand::Demo => tokio::select! {
            result = demo::demo() => result,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        },
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statusguard-local: {error:#}");
            ExitCode::FAILURE
        }
    }
}
