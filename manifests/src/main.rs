//! Writes the rendered manifests, or says how they differ from the code.

use std::{path::Path, process::ExitCode};

use clap::Parser;

/// Renders `manifests/rendered/` from code.
#[derive(Parser)]
#[command(about)]
struct Args {
    /// Change nothing; exit 1 if a file differs from what the code renders.
    #[arg(long, conflicts_with = "write", required_unless_present = "write")]
    check: bool,
    /// Make the files what the code renders.
    #[arg(long)]
    write: bool,
}

fn main() -> anyhow::Result<ExitCode> {
    let Args { check, write: _ } = Args::parse();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("rendered");
    let differences = if check { statusguard_manifests::check(&root)? } else { statusguard_manifests::write(&root)? };
    for difference in &differences {
        println!("{difference}");
    }
    Ok(if check && !differences.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
