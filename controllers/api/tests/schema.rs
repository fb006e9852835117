//! What the specification says of every kind: names, columns, selectable fields, immutability, conditions, limits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use kubernaut_api::crds;
use serde_json::{Value, json};

/// The one version of the CRD whose plural is `plural`, with the names beside it.
fn crd(plural: &str) -> (Value, Value) {
    let crd = crds().into_iter().find(|crd| crd.spec.names.plural == plural).unwrap();
    let crd = serde_json::to_value(crd).unwrap();
    assert_eq!(crd["spec"]["versions"].as_array().unwrap().len(), 1);
    (crd["spec"].clone(), crd["spec"]["versions"][0].clone())
}

fn schema(plural: &str, path: &str) -> Value {
    let (_, version) = crd(plural);
    let mut at = &version["schema"]["openAPIV3Schema"];
    for name in path.split('.') {
        at = if name == "[]" { &at["items"] } else { &at["properties"][name] };
    }
    assert!(at.is_object(), "{plural} has no {path}");
    at.clone()
}

const PLURALS: [&str; 6] = [
    "aianalyses",
    "notificationrequests",
    "remediationapprovalrequests",
    "remediationrequests",
    "signalprocessings",
    "workflowexecutions",
];

#[test]
fn group_version_scope_and_status_subresource_are_common() {
    assert_eq!(crds().iter().map(|crd| crd.spec.names.plural.as_str()).collect::<Vec<_>>(), PLURALS);
    for plural in PLURALS {
        let (spec, version) = crd(plural);
        assert_eq!((&spec["group"], &spec["scope"]), (&json!("kubernaut.ai"), &json!("Namespaced")), "{plural}");
        assert_eq!(
            (&version["name"], &version["served"], &version["storage"], &version["subresources"]),
            (&json!("v1alpha1"), &json!(true), &json!(true), &json!({ "status": {} })),
            "{plural}"
        );
    }
}

#[test]
fn names_and_selectable_fields_are_as_listed() {
    for (plural, kind, short, fields) in [
        (
            "notificationrequests",
            "NotificationRequest",
            vec!["notif", "notifs"],
            vec![".spec.remediationRequestRef.name", ".spec.type", ".spec.severity"],
        ),
        ("signalprocessings", "SignalProcessing", vec!["sp"], vec![".spec.remediationRequestRef.name"]),
        ("aianalyses", "AIAnalysis", vec!["aia"], vec![".spec.remediationRequestRef.name"]),
        (
            "workflowexecutions",
            "WorkflowExecution",
            vec!["wfe"],
            vec![".spec.remediationRequestRef.name", ".spec.targetResource"],
        ),
        (
            "remediationrequests",
            "RemediationRequest",
            vec!["rr"],
            vec![".spec.signalFingerprint", ".spec.signalType", ".spec.severity"],
        ),
        (
            "remediationapprovalrequests",
            "RemediationApprovalRequest",
            vec!["rar", "rars"],
            vec![".spec.remediationRequestRef.name", ".spec.aiAnalysisRef.name"],
        ),
    ] {
        let (spec, version) = crd(plural);
        assert_eq!(spec["names"]["kind"], kind);
        assert_eq!(spec["names"]["shortNames"], json!(short), "{plural}");
        let paths: Vec<_> = version["selectableFields"].as_array().unwrap().iter().map(|f| &f["jsonPath"]).collect();
        assert_eq!(json!(paths), json!(fields), "{plural}");
        for field in fields {
            assert_eq!(schema(plural, &field[1..])["type"], "string", "{plural} {field}");
        }
    }
}

#[test]
fn columns_begin_with_the_phase_and_end_with_reason_and_age() {
    for (plural, columns) in [
        ("notificationrequests", vec!["Phase", "Type", "Priority", "Attempts"]),
        ("signalprocessings", vec!["Phase", "Severity", "Environment", "Priority"]),
        ("aianalyses", vec!["Phase", "Confidence", "Approval Required"]),
        ("workflowexecutions", vec!["Phase", "Workflow", "WorkflowID", "Target", "Duration"]),
        ("remediationrequests", vec!["Phase", "Outcome", "Alert", "RCA Target", "Workflow", "Confidence"]),
        ("remediationapprovalrequests", vec!["Decision", "AIAnalysis", "Confidence", "Expired", "RequiredBy"]),
    ] {
        let (_, version) = crd(plural);
        let found = version["additionalPrinterColumns"].as_array().unwrap();
        let names: Vec<_> = found.iter().map(|column| column["name"].as_str().unwrap()).collect();
        assert_eq!(names, [columns, vec!["Reason", "Age"]].concat(), "{plural}");
        for column in found {
            let wide = matches!(column["name"].as_str().unwrap(), "Reason" | "WorkflowID");
            assert_eq!(column.get("priority") == Some(&json!(1)), wide, "{plural} {column}");
            let path = &column["jsonPath"].as_str().unwrap()[1..];
            if path.starts_with("spec.") || (path.starts_with("status.") && !path.contains('[')) {
                let type_ = schema(plural, path)["type"].clone();
                assert_eq!(column["type"], type_, "{plural} {path}");
            }
        }
    }
}

