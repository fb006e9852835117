//! `faults`: contended updates through a proxy that breaks one request in twenty, and what is stored in the end.
//!
//! Several writers, each with its own connections and field manager as if it were a process of its own, and several
//! tasks of each, contend for one object. An object takes a bounded number of updates, so that its list stays small;
//! some objects are in progress at a time. Requests that arrive late have arrived before anything is counted.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use atomic_status::{Dynamic, Error, StatusWriter};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use kube::api::{Api, DeleteParams};
use rand::RngExt as _;
use serde::Serialize;
use statusguard_tests::{ControlPlane, Fault, FaultProxy, Options, User};

use crate::figures::{ratio, rounded, table, write_rows};
use crate::tally::{self, Stored};

/// Arguments of `faults`.
#[derive(clap::Args)]
pub struct Args {
    /// How many updates.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    updates: u64,
    /// Where to write the row as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The result.
#[derive(Default, Serialize)]
struct Row {
    case: &'static str,
    updates: u64,
    /// Answered as written.
    acked: u64,
    /// Answered as not written.
    failed: u64,
    /// Answered as unknown.
    unknown: u64,
    /// Answered as written, but not in the list.
    lost: u64,
    /// More than once in the list.
    doubled: u64,
    /// Answered as not written, but in the list.
    denied: u64,
    /// Sum of the counters: acked <= counter <= acked + unknown.
    counter: u64,
    objects: usize,
    requests: u64,
    requests_per_update: f64,
    /// Injected, by kind.
    faults: BTreeMap<&'static str, u64>,
    /// Updates that were not written, by the category of their error.
    errors: BTreeMap<&'static str, u64>,
    updates_per_s: f64,
    seconds: f64,
}

/// What the caller of an update was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UpdateAnswer {
    Written,
    NotWritten(&'static str),
    Unknown,
}

/// An object and how its updates were answered, by identity.
struct Played {
    name: String,
    answers: Vec<(u64, UpdateAnswer)>,
}

/// RequestCounts by kind.
type Tallied = Arc<Mutex<BTreeMap<&'static str, u64>>>;

/// One request in this many is broken.
const ONE_IN: u32 = 20;

/// Updates of one object: its list has at most this many entries.
const UPDATES_PER_OBJECT: u64 = 500;

/// Objects in progress at a time, so that a delay of one does not idle the machine.
const OBJECTS_AT_A_TIME: usize = 4;

/// Writers of each object, as if each were a process.
const WRITERS: usize = 4;

/// At most one update in this many may fail because its time ran out.
const LATE_ONE_IN: u64 = 100;

/// Tasks of each writer on one object.
const TASKS: usize = 8;

const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// Measures and prints.
///
/// # Errors
/// When something does not run, when an update was lost or doubled, or a caller was told what is not true or that
/// nobody knows, and when updates failed for another reason than a time limit, or when too many failed.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args { updates, json } = args;
    let plane = ControlPlane::start(Options::default()).await?;
    plane.apply_crd(&tally::definition()?).await?;
    let namespace = plane.namespace("bench").await;
    let direct = tally::api(plane.client(User::Admin), &namespace);
    let proxy = FaultProxy::start(plane.config(User::Admin)).await?;
    let faults = inject(&proxy);
    let writers: Vec<StatusWriter<Dynamic>> = (0..WRITERS)
        .map(|number| {
            let client = Client::try_from(proxy.config()).context("making a client")?;
            tally::writer(client, number).context("making a writer")
        })
        .collect::<anyhow::Result<_>>()?;

    let done = AtomicU64::new(0);
    let begun = Instant::now();
    let shares = (0..updates.div_ceil(UPDATES_PER_OBJECT))
        .map(|object| UPDATES_PER_OBJECT.min(updates - object * UPDATES_PER_OBJECT));
    let playing = stream::iter(shares)
        .map(|share| play(&direct, &writers, share, &done))
        .buffer_unordered(OBJECTS_AT_A_TIME)
        .try_collect::<Vec<Played>>();
    let played = tokio::select! {
        played = playing => played?,
        never = progress(&done, updates, begun) => match never {},
    };
    let elapsed = begun.elapsed();
    let requests = proxy.counts().total();

