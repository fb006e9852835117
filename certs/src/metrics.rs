//! Metrics of certificates.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicI64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use statusguard_rotation::{AuthorityId, RotationPhase, Validity};

/// When certificates end.
#[derive(Clone, Debug, Default)]
pub struct CertificateEnds(Family<CertificateLabels, Gauge<i64, AtomicI64>>);

/// What is counted and shown of the guard's own certificates.
#[derive(Clone, Debug)]
pub struct CertificateMetrics {
    ends: CertificateEnds,
    in_sync: Gauge,
    phase: Family<PhaseLabels, Gauge>,
    steps: Family<StepLabels, Counter>,
    failures: Family<FailureLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    kind: &'static str,
    /// The first eight digits of the fingerprint of the authority; empty of the leaf.
    authority: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StepLabels {
    step: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FailureLabels {
    cause: &'static str,
}

/// Causes of failures.
pub(crate) const CAUSES: [&str; 6] = ["conflict", "refused", "unanswered", "clock", "version", "certificate"];
/// Steps that write.
pub(crate) const STEPS: [&str; 4] = ["add_authority", "write_state", "publish", "issue_leaf"];

impl CertificateEnds {
    /// Adds the metric, which shows nothing yet.
    pub fn register(registry: &mut Registry) -> Self {
        let ends = Self::default();
        registry.register(
            "statusguard_certificate_not_after_seconds",
            "When a certificate ends, in seconds since 1970, by kind: authority, leaf, or bundle for what is published",
            ends.0.clone(),
        );
        ends
    }

    /// Shows the ends of all certificates there are now, and of no others: authorities that the guard has the keys of,
    /// those that are published, and the leaf that is served.
    pub fn show(
        &self,
        authorities: &BTreeMap<AuthorityId, Validity>,
        bundle: &BTreeMap<AuthorityId, Validity>,
        leaf: Option<Validity>,
    ) {
        self.0.clear();
        let show = |kind, authority: String, validity: Validity| {
            let labels = CertificateLabels { kind, authority };
            self.0.get_or_create(&labels).set(validity.not_after.seconds());
        };
        authorities.iter().for_each(|(id, validity)| show("authority", format!("{id:?}"), *validity));
        bundle.iter().for_each(|(id, validity)| show("bundle", format!("{id:?}"), *validity));
        leaf.into_iter().for_each(|validity| show("leaf", String::new(), validity));
    }
}

impl CertificateMetrics {
    /// Adds the metrics, all at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            ends: CertificateEnds::register(registry),
            in_sync: Gauge::default(),
            phase: Family::default(),
            steps: Family::default(),
            failures: Family::default(),
        };
        registry.register(
            "statusguard_cabundle_in_sync",
            "Whether every managed caBundle holds exactly the authorities of the Secret",
            metrics.in_sync.clone(),
        );
        registry.register(
            "statusguard_rotation_phase",
            "Where the rotation of the authority is: 1 for the phase it is in",
            metrics.phase.clone(),
        );
        registry.register("statusguard_rotation_steps", "Steps that this replica took", metrics.steps.clone());
        registry.register(
            "statusguard_rotation_failures",
            "Observations, steps and watches that failed, by cause",
            metrics.failures.clone(),
        );
        RotationPhase::ALL
            .iter()
            .for_each(|phase| _ = metrics.phase.get_or_create(&PhaseLabels { phase: phase.name() }));
        STEPS.iter().for_each(|step| _ = metrics.steps.get_or_create(&StepLabels { step }));
        CAUSES.iter().for_each(|cause| _ = metrics.failures.get_or_create(&FailureLabels { cause }));
        metrics
    }

    pub(crate) fn stepped(&self, step: &'static str) {
        self.steps.get_or_create(&StepLabels { step }).inc();
    }

    pub(crate) fn failed(&self, cause: &'static str) {
        self.failures.get_or_create(&FailureLabels { cause }).inc();
    }

    pub(crate) fn observed(&self, phase: RotationPhase, in_sync: bool) {
        for known in RotationPhase::ALL {
            self.phase.get_or_create(&PhaseLabels { phase: known.name() }).set((known == phase).into());
        }
        self.in_sync.set(in_sync.into());
    }

    pub(crate) fn ends(&self) -> &CertificateEnds {
        &self.ends
    }
}