#[test]
fn spec_is_immutable_and_no_rule_looks_at_the_old_status() {
    let rule = json!([{ "rule": "self == oldSelf", "message": "spec is immutable after creation" }]);
    for plural in PLURALS {
        assert_eq!(schema(plural, "spec")["x-kubernetes-validations"], rule, "{plural}");
        let (_, version) = crd(plural);
        assert_eq!(version["schema"]["openAPIV3Schema"]["required"], json!(["spec"]), "{plural}");
        assert!(!schema(plural, "status").to_string().contains("x-kubernetes-validations"), "{plural}");
    }
}

#[test]
fn conditions_are_a_list_map_by_type() {
    for plural in PLURALS {
        let conditions = schema(plural, "status.conditions");
        assert_eq!(conditions["x-kubernetes-list-type"], "map", "{plural}");
        assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]), "{plural}");
        assert_eq!(conditions["items"]["properties"]["status"]["enum"], json!(["True", "False", "Unknown"]));
    }
}

#[test]
fn limits_defaults_and_formats_are_as_listed() {
    for (plural, path, expected) in [
        ("notificationrequests", "spec.subject", json!({ "minLength": 1, "maxLength": 500 })),
        ("notificationrequests", "spec.body", json!({ "minLength": 1 })),
        ("notificationrequests", "spec.priority", json!({ "default": "Medium" })),
        ("notificationrequests", "spec.retentionDays", json!({ "default": 7, "minimum": 1.0, "maximum": 90.0 })),
        (
            "notificationrequests",
            "spec.retryPolicy.maxAttempts",
            json!({ "default": 5, "minimum": 1.0, "maximum": 10.0 }),
        ),
        (
            "notificationrequests",
            "spec.retryPolicy.initialBackoffSeconds",
            json!({ "default": 30, "minimum": 1.0, "maximum": 300.0 }),
        ),
        (
            "notificationrequests",
            "spec.retryPolicy.backoffMultiplier",
            json!({ "default": 2, "minimum": 1.0, "maximum": 10.0 }),
        ),
        (
            "notificationrequests",
            "spec.retryPolicy.maxBackoffSeconds",
            json!({ "default": 480, "minimum": 60.0, "maximum": 3600.0 }),
        ),
        ("notificationrequests", "status.phase", {
            json!({ "enum": ["Pending", "Sending", "Retrying", "Sent", "PartiallySent", "Failed"] })
        }),
        ("notificationrequests", "status.deliveryAttempts.[].timestamp", json!({ "format": "date-time" })),
        ("notificationrequests", "status.deliveryAttempts.[].attempt", json!({ "minimum": 1.0 })),
        ("signalprocessings", "spec.remediationRequestRef.name", json!({ "minLength": 1 })),
        ("signalprocessings", "spec.signal.fingerprint", json!({ "pattern": "^[a-f0-9]{64}$" })),
        ("signalprocessings", "spec.signal.name", json!({ "maxLength": 253 })),
        ("signalprocessings", "spec.signal.source", json!({ "maxLength": 63 })),
        ("signalprocessings", "spec.signal.clusterID", json!({ "maxLength": 253 })),
        ("signalprocessings", "spec.timesOutAt", json!({ "format": "date-time" })),
        ("signalprocessings", "status.kubernetesContext.ownerChain", json!({ "maxItems": 5 })),
        ("signalprocessings", "status.severity", json!({ "enum": ["critical", "high", "warning", "info", "unknown"] })),
        ("signalprocessings", "status.consecutiveFailures", json!({ "format": "int32", "minimum": 0.0 })),
        ("signalprocessings", "status.observedGeneration", json!({ "format": "int64", "minimum": 0.0 })),
        ("aianalyses", "spec.remediationId", json!({ "minLength": 1 })),
        ("aianalyses", "spec.analysisRequest.signalContext.fingerprint", json!({ "maxLength": 64 })),
        ("aianalyses", "spec.analysisRequest.signalContext.environment", json!({ "minLength": 1, "maxLength": 63 })),
        ("aianalyses", "spec.analysisRequest.analysisTypes", json!({ "minItems": 1 })),
        ("aianalyses", "status", json!({ "required": ["phase"] })),
        ("aianalyses", "status.selectedWorkflow.confidence", json!({ "minimum": 0.0, "maximum": 1.0 })),
        ("aianalyses", "status.selectedWorkflow.executionEngine", json!({ "enum": ["job", "tekton", "ansible"] })),
        ("aianalyses", "status.investigationId", json!({ "maxLength": 253 })),
        ("aianalyses", "status.approvalContext.recommendedActions", json!({ "minItems": 1 })),
        (
            "workflowexecutions",
            "status.blockClearance.clearMethod",
            json!({ "enum": ["Annotation", "APIEndpoint", "StatusField"] }),
        ),
        ("remediationrequests", "spec.severity", json!({ "minLength": 1, "maxLength": 50 })),
        ("remediationrequests", "spec.providerData", json!({ "format": "byte" })),
        ("remediationrequests", "status.confidence", json!({ "pattern": "^[01]\\.[0-9]{2}$" })),
        ("remediationapprovalrequests", "spec.aiAnalysisRef.name", json!({ "minLength": 1 })),
        ("remediationapprovalrequests", "spec.recommendedActions", json!({ "minItems": 1 })),
        ("remediationapprovalrequests", "status.decision", json!({ "enum": ["", "Approved", "Rejected", "Expired"] })),
    ] {
        let found = schema(plural, path);
        for (keyword, value) in expected.as_object().unwrap() {
            assert_eq!(&found[keyword], value, "{plural} {path} {keyword}");
        }
    }
    let engine = schema("workflowexecutions", "spec.workflowRef.executionEngine");
    assert!(engine.get("enum").is_none(), "the controller refuses unknown engines, not the schema: {engine}");
    let reference = schema("notificationrequests", "spec.remediationRequestRef");
    assert!(reference.get("required").is_none(), "the reference of a notification is optional: {reference}");
}

