//! The guard as the attacked process.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;
use statusguard_tests::LeafFiles;

const START: Duration = Duration::from_secs(30);

/// The guard as a process of its own. It ends with this value.
pub struct AttackedGuard {
    pub admission: SocketAddr,
    pub plain: SocketAddr,
    child: Child,
    /// Its log, if it is not read.
    _log: Option<BufReader<ChildStderr>>,
}

impl AttackedGuard {
    /// Starts `statusguard webhook`: of `program`, or as this program has it. Its limits are divided by `scale`.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(
        program: Option<&Path>,
        policies: &Path,
        leaf: &LeafFiles,
        unread: bool,
        scale: usize,
    ) -> anyhow::Result<Self> {
        let mut command = match program {
            Some(program) => Command::new(program),
            None => {
                let mut command = Command::new(std::env::current_exe().context("finding this program")?);
                command.args(["guard", "--"]);
                command
            }
        };
        command.args(["webhook", "--log-format=json", "--listen=127.0.0.1:0", "--plain-listen=127.0.0.1:0"]);
        for (flag, limit) in [("--max-connections", 1024), ("--max-body", 8 << 20), ("--max-bodies", 64 << 20)] {
            command.arg(format!("{flag}={}", limit / scale));
        }
        command.arg("--policy-dir").arg(policies).arg("--tls-cert").arg(&leaf.certificate);
        command.arg("--static-config").arg("--tls-key").arg(&leaf.key).stderr(Stdio::piped());
        let mut child = command.spawn().context("starting the guard")?;
        let mut log = BufReader::new(child.stderr.take().context("a guard without standard error")?);
        let begun = Instant::now();
        let mut line = String::new();
        let started = loop {
            line.clear();
            if log.read_line(&mut line).context("reading the guard's log")? == 0 || begun.elapsed() > START {
                let _ = child.kill();
                bail!("the guard does not start");
            }
            let entry: Value = serde_json::from_str(&line).with_context(|| format!("the guard says {line}"))?;
            if entry["fields"]["message"] == "guard started" {
                break entry["fields"].clone();
            }
        };
        let address = |name: &str| started[name].as_str().unwrap_or_default().parse().context("the guard's address");
        let (admission, plain) = (address("admission")?, address("plain")?);
        let log = if unread {
            Some(log)
        } else {
            thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
            None
        };
        Ok(Self { admission, plain, child, _log: log })
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for AttackedGuard {
    fn drop(&mut self) {
        // It has ended, if these fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Resident memory of a process in MiB.
///
/// # Errors
/// When it has ended.
pub fn resident_mib(id: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).context("the guard's memory")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the guard's memory")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS is {line:?}"))?;
    Ok(kib / 1024.0)
}
