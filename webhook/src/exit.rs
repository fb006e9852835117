//! The exit codes of the command.

use std::process::ExitCode;

/// What a command ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or the write is allowed.
    Success,
    /// Something failed: a file, a policy, a test.
    Failure,
    /// What was given does not belong together.
    Usage,
    /// The write is refused as stale.
    Stale,
    /// The write is refused as invalid.
    Invalid,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            // As clap ends wrong usage.
            Exit::Usage => 2,
            Exit::Stale => 3,
            Exit::Invalid => 4,
        })
    }
}
