//! What commands print: results on standard output, remarks on standard error.
//!
//! A reader may go away before all is printed (`statusguard ... | head`). That is not a failure: what is left is dropped,
//! and the command ends with the exit code of its result. `print!` and `eprintln!` would panic.

use std::io::{self, ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use serde::Serialize;

/// How a passed case or an allowed write looks on a terminal.
pub const PASS: Style = AnsiColor::Green.on_default();
/// How a failure, an error or a refused write looks.
pub const FAIL: Style = AnsiColor::Red.on_default().bold();
/// How a warning looks.
pub const WARN: Style = AnsiColor::Yellow.on_default();

/// Decides on colours for all that follows.
pub fn choose(color: clap::ColorChoice) {
    let choice = match color {
        clap::ColorChoice::Auto => anstream::ColorChoice::Auto,
        clap::ColorChoice::Always => anstream::ColorChoice::Always,
        clap::ColorChoice::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// A word in colour. Printing takes the colour out where there is to be none.
#[must_use]
pub fn painted(style: Style, word: &str) -> String {
    format!("{style}{word}{style:#}")
}

/// Prints a text to standard output.
///
/// # Errors
/// When it cannot be written, unless nobody reads it any more.
pub fn print(text: &str) -> anyhow::Result<()> {
    write(&mut anstream::stdout().lock(), text).context("cannot write to standard output")
}

/// Prints a value as one line of JSON to standard output.
///
/// # Errors
/// As [`print`].
pub fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    print(&format!("{}\n", serde_json::to_string(value)?))
}

/// Prints a remark to standard error, on a line of its own. A remark that cannot be written is lost.
pub fn remark(text: &str) {
    let _ = write(&mut anstream::stderr().lock(), &format!("statusguard: {text}\n"));
}

/// A number and what it counts: `1 policy`, `2 policies`.
#[must_use]
pub fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that fails.
    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_not_a_failure() {
        assert!(write(&mut Failing(ErrorKind::BrokenPipe), "a").is_ok());
        let full = write(&mut Failing(ErrorKind::StorageFull), "a");
        assert_eq!(full.map_err(|error| error.kind()), Err(ErrorKind::StorageFull));
    }

    #[test]
    fn one_is_singular() {
        let policies = [0, 1, 2].map(|count| counted(count, "policy", "policies"));
        assert_eq!(policies, ["0 policies", "1 policy", "2 policies"]);
    }
}
