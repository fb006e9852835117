//! One process of writers: what a controller built on atomic-status does, and the protocol that it shares with the
//! rival's process.
//!
//! ```text
//! worker: connect, read once, "ready" ──▶ bench
//! bench:  one line on standard input  ──▶ worker: work, one line of JSON, end
//! ```
//! A worker whose standard input ends before its work does ends at once: its result is not wanted any more.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use atomic_status::{Dynamic, StatusWriter};
use futures::future::join_all;
use http::{Request, Response, StatusCode};
use kube::client::{Body, ClientBuilder};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tower_layer::Layer;
use tower_service::Service;

use crate::tally;

/// What one process is to do. The rival takes the same flags.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// How to reach the API server.
    #[arg(long)]
    pub kubeconfig: PathBuf,
    /// The object's namespace.
    #[arg(long)]
    pub namespace: String,
    /// The object's name.
    #[arg(long)]
    pub name: String,
    /// Number of this process, part of every identity.
    #[arg(long)]
    pub process: usize,
    /// Tasks that write.
    #[arg(long)]
    pub writers: usize,
    /// Updates of each.
    #[arg(long)]
    pub updates: usize,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// From the first update's begin to the last one's end.
    pub elapsed_micros: u64,
    /// Requests on the wire.
    pub requests: u64,
    /// Of these, answered with 409.
    pub conflicts: u64,
    /// Every update.
    pub updates: Vec<TimedUpdate>,
}

/// What became of one update.
#[derive(Debug, Serialize, Deserialize)]
pub struct TimedUpdate {
    /// The identity of the entry that it appends.
    pub id: String,
    /// Whether its writer was told that it is written.
    pub acked: bool,
    /// From its call to its answer.
    pub micros: u64,
}

/// A worker as the bench sees it. It ends with this value.
pub struct Worker {
    child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// RequestCounts the requests that go over the wire, and the conflicts that come back.
#[derive(Debug, Clone, Default)]
struct CountedRequests(Arc<RequestCounts>);

#[derive(Debug, Default)]
struct RequestCounts {
    requests: AtomicU64,
    conflicts: AtomicU64,
}

/// A service with its wire.
#[derive(Debug)]
struct Counted<S> {
    inner: S,
    wire: CountedRequests,
}

/// How long a worker may take for one step: far longer than any does.
const PATIENCE: Duration = Duration::from_secs(300);

impl<S> Layer<S> for CountedRequests {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, wire: self.clone() }
    }
}

impl<S, B> Service<Request<Body>> for Counted<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let counts = Arc::clone(&self.wire.0);
        counts.requests.fetch_add(1, Ordering::Relaxed);
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if answer.status() == StatusCode::CONFLICT {
                counts.conflicts.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer)
        })
    }
}

/// Works as `args` say, by the protocol.
///
/// # Errors
/// When the API server cannot be reached, or the signal to start does not come.
pub async fn run(args: Args) -> anyhow::Result<()> {
    // Another provider installed earlier serves as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let wire = CountedRequests::default();
    let client = client(&args.kubeconfig, &wire).await?;
    let writer = tally::writer(client.clone(), args.process)?;
    // The connection stands before the work begins, and the cache has the object.
    let object = Arc::new(tally::api(client, &args.namespace).get(&args.name).await.context("reading the object")?);
    wire.0.requests.store(0, Ordering::Relaxed);

    let mut input = BufReader::new(tokio::io::stdin()).lines();
    println!("ready");
    ensure!(input.next_line().await?.is_some(), "standard input ended before the start");
    let begun = Instant::now();
    let updates = tokio::select! {
        updates = work(&args, &writer, &object) => updates?,
        _ = input.next_line() => bail!("standard input ended before the work"),
    };
    let report = Report {
        elapsed_micros: micros(begun),
        requests: wire.0.requests.load(Ordering::Relaxed),
        conflicts: wire.0.conflicts.load(Ordering::Relaxed),
        updates,
    };
    println!("{}", serde_json::to_string(&report)?);
    // The reader of standard input cannot be cancelled.
    std::process::exit(0);
}

async fn work(args: &Args, writer: &StatusWriter<Dynamic>, object: &Arc<Dynamic>) -> anyhow::Result<Vec<TimedUpdate>> {
    let tasks = (0..args.writers).map(|task| {
        let (process, count) = (args.process, args.updates);
        let (writer, object) = (writer.clone(), Arc::clone(object));
        tokio::spawn(async move {
            let mut updates = Vec::with_capacity(count);
            for number in 0..count {
                let id = format!("{process}-{task}-{number}");
                let begun = Instant::now();
                let entry = id.clone();
                let outcome = writer.update(&object, move |status| tally::add(status, &entry)).await;
                let acked = match outcome {
                    Ok(outcome) => outcome.is_written(),
                    Err(error) => {
                        eprintln!("{id}: {:#}", anyhow::Error::new(error));
                        false
                    }
                };
                updates.push(TimedUpdate { id, acked, micros: micros(begun) });
            }
            updates
        })
    });
    let mut all = Vec::with_capacity(args.writers * args.updates);
    for updates in join_all(tasks).await {
        all.extend(updates.context("a writer panicked")?);
    }
    Ok(all)
}

/// A client whose requests are counted. kube's own retries are off, so that none is hidden from the count.
async fn client(kubeconfig: &Path, wire: &CountedRequests) -> anyhow::Result<Client> {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).context("reading the kubeconfig")?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .context("reading the kubeconfig")?;
    config.default_retry = false;
    Ok(ClientBuilder::try_from(config).context("making a client")?.with_layer(wire).build())
}

fn micros(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX)
}

impl Worker {
    /// Starts a program that speaks the protocol; `before` are arguments that come before the flags.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(program: &Path, before: &[&str], args: &Args) -> anyhow::Result<Self> {
        let Args { kubeconfig, namespace, name, process, writers, updates } = args;
        let mut child = Command::new(program)
            .args(before)
            .arg(format!("--kubeconfig={}", kubeconfig.display()))
            .arg(format!("--namespace={namespace}"))
            .arg(format!("--name={name}"))
            .arg(format!("--process={process}"))
            .arg(format!("--writers={writers}"))
            .arg(format!("--updates={updates}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let input = child.stdin.take().context("a worker without standard input")?;
        let output = child.stdout.take().context("a worker without standard output")?;
        Ok(Self { child, input, output: BufReader::new(output).lines() })
    }

    /// Waits until the worker is ready.
    ///
    /// # Errors
    /// When it ends or takes too long.
    pub async fn ready(&mut self) -> anyhow::Result<()> {
        let line = self.line().await?;
        ensure!(line == "ready", "a worker said {line:?}");
        Ok(())
    }

    /// Lets the worker begin.
    ///
    /// # Errors
    /// When it has ended.
    pub async fn begin(&mut self) -> anyhow::Result<()> {
        self.input.write_all(b"go\n").await.context("starting a worker's work")
    }

    /// Waits until the worker is done.
    ///
    /// # Errors
    /// When it ends otherwise or takes too long.
    pub async fn report(mut self) -> anyhow::Result<Report> {
        let line = self.line().await?;
        let report = serde_json::from_str(&line).context("reading a worker's report")?;
        let status = self.child.wait().await.context("waiting for a worker")?;
        ensure!(status.success(), "a worker ended with {status}");
        Ok(report)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(PATIENCE, self.output.next_line()).await.context("a worker hangs")?;
        line.context("reading from a worker")?.context("a worker ended early; its last words are above")
    }
}
