//! `edge`: what one admission call costs, compared with a constant reply on the same stack and with a typical webhook.
//!
//! The three servers are processes on one core, the load runs on another one. In every round each server gets
//! the same load for the same time, one after the other.

mod constant;
pub mod cores;
pub mod load;
pub mod process;
pub mod review;
pub mod server;
mod typical;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use statusguard_tests::Authority;
use tokio_rustls::TlsConnector;

use self::load::Load;
use self::process::Process;
use self::review::{RequestBody, StatusChange};
use self::server::BenchServer;
use crate::figures::{Latencies, ratio, rounded, table, write_rows};

/// Arguments of `edge`.
#[derive(clap::Args)]
pub struct Args {
    /// Fewer rounds, each with shorter turns.
    #[arg(long)]
    quick: bool,
    /// Only the cases whose names begin with this, such as `16KiB/legal`.
    #[arg(long, value_name = "NAME", default_value = "")]
    case: String,
    /// Where to write the rows as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// How long each server's turn is, and how many there are.
#[derive(Clone, Copy)]
struct Pace {
    turn: Duration,
    rounds: usize,
}

#[derive(Clone, Copy)]
struct EdgeCase {
    size: usize,
    write: StatusChange,
    connections: usize,
}

/// One line of the result.
#[derive(Serialize)]
struct Row {
    case: String,
    /// Bytes of the review.
    size: usize,
    status: &'static str,
    connections: usize,
    ours: Figures,
    constant: Figures,
    typical: Figures,
    /// The guard's processor time per request, divided by the constant reply's.
    ratio_constant: f64,
    /// The typical webhook's processor time per request, divided by the guard's.
    ratio_typical: f64,
}

/// What one server did in all its turns.
#[derive(Serialize)]
struct Figures {
    requests: u64,
    requests_per_s: f64,
    /// Processor time of the server per request.
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// After the last turn.
    resident_mib: f64,
}

/// The sum of a server's turns.
#[derive(Default)]
struct Turns {
    requests: u64,
    elapsed: Duration,
    processor: Duration,
    latencies: Latencies,
}

const SERVERS: [BenchServer; 3] = [BenchServer::Guard, BenchServer::Constant, BenchServer::Typical];
const SIZES: [usize; 3] = [2 << 10, 16 << 10, 256 << 10];
const WRITES: [StatusChange; 3] = [StatusChange::Unchanged, StatusChange::Legal, StatusChange::Refused];
const CONNECTIONS: [usize; 2] = [1, 64];

/// Different bodies of a case, so that no server sees the same bytes twice in a row.
const BODIES: usize = 16;

/// Warm-up before the first turn of a case: opens connections, takes memory.
const WARM_UP: Duration = Duration::from_millis(100);

/// Measures and prints.
///
/// # Errors
/// When something does not run, and at the first wrong answer.
pub fn run(args: Args) -> anyhow::Result<()> {
    let (server_core, load_core) = cores::pair()?;
    // Before the runtime: its threads inherit it.
    cores::pin(load_core)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let rows = runtime.block_on(measure(args.quick, &args.case, server_core))?;
    show(&rows);
    match args.json {
        Some(file) => write_rows(&file, &rows),
        None => Ok(()),
    }
}

async fn measure(quick: bool, only: &str, core: usize) -> anyhow::Result<Vec<Row>> {
    let pace = if quick {
        Pace { turn: Duration::from_millis(200), rounds: 2 }
    } else {
        Pace { turn: Duration::from_secs(1), rounds: 5 }
    };
    let folder = tempfile::Builder::new().prefix("statusguard-bench-").tempdir().context("making a folder")?;
    let authority = Authority::new("statusguard bench")?;
    let leaf = authority.leaf([load::SERVER_NAME])?.write(folder.path())?;
    let tls = load::tls(authority.der())?;
    let mut processes = Vec::with_capacity(SERVERS.len());
    for server in SERVERS {
        processes.push(Process::start(server, core, &leaf).await?);
    }
    // The load's core never sleeps: waking it would be work of the kernel in the server's own time, and the more
    // of it the slower the server.
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    let mut rows = Vec::new();
    for size in SIZES {
        for connections in CONNECTIONS {
            for write in WRITES {
                let case = EdgeCase { size, write, connections };
                if !case.name().starts_with(only) {
                    continue;
                }
                eprintln!("{}", case.name());
                rows.push(case.measure(&processes, &tls, pace).await.with_context(|| case.name())?);
            }
        }
    }
    ensure!(!rows.is_empty(), "no case begins with `{only}`; they are like `16KiB/legal/64`");
    Ok(rows)
}

impl EdgeCase {
    fn name(&self) -> String {
        format!("{}KiB/{}/{}", self.size >> 10, self.write.name(), self.connections)
    }

