//! `statusguard-local`: a real control plane on this machine, with the guard in front of it.
//!
//! ```text
//! files ──▶ Sources ──▶ Playground ──▶ RunningGuard ──▶ guard in this process, webhook configuration
//!                           │                 └──▶ Reporter ──▶ Console
//!                           └──▶ CRDs, rights, the user's command
//! ```
//! Part of the library, so that a test can run it in a process of its own.

mod cluster;
mod command;
mod console;
mod demo;
mod documents;
mod guard;
mod playground;
mod report;
mod served;
mod sources;
mod up;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};

/// Runs a real kube-apiserver and etcd on this machine, guarded by statusguard.
#[derive(Parser)]
#[command(name = "statusguard-local", version, about, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: LocalCommand,
}

#[derive(Subcommand)]
enum LocalCommand {
    /// Start everything, guard the kinds that you name, and run until Ctrl-C or until your command ends.
    Up(up::UpArgs),
    /// Show a lost update: first without the guard, then with it.
    Demo,
}

/// Runs the command line `args`, whose first element is the program's name, to its exit code.
pub async fn run(args: impl IntoIterator<Item = OsString>) -> u8 {
    let Args { command } = Args::try_parse_from(args).unwrap_or_else(|error| error.exit());
    match command {
        LocalCommand::Up(args) => up::run(args).await,
        LocalCommand::Demo => {
            // Dropping the demo stops everything it started.
            let result = tokio::select! {
                result = demo::demo() => result,
                _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
            };
            result.map_or_else(
                |error| {
                    eprintln!("statusguard-local: {error:#}");
                    1
                },
                |()| 0,
            )
        }
    }
}

/// A file or folder of this project.
fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).join(path)
}