    proxy.release_late();
    let landed = proxy.landed().await;
    eprintln!("{} requests landed late", landed.len());
    let faults = faults.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut row = Row {
        case: "one request in 20 broken",
        updates,
        objects: played.len(),
        requests,
        requests_per_update: ratio(requests as f64, updates as f64),
        faults,
        updates_per_s: rounded(updates as f64 / elapsed.as_secs_f64(), 1),
        seconds: rounded(elapsed.as_secs_f64(), 1),
        ..Row::default()
    };
    for Played { name, answers } in played {
        row.judge(&name, &tally::stored(&direct, &name).await?, &answers)?;
        direct.delete(&name, &DeleteParams::default()).await.with_context(|| format!("deleting {name}"))?;
    }
    show(&row);
    if let Some(file) = json {
        write_rows(&file, &[&row])?;
    }
    row.verdict()
}

/// Breaks one request in [`ONE_IN`], whatever it is: PUT, GET or WATCH. Returns what was injected so far.
fn inject(proxy: &FaultProxy) -> Tallied {
    let tallied = Tallied::default();
    let injected = Arc::clone(&tallied);
    proxy.set_faults(move |_| {
        let mut rng = rand::rng();
        if !rng.random_ratio(1, ONE_IN) {
            return Fault::Pass;
        }
        let status = |code, after_forwarding| Fault::Status { code, retry_after: None, after_forwarding };
        let (kind, fault) = match rng.random_range(0..9) {
            0 => ("cut before sending", Fault::CutBeforeSending),
            1 => ("cut after sending", Fault::CutAfterSending),
            2 => ("delay", Fault::Delay(Duration::from_millis(rng.random_range(10..200)))),
            3 => ("500 before sending", status(500, false)),
            4 => ("500 after sending", status(500, true)),
            5 => ("504 before sending", status(504, false)),
            6 => ("504 after sending", status(504, true)),
            // The API server refuses so before it does anything.
            7 => ("429", status(429, false)),
            _ => ("lands late", Fault::LandLate(Duration::from_millis(rng.random_range(1..300)))),
        };
        *injected.lock().unwrap_or_else(PoisonError::into_inner).entry(kind).or_default() += 1;
        fault
    });
    tallied
}

/// Lets all writers contend for a new object until it has had `share` updates.
async fn play(
    direct: &Api<Dynamic>,
    writers: &[StatusWriter<Dynamic>],
    share: u64,
    done: &AtomicU64,
) -> anyhow::Result<Played> {
    let object = Arc::new(tally::create(direct).await?);
    let name = object.metadata.name.clone().context("a created object has a name")?;
    let next = AtomicU64::new(0);
    let tasks = writers.iter().flat_map(|writer| std::iter::repeat_n(writer, TASKS)).map(|writer| async {
        let mut answers = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= share {
                return anyhow::Ok(answers);
            }
            let update = writer.update(&object, move |status| tally::add(status, &number.to_string()));
            let begun = Instant::now();
            let outcome = update.await;
            if let Err(error) = &outcome {
                let error = anyhow::Chain::new(error).map(ToString::to_string).collect::<Vec<_>>().join(": ");
                eprintln!("{name}, update {number}, after {:.1} s: {error}", begun.elapsed().as_secs_f64());
            }
            answers.push((number, UpdateAnswer::of(outcome)?));
            done.fetch_add(1, Ordering::Relaxed);
        }
    });
    let answers = try_join_all(tasks).await?.concat();
    Ok(Played { name, answers })
}

impl UpdateAnswer {
    fn of(outcome: Result<atomic_status::UpdateOutcome<Dynamic>, Error>) -> anyhow::Result<Self> {
        match outcome {
            Ok(outcome) => {
                ensure!(outcome.is_written(), "an update that changes the status was answered as unchanged");
                Ok(Self::Written)
            }
            Err(Error::Unknown(_)) => Ok(Self::Unknown),
            Err(error) => Ok(Self::NotWritten(error.category())),
        }
    }
}

impl Row {
    /// Compares what is stored with what callers were told.
    fn judge(&mut self, name: &str, stored: &Stored, answers: &[(u64, UpdateAnswer)]) -> anyhow::Result<()> {
        let (mut acked, mut unknown) = (0, 0);
        for (number, answer) in answers {
            let is_there = stored.entries.contains_key(&number.to_string());
            match answer {
                UpdateAnswer::Written => {
                    acked += 1;
                    self.lost += u64::from(!is_there);
                }
                UpdateAnswer::NotWritten(category) => {
                    self.failed += 1;
                    self.denied += u64::from(is_there);
                    *self.errors.entry(category).or_default() += 1;
                }
                UpdateAnswer::Unknown => unknown += 1,
            }
        }
        let counter = stored.count;
        self.doubled += stored.doubled();
        self.acked += acked;
        self.unknown += unknown;
        self.counter += counter;
        let listed: u64 = stored.entries.values().sum();
        ensure!(counter == listed, "{name}: the counter says {counter}, and the list has {listed} entries");
        ensure!(
            (acked..=acked + unknown).contains(&counter),
            "{name}: the counter says {counter}, {acked} updates are acknowledged, {unknown} unknown"
        );
        Ok(())
    }
}