    async fn measure(&self, processes: &[Process], tls: &TlsConnector, pace: Pace) -> anyhow::Result<Row> {
        let bodies = review::bodies(self.size, self.write, BODIES)?;
        let mut loads = Vec::with_capacity(processes.len());
        for (process, server) in processes.iter().zip(SERVERS) {
            let allowed = self.write != StatusChange::Refused || server == BenchServer::Constant;
            let mut load = Load::open(process.address, tls, self.connections, allowed).await?;
            load.run(&bodies, Instant::now() + WARM_UP).await?;
            loads.push(load);
        }
        let mut turns: Vec<Turns> = SERVERS.iter().map(|_| Turns::default()).collect();
        for round in 0..pace.rounds {
            for index in 0..SERVERS.len() {
                // Rotate, so that no server always follows the costliest one.
                let index = (index + round) % SERVERS.len();
                turns[index].add(&processes[index], &mut loads[index], &bodies, pace.turn).await?;
            }
        }
        let mut figures = Vec::with_capacity(SERVERS.len());
        for (turns, process) in turns.iter().zip(processes) {
            figures.push(turns.figures(process.resident_mib()?));
        }
        let figures: [Figures; 3] = figures.try_into().ok().context("three servers")?;
        let [ours, constant, typical] = figures;
        Ok(Row {
            case: self.name(),
            size: self.size,
            status: self.write.name(),
            connections: self.connections,
            ratio_constant: ratio(ours.cpu_us, constant.cpu_us),
            ratio_typical: ratio(typical.cpu_us, ours.cpu_us),
            ours,
            constant,
            typical,
        })
    }
}

impl Turns {
    async fn add(
        &mut self,
        process: &Process,
        load: &mut Load,
        bodies: &[RequestBody],
        turn: Duration,
    ) -> anyhow::Result<()> {
        let before = process.processor_time()?;
        let begun = Instant::now();
        let answered = load.run(bodies, begun + turn).await?;
        self.elapsed += begun.elapsed();
        self.processor += process.processor_time()?.saturating_sub(before);
        self.requests += answered.requests;
        self.latencies.append(&answered.latencies);
        Ok(())
    }

    fn figures(&self, resident_mib: f64) -> Figures {
        let requests = self.requests as f64;
        Figures {
            requests: self.requests,
            requests_per_s: rounded(requests / self.elapsed.as_secs_f64(), 1),
            cpu_us: ratio(self.processor.as_secs_f64() * 1e6, requests),
            p50_ms: self.latencies.quantile_ms(0.5),
            p99_ms: self.latencies.quantile_ms(0.99),
            resident_mib: rounded(resident_mib, 1),
        }
    }
}

fn show(rows: &[Row]) {
    let head = ["case", "server", "requests/s", "cpu us", "p50 ms", "p99 ms", "MiB", "cpu ratio", "target"];
    let mut lines = Vec::with_capacity(rows.len() * 3);
    for row in rows {
        let cells = |case: &str, server: &str, figures: &Figures, cpu: String, target: String| {
            let Figures { requests: _, requests_per_s, cpu_us, p50_ms, p99_ms, resident_mib } = figures;
            vec![
                case.to_owned(),
                server.to_owned(),
                format!("{requests_per_s:.0}"),
                format!("{cpu_us:.1}"),
                format!("{p50_ms:.3}"),
                format!("{p99_ms:.3}"),
                format!("{resident_mib:.1}"),
                cpu,
                target,
            ]
        };
        lines.push(cells(&row.case, "guard", &row.ours, String::new(), row.memory_target()));
        let (cpu, target) = (format!("{:.2}", row.ratio_constant), row.constant_target());
        lines.push(cells("", "constant", &row.constant, cpu, target));
        let (cpu, target) = (format!("{:.2}", row.ratio_typical), row.typical_target());
        lines.push(cells("", "typical", &row.typical, cpu, target));
    }
    println!("{}", table(&head, &lines));
    println!("cpu ratios: guard / constant and typical / guard, both of processor time per request");
}

impl Row {
    fn constant_target(&self) -> String {
        let most = match (self.status, self.size) {
            ("unchanged", _) => 1.05,
            (_, size) if size <= 16 << 10 => 1.2,
            _ => 1.3,
        };
        verdict(self.ratio_constant <= most, &format!("<= {most}"))
    }

    fn typical_target(&self) -> String {
        let least = match self.size >> 10 {
            16 => 3.0,
            256 => 4.0,
            _ => return String::new(),
        };
        verdict(self.ratio_typical >= least, &format!(">= {least}"))
    }

    fn memory_target(&self) -> String {
        if (self.size, self.connections) != (16 << 10, 64) {
            return String::new();
        }
        verdict(self.ours.resident_mib <= 30.0, "<= 30 MiB")
    }
}

fn verdict(met: bool, target: &str) -> String {
    format!("{target} {}", if met { "met" } else { "MISSED" })
}
