//! The six kinds, each with a smallest object.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

/// A kind, as far as these tests speak of it.
pub struct Kind {
    pub kind: &'static str,
    pub plural: &'static str,
    /// The smallest spec that the schema accepts.
    pub spec: Value,
    /// A free text in the spec, as a path.
    pub text: &'static [&'static str],
}

impl Kind {
    /// An object without a status.
    pub fn object(&self, name: &str) -> Value {
        json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": self.kind,
            "metadata": { "name": name },
            "spec": self.spec,
        })
    }

    /// A merge patch that changes the spec, and nothing but a free text of it.
    pub fn spec_change(&self, text: &str) -> Value {
        let change = self.text.iter().rev().fold(json!(text), |inner, name| json!({ *name: inner }));
        json!({ "spec": change })
    }

    /// Where objects are, below the API server's address.
    pub fn path(&self, namespace: &str) -> String {
        format!("/apis/kubernaut.ai/v1alpha1/namespaces/{namespace}/{}", self.plural)
    }

    /// The name of its policy.
    pub fn policy(&self) -> String {
        format!("{}.kubernaut.ai", self.plural)
    }

    pub fn crd(&self) -> CustomResourceDefinition {
        let crd = kubernaut_api::crds().into_iter().find(|crd| crd.spec.names.plural == self.plural);
        let crd = crd.unwrap();
        assert_eq!(crd.spec.names.kind, self.kind);
        crd
    }
}

/// The kind with this plural.
pub fn of(plural: &str) -> Kind {
    all().into_iter().find(|kind| kind.plural == plural).unwrap()
}

/// All six, by name.
pub fn all() -> [Kind; 6] {
    let remediation = json!({ "name": "rr-1" });
    let target = json!({ "kind": "Deployment", "name": "cart", "namespace": "shop" });
    let workflow =
        json!({ "workflowId": "scale-out", "version": "3", "executionBundle": "registry.example/scale-out:3" });
    let fingerprint = "0123456789abcdef".repeat(4);
    let time = "2026-03-01T10:00:00Z";
    let mut run = workflow.clone();
    run["executionEngine"] = json!("job");
    [
        Kind {
            kind: "AIAnalysis",
            plural: "aianalyses",
            spec: json!({
                "remediationRequestRef": remediation,
                "remediationId": "rr-1",
                "analysisRequest": {
                    "signalContext": {
                        "fingerprint": fingerprint,
                        "severity": "high",
                        "signalName": "HighLatency",
                        "environment": "staging",
                        "businessPriority": "P1",
                        "targetResource": target,
                    },
                    "analysisTypes": ["Investigation"],
                },
            }),
            text: &["analysisRequest", "signalContext", "signalName"],
        },
        Kind {
            kind: "NotificationRequest",
            plural: "notificationrequests",
            spec: json!({ "type": "Escalation", "subject": "disk full", "body": "worker-2" }),
            text: &["subject"],
        },
        Kind {
            kind: "RemediationApprovalRequest",
            plural: "remediationapprovalrequests",
            spec: json!({
                "remediationRequestRef": remediation,
                "aiAnalysisRef": { "name": "ai-rr-1" },
                "confidence": 0.7,
                "confidenceLevel": "medium",
                "reason": "production",
                "investigationSummary": "too little capacity",
                "whyApprovalRequired": "it is production",
                "recommendedActions": [{ "action": "scale out", "rationale": "load" }],
                "recommendedWorkflow": workflow,
                "requiredBy": "2026-03-01T10:15:00Z",
            }),
            text: &["reason"],
        },
        Kind {
            kind: "RemediationRequest",
            plural: "remediationrequests",
            spec: json!({
                "signalFingerprint": fingerprint,
                "signalName": "HighLatency",
                "signalType": "alert",
                "severity": "high",
                "firingTime": time,
                "receivedTime": time,
                "targetType": "kubernetes",
                "targetResource": target,
            }),
            text: &["signalName"],
        },
        Kind {
            kind: "SignalProcessing",
            plural: "signalprocessings",
            spec: json!({
                "remediationRequestRef": remediation,
                "signal": {
                    "fingerprint": fingerprint,
                    "name": "HighLatency",
                    "severity": "high",
                    "type": "alert",
                    "receivedTime": time,
                    "targetType": "kubernetes",
                    "targetResource": target,
                },
            }),
            text: &["signal", "name"],
        },
        Kind {
            kind: "WorkflowExecution",
            plural: "workflowexecutions",
            spec: json!({
                "remediationRequestRef": remediation,
                "targetResource": "shop/Deployment/cart",
                "workflowRef": run,
            }),
            text: &["targetResource"],
        },
    ]
}
