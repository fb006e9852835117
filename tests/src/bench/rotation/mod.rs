//! `rotation`: certificates of the guard's own rotate in seconds, replicas and API servers fail, and writers go on.
//!
//! ```text
//! 4 writers ──▶ API server ──▶ balancer ──▶ 3 replicas (processes), whichever is ready
//! ```
//! Each writer makes 10 writes in a second under a policy with `failurePolicy: Fail`. Every fifth is stale and must be
//! refused.

mod balancer;
mod case;
mod replica;
mod site;
mod writers;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use statusguard_tests::{ControlPlane, Options, User};

use self::case::RotationCase;
use self::site::Site;
use self::writers::{WriteCounts, Writers};
use crate::figures::{table, write_rows};

/// Arguments of `rotation`.
#[derive(clap::Args)]
pub struct Args {
    /// How long each case lasts at least, in minutes. `authority` lasts three rotations at least, `kill` until every
    /// replica was killed in every phase.
    #[arg(long, value_name = "N", default_value_t = 2.0)]
    minutes: f64,
    /// Do everything once.
    #[arg(long, conflicts_with = "minutes")]
    quick: bool,
    /// Only these cases.
    #[arg(long = "case", value_name = "CASE", value_enum)]
    cases: Vec<RotationCase>,
    /// Where to write the rows as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A folder that is there, for the replicas' logs. Default: none are kept.
    #[arg(long, value_name = "DIR")]
    logs: Option<PathBuf>,
}

/// The result of a case.
#[derive(Serialize)]
struct Row {
    case: &'static str,
    writes: u64,
    failed_by_guard: u64,
    failed_by_apiserver: u64,
    /// The longest time until all was well again; none if nothing was to heal.
    healed_ms: Option<u64>,
    /// How often it was done.
    rounds: usize,
    /// Stale writes that were not refused.
    unguarded: u64,
}

/// Before the first disturbance, between two, and after the last.
const PAUSE: Duration = Duration::from_secs(2);

/// Measures and prints.
///
/// # Errors
/// When something does not start or heal, when the guard failed a write where none may fail, and when a stale write was
/// not refused.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args { minutes, quick, cases, json, logs } = args;
    let lasting = Duration::try_from_secs_f64(minutes * 60.0).context("--minutes: a positive number is expected")?;
    let cases = if cases.is_empty() { RotationCase::ALL.to_vec() } else { cases };
    let plane = ControlPlane::start(Options::default()).await?;
    let logs = logs.unwrap_or_else(|| plane.folder().to_owned());
    let mut site = Site::start(plane, &logs).await?;
    let mut rows = Vec::new();
    for case in cases {
        let (lasting, rounds) = if quick { (Duration::ZERO, 1) } else { (lasting, case.least_rounds()) };
        eprintln!("{}", case.name());
        rows.push(measure(&mut site, case, lasting, rounds).await.with_context(|| format!("case {}", case.name()))?);
    }
    show(&rows);
    if let Some(file) = json {
        write_rows(&file, &rows)?;
    }
    verdict(&rows)
}

/// Writes while the case lasts.
async fn measure(site: &mut Site, case: RotationCase, lasting: Duration, least: usize) -> anyhow::Result<Row> {
    let writers = Writers::start(&site.plane.config(User::Admin), &site.namespace).await?;
    let begun = Instant::now();
    let (mut rounds, mut longest) = (0, None);
    while rounds < least || begun.elapsed() < lasting {
        tokio::time::sleep(PAUSE).await;
        longest = longest.max(case.disturb(site, rounds).await?);
        rounds += 1;
    }
    tokio::time::sleep(PAUSE).await;
    let WriteCounts { writes, failed_by_guard, failed_by_apiserver, unguarded } = writers.stop().await?;
    let healed_ms = longest.map(|longest| u64::try_from(longest.as_millis()).unwrap_or(u64::MAX));
    Ok(Row { case: case.name(), writes, failed_by_guard, failed_by_apiserver, healed_ms, rounds, unguarded })
}

fn show(rows: &[Row]) {
    let head = ["case", "rounds", "writes", "failed by guard", "failed by API server", "unguarded", "healed ms"];
    let line = |row: &Row| {
        let healed = row.healed_ms.map_or_else(|| "-".to_owned(), |healed| healed.to_string());
        let counts = [row.writes, row.failed_by_guard, row.failed_by_apiserver, row.unguarded];
        let mut line = vec![row.case.to_owned(), row.rounds.to_string()];
        line.extend(counts.iter().map(u64::to_string));
        line.push(healed);
        line
    };
    println!("{}", table(&head, &rows.iter().map(line).collect::<Vec<_>>()));
}

fn verdict(rows: &[Row]) -> anyhow::Result<()> {
    for row in rows {
        ensure!(row.unguarded == 0, "{}: {} stale writes were not refused", row.case, row.unguarded);
        let zero = RotationCase::ALL.iter().any(|case| case.name() == row.case && case.fails_nothing());
        ensure!(!zero || row.failed_by_guard == 0, "{}: the guard failed {} writes", row.case, row.failed_by_guard);
    }
    Ok(())
}
