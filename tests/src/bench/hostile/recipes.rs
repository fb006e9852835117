//! `hostile --recipes`: each known attack by itself, and what probes and ordinary calls notice of it.
//!
//! The guard is the operator's own command, a process on one core; attackers, probes and ordinary calls share another.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rustls::pki_types::ServerName;
use serde::Serialize;
use statusguard_tests::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::attack::RawReply;
use super::guard::{AttackedGuard, resident_mib};
use crate::edge::cores;
use crate::edge::load::{self, SERVER_NAME};
use crate::figures::{Latencies, rounded, table, write_rows};

/// One attack.
#[derive(Debug, Clone, Copy)]
enum Recipe {
    /// Nobody attacks.
    None,
    /// Entries whose texts resemble each other.
    Shapes,
    /// Numbers with long exponents, to be added up.
    Exponents,
    /// A status nested almost as deep as is read.
    Nesting,
    /// Bodies as long as may be, eight at once.
    LongBodies,
    /// Nobody reads the log, and there is much to log.
    UnreadLog,
    /// Connections to the plain port that say nothing.
    SilentProbes,
    /// Connections to the admission port that say nothing.
    SilentCalls,
    /// Connections that have had one answer and stay.
    IdleStrangers,
    /// Bodies that stop before their last byte.
    StuckBodies,
}

const RECIPES: [Recipe; 10] = [
    Recipe::None,
    Recipe::Shapes,
    Recipe::Exponents,
    Recipe::Nesting,
    Recipe::LongBodies,
    Recipe::UnreadLog,
    Recipe::SilentProbes,
    Recipe::SilentCalls,
    Recipe::IdleStrangers,
    Recipe::StuckBodies,
];

/// What the recipes' reviews are judged by.
const POLICY: &str = "
apiVersion: statusguard.dev/v1alpha1
kind: StatusPolicy
metadata: { name: jobs.example.org }
spec:
  target: { group: example.org, version: v1, resource: jobs }
  monotone: [{ path: .status.attempts }]
  setOnce: [{ path: .status.result }]
  collections:
    - { path: .status.log }
    - path: .status.costs
      order: Any
      keep: 0
      each: { equal: [{ left: [.a, .b], right: [.c] }] }
";
const PATH: &str = "/admit/example.org/jobs";
/// How long a probe waits: the kubelet's own default.
const PROBE_TIME_OUT: Duration = Duration::from_secs(1);
/// How long an ordinary call waits: what the API server is told for a policy.
const CALL_TIME_OUT: Duration = Duration::from_secs(5);
/// Between two probes, and two ordinary calls.
const PAUSE: Duration = Duration::from_millis(20);
/// Between an attack and the last look at the guard's memory.
const AFTERWARDS: Duration = Duration::from_secs(10);
const LONG_BODY: usize = 7_400_000;

/// One line of the result.
#[derive(Debug, Serialize)]
pub struct Row {
    recipe: String,
    /// Longest time until an attacking review was answered, if any was.
    slowest_review_ms: f64,
    probes: u64,
    probes_failed: u64,
    probe_p99_ms: f64,
    calls: u64,
    calls_failed: u64,
    call_p99_ms: f64,
    most_mib: f64,
    afterwards_mib: f64,
}

/// A guard under attack.
struct AttackContext {
    admission: SocketAddr,
    plain: SocketAddr,
    tls: TlsConnector,
    slowest: AtomicU64,
    /// By how much counts and sizes are divided.
    scale: usize,
}

