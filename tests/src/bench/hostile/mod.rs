//! `hostile`: broken, forged and slow requests to the guard, for a chosen time.
//!
//! Every reply is checked against its own request, and the first wrong one ends the run. At the end there must be
//! no panic, no connection, no body and no memory left, and the guard must judge as before.

mod attack;
mod forge;
mod guard;
mod recipes;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures::future::try_join_all;
use serde::Serialize;
use statusguard_tests::Authority;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use self::attack::{Attacker, RequestCounts, Way};
use crate::edge::cores;
use crate::edge::load::{self, Load};
use crate::edge::process::Process;
use crate::edge::review::{self, StatusChange};
use crate::edge::server::BenchServer;
use crate::figures::{rounded, table, write_rows};

/// Arguments of `hostile`.
#[derive(clap::Args)]
pub struct Args {
    /// For how many seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// In place of the mixture, each known attack by itself; they share the time.
    #[arg(long)]
    recipes: bool,
    /// Divide the recipes' counts and sizes and the guard's limits, for a short run.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "recipes", value_parser = clap::value_parser!(u16).range(1..=64))]
    scale: u16,
    /// Attack the guard of this `statusguard` program, to compare two versions.
    #[arg(long, value_name = "PROGRAM", requires = "recipes")]
    guard: Option<PathBuf>,
    /// Where to write the row as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How often memory is sampled and progress is printed.
const SAMPLE: Duration = Duration::from_secs(5);
/// Connections of slow peers end by the guard's own limits within this time.
const SETTLE: Duration = Duration::from_secs(30);
/// How much memory may grow between the first third and the last.
const GROWTH_MIB: f64 = 16.0;
/// The most memory allowed: the bodies that may be held, and what two judgements take.
const MOST_MIB: f64 = 256.0;
/// How many attackers there are of each kind.
const ATTACKERS: [(Way, usize); 7] = [
    (Way::Forged, 12),
    (Way::Costly, 2),
    (Way::Slow, 4),
    (Way::Mute, 4),
    (Way::Garbage, 4),
    (Way::Huge, 2),
    (Way::Gone, 4),
];

#[derive(Serialize)]
struct Row {
    seconds: u64,
    #[serde(flatten)]
    counts: RequestCounts,
    panics: u64,
    resident_first_mib: f64,
    resident_last_mib: f64,
    resident_most_mib: f64,
}

/// Attacks, checks and prints.
///
/// # Errors
/// At the first reply that is not the reply to its request, and when something remains at the end.
pub fn run(args: Args) -> anyhow::Result<()> {
    let runtime = || tokio::runtime::Runtime::new().context("starting the runtime");
    if !args.recipes {
        return runtime()?.block_on(mixture(args));
    }
    let (server, client) = cores::pair()?;
    // Before the runtime: its threads inherit it.
    cores::pin(client)?;
    let whole = Duration::from_secs(args.seconds);
    runtime()?.block_on(recipes::run(args.guard.as_deref(), args.scale.into(), server, client, whole, args.json))
}

async fn mixture(args: Args) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("statusguard-bench-").tempdir().context("making a folder")?;
    let authority = Authority::new("statusguard bench")?;
    let leaf = authority.leaf([load::SERVER_NAME])?.write(folder.path())?;
    let tls = load::tls(authority.der())?;
    let guard = Process::start(BenchServer::Guard, 0, &leaf).await?;
    let plain = guard.plain.context("the guard has no plain port")?;

