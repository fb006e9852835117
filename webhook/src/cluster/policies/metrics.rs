//! Metrics of the watch; those of the policies themselves are the store's.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::problems::PolicyRequest;

/// What is measured of policies from the cluster.
#[derive(Clone, Debug, Default)]
pub struct PolicyWatchMetrics {
    /// Whether all policies have been listed.
    pub(super) synced: Gauge,
    pub(super) writes: Counter,
    pub(super) conflicts: Counter,
    errors: Family<PolicyRequestLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyRequestLabels {
    verb: &'static str,
    resource: &'static str,
}

impl PolicyWatchMetrics {
    /// Adds all of them, at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for request in PolicyRequest::ALL {
            drop(metrics.errors.get_or_create(&labels(request)));
        }
        registry.register(
            "statusguard_policy_watch_synced",
            "Whether the StatusPolicies of the cluster have been listed since the start",
            metrics.synced.clone(),
        );
        registry.register(
            "statusguard_policy_condition_writes",
            "Writes of the conditions of StatusPolicies",
            metrics.writes.clone(),
        );
        registry.register(
            "statusguard_policy_condition_conflicts",
            "Writes of conditions refused because the StatusPolicy had changed",
            metrics.conflicts.clone(),
        );
        registry.register(
            "statusguard_policy_request_errors",
            "Failed requests for StatusPolicies and their targets",
            metrics.errors.clone(),
        );
        metrics
    }

    pub(super) fn errors(&self, request: PolicyRequest) -> Counter {
        self.errors.get_or_create_owned(&labels(request))
    }
}

fn labels(request: PolicyRequest) -> PolicyRequestLabels {
    PolicyRequestLabels { verb: request.verb(), resource: request.resource() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_series_are_there_from_the_start() {
        let mut registry = Registry::default();
        PolicyWatchMetrics::register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for series in [
            "statusguard_policy_watch_synced 0",
            "statusguard_policy_condition_writes_total 0",
            "statusguard_policy_condition_conflicts_total 0",
            "statusguard_policy_request_errors_total{verb=\"patch\",resource=\"statuspolicies/status\"} 0",
            "statusguard_policy_request_errors_total{verb=\"get\",resource=\"customresourcedefinitions\"} 0",
        ] {
            assert!(text.contains(series), "{series} is missing:\n{text}");
        }
    }
}