/// Runs all recipes within about this time, with counts, sizes and the guard's limits divided by `scale`, and prints.
///
/// # Errors
/// When more than one in twenty probes or ordinary calls failed, or a recipe did not reach the limit that it is for.
pub async fn run(
    program: Option<&Path>,
    scale: usize,
    server: usize,
    client: usize,
    whole: Duration,
    json: Option<PathBuf>,
) -> anyhow::Result<()> {
    let each = whole / RECIPES.len() as u32;
    let folder = tempfile::Builder::new().prefix("statusguard-bench-").tempdir().context("making a folder")?;
    let authority = Authority::new("statusguard bench")?;
    let leaf = authority.leaf([SERVER_NAME])?.write(folder.path())?;
    let tls = load::tls(authority.der())?;
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).context("making a folder")?;
    fs::write(policies.join("jobs.yaml"), POLICY).context("writing a policy")?;
    let mut rows = Vec::new();
    for recipe in RECIPES {
        eprintln!("{recipe:?}");
        // A process inherits the core of the thread that starts it.
        cores::pin(server)?;
        let guard = AttackedGuard::start(program, &policies, &leaf, matches!(recipe, Recipe::UnreadLog), scale);
        cores::pin(client)?;
        let guard = guard?;
        let row = measured(recipe, &guard, &tls, each, scale).await.with_context(|| format!("{recipe:?}"))?;
        if program.is_none() {
            let metrics = super::scrape(guard.plain).await?;
            for counter in recipe.counters() {
                let reached = metrics.lines().any(|line| line.starts_with(counter) && !line.ends_with(" 0"));
                ensure!(reached, "{recipe:?}: {counter} is 0: the attack has not reached the limit");
            }
        }
        rows.push(row);
    }
    show(&rows);
    if let Some(file) = json {
        write_rows(&file, &rows)?;
    }
    let failed: Vec<&str> = rows.iter().filter(|row| row.many_failed()).map(|row| &*row.recipe).collect();
    ensure!(failed.is_empty(), "probes or calls failed: {}", failed.join(", "));
    Ok(())
}

async fn measured(
    recipe: Recipe,
    guard: &AttackedGuard,
    tls: &TlsConnector,
    each: Duration,
    scale: usize,
) -> anyhow::Result<Row> {
    let target = AttackContext {
        admission: guard.admission,
        plain: guard.plain,
        tls: tls.clone(),
        slowest: AtomicU64::default(),
        scale,
    };
    let target = Arc::new(target);
    let over = Arc::new(AtomicBool::new(false));
    let prober = prober(guard.plain, guard.id(), Arc::clone(&over));
    let calls = tokio::spawn(ordinary_calls(Arc::clone(&target), Arc::clone(&over)));
    let until = Instant::now() + each;
    recipe.attack(&target, until).await?;
    tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
    over.store(true, Ordering::Relaxed);
    let calls = calls.await.context("the ordinary caller panicked")?;
    let (probes, most_mib) = prober.join().map_err(|_| anyhow::anyhow!("the prober panicked"))?;
    tokio::time::sleep(AFTERWARDS.min(each)).await;
    Ok(Row {
        recipe: format!("{recipe:?}"),
        slowest_review_ms: rounded(target.slowest.load(Ordering::Relaxed) as f64 / 1000.0, 1),
        probes: probes.done,
        probes_failed: probes.failed,
        probe_p99_ms: probes.latencies.quantile_ms(0.99),
        calls: calls.done,
        calls_failed: calls.failed,
        call_p99_ms: calls.latencies.quantile_ms(0.99),
        most_mib: rounded(most_mib, 1),
        afterwards_mib: rounded(resident_mib(guard.id())?, 1),
    })
}

impl Row {
    /// On a busy machine one may be late.
    fn many_failed(&self) -> bool {
        20 * self.probes_failed > self.probes || 20 * self.calls_failed > self.calls
    }
}

/// What somebody saw who asked again and again.
#[derive(Default)]
struct Asked {
    done: u64,
    failed: u64,
    latencies: Latencies,
}

impl Asked {
    fn add(&mut self, begun: Instant, went_well: bool) {
        self.done += 1;
        self.failed += u64::from(!went_well);
        self.latencies.add(micros(begun.elapsed()));
    }
}

/// Probes as the kubelet does, on a thread of its own, and looks at the guard's memory.
fn prober(plain: SocketAddr, id: u32, over: Arc<AtomicBool>) -> JoinHandle<(Asked, f64)> {
    thread::spawn(move || {
        let (mut asked, mut most_mib) = (Asked::default(), 0.0_f64);
        while !over.load(Ordering::Relaxed) {
            let begun = Instant::now();
            asked.add(begun, probe(plain).is_ok_and(|reply| reply.starts_with("HTTP/1.1 200")));
            most_mib = most_mib.max(resident_mib(id).unwrap_or_default());
            thread::sleep(PAUSE.saturating_sub(begun.elapsed()));
        }
        (asked, most_mib)
    })
}

fn probe(plain: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&plain, PROBE_TIME_OUT)?;
    stream.set_read_timeout(Some(PROBE_TIME_OUT))?;
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: guard\r\n\r\n")?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply)?;
    Ok(reply)
}