    let over = Arc::new(AtomicBool::new(false));
    let attackers = ATTACKERS.iter().flat_map(|(way, count)| std::iter::repeat_n(*way, *count));
    let attacks: Vec<_> = attackers
        .enumerate()
        .map(|(number, way)| {
            let attacker = Attacker::new(number, guard.address, tls.clone(), Arc::clone(&over));
            tokio::spawn(async move { attacker.run(way).await.with_context(|| format!("{way:?}")) })
        })
        .collect();
    let begun = Instant::now();
    let mut memory = Vec::new();
    while begun.elapsed().as_secs() < args.seconds && !attacks.iter().any(tokio::task::JoinHandle::is_finished) {
        let left = Duration::from_secs(args.seconds).saturating_sub(begun.elapsed());
        tokio::time::sleep(left.min(SAMPLE)).await;
        memory.push(guard.resident_mib()?);
        let judged = metric(&scrape(plain).await?, "statusguard_admission_requests_total");
        let resident = memory.last().copied().unwrap_or_default();
        eprintln!("{:>4} s  {judged} judged  {resident:.1} MiB", begun.elapsed().as_secs());
    }
    over.store(true, Ordering::Relaxed);
    let mut counts = RequestCounts::default();
    for count in try_join_all(attacks).await.context("an attacker panicked")? {
        counts.add(&count?);
    }
    settled(plain).await?;
    for write in [StatusChange::Legal, StatusChange::Refused, StatusChange::Unchanged] {
        let mut load = Load::open(guard.address, &tls, 1, write != StatusChange::Refused).await?;
        load.run(&review::bodies(16 << 10, write, 16)?, Instant::now() + Duration::from_millis(100)).await?;
    }

    let most = |samples: &[f64]| samples.iter().copied().fold(0.0, f64::max);
    let third = memory.len().div_ceil(3);
    let row = Row {
        seconds: begun.elapsed().as_secs(),
        counts,
        panics: metric(&scrape(plain).await?, "statusguard_panics_total"),
        resident_first_mib: rounded(most(&memory[..third]), 1),
        resident_last_mib: rounded(most(&memory[memory.len() - third..]), 1),
        resident_most_mib: rounded(most(&memory), 1),
    };
    show(&row);
    if let Some(file) = args.json {
        write_rows(&file, std::slice::from_ref(&row))?;
    }
    ensure!(row.panics == 0, "the guard caught {} panics", row.panics);
    let grown = row.resident_last_mib - row.resident_first_mib;
    ensure!(grown <= GROWTH_MIB, "memory grew by {grown:.1} MiB from the first third to the last");
    ensure!(row.resident_most_mib <= MOST_MIB, "memory reached {:.1} MiB", row.resident_most_mib);
    Ok(())
}

/// Waits until the guard holds no connection, no body and no judgement.
async fn settled(plain: std::net::SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + SETTLE;
    loop {
        let text = scrape(plain).await?;
        let held = ["connections", "inflight", "body_bytes", "judging_bytes"]
            .map(|name| (name, metric(&text, &format!("statusguard_{name}"))));
        if held.iter().all(|(_, value)| *value == 0) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("left behind after {} s: {held:?}", SETTLE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn scrape(plain: std::net::SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(plain).await.context("asking for metrics")?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: guard\r\nconnection: close\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.context("reading metrics")?;
    ensure!(text.starts_with("HTTP/1.1 200"), "no metrics: {text}");
    Ok(text)
}

/// The sum of a metric over its labels.
fn metric(text: &str, name: &str) -> u64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name));
    let samples = samples.filter(|rest| rest.starts_with([' ', '{']));
    samples.filter_map(|rest| rest.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

fn show(row: &Row) {
    let Row { seconds, counts, panics, resident_first_mib, resident_last_mib, resident_most_mib } = row;
    let head = ["seconds", "requests", "judged", "rejected", "cut off", "panics", "MiB", "last", "most"];
    let cells = [
        seconds.to_string(),
        counts.requests.to_string(),
        counts.judged.to_string(),
        counts.rejected.to_string(),
        counts.cut_off.to_string(),
        panics.to_string(),
        format!("{resident_first_mib:.1}"),
        format!("{resident_last_mib:.1}"),
        format!("{resident_most_mib:.1}"),
    ];
    println!("{}", table(&head, &[cells.to_vec()]));
    let codes: Vec<String> = counts.codes.iter().map(|(code, count)| format!("{count} {code}")).collect();
    println!("replies: {}", codes.join(", "));
}
