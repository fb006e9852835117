//! What a Prometheus operator takes: where metrics are, and when somebody has to be woken.

use serde_json::{Value, json};

use crate::install::{Manifest, NAME, labels, selector};

/// An alert: name, severity, how long it has to last, expression, and what it means.
type Alert = (&'static str, &'static str, &'static str, &'static str, &'static str);

/// Each has a heading of its name in the runbook.
const ALERTS: [Alert; 8] = [
    (
        "StatusguardDown",
        "critical",
        "2m",
        "absent(up{namespace=\"statusguard\",container=\"guard\"} == 1)",
        "No replica of the guard answers. Under `failurePolicy: Fail` status writes of guarded kinds are refused.",
    ),
    (
        "StatusguardSwitchedOff",
        "warning",
        "5m",
        "max(statusguard_configuration_present) == 0",
        "There is no ValidatingWebhookConfiguration: nothing is guarded.",
    ),
    (
        "StatusguardCanaryFails",
        "critical",
        "0m",
        "sum(increase(statusguard_canary_failures_total{cause!=\"api_server\"}[5m])) > 2",
        "Stale writes of the guard itself are not refused: those of others are probably not either.",
    ),
    (
        "StatusguardCertificateEnds",
        "critical",
        "10m",
        "min(statusguard_certificate_not_after_seconds{kind=\"leaf\"}) - time() < 3600",
        "A serving certificate ends within the hour and was not renewed.",
    ),
    (
        "StatusguardCertificatesFail",
        "warning",
        "15m",
        "sum(increase(statusguard_rotation_failures_total{cause!=\"conflict\"}[15m])) > 0",
        "The guard cannot read or write what its certificates need.",
    ),
    (
        "StatusguardPolicyBroken",
        "warning",
        "5m",
        "max(statusguard_policies_broken) > 0",
        "A policy does not compile. The last good version stays in force.",
    ),
    (
        "StatusguardWritesRefused",
        "warning",
        "10m",
        "sum by (policy) (increase(statusguard_admission_requests_total{outcome=\"Denied\",policy!=\"statuspolicies.statusguard.dev\"}[10m])) > 100",
        "Many writes of one kind are refused: a controller may be refused for ever.",
    ),
    (
        "StatusguardShedsWork",
        "warning",
        "5m",
        "sum by (cause) (increase(statusguard_shed_total[5m])) > 10",
        "Calls are refused because a limit was exceeded.",
    ),
];

/// PodMonitor and PrometheusRule (`monitoring.coreos.com/v1`).
#[must_use]
pub fn objects() -> Vec<Manifest> {
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "monitoring.coreos.com/v1", "kind": kind,
            "metadata": { "name": NAME, "namespace": NAME, "labels": labels() }, "spec": spec,
        })
    };
    let monitor = json!({
        "selector": { "matchLabels": selector() },
        "podMetricsEndpoints": [{ "port": "plain", "path": "/metrics" }],
    });
    let rules: Vec<Value> = ALERTS
        .iter()
        .map(|(alert, severity, lasting, expression, summary)| {
            json!({
                "alert": alert, "expr": expression, "for": lasting, "labels": { "severity": severity },
                "annotations": { "summary": summary, "runbook": format!("manifests/RUNBOOK.md#{}", alert.to_lowercase()) },
            })
        })
        .collect();
    vec![
        Manifest { file: "pod-monitor", object: object("PodMonitor", monitor) },
        Manifest {
            file: "prometheus-rule",
            object: object("PrometheusRule", json!({ "groups": [{ "name": NAME, "rules": rules }] })),
        },
    ]
}
