//! The commands beside the server.

pub mod certs;
pub mod check;
mod crd;
pub mod doctor;
mod explain;
mod graph;
mod init;
mod lint;
mod request;
mod table;
mod test;
pub mod uninstall;
pub mod webhook_config;

pub use self::request::block_on;

use crate::args::PolicyCommand;
use crate::exit::Exit;
use crate::{output, policies};

/// Runs a `policy` command.
pub fn policy(command: PolicyCommand) -> anyhow::Result<Exit> {
    match command {
        PolicyCommand::Lint(lint) => lint::run(&lint),
        PolicyCommand::Graph { file, format } => {
            output::print(&graph::draw(&policies::load_one(&file)?, format))?;
            Ok(Exit::Success)
        }
        PolicyCommand::Explain { file } => {
            output::print(&explain::explain(&policies::load_one(&file)?))?;
            Ok(Exit::Success)
        }
        PolicyCommand::Test(args) => test::run(&args),
        PolicyCommand::Init { crd, kind, version } => {
            output::print(&init::first_policy(&crd, kind.as_deref(), version.as_deref())?)?;
            Ok(Exit::Success)
        }
    }
}
