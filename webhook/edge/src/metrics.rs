//! Metrics of the admission port. Labels come from bounded sets only.

use std::borrow::Cow;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::handshake::HandshakeCause;
use crate::judge::Labels;

/// 50 µs doubled eighteen times: up to 13 s.
const BUCKETS: u16 = 19;

/// What the causes of the counters may be.
const PANICS: [&str; 2] = ["judge", "record"];
const SHED: [&str; 9] =
    ["body_size", "bodies", "connections", "evicted", "handshake", "header", "reply", "body", "judge"];
const MALFORMED: [&str; 9] =
    ["syntax", "missing", "type", "length", "duplicate", "version", "media_type", "broken", "target"];

/// The edge's metrics. Clones are the same.
#[derive(Debug, Clone)]
pub struct EdgeMetrics {
    pub(crate) requests: Family<Labels, Counter>,
    pub(crate) duration: Family<PolicyLabels, Histogram, fn() -> Histogram>,
    pub(crate) findings: Family<FindingLabels, Counter>,
    pub(crate) inflight: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) body_bytes: Gauge,
    pub(crate) judging_bytes: Gauge,
    pub(crate) handshake_failures: Family<CauseLabels, Counter>,
    pub(crate) shed: Family<CauseLabels, Counter>,
    pub(crate) malformed: Family<CauseLabels, Counter>,
    pub(crate) panics: Family<CauseLabels, Counter>,
    pub(crate) unknown_policy: Counter,
    pub(crate) records_late: Counter,
    pub(crate) records_dropped: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct PolicyLabels {
    pub(crate) policy: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct FindingLabels {
    pub(crate) policy: Cow<'static, str>,
    pub(crate) reason: Cow<'static, str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CauseLabels {
    pub(crate) cause: &'static str,
}

impl EdgeMetrics {
    /// Registers all of them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(|| Histogram::new(exponential_buckets(50e-6, 2.0, BUCKETS))),
            findings: Family::default(),
            inflight: Gauge::default(),
            connections: Gauge::default(),
            body_bytes: Gauge::default(),
            judging_bytes: Gauge::default(),
            handshake_failures: Family::default(),
            shed: Family::default(),
            malformed: Family::default(),
            panics: Family::default(),
            unknown_policy: Counter::default(),
            records_late: Counter::default(),
            records_dropped: Counter::default(),
        };
        // An alert on an increase must not miss the first.
        let handshakes = HandshakeCause::ALL.map(HandshakeCause::name);
        for (family, causes) in [
            (&metrics.panics, &PANICS[..]),
            (&metrics.shed, &SHED),
            (&metrics.malformed, &MALFORMED),
            (&metrics.handshake_failures, &handshakes),
        ] {
            causes.iter().for_each(|cause| drop(family.get_or_create(&CauseLabels { cause })));
        }
        registry.register("statusguard_admission_requests", "Judged writes", metrics.requests.clone());
        registry.register(
            "statusguard_admission_duration_seconds",
            "From the end of a request's header to its reply",
            metrics.duration.clone(),
        );
        registry.register("statusguard_findings", "Violated rules of judged writes", metrics.findings.clone());
        registry.register("statusguard_inflight", "Admission requests being answered", metrics.inflight.clone());
        registry.register(
            "statusguard_connections",
            "Open connections on the admission port",
            metrics.connections.clone(),
        );
        registry.register("statusguard_body_bytes", "Bytes of request bodies held", metrics.body_bytes.clone());
        registry.register(
            "statusguard_judging_bytes",
            "Memory set aside for judgements of bodies of more than 64 KiB",
            metrics.judging_bytes.clone(),
        );
        registry.register(
            "statusguard_handshake_failures",
            "TLS handshakes that failed, not for being slow",
            metrics.handshake_failures.clone(),
        );
        registry.register(
            "statusguard_shed",
            "Work refused or given up because a limit was exceeded",
            metrics.shed.clone(),
        );
        registry.register(
            "statusguard_malformed",
            "Requests that were not an admission review that can be judged, whatever became of them",
            metrics.malformed.clone(),
        );
        registry.register(
            "statusguard_panics",
            "Panics that were caught, each ending one call",
            metrics.panics.clone(),
        );
        registry.register(
            "statusguard_unknown_policy",
            "Calls for a target without a known policy",
            metrics.unknown_policy.clone(),
        );
        registry.register(
            "statusguard_records_late",
            "Records that were not durable before their reply",
            metrics.records_late.clone(),
        );
        registry.register(
            "statusguard_records_dropped",
            "Records given up because too many were being written, or at shutdown",
            metrics.records_dropped.clone(),
        );
        metrics
    }

    /// Shows what a judge may count of one policy, and its own causes of giving up, from now on: at zero, if it was not
    /// counted yet.
    pub fn expect(
        &self,
        policy: &'static str,
        outcomes: impl IntoIterator<Item = (&'static str, &'static str)>,
        reasons: impl IntoIterator<Item = &'static str>,
        causes: impl IntoIterator<Item = &'static str>,
    ) {
        let policy = Cow::Borrowed(policy);
        for (outcome, class) in outcomes {
            let (outcome, class) = (Cow::Borrowed(outcome), Cow::Borrowed(class));
            drop(self.requests.get_or_create(&Labels { policy: policy.clone(), outcome, class }));
        }
        for reason in reasons {
            let reason = Cow::Borrowed(reason);
            drop(self.findings.get_or_create(&FindingLabels { policy: policy.clone(), reason }));
        }
        for cause in causes {
            drop(self.shed.get_or_create(&CauseLabels { cause }));
        }
        drop(self.duration.get_or_create(&PolicyLabels { policy }));
    }

    pub(crate) fn shed(&self, cause: &'static str) {
        self.shed.get_or_create(&CauseLabels { cause }).inc();
    }

    pub(crate) fn handshake_failed(&self, cause: HandshakeCause) {
        self.handshake_failures.get_or_create(&CauseLabels { cause: cause.name() }).inc();
    }

    pub(crate) fn malformed(&self, cause: &'static str) {
        self.malformed.get_or_create(&CauseLabels { cause }).inc();
    }

    pub(crate) fn panicked(&self, cause: &'static str) {
        self.panics.get_or_create(&CauseLabels { cause }).inc();
    }
}
