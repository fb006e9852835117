//! Where the playground speaks.

use std::fmt::Display;
use std::io::Write as _;

/// Prints whole lines. A reader that is gone is not an error.
#[derive(Clone, Copy)]
pub enum Console {
    /// To standard output: nothing else runs here.
    Alone,
    /// To standard error, each line with the program's name: standard output is the command's, and standard error is
    /// shared with it.
    BesideCommand,
}

impl Console {
    pub fn say(self, text: impl Display) {
        let text = text.to_string();
        let _ = match self {
            Self::Alone => writeln!(std::io::stdout().lock(), "{text}"),
            Self::BesideCommand => {
                let lines: String = text.lines().map(|line| format!("statusguard-local: {line}\n")).collect();
                std::io::stderr().lock().write_all(lines.as_bytes())
            }
        };
    }
}

/// An error with all its causes. Of what the API server refused, its own message is the end.
pub fn told(error: &anyhow::Error) -> String {
    let mut parts = Vec::new();
    for cause in error.chain() {
        if let Some(kube::Error::Api(status)) = cause.downcast_ref() {
            parts.push(status.message.clone());
            break;
        }
        parts.push(cause.to_string());
    }
    parts.join(": ")
}
