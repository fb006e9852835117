//! One replica of the guard as a process: started, asked, ended, killed.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use statusguard_tests::plain_answer;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;

use super::balancer::Backends;

/// How often a replica is asked whether it is ready.
const PROBE: Duration = Duration::from_millis(100);
/// How many answers in a row take a replica out.
const UNREADY_AFTER: u32 = 3;
/// For a start, and for an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A replica that may run. Its process ends with it.
pub struct ReplicaProcess {
    number: usize,
    flags: Vec<String>,
    log: PathBuf,
    backends: Backends,
    running: Option<Running>,
}

struct Running {
    child: Child,
    /// The replica ends when it closes, however this process ends. `Child::wait` would close it.
    _leash: ChildStdin,
    plain: SocketAddr,
    /// These read its log and ask whether it is ready.
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl ReplicaProcess {
    /// `flags` are those of `statusguard webhook`, except for addresses and the log's format.
    pub fn new(number: usize, flags: Vec<String>, log: PathBuf, backends: Backends) -> Self {
        Self { number, flags, log, backends, running: None }
    }

    /// Starts the process; connections come once it is ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        let mut child = Command::new(std::env::current_exe().context("finding this program")?)
            .args(["guard", "--leashed", "--", "webhook", "--log-format=json"])
            .args(["--listen=127.0.0.1:0", "--plain-listen=127.0.0.1:0"])
            .args(&self.flags)
            .env("HOSTNAME", format!("statusguard-{}", self.number))
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a replica")?;
        let leash = child.stdin.take().context("a replica without standard input")?;
        let mut lines = BufReader::new(child.stderr.take().context("a replica without standard error")?).lines();
        let mut log = File::options().create(true).append(true).open(&self.log).context("opening a log")?;
        let started = async {
            while let Some(line) = lines.next_line().await.context("reading a replica's log")? {
                writeln!(log, "{line}").context("writing a log")?;
                let entry: Value = serde_json::from_str(&line).unwrap_or_default();
                if entry["fields"]["message"] == "guard started" {
                    return Ok(entry["fields"].clone());
                }
            }
            bail!("replica {} does not start; see {}", self.number, self.log.display())
        };
        let started = tokio::time::timeout(PATIENCE, started).await.context("a replica does not start")??;
        let address = |name: &str| started[name].as_str().unwrap_or_default().parse().context("a replica's address");
        let (admission, plain) = (address("admission")?, address("plain")?);
        let logging = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let _ = writeln!(log, "{line}");
            }
        });
        let probing = tokio::spawn(probe(self.backends.clone(), self.number, admission, plain));
        self.running = Some(Running { child, _leash: leash, plain, tasks: [logging, probing] });
        Ok(())
    }

    /// Whether connections come to it.
    pub fn is_ready(&self) -> bool {
        self.backends.has(self.number)
    }

    /// The phase of the rotation as this replica sees it; `None` while it does not say.
    pub async fn phase(&self) -> Option<String> {
        let metrics = get(self.running.as_ref()?.plain, "/metrics").await?;
        metrics.lines().find_map(|line| {
            let phase = line.strip_prefix("statusguard_rotation_phase{phase=\"")?.strip_suffix("\"} 1")?;
            Some(phase.to_owned())
        })
    }

    /// SIGTERM, as when its pod is deleted: no endpoint leads to it from then on. Returns when it has ended.
    ///
    /// # Errors
    /// When it does not end, or not well.
    pub async fn terminate(&mut self) -> anyhow::Result<()> {
        let mut running = self.running.take().context("the replica does not run")?;
        running.tasks[1].abort();
        self.backends.set(self.number, None);
        let id = running.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)).context("it has ended")?;
        kill_process(id, Signal::TERM).context("sending SIGTERM to a replica")?;
        let ended = tokio::time::timeout(PATIENCE, running.child.wait()).await.context("a replica does not end")?;
        let status = ended.context("waiting for a replica")?;
        anyhow::ensure!(status.success(), "replica {} ended with {status} after SIGTERM", self.number);
        Ok(())
    }

    /// SIGKILL. Until somebody notices, connections still lead to it.
    ///
    /// # Errors
    /// When it does not run.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let mut running = self.running.take().context("the replica does not run")?;
        running.child.kill().await.context("killing a replica")?;
        running.tasks[1].abort();
        self.backends.set(self.number, None);
        Ok(())
    }
}

/// What a kubelet and the Service's endpoints do together.
async fn probe(backends: Backends, number: usize, admission: SocketAddr, plain: SocketAddr) {
    let mut refused = 0;
    loop {
        if get(plain, "/readyz").await.is_some() {
            refused = 0;
            backends.set(number, Some(admission));
        } else {
            refused += 1;
            if refused == UNREADY_AFTER {
                backends.set(number, None);
            }
        }
        tokio::time::sleep(PROBE).await;
    }
}

/// The answer to a GET if it is 200.
async fn get(address: SocketAddr, path: &str) -> Option<String> {
    let answer = tokio::time::timeout(Duration::from_secs(1), plain_answer(address, path)).await.ok()?.ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}
