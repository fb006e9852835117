//! The commands that need no cluster.

pub mod check;
mod crd;
mod explain;
mod graph;
mod init;
mod lint;
mod table;
mod test;

use crate::args::Policy;
use crate::{Exit, policies};

/// Runs a `policy` command.
pub fn policy(command: Policy) -> anyhow::Result<Exit> {
    match command {
        Policy::Lint { files, crd, output } => lint::run(&files, crd.as_deref(), output),
        Policy::Graph { file, format } => {
            print!("{}", graph::draw(&policies::load_one(&file)?, format));
            Ok(Exit::Success)
        }
        Policy::Explain { file } => {
            print!("{}", explain::explain(&policies::load_one(&file)?));
            Ok(Exit::Success)
        }
        Policy::Test { files, policy, output } => test::run(&files, policy.as_deref(), output),
        Policy::Init { crd, kind, version } => {
            print!("{}", init::first_policy(&crd, kind.as_deref(), version.as_deref())?);
            Ok(Exit::Success)
        }
    }
}