#[test]
fn what_the_specification_calls_optional_is_not_required() {
    for (plural, path, required) in [
        ("notificationrequests", "spec", vec!["body", "subject", "type"]),
        ("notificationrequests", "spec.actionLinks.[]", vec!["label", "service", "url"]),
        ("signalprocessings", "spec", vec!["remediationRequestRef", "signal"]),
        (
            "signalprocessings",
            "spec.signal",
            vec!["fingerprint", "name", "receivedTime", "severity", "targetResource", "targetType", "type"],
        ),
        ("aianalyses", "spec", vec!["analysisRequest", "remediationId", "remediationRequestRef"]),
        ("aianalyses", "spec.analysisRequest", vec!["analysisTypes", "signalContext"]),
        (
            "aianalyses",
            "spec.analysisRequest.signalContext",
            vec!["businessPriority", "environment", "fingerprint", "severity", "signalName", "targetResource"],
        ),
        ("workflowexecutions", "spec", vec!["remediationRequestRef", "targetResource", "workflowRef"]),
        ("workflowexecutions", "spec.workflowRef", vec!["executionBundle", "executionEngine", "version", "workflowId"]),
        (
            "remediationrequests",
            "spec",
            vec![
                "firingTime",
                "receivedTime",
                "severity",
                "signalFingerprint",
                "signalName",
                "signalType",
                "targetResource",
                "targetType",
            ],
        ),
        (
            "remediationapprovalrequests",
            "spec",
            vec![
                "aiAnalysisRef",
                "confidence",
                "confidenceLevel",
                "investigationSummary",
                "reason",
                "recommendedActions",
                "recommendedWorkflow",
                "remediationRequestRef",
                "requiredBy",
                "whyApprovalRequired",
            ],
        ),
    ] {
        assert_eq!(schema(plural, path)["required"], json!(required), "{plural} {path}");
    }
    for (plural, path) in [
        ("aianalyses", "spec.analysisRequest.signalContext.enrichmentResults"),
        ("signalprocessings", "status"),
        ("notificationrequests", "status"),
        ("workflowexecutions", "status"),
        ("remediationrequests", "status"),
        ("remediationapprovalrequests", "status"),
    ] {
        assert!(schema(plural, path).get("required").is_none(), "{plural} {path}");
    }
}

#[test]
fn an_undecided_decision_has_no_default_and_is_not_written() {
    assert!(schema("remediationapprovalrequests", "status.decision").get("default").is_none());
    let status = kubernaut_api::RemediationApprovalRequestStatus::default();
    assert_eq!(serde_json::to_value(status).unwrap(), json!({}));
}
