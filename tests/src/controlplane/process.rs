//! Child processes that cannot outlive this one, however it ends.
//!
//! ```text
//! this process ──pipe──▶ sh (supervisor) ── component      one pair per component
//!      └────────pipe───▶ sh (janitor)                      its pipe is also held by every supervisor
//! ```
//! The pipes are never written to; their closing is the signal, and the operating system closes them
//! also when this process is killed. A supervisor then kills its component and ends. The janitor sees its
//! pipe closed only when this process *and* all supervisors are gone, and then removes the folder: nothing
//! is left that could write into it again. All have their own process groups, so that Ctrl-C ends this
//! process first and the rest in that order.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};

use anyhow::Context as _;

/// `$1` is the log, the rest the component's command line. Ends with the component's exit code.
const SUPERVISOR: &str = r#"
log=$1
shift
exec 3<&0 2>>"$log"
"$@" </dev/null >>"$log" 3<&- &
component=$!
( read -r _ <&3; kill -KILL "$component" ) 2>/dev/null &
watcher=$!
wait "$component"
code=$?
kill "$watcher" 2>/dev/null
exit "$code"
"#;

/// `$1` is the folder.
const JANITOR: &str = r#"read -r _; rm -rf -- "$1""#;

/// How much of a log's end is read for an error message.
const TAIL_BYTES: u64 = 256 * 1024;

/// Removes a folder once this process and every supervisor it started are gone.
pub(super) struct Janitor {
    /// Held open for as long as the folder is needed; `None` only while dropping.
    pipe: Option<ChildStdin>,
    process: Child,
}

/// A running component under its supervisor. Dropping it kills the component and waits for its end.
pub(super) struct Component {
    pipe: Option<ChildStdin>,
    supervisor: Child,
    log: PathBuf,
}

impl Janitor {
    /// Takes over `directory`: it disappears with this process.
    pub(super) fn of(directory: &Path) -> anyhow::Result<Self> {
        let mut process = Command::new("/bin/sh")
            .args(["-c", JANITOR, "janitor"])
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("starting /bin/sh")?;
        Ok(Self { pipe: process.stdin.take(), process })
    }

    fn pipe(&self) -> anyhow::Result<OwnedFd> {
        let pipe = self.pipe.as_ref().context("the janitor's pipe is closed")?;
        pipe.as_fd().try_clone_to_owned().context("sharing the janitor's pipe")
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        self.pipe = None;
        // A failure leaves a folder behind, nothing else; there is nobody to tell.
        let _ = self.process.wait();
    }
}

impl Component {
    /// Starts `binary` with `arguments`; both of its outputs are appended to `log`.
    pub(super) fn start<A: AsRef<OsStr>>(
        janitor: &Janitor,
        binary: &Path,
        arguments: impl IntoIterator<Item = A>,
        log: &Path,
    ) -> anyhow::Result<Self> {
        let mut supervisor = Command::new("/bin/sh")
            .args(["-c", SUPERVISOR, "supervisor"])
            .arg(log)
            .arg(binary)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::from(janitor.pipe()?))
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {}", binary.display()))?;
        Ok(Self { pipe: supervisor.stdin.take(), supervisor, log: log.to_owned() })
    }

    /// How the component ended, if it did.
    pub(super) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.supervisor.try_wait().context("asking for a component's end")
    }

    /// The end of the component's log.
    pub(super) fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }
}

impl Drop for Component {
    /// `kill -9`, as a crash of the component would be.
    fn drop(&mut self) {
        self.pipe = None;
        // The supervisor ends by itself once the component is gone; waiting can only fail if it was waited for.
        let _ = self.supervisor.wait();
    }
}

/// The last lines of a log; why it cannot be read, if it cannot.
pub(super) fn tail(log: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let length = fs::metadata(log)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("(no log at {}: {error})", log.display()),
    }
}