/// Legal writes, each on a connection of its own, which is the hardest for the guard to tell from a stranger's.
async fn ordinary_calls(target: Arc<AttackContext>, over: Arc<AtomicBool>) -> Asked {
    let body = review(r#"{"attempts":1}"#, r#"{"attempts":2}"#);
    let mut asked = Asked::default();
    while !over.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let reply = tokio::time::timeout(CALL_TIME_OUT, target.call(PATH, &body)).await;
        asked.add(begun, reply.is_ok_and(|reply| reply.is_ok_and(|code| code == 200)));
        tokio::time::sleep(PAUSE.saturating_sub(begun.elapsed())).await;
    }
    asked
}

impl AttackContext {
    async fn connect(&self) -> anyhow::Result<TlsStream<tokio::net::TcpStream>> {
        let stream = tokio::net::TcpStream::connect(self.admission).await.context("connecting")?;
        let name = ServerName::try_from(SERVER_NAME)?;
        self.tls.connect(name, stream).await.context("TLS handshake")
    }

    /// One call on a connection of its own; the HTTP status of its reply.
    async fn call(&self, path: &str, body: &[u8]) -> anyhow::Result<u16> {
        let mut stream = self.connect().await?;
        stream.write_all(&[header(path, body.len()).as_bytes(), body].concat()).await.context("sending")?;
        stream.flush().await.context("sending")?;
        Ok(RawReply::read(&mut stream).await?.context("no reply")?.code)
    }

