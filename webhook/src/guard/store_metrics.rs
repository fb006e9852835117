//! Metrics of the policies.

use std::collections::BTreeMap;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// 100 µs, four times as long nine times: up to 26 s.
const COMPILE_BUCKETS: u16 = 10;

/// What has become of a policy. Each is in one state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyState {
    /// It compiles, and judges writes.
    InForce,
    /// It does not compile. The last version that did may be in force.
    Broken,
    /// It compiles, but the API server does not serve its target.
    NotServed,
    /// It is not known yet whether its target is served.
    Unknown,
    /// Another one of the same name is in force.
    Replaced,
}

impl PolicyState {
    fn name(self) -> &'static str {
        match self {
            Self::InForce => "in_force",
            Self::Broken => "broken",
            Self::NotServed => "not_served",
            Self::Unknown => "unknown",
            Self::Replaced => "replaced",
        }
    }
}

/// Those that the folder's policies may be in. Whether their targets are served is not counted.
const OF_FOLDER: [PolicyState; 3] = [PolicyState::InForce, PolicyState::Broken, PolicyState::Replaced];
/// Those of the cluster's.
const OF_CLUSTER: [PolicyState; 5] =
    [PolicyState::InForce, PolicyState::Broken, PolicyState::NotServed, PolicyState::Unknown, PolicyState::Replaced];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PolicyStateLabels {
    source: &'static str,
    state: &'static str,
}

/// What is measured of the policies.
pub struct StoreMetrics {
    /// Policies in force.
    pub loaded: Gauge,
    /// Policies that do not compile.
    pub broken: Gauge,
    policies: Family<PolicyStateLabels, Gauge>,
    /// Whether the folder is usable.
    pub usable: Gauge,
    /// Times that the folder has changed.
    pub reloads: Counter,
    /// How long compiling takes.
    pub compile_seconds: Histogram,
}

impl StoreMetrics {
    /// All at zero.
    pub fn new(usable: Gauge) -> Self {
        let metrics = Self {
            loaded: Gauge::default(),
            broken: Gauge::default(),
            policies: Family::default(),
            usable,
            reloads: Counter::default(),
            compile_seconds: Histogram::new(exponential_buckets(100e-6, 4.0, COMPILE_BUCKETS)),
        };
        metrics.count(0, &BTreeMap::new(), &BTreeMap::new());
        metrics
    }

    pub fn register(&self, registry: &mut Registry) {
        registry.register("statusguard_policies_loaded", "Policies in force", self.loaded.clone());
        registry.register("statusguard_policies_broken", "Policies that do not compile", self.broken.clone());
        registry.register(
            "statusguard_policies",
            "Policies by where they are from and what has become of them",
            self.policies.clone(),
        );
        registry.register(
            "statusguard_policy_folder_last_read_successful",
            "Whether the policy folder could be read at the last look, and held a policy file",
            self.usable.clone(),
        );
        registry.register(
            "statusguard_policy_reloads",
            "Times the policy folder was read because it changed",
            self.reloads.clone(),
        );
        registry.register(
            "statusguard_policy_compile_seconds",
            "From a policy document that was read to its compiled form or its problems",
            self.compile_seconds.clone(),
        );
    }

    /// Notes how many policies there are; returns how many of them do not compile.
    pub fn count(
        &self,
        in_force: i64,
        folder: &BTreeMap<PolicyState, i64>,
        cluster: &BTreeMap<PolicyState, i64>,
    ) -> i64 {
        let mut broken = 0;
        for (source, states, counts) in [("folder", &OF_FOLDER[..], folder), ("cluster", &OF_CLUSTER[..], cluster)] {
            for state in states {
                let count = counts.get(state).copied().unwrap_or_default();
                self.policies.get_or_create(&PolicyStateLabels { source, state: state.name() }).set(count);
            }
            broken += counts.get(&PolicyState::Broken).copied().unwrap_or_default();
        }
        self.loaded.set(in_force);
        self.broken.set(broken);
        broken
    }
}
