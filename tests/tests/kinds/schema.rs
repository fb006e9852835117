//! The six CRDs as a client meets them: what they refuse, fill in, select and print.

use std::process::Output;

use kube::Client;
use serde_json::{Value, json};
use statusguard_tests::User;

use crate::kind::{self, Kind};
use crate::server;
use crate::stage::stage;

/// Kind, short names, selectable fields.
type Names = (&'static str, &'static [&'static str], &'static [&'static str]);

const NAMES: [Names; 6] = [
    ("aianalyses", &["aia"], &["spec.remediationRequestRef.name"]),
    ("notificationrequests", &["notif", "notifs"], &["spec.remediationRequestRef.name", "spec.type", "spec.severity"]),
    ("remediationapprovalrequests", &["rar", "rars"], &["spec.remediationRequestRef.name", "spec.aiAnalysisRef.name"]),
    ("remediationrequests", &["rr"], &["spec.signalFingerprint", "spec.signalType", "spec.severity"]),
    ("signalprocessings", &["sp"], &["spec.remediationRequestRef.name"]),
    ("workflowexecutions", &["wfe"], &["spec.remediationRequestRef.name", "spec.targetResource"]),
];

/// A namespace of a test's own.
struct Place {
    client: Client,
    namespace: String,
}

impl Place {
    async fn new(prefix: &str) -> Self {
        let plane = stage().await.plane;
        Self { client: plane.client(User::Admin), namespace: plane.namespace(prefix).await }
    }

    fn collection(&self, kind: &Kind) -> String {
        kind.path(&self.namespace)
    }

    async fn create(&self, kind: &Kind, object: &Value) -> Value {
        server::post(&self.client, &self.collection(kind), object).await.object(kind.kind)
    }

    /// kubectl's standard output; it must succeed.
    async fn kubectl(&self, args: &[&str]) -> String {
        let output = self.run_kubectl(args).await;
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn run_kubectl(&self, args: &[&str]) -> Output {
        let mut command = stage().await.kubectl();
        command.arg("--namespace").arg(&self.namespace).args(args).output().await.unwrap()
    }
}

/// Sets a member by its path below an object.
fn set(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    for name in path.split('.') {
        at = &mut at[name];
    }
    *at = value;
}

#[tokio::test]
async fn the_spec_never_changes() {
    let place = Place::new("immutable").await;
    for kind in kind::all() {
        let made = place.create(&kind, &kind.object("fixed")).await;
        let path = format!("{}/fixed", place.collection(&kind));
        let change = kind.spec_change("another text");
        let mut changed = made.clone();
        set(&mut changed["spec"], &kind.text.join("."), json!("another text"));
        let pointer = format!("/spec/{}", kind.text.join("/"));
        let operations = json!([{ "op": "replace", "path": pointer, "value": "another text" }]);
        let mut applied = kind.object("fixed");
        applied["spec"] = changed["spec"].clone();
        let apply = format!("{path}?fieldManager=writer&force=true");
        for (verb, answer) in [
            ("PUT", server::put(&place.client, &path, &changed).await),
            ("merge patch", server::merge_patch(&place.client, &path, &change).await),
            ("JSON patch", server::patch(&place.client, &path, "application/json-patch+json", &operations).await),
            ("apply", server::patch(&place.client, &apply, "application/apply-patch+yaml", &applied).await),
        ] {
            assert_eq!((answer.code, answer.reason()), (422, "Invalid"), "{verb}: {answer:?}");
            assert_eq!(answer.causes(), [("FieldValueInvalid", "spec")], "{verb}");
            assert!(answer.message().ends_with("spec is immutable after creation"), "{verb}: {}", answer.message());
        }
        // The same spec, another label: no change of the spec.
        let mut labelled = made.clone();
        labelled["metadata"]["labels"] = json!({ "team": "shop" });
        let labelled = server::put(&place.client, &path, &labelled).await.object(kind.kind);
        assert_eq!((&labelled["spec"], &labelled["metadata"]["generation"]), (&made["spec"], &json!(1)));
    }
}

#[tokio::test]
async fn every_short_name_and_the_kind_lead_to_the_objects() {
    let place = Place::new("names").await;
    for (plural, short, _) in NAMES {
        let kind = kind::of(plural);
        place.create(&kind, &kind.object("found")).await;
        let singular = kind.kind.to_lowercase();
        for name in short.iter().chain([&plural, &singular.as_str()]) {
            let listed = place.kubectl(&["get", name, "--output=name"]).await;
            assert_eq!(listed, format!("{singular}.kubernaut.ai/found\n"), "{name}");
        }
    }
}

#[tokio::test]
async fn objects_are_selected_by_the_listed_fields_only() {
    let place = Place::new("selected").await;
    for (plural, _, fields) in NAMES {
        let kind = kind::of(plural);
        place.create(&kind, &kind.object("plain")).await;
        for (number, field) in fields.iter().enumerate() {
            let value = match *field {
                "spec.type" => "Completion".to_owned(),
                "spec.signalFingerprint" => "f".repeat(64),
                "spec.severity" => "low".to_owned(),
                _ => "another".to_owned(),
            };
            let name = format!("by-{number}");
            let mut object = kind.object(&name);
            set(&mut object, field, json!(value));
            place.create(&kind, &object).await;
            let selector = format!("--field-selector={field}={value}");
            let listed = place.kubectl(&["get", plural, &selector, "--output=name"]).await;
            assert_eq!(listed, format!("{}.kubernaut.ai/{name}\n", kind.kind.to_lowercase()), "{field}");
        }
        let refused = place.run_kubectl(&["get", plural, "--field-selector=status.phase=Failed"]).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("field label not supported: status.phase"), "{said}");
    }
}

#[tokio::test]
async fn kubectl_prints_the_columns_of_every_kind() {
    let place = Place::new("columns").await;
    let ready = json!([{
        "type": "Ready",
        "status": "False",
        "reason": "NotReady",
        "message": "failed",
        "lastTransitionTime": "2026-03-01T10:00:00Z",
    }]);
    // Kind, status, columns, those of them that are only wide.
    for (plural, mut status, columns, wide) in [
        (
            "aianalyses",
            json!({
                "phase": "Completed",
                "selectedWorkflow": {
                    "workflowId": "scale-out",
                    "version": "3",
                    "executionBundle": "registry.example/scale-out:3",
                    "confidence": 0.83,
                    "rationale": "load",
                },
                "approvalRequired": true,
            }),
            vec![("PHASE", "Completed"), ("CONFIDENCE", "0.83"), ("APPROVAL REQUIRED", "true"), ("REASON", "NotReady")],
            vec!["REASON"],
        ),
        (
            "notificationrequests",
            json!({ "phase": "Sending", "totalAttempts": 3 }),
            vec![
                ("PHASE", "Sending"),
                ("TYPE", "Escalation"),
                ("PRIORITY", "Medium"),
                ("ATTEMPTS", "3"),
                ("REASON", "NotReady"),
            ],
            vec!["REASON"],
        ),
        (
            "remediationapprovalrequests",
            json!({ "decision": "Expired", "expired": true }),
            vec![
                ("DECISION", "Expired"),
                ("AIANALYSIS", "ai-rr-1"),
                ("CONFIDENCE", "0.7"),
                ("EXPIRED", "true"),
                ("REQUIREDBY", "2026-03-01T10:15:00Z"),
                ("REASON", "NotReady"),
            ],
            vec!["REASON"],
        ),
        (
            "remediationrequests",
            json!({
                "overallPhase": "Completed",
                "outcome": "Remediated",
                "targetDisplay": "Deployment/cart",
                "workflowDisplayName": "scale-out:3",
                "confidence": "0.83",
            }),
            vec![
                ("PHASE", "Completed"),
                ("OUTCOME", "Remediated"),
                ("ALERT", "HighLatency"),
                ("RCA TARGET", "Deployment/cart"),
                ("WORKFLOW", "scale-out:3"),
                ("CONFIDENCE", "0.83"),
                ("REASON", "NotReady"),
            ],
            vec!["REASON"],
        ),
        (
            "signalprocessings",
            json!({
                "phase": "Completed",
                "severity": "high",
                "environmentClassification": { "environment": "Staging", "source": "policy" },
                "priorityAssignment": { "priority": "P1", "source": "policy" },
            }),
            vec![
                ("PHASE", "Completed"),
                ("SEVERITY", "high"),
                ("ENVIRONMENT", "Staging"),
                ("PRIORITY", "P1"),
                ("REASON", "NotReady"),
            ],
            vec!["REASON"],
        ),
        (
            "workflowexecutions",
            json!({ "phase": "Running", "duration": "5m30s" }),
            vec![
                ("PHASE", "Running"),
                ("WORKFLOW", "scale"),
                ("WORKFLOWID", "scale-out"),
                ("TARGET", "shop/Deployment/cart"),
                ("DURATION", "5m30s"),
                ("REASON", "NotReady"),
            ],
            vec!["WORKFLOWID", "REASON"],
        ),
    ] {
        let kind = kind::of(plural);
        let mut object = kind.object("shown");
        if plural == "workflowexecutions" {
            object["spec"]["workflowRef"]["workflowName"] = json!("scale");
        }
        place.create(&kind, &object).await;
        status["conditions"] = ready.clone();
        let path = format!("{}/shown/status", place.collection(&kind));
        let written = server::merge_patch(&place.client, &path, &json!({ "status": status })).await;
        assert_eq!(written.warnings, Vec::<String>::new(), "{plural}");
        assert_eq!(written.object(plural)["status"], status);

        for (output, hidden) in [("--output=wide", vec![]), ("--output=", wide)] {
            let printed = place.kubectl(&["get", plural, output]).await;
            let lines: Vec<_> = printed.lines().map(cells).collect();
            assert_eq!(lines.len(), 2, "{printed}");
            let shown = columns.iter().filter(|(name, _)| !hidden.contains(name));
            let (names, values): (Vec<_>, Vec<_>) = shown.copied().unzip();
            assert_eq!(lines[0], [vec!["NAME"], names, vec!["AGE"]].concat(), "{printed}");
            assert_eq!(lines[1][..lines[1].len() - 1], [vec!["shown"], values].concat(), "{printed}");
        }
    }
}

/// The cells of a line: at least two spaces are between them.
fn cells(line: &str) -> Vec<&str> {
    line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect()
}

#[tokio::test]
async fn values_outside_the_schema_are_refused_at_their_field() {
    let place = Place::new("values").await;
    let fingerprint = "0123456789ABCDEF".repeat(4);
    for (plural, field, value, reason) in [
        ("aianalyses", "spec.remediationId", json!(""), "FieldValueInvalid"),
        ("aianalyses", "spec.analysisRequest.analysisTypes", json!([]), "FieldValueInvalid"),
        ("aianalyses", "spec.analysisRequest.signalContext.severity", json!("blocker"), "FieldValueNotSupported"),
        ("aianalyses", "status.phase", json!("Dreaming"), "FieldValueNotSupported"),
        ("notificationrequests", "spec.type", json!("Poem"), "FieldValueNotSupported"),
        ("notificationrequests", "spec.priority", json!("high"), "FieldValueNotSupported"),
        ("notificationrequests", "spec.subject", json!("x".repeat(501)), "FieldValueTooLong"),
        ("notificationrequests", "spec.retentionDays", json!(91), "FieldValueInvalid"),
        ("notificationrequests", "status.phase", json!("Paused"), "FieldValueNotSupported"),
        ("remediationapprovalrequests", "spec.confidenceLevel", json!("sure"), "FieldValueNotSupported"),
        ("remediationapprovalrequests", "spec.confidence", json!(1.1), "FieldValueInvalid"),
        ("remediationapprovalrequests", "spec.requiredBy", json!("tomorrow"), "FieldValueTypeInvalid"),
        ("remediationapprovalrequests", "status.decision", json!("Maybe"), "FieldValueNotSupported"),
        ("remediationrequests", "spec.signalFingerprint", json!(fingerprint), "FieldValueInvalid"),
        ("remediationrequests", "spec.targetType", json!("mainframe"), "FieldValueNotSupported"),
        ("remediationrequests", "status.overallPhase", json!("Resting"), "FieldValueNotSupported"),
        ("remediationrequests", "status.confidence", json!("83 %"), "FieldValueInvalid"),
        ("signalprocessings", "spec.remediationRequestRef.name", json!(""), "FieldValueInvalid"),
        ("signalprocessings", "spec.signal.name", json!("x".repeat(254)), "FieldValueTooLong"),
        ("signalprocessings", "spec.signal.targetType", json!("mainframe"), "FieldValueNotSupported"),
        ("signalprocessings", "status.phase", json!("Guessing"), "FieldValueNotSupported"),
        ("signalprocessings", "status.severity", json!("blocker"), "FieldValueNotSupported"),
        ("workflowexecutions", "spec.remediationRequestRef.name", json!(""), "FieldValueInvalid"),
        ("workflowexecutions", "spec.targetResource", Value::Null, "FieldValueRequired"),
        ("workflowexecutions", "status.phase", json!("Paused"), "FieldValueNotSupported"),
    ] {
        let kind = kind::of(plural);
        let mut object = kind.object("refused");
        set(&mut object, field, value.clone());
        let answer = if field.starts_with("spec.") {
            server::post(&place.client, &place.collection(&kind), &object).await
        } else {
            let name = format!("refused-{}", field.to_lowercase());
            place.create(&kind, &kind.object(&name)).await;
            let path = format!("{}/{name}/status", place.collection(&kind));
            server::merge_patch(&place.client, &path, &json!({ "status": object["status"] })).await
        };
        assert_eq!((answer.code, answer.reason()), (422, "Invalid"), "{plural} {field} {value}: {answer:?}");
        let causes = answer.causes();
        assert!(causes.contains(&(reason, field)), "{plural} {field} {value}: {causes:?}");
    }
}

#[tokio::test]
async fn a_notification_is_given_its_defaults() {
    let place = Place::new("defaults").await;
    let kind = kind::of("notificationrequests");
    let made = place.create(&kind, &kind.object("bare")).await;
    assert_eq!(made["spec"]["priority"], "Medium");
    assert_eq!(made["spec"]["retentionDays"], 7);
    let mut object = kind.object("retried");
    object["spec"]["retryPolicy"] = json!({ "maxAttempts": 2 });
    let made = place.create(&kind, &object).await;
    let expected =
        json!({ "maxAttempts": 2, "initialBackoffSeconds": 30, "backoffMultiplier": 2, "maxBackoffSeconds": 480 });
    assert_eq!(made["spec"]["retryPolicy"], expected);
    // No other kind is given anything.
    for kind in kind::all().iter().filter(|kind| kind.plural != "notificationrequests") {
        let made = place.create(kind, &kind.object("bare")).await;
        assert_eq!((&made["spec"], made.get("status")), (&kind.spec, None), "{}", kind.plural);
    }
}
