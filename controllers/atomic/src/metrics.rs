//! The metrics `atomic_status_*`, one set for all writers of a process.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Metrics of all writers of a process; the label `writer` is the name given to the builder.
///
/// | metric | labels | counts |
/// |---|---|---|
/// | `atomic_status_updates_total` | `writer`, `outcome` | answers to callers: `written`, `unchanged` or [`Error::category`](crate::Error::category) |
/// | `atomic_status_requests_total` | `writer`, `verb` | requests sent: `put`, `get`, `watch` |
/// | `atomic_status_conflicts_total` | `writer` | writes that lost to another writer |
/// | `atomic_status_merged_updates_total` | `writer` | updates that shared the write of another one |
/// | `atomic_status_refusals_total` | `writer` | answers that refused a status |
/// | `atomic_status_doubts_total` | `writer`, `settled` | lost answers, and how they were settled: `repeat`, `watch`, `read`, `gone`, `unknown` |
/// | `atomic_status_budget_exhausted_total` | `writer` | updates that ran out of time |
/// | `atomic_status_update_duration_seconds` | `writer` | time from the call to its answer |
#[derive(Debug, Clone)]
pub struct Metrics {
    updates: Family<UpdateOutcome, Counter>,
    requests: Family<Sent, Counter>,
    conflicts: Family<Writer, Counter>,
    merged: Family<Writer, Counter>,
    refusals: Family<Writer, Counter>,
    doubts: Family<Doubt, Counter>,
    exhausted: Family<Writer, Counter>,
    duration: Family<Writer, Histogram, fn() -> Histogram>,
}

impl Default for Metrics {
    /// Metrics that no registry shows.
    fn default() -> Self {
        Self {
            updates: Family::default(),
            requests: Family::default(),
            conflicts: Family::default(),
            merged: Family::default(),
            refusals: Family::default(),
            doubts: Family::default(),
            exhausted: Family::default(),
            duration: Family::new_with_constructor(seconds),
        }
    }
}

impl Metrics {
    /// Metrics shown by `registry`. Register once and give a clone to every writer.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let registry = registry.sub_registry_with_prefix("atomic_status");
        registry.register("updates", "Answers to callers", metrics.updates.clone());
        registry.register("requests", "Requests sent", metrics.requests.clone());
        registry.register("conflicts", "Writes that lost to another writer", metrics.conflicts.clone());
        registry.register("merged_updates", "Updates that shared the write of another one", metrics.merged.clone());
        registry.register("refusals", "Answers that refused a status", metrics.refusals.clone());
        registry.register("doubts", "Lost answers, by what settled them", metrics.doubts.clone());
        registry.register("budget_exhausted", "Updates that ran out of time", metrics.exhausted.clone());
        registry.register(
            "update_duration_seconds",
            "Time from the call of an update to its answer",
            metrics.duration.clone(),
        );
        metrics
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0])
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Writer {
    writer: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpdateOutcome {
    writer: String,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Sent {
    writer: String,
    verb: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Doubt {
    writer: String,
    settled: &'static str,
}

/// The verb of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Put,
    Get,
    Watch,
}

/// The metrics of one writer.
#[derive(Debug, Clone)]
pub(crate) struct Instruments {
    all: Metrics,
    writer: String,
}

impl Instruments {
    pub(crate) fn new(all: Metrics, writer: String) -> Self {
        Self { all, writer }
    }

    pub(crate) fn request(&self, verb: Verb) {
        let verb = match verb {
            Verb::Put => "put",
            Verb::Get => "get",
            Verb::Watch => "watch",
        };
        self.all.requests.get_or_create(&Sent { writer: self.writer.clone(), verb }).inc();
    }

    pub(crate) fn answered(&self, outcome: &'static str, after: Duration) {
        self.all.updates.get_or_create(&UpdateOutcome { writer: self.writer.clone(), outcome }).inc();
        self.all.duration.get_or_create(&self.label()).observe(after.as_secs_f64());
        if outcome == "budget" {
            self.all.exhausted.get_or_create(&self.label()).inc();
        }
    }

    pub(crate) fn conflict(&self) {
        self.all.conflicts.get_or_create(&self.label()).inc();
    }

    pub(crate) fn refusal(&self) {
        self.all.refusals.get_or_create(&self.label()).inc();
    }

    pub(crate) fn merged(&self, updates: usize) {
        if updates > 1 {
            self.all.merged.get_or_create(&self.label()).inc_by(updates as u64);
        }
    }

    pub(crate) fn settled(&self, settled: &'static str) {
        self.all.doubts.get_or_create(&Doubt { writer: self.writer.clone(), settled }).inc();
    }

    fn label(&self) -> Writer {
        Writer { writer: self.writer.clone() }
    }
}
