//! `atomic`: many writers of one object, with atomic-status and with client-go's usual retry loop.
//!
//! Both run as processes of their own against the same API server, one after the other in every round, each round on
//! a fresh object. Every update increments a counter and appends an entry that no other update appends.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use atomic_status::Dynamic;
use kube::api::{Api, DeleteParams};
use serde::Serialize;
use statusguard_tests::{ControlPlane, Options, User};

use crate::figures::{Latencies, ratio, rounded, table, write_rows};
use crate::worker::{self, Worker};
use crate::{rival, tally};

/// Arguments of `atomic`.
#[derive(clap::Args)]
pub struct Args {
    /// One short round of each case.
    #[arg(long)]
    quick: bool,
    /// Only the case of this name, as the table shows it (`processes=10`).
    #[arg(long, value_name = "NAME", value_parser = case_name)]
    case: Option<String>,
    /// Where to write the rows as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How many write, and how much.
struct Contention {
    name: &'static str,
    processes: usize,
    /// In each process.
    writers: usize,
    /// Of each writer in one round.
    updates: usize,
}

/// Who writes.
#[derive(Clone, Copy)]
enum Side<'a> {
    Ours(&'a Path),
    Rival(&'a Path),
}

/// The result of one side in all rounds of a case.
#[derive(Default)]
struct Sum {
    acked: u64,
    failed: u64,
    lost: u64,
    doubled: u64,
    requests: u64,
    conflicts: u64,
    elapsed: Duration,
    /// Of acknowledged updates.
    latencies: Latencies,
}

/// One line of the result.
#[derive(Serialize)]
struct Row {
    case: &'static str,
    ours: Figures,
    rival: Figures,
}

#[derive(Serialize)]
struct Figures {
    acked: u64,
    failed: u64,
    lost: u64,
    doubled: u64,
    requests: u64,
    requests_per_update: f64,
    conflicts: u64,
    updates_per_s: f64,
    p50_ms: f64,
    p99_ms: f64,
}

/// A round is short enough for its list to stay small: at most 2000 entries.
const CASES: [Contention; 5] = [
    Contention { name: "writers=1", processes: 1, writers: 1, updates: 400 },
    Contention { name: "writers=10", processes: 1, writers: 10, updates: 50 },
    Contention { name: "writers=50", processes: 1, writers: 50, updates: 20 },
    Contention { name: "writers=100", processes: 1, writers: 100, updates: 20 },
    Contention { name: "processes=10", processes: 10, writers: 10, updates: 10 },
];

/// Rounds of a case that is not quick.
const ROUNDS: usize = 5;

fn case_name(name: &str) -> Result<String, String> {
    if CASES.iter().any(|case| case.name == name) {
        return Ok(name.to_owned());
    }
    Err(format!("use one of {}", CASES.map(|case| case.name).join(", ")))
}

/// Measures and prints.
///
/// # Errors
/// When something does not run, and when one of our updates failed, was lost or doubled.
pub async fn run(args: Args) -> anyhow::Result<()> {
    let Args { quick, case: only, json } = args;
    let rival = rival::program().await?;
    let ours = std::env::current_exe().context("finding this program")?;
    let plane = ControlPlane::start(Options::default()).await?;
    plane.apply_crd(&tally::definition()?).await?;
    let namespace = plane.namespace("bench").await;
    let stage = Stage {
        kubeconfig: plane.kubeconfig(User::Admin),
        api: tally::api(plane.client(User::Admin), &namespace),
        namespace,
    };

    let mut rows = Vec::new();
    for case in CASES.into_iter().filter(|case| only.as_deref().is_none_or(|only| only == case.name)) {
        let (mut by_ours, mut by_rival) = (Sum::default(), Sum::default());
        for round in 0..if quick { 1 } else { ROUNDS } {
            eprintln!("{} round {}", case.name, round + 1);
            // Alternate, so that neither side always runs second.
            if round % 2 == 0 {
                stage.round(&case, Side::Ours(&ours), &mut by_ours).await?;
                stage.round(&case, Side::Rival(&rival), &mut by_rival).await?;
            } else {
                stage.round(&case, Side::Rival(&rival), &mut by_rival).await?;
                stage.round(&case, Side::Ours(&ours), &mut by_ours).await?;
            }
        }
        rows.push(Row { case: case.name, ours: by_ours.figures(), rival: by_rival.figures() });
    }
    show(&rows);
    if let Some(file) = json {
        write_rows(&file, &rows)?;
    }
    let bad: Vec<&str> = rows.iter().filter(|row| row.ours.is_wrong()).map(|row| row.case).collect();
    ensure!(bad.is_empty(), "updates failed, were lost or doubled: {}", bad.join(", "));
    Ok(())
}

/// Where the writers meet.
struct Stage {
    kubeconfig: PathBuf,
    namespace: String,
    api: Api<Dynamic>,
}

impl Stage {
    /// One side's turn on a fresh object.
    async fn round(&self, case: &Contention, side: Side<'_>, sum: &mut Sum) -> anyhow::Result<()> {
        let object = tally::create(&self.api).await?;
        let name = object.metadata.name.clone().context("a created object has a name")?;
        let mut workers = Vec::with_capacity(case.processes);
        for process in 0..case.processes {
            let args = worker::Args {
                kubeconfig: self.kubeconfig.clone(),
                namespace: self.namespace.clone(),
                name: name.clone(),
                process,
                writers: case.writers,
                updates: case.updates,
            };
            workers.push(match side {
                Side::Ours(program) => Worker::start(program, &["atomic-worker"], &args)?,
                Side::Rival(program) => Worker::start(program, &[], &args)?,
            });
        }
        for worker in &mut workers {
            worker.ready().await?;
        }
        for worker in &mut workers {
            worker.begin().await?;
        }
        let mut reports = Vec::with_capacity(workers.len());
        for worker in workers {
            reports.push(worker.report().await?);
        }

        let stored = tally::stored(&self.api, &name).await?;
        let entries: u64 = stored.entries.values().sum();
        ensure!(stored.count == entries, "the counter says {} and the list {entries}", stored.count);
        sum.doubled += stored.doubled();
        // They begin together, within the time that a line takes through a pipe.
        let slowest = reports.iter().map(|report| report.elapsed_micros).max().unwrap_or_default();
        sum.elapsed += Duration::from_micros(slowest);
        for report in reports {
            sum.requests += report.requests;
            sum.conflicts += report.conflicts;
            for update in report.updates {
                if update.acked {
                    sum.acked += 1;
                    sum.lost += u64::from(!stored.entries.contains_key(&update.id));
                    sum.latencies.add(update.micros);
                } else {
                    sum.failed += 1;
                }
            }
        }
        self.api.delete(&name, &DeleteParams::default()).await.with_context(|| format!("deleting {name}"))?;
        Ok(())
    }
}

impl Sum {
    fn figures(&self) -> Figures {
        let acked = self.acked as f64;
        Figures {
            acked: self.acked,
            failed: self.failed,
            lost: self.lost,
            doubled: self.doubled,
            requests: self.requests,
            requests_per_update: ratio(self.requests as f64, acked),
            conflicts: self.conflicts,
            updates_per_s: rounded(acked / self.elapsed.as_secs_f64(), 1),
            p50_ms: self.latencies.quantile_ms(0.5),
            p99_ms: self.latencies.quantile_ms(0.99),
        }
    }
}

impl Figures {
    fn is_wrong(&self) -> bool {
        self.failed + self.lost + self.doubled > 0
    }

    fn cells(&self, case: &str, who: &str, rate: String) -> Vec<String> {
        let Self {
            acked,
            failed,
            lost,
            doubled,
            requests,
            requests_per_update,
            conflicts,
            updates_per_s,
            p50_ms,
            p99_ms,
        } = self;
        vec![
            case.to_owned(),
            who.to_owned(),
            acked.to_string(),
            failed.to_string(),
            lost.to_string(),
            doubled.to_string(),
            requests.to_string(),
            format!("{requests_per_update:.3}"),
            conflicts.to_string(),
            format!("{updates_per_s:.1}"),
            format!("{p50_ms:.2}"),
            format!("{p99_ms:.2}"),
            rate,
        ]
    }
}

fn show(rows: &[Row]) {
    let head = [
        "case",
        "writer",
        "acked",
        "failed",
        "lost",
        "doubled",
        "requests",
        "req/update",
        "conflicts",
        "updates/s",
        "p50 ms",
        "p99 ms",
        "rate",
    ];
    let mut lines = Vec::with_capacity(rows.len() * 2);
    for Row { case, ours, rival } in rows {
        let rate = format!("{:.1}x", ratio(ours.updates_per_s, rival.updates_per_s));
        lines.push(ours.cells(case, "atomic-status", rate));
        lines.push(rival.cells("", "client-go", "1.0x".to_owned()));
    }
    println!("{}", table(&head, &lines));
}