impl Row {
    /// What must hold in the end. The history is never lost here, so nothing may stay unknown.
    fn verdict(&self) -> anyhow::Result<()> {
        let Self { updates, acked, unknown, lost, doubled, denied, errors, .. } = self;
        ensure!(lost + doubled + denied == 0, "{lost} lost, {doubled} doubled, {denied} written but denied");
        ensure!(*unknown == 0, "{unknown} are unknown although the history exists");
        let late = errors.get("budget").copied().unwrap_or_default();
        ensure!(self.failed == late, "failed for another reason than want of time: {errors:?}");
        ensure!(late * LATE_ONE_IN <= *updates, "{late} of {updates} came to nothing for want of time");
        ensure!(*acked > 0 && acked + late == *updates, "{acked} acknowledged and {late} late of {updates}");
        Ok(())
    }
}

async fn progress(done: &AtomicU64, updates: u64, begun: Instant) -> std::convert::Infallible {
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    loop {
        ticks.tick().await;
        let done = done.load(Ordering::Relaxed);
        eprintln!("{done} of {updates} updates, {} s", begun.elapsed().as_secs());
    }
}

fn show(row: &Row) {
    let Row { acked, failed, unknown, lost, doubled, denied, counter, requests_per_update, updates_per_s, .. } = row;
    let head =
        ["updates", "acked", "failed", "unknown", "lost", "doubled", "denied", "counter", "req/update", "updates/s"];
    let figures = [row.updates, *acked, *failed, *unknown, *lost, *doubled, *denied, *counter].map(|n| n.to_string());
    let rates = [format!("{requests_per_update:.3}"), format!("{updates_per_s:.1}")];
    println!("{}", table(&head, &[[figures.as_slice(), rates.as_slice()].concat()]));
    let listed = |counts: &BTreeMap<&'static str, u64>| {
        counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ")
    };
    let broken: u64 = row.faults.values().sum();
    println!("faults: {broken} in {} requests ({})", row.requests, listed(&row.faults));
    if !row.errors.is_empty() {
        println!("not written: {}", listed(&row.errors));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_being_wrong_is_counted() {
        let stored = |count, entries: &[(&str, u64)]| Stored {
            count,
            entries: entries.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect(),
        };
        let answers = [
            (0, UpdateAnswer::Written),
            (1, UpdateAnswer::Written),
            (2, UpdateAnswer::NotWritten("budget")),
            (3, UpdateAnswer::Unknown),
        ];
        let mut row = Row::default();
        row.judge("a", &stored(2, &[("0", 1), ("1", 1)]), &answers).unwrap();
        row.judge("b", &stored(3, &[("0", 1), ("1", 1), ("3", 1)]), &answers).unwrap();
        assert_eq!((row.acked, row.failed, row.unknown, row.counter), (4, 2, 2, 5));
        assert_eq!((row.lost, row.doubled, row.denied), (0, 0, 0));

        row.judge("c", &stored(3, &[("0", 2), ("2", 1)]), &answers).unwrap();
        assert_eq!((row.lost, row.doubled, row.denied), (1, 1, 1));
        assert!(row.judge("d", &stored(1, &[("0", 1)]), &answers).is_err(), "below what is acknowledged");
        let all = [("0", 1), ("1", 1), ("2", 1), ("3", 1)];
        assert!(row.judge("e", &stored(4, &all), &answers).is_err(), "above what is unknown");
        assert!(row.judge("f", &stored(2, &[("0", 1)]), &answers).is_err(), "counter and list differ");
    }

    #[test]
    fn the_verdict_is_good_only_if_all_went_well() {
        let good = || Row { updates: 200, acked: 200, ..Row::default() };
        let failed = |category, failed| {
            Row { acked: 200 - failed, failed, errors: [(category, failed)].into(), ..good() }.verdict()
        };
        good().verdict().unwrap();
        failed("budget", 2).unwrap();
        failed("budget", 3).unwrap_err();
        failed("api", 1).unwrap_err();
        for bad in [
            Row { acked: 199, unknown: 1, ..good() },
            Row { lost: 1, ..good() },
            Row { doubled: 1, ..good() },
            Row { denied: 1, ..good() },
            Row { acked: 199, ..good() },
            Row::default(),
        ] {
            bad.verdict().unwrap_err();
        }
    }
}
