//! Metrics of the configuration.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::author::UNKNOWN;
use super::verb::RequestVerb;

/// Field managers that are counted by name. Names are free text: whoever makes more of them is counted as `other`.
const MAX_MANAGERS: usize = 20;
const OTHER: &str = "other";

/// What the keeper counts. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct ConfigurationMetrics {
    pub(super) present: Gauge,
    pub(super) entries: Gauge,
    pub(super) writes: Counter,
    pub(super) conflicts: Counter,
    pub(super) held: Gauge,
    last_sync: Gauge<f64, AtomicU64>,
    repairs: Family<ManagerLabels, Counter>,
    errors: Family<VerbLabels, Counter>,
    managers: Arc<Mutex<BTreeSet<String>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ManagerLabels {
    field_manager: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerbLabels {
    verb: &'static str,
}

impl ConfigurationMetrics {
    /// Adds all of them, at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for verb in RequestVerb::ALL {
            drop(metrics.errors.get_or_create(&VerbLabels { verb: verb.name() }));
        }
        drop(metrics.repairs.get_or_create(&ManagerLabels { field_manager: UNKNOWN.to_owned() }));
        registry.register(
            "statusguard_configuration_present",
            "Whether the ValidatingWebhookConfiguration exists; without it nothing is guarded",
            metrics.present.clone(),
        );
        registry.register(
            "statusguard_configuration_entries",
            "Entries of the guard in the ValidatingWebhookConfiguration",
            metrics.entries.clone(),
        );
        registry.register(
            "statusguard_configuration_writes",
            "Writes of the ValidatingWebhookConfiguration",
            metrics.writes.clone(),
        );
        registry.register(
            "statusguard_configuration_repairs",
            "Writes that undid a change, by the field manager that had made it",
            metrics.repairs.clone(),
        );
        registry.register(
            "statusguard_configuration_conflicts",
            "Writes refused because the ValidatingWebhookConfiguration had changed",
            metrics.conflicts.clone(),
        );
        registry.register(
            "statusguard_configuration_errors",
            "Failed requests for the ValidatingWebhookConfiguration and its Events",
            metrics.errors.clone(),
        );
        registry.register(
            "statusguard_configuration_repair_pending",
            "Whether a repair waits, because the last was short ago or another replica may know better",
            metrics.held.clone(),
        );
        registry.register(
            "statusguard_configuration_last_sync_timestamp_seconds",
            "When the ValidatingWebhookConfiguration was last seen to hold all that was wanted",
            metrics.last_sync.clone(),
        );
        metrics
    }

    pub(super) fn synced(&self, at: SystemTime) {
        self.last_sync.set(at.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64()));
    }

    pub(super) fn repaired(&self, field_manager: &str) {
        let mut managers = self.managers.lock().unwrap_or_else(PoisonError::into_inner);
        let known = field_manager == UNKNOWN || managers.contains(field_manager);
        let name = match field_manager {
            name if known => name,
            name if managers.len() < MAX_MANAGERS => {
                managers.insert(name.to_owned());
                name
            }
            _ => OTHER,
        };
        self.repairs.get_or_create(&ManagerLabels { field_manager: name.to_owned() }).inc();
    }

    pub(super) fn errors(&self, verb: RequestVerb) -> Counter {
        self.errors.get_or_create_owned(&VerbLabels { verb: verb.name() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_series_are_there_from_the_start_and_managers_are_bounded() {
        let mut registry = Registry::default();
        let metrics = ConfigurationMetrics::register(&mut registry);
        let text = |registry: &Registry| {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, registry).unwrap();
            text
        };
        let before = text(&registry);
        for series in [
            "statusguard_configuration_present 0",
            "statusguard_configuration_writes_total 0",
            "statusguard_configuration_repairs_total{field_manager=\"unknown\"} 0",
            "statusguard_configuration_errors_total{verb=\"update\"} 0",
            "statusguard_configuration_last_sync_timestamp_seconds 0.0",
        ] {
            assert!(before.contains(series), "{series} is missing:\n{before}");
        }
        for manager in 0..100 {
            metrics.repaired(&format!("manager-{manager}"));
        }
        metrics.repaired("manager-3");
        let after = text(&registry);
        assert!(after.contains("{field_manager=\"manager-3\"} 2"), "{after}");
        assert!(after.contains("{field_manager=\"other\"} 80"), "{after}");
    }
}
