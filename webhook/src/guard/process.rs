//! Metrics of the process, by the names that Prometheus' client libraries share, and of the build.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::process::{Resource, getrlimit};

/// Adds both.
pub fn register(registry: &mut Registry) {
    registry.register("statusguard_build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    registry.register_collector(Box::new(ProcessCollector { start_time: start_time() }));
}

/// Reads `/proc` at each scrape; what cannot be read is left out.
#[derive(Debug)]
struct ProcessCollector {
    /// In seconds since 1970, when the system says it.
    start_time: Option<f64>,
}

/// What `/proc/self/stat` says.
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    /// Since the system's start.
    start_seconds: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        let text = fs::read_to_string("/proc/self/stat").ok()?;
        // The name of the program is in parentheses and may hold any character.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        // Numbered as in proc(5), where the field after the name is the third.
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        let ticks = clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            start_seconds: field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page_size() as f64,
        })
    }
}

fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?.parse::<f64>().ok()?;
    Some(boot + Stat::read()?.start_seconds)
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let stat = Stat::read();
        let of_stat = |value: fn(&Stat) -> f64| stat.as_ref().map(value);
        let open = fs::read_dir("/proc/self/fd").ok().map(|open| open.count() as f64);
        gauge("process_open_fds", "Open file descriptors.", open)?;
        let most = getrlimit(Resource::Nofile).current.map(|most| most as f64);
        gauge("process_max_fds", "Most file descriptors that may be open.", most)?;
        gauge("process_threads", "Threads.", of_stat(|stat| stat.threads))?;
        gauge("process_virtual_memory_bytes", "Virtual memory in bytes.", of_stat(|stat| stat.virtual_bytes))?;
        gauge("process_resident_memory_bytes", "Resident memory in bytes.", of_stat(|stat| stat.resident_bytes))?;
        gauge("process_start_time_seconds", "Start of the process, in seconds since 1970.", self.start_time)?;
        if let Some(seconds) = of_stat(|stat| stat.cpu_seconds) {
            let counter = ConstCounter::new(seconds);
            let help = "User and system CPU time in seconds.";
            counter.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, counter.metric_type())?)?;
        }
        Ok(())
    }
}