    /// Sends a review again and again, and notes the slowest reply. Whatever the answer is, it has to come.
    async fn reviews(&self, body: &[u8], until: Instant) {
        while Instant::now() < until {
            let begun = Instant::now();
            if self.call(&format!("{PATH}?timeout=10s"), body).await.is_err() {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            self.slowest.fetch_max(micros(begun.elapsed()), Ordering::Relaxed);
        }
    }

    /// Opens so many connections with `open`, eight at a time, a new one for the oldest, until the time has come.
    async fn keeps<T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        count: usize,
        until: Instant,
        open: impl Fn() -> F,
    ) {
        const AT_ONCE: usize = 8;
        let some = || async {
            let mut kept = std::collections::VecDeque::new();
            while Instant::now() < until {
                // The guard may have no room.
                if let Ok(Ok(connection)) = tokio::time::timeout(PROBE_TIME_OUT, open()).await {
                    kept.push_back(connection);
                }
                if kept.len() > count / AT_ONCE {
                    kept.pop_front();
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
        };
        futures::future::join_all((0..AT_ONCE).map(|_| some())).await;
    }
}

impl Recipe {
    /// What the guard has counted when the attack has reached the limit that it is for.
    fn counters(self) -> &'static [&'static str] {
        match self {
            Self::SilentCalls | Self::IdleStrangers => &["statusguard_shed_total{cause=\"evicted\"}"],
            Self::StuckBodies => &["statusguard_shed_total{cause=\"bodies\"}"],
            Self::LongBodies => &["statusguard_admission_requests_total"],
            _ => &[],
        }
    }

    async fn attack(self, target: &Arc<AttackContext>, until: Instant) -> anyhow::Result<()> {
        let list = |name: &str, entries: Vec<String>| format!("{{\"{name}\":[{}]}}", entries.join(","));
        match self {
            Self::None => {}
            Self::Shapes => {
                let count = 4000 / target.scale;
                let old = list("log", (0..count).map(shape).collect());
                let new = list("log", (count..2 * count).map(shape).collect());
                target.reviews(&review(&old, &new), until).await;
            }
            Self::Exponents => {
                let entry = |n: usize| format!("{{\"a\":{n}.5e4096,\"b\":{n}e-4096,\"c\":1}}");
                target
                    .reviews(&review("{}", &list("costs", (1..170_000 / target.scale).map(entry).collect())), until)
                    .await;
            }
            Self::Nesting => {
                let chains = |innermost: &str| {
                    format!("{{\"result\":[{}]}}", vec![nested(480, innermost); 100 / target.scale].join(","))
                };
                target.reviews(&review(&chains("1"), &chains("2")), until).await;
            }
            Self::LongBodies => {
                let entry = |n: usize| format!("{{\"at\":{n},\"ok\":true,\"in\":[1,\"a\"]}}");
                let mut entries = Vec::new();
                let mut bytes = 0;
                while 2 * bytes < LONG_BODY / target.scale {
                    entries.push(entry(entries.len()));
                    bytes += entries.last().map_or(0, |entry| entry.len() + 1);
                }
                let old = list("log", entries.clone());
                entries.push(entry(entries.len()));
                let body = review(&old, &list("log", entries));
                futures::future::join_all((0..8).map(|_| target.reviews(&body, until))).await;
            }
            Self::UnreadLog => {
                let refused = review(r#"{"attempts":2}"#, r#"{"attempts":1}"#);
                while Instant::now() < until {
                    // Whether they are answered is what the ordinary calls show.
                    let _ = tokio::time::timeout(PROBE_TIME_OUT, target.call(PATH, &refused)).await;
                    let _ = tokio::time::timeout(PROBE_TIME_OUT, target.call("/elsewhere", b"{}")).await;
                }
            }
            Self::SilentProbes => {
                let open = async || Ok(tokio::net::TcpStream::connect(target.plain).await?);
                target.keeps(160, until, open).await;
            }
            Self::SilentCalls => {
                let open = async || Ok(tokio::net::TcpStream::connect(target.admission).await?);
                target.keeps(1088 / target.scale, until, open).await;
            }
            Self::IdleStrangers => {
                let open = async || {
                    let mut stream = target.connect().await?;
                    stream.write_all(header("/elsewhere", 0).as_bytes()).await?;
                    ensure!(stream.read(&mut [0; 1024]).await? > 0, "no reply");
                    Ok(stream)
                };
                target.keeps(1024 / target.scale, until, open).await;
            }
            Self::StuckBodies => {
                let almost = vec![b' '; (8 << 20) / target.scale - 1];
                let stuck = || async {
                    while Instant::now() < until {
                        let Ok(mut stream) = target.connect().await else { continue };
                        let header = header(&format!("{PATH}?timeout=30s"), almost.len() + 1);
                        let _ = stream.write_all(header.as_bytes()).await;
                        let _ = stream.write_all(&almost).await;
                        let rest = until.saturating_duration_since(Instant::now());
                        let _ = tokio::time::timeout(rest, stream.read(&mut [0; 1024])).await;
                    }
                };
                futures::future::join_all((0..8).map(|_| stuck())).await;
            }
        }
        Ok(())
    }
}

/// One of many objects that have the same names and values in the same order, nested in different ways.
fn shape(number: usize) -> String {
    (0..16).fold("1".to_owned(), |inner, bit| match number >> bit & 1 {
        0 => format!("{{\"a\":{{\"j\":{inner}}},\"k\":1}}"),
        _ => format!("{{\"a\":{{\"j\":{inner},\"k\":1}}}}"),
    })
}

/// An object nested so deep, with a member that is set and one that is not at each level.
fn nested(depth: usize, innermost: &str) -> String {
    let mut text = String::new();
    for level in 0..depth {
        let _ = write!(text, "{{\"u\":{{\"x\":0}},\"s\":{level},\"z\":");
    }
    text + innermost + &"}".repeat(depth)
}

fn header(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

fn review(old: &str, new: &str) -> Vec<u8> {
    let object = |status: &str| {
        format!(
            r#"{{"metadata":{{"name":"j1","namespace":"web","uid":"u-1","resourceVersion":"7"}},"status":{status}}}"#
        )
    };
    let (old, new) = (object(old), object(new));
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"2a2a4e17-838d-4367-ad15-3d6e1f0f2c11","kind":{{"group":"example.org","version":"v1","kind":"Job"}},"resource":{{"group":"example.org","version":"v1","resource":"jobs"}},"subResource":"status","name":"j1","namespace":"web","operation":"UPDATE","userInfo":{{"username":"alice"}},"object":{new},"oldObject":{old},"dryRun":false}}}}"#
    )
    .into_bytes()
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn show(rows: &[Row]) {
    let head = [
        "recipe",
        "slowest review ms",
        "probes",
        "failed",
        "p99 ms",
        "calls",
        "failed",
        "p99 ms",
        "most MiB",
        "afterwards MiB",
    ];
    let lines: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.recipe.clone(),
                format!("{:.1}", row.slowest_review_ms),
                row.probes.to_string(),
                row.probes_failed.to_string(),
                format!("{:.2}", row.probe_p99_ms),
                row.calls.to_string(),
                row.calls_failed.to_string(),
                format!("{:.2}", row.call_p99_ms),
                format!("{:.1}", row.most_mib),
                format!("{:.1}", row.afterwards_mib),
            ]
        })
        .collect();
    println!("{}", table(&head, &lines));
}
