//! The user's command, run against the playground.

use std::ffi::{OsStr, OsString};
use std::io::{self, ErrorKind};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::{Child, Command};
use tokio::signal::unix::{self, SignalKind};

use crate::{ControlPlane, User};

/// How long a command may take to end after the signal that asks it to.
const PATIENCE: Duration = Duration::from_secs(10);

/// Exit codes of a command that could not be started, as shells have them.
const NOT_EXECUTABLE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// The signals that end the playground.
pub struct EndSignals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    hangup: unix::Signal,
}

impl EndSignals {
    /// From now on, they do not end this process by themselves.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| unix::signal(kind).context("listening for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hangup.recv() => Signal::HUP,
        }
    }
}

/// Starts the command with its own standard streams: those of this process.
pub fn start(command: &[OsString], plane: &ControlPlane) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("KUBECONFIG", plane.kubeconfig(User::Admin))
        // The ports of one playground are later those of another, with other kinds.
        .env("KUBECACHEDIR", plane.folder().join("kubectl-cache"))
        .kill_on_drop(true);
    if let Some(path) = path_with_kubectl(plane) {
        command.env("PATH", path);
    }
    command.spawn()
}

/// The exit code for a command that could not be started.
pub fn not_started(error: &io::Error) -> u8 {
    if error.kind() == ErrorKind::NotFound { NOT_FOUND } else { NOT_EXECUTABLE }
}

/// The folder of the control plane's own kubectl, if it is not one from `PATH`.
pub fn kubectl_folder(plane: &ControlPlane) -> Option<PathBuf> {
    let kubectl = PathBuf::from(plane.kubectl(User::Admin).get_program());
    let folder = kubectl.parent().filter(|folder| *folder != OsStr::new(""))?;
    std::path::absolute(folder).ok()
}

/// `PATH` with that folder before all others.
fn path_with_kubectl(plane: &ControlPlane) -> Option<OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::join_paths(kubectl_folder(plane).into_iter().chain(std::env::split_paths(&path))).ok()
}

/// Waits for the command's end and returns its exit code; 128 + N when signal N ended it. A signal to this process is
/// handed on. A command that goes on all the same is killed after ten seconds, or at the next signal.
pub async fn wait(child: &mut Child, signals: &mut EndSignals) -> anyhow::Result<u8> {
    let signal = tokio::select! {
        ended = child.wait() => return ended.map(code).context("waiting for the command"),
        signal = signals.next() => signal,
    };
    if !sent_by_terminal(signal)
        && let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
    {
        // It may have ended just now.
        let _ = kill_process(pid, signal);
    }
    tokio::select! {
        ended = child.wait() => return ended.map(code).context("waiting for the command"),
        _ = signals.next() => {}
        () = tokio::time::sleep(PATIENCE) => {}
    }
    child.start_kill().context("killing the command")?;
    child.wait().await.map(code).context("waiting for the command")
}

/// Whether a terminal has sent the signal to the command as well, because both are what runs in its foreground.
fn sent_by_terminal(signal: Signal) -> bool {
    let foreground = [tcgetpgrp(io::stdin()), tcgetpgrp(io::stderr())].into_iter().flatten().next();
    signal != Signal::TERM && foreground == Some(getpgrp())
}

fn code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}
