//! `statusguard-bench`: what the guard and the status writer cost, each compared with what is used today.

mod atomic;
mod edge;
mod faults;
mod figures;
mod hostile;
mod rival;
mod rotation;
mod tally;
mod worker;

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Measures the guard and the status writer, the latter on a real control plane.
///
/// Exit codes: 0 measured; 1 an update was lost, applied twice or failed, a reply was wrong, or the benchmark itself failed.
#[derive(Parser)]
#[command(name = "statusguard-bench", version, about, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Benchmark,
}

#[derive(Subcommand)]
enum Benchmark {
    /// Status updates of many writers on one object: atomic-status compared with client-go.
    Atomic(atomic::Args),
    /// Admission calls: the guard compared with a constant reply and with a typical webhook.
    Edge(edge::Args),
    /// Contended updates through a proxy that breaks requests: no update may be lost or applied twice.
    Faults(faults::Args),
    /// Broken, forged and slow requests to the guard: no panic, no wrong reply, nothing may remain.
    Hostile(hostile::Args),
    /// Status writes while certificates rotate and replicas, Secret, bundle and API server fail.
    Rotation(rotation::Args),
    /// One process of `atomic`.
    #[command(hide = true)]
    AtomicWorker(worker::Args),
    /// The guard's own command.
    #[command(hide = true)]
    Guard {
        /// End when standard input does.
        #[arg(long)]
        leashed: bool,
        /// Its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// One server of `edge`.
    #[command(hide = true)]
    EdgeServer(edge::server::Args),
}

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Benchmark::Atomic(args) => on_all_cores(atomic::run(args)),
        Benchmark::Faults(args) => on_all_cores(faults::run(args)),
        Benchmark::AtomicWorker(args) => on_all_cores(worker::run(args)),
        Benchmark::Rotation(args) => on_all_cores(rotation::run(args)),
        Benchmark::Guard { leashed, args } => {
            if leashed {
                std::thread::spawn(end_with_input);
            }
            return statusguard::main(statusguard::Args::parse_from(
                std::iter::once("statusguard".to_owned()).chain(args),
            ));
        }
        // These pin themselves to cores before they start a runtime.
        Benchmark::Hostile(args) => hostile::run(args),
        Benchmark::Edge(args) => edge::run(args),
        Benchmark::EdgeServer(args) => edge::server::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("statusguard-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn on_all_cores(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Runtime::new().context("starting the runtime")?.block_on(work)
}

/// Whoever started this process has ended, however it did.
fn end_with_input() {
    // An error is an end, too.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    std::process::exit(1);
}
