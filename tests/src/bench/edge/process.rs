//! A server's process as the bench sees it: address, processor time, memory.

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use statusguard_tests::LeafFiles;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::server::BenchServer;

/// A running server. It ends with this value.
pub struct Process {
    /// Where it listens.
    pub address: SocketAddr,
    /// The guard's plain port.
    pub plain: Option<SocketAddr>,
    id: u32,
    /// The server ends when this closes, also when the bench is killed.
    _input: ChildStdin,
    _child: Child,
}

/// How long a server may take to start.
const START: Duration = Duration::from_secs(30);

impl Process {
    /// Starts this program again as a server.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn start(server: BenchServer, core: usize, leaf: &LeafFiles) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program")?;
        let mut child = Command::new(program)
            .arg("edge-server")
            .arg(format!("--server={}", server.name()))
            .arg(format!("--core={core}"))
            .arg(format!("--tls-cert={}", leaf.certificate.display()))
            .arg(format!("--tls-key={}", leaf.key.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Log lines are written as in production, but not read.
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting a server")?;
        let id = child.id().context("a server that has ended")?;
        let input = child.stdin.take().context("a server without standard input")?;
        let mut output = BufReader::new(child.stdout.take().context("a server without standard output")?).lines();
        let line = tokio::time::timeout(START, output.next_line()).await.context("a server hangs")??;
        let line = line.with_context(|| format!("the {} server ended early", server.name()))?;
        let (address, plain) = match line.split_once(' ') {
            Some((address, plain)) => (address.parse()?, Some(plain.parse()?)),
            None => (line.parse()?, None),
        };
        Ok(Self { address, plain, id, _input: input, _child: child })
    }

    /// Processor time of all its threads so far.
    ///
    /// # Errors
    /// When it has ended.
    pub fn processor_time(&self) -> anyhow::Result<Duration> {
        // In nanoseconds, where /proc/<pid>/stat counts hundredths of a second.
        let mut sum = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.id)).context("a server's threads")? {
            let path = task.context("a server's threads")?.path().join("schedstat");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let nanos = text.split_whitespace().next().and_then(|first| first.parse::<u64>().ok());
            sum += nanos.with_context(|| format!("{} holds {text:?}", path.display()))?;
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Resident memory in MiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.id)).context("a server's memory")?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("a server's memory")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").parse().with_context(|| format!("VmRSS is {line:?}"))?;
        Ok(kib / 1024.0)
    }
}
