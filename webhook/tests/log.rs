//! What the log says about calls.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::GuardProcess;
use serde_json::{Value, json};

const PATH: &str = "/admit/kubernaut.ai/notificationrequests?timeout=10s";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
/// A text that only the status holds.
const SECRET: &str = "content-of-a-status";

/// A write of a status as the API server shows it.
fn review(old: &str, new: &str) -> Value {
    let object = |phase: &str| {
        json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "kind": "NotificationRequest",
            "metadata": { "name": "n1", "namespace": "web", "generation": 1 },
            "status": { "phase": phase, "queuedAt": "2026-03-01T10:00:00Z", "message": SECRET },
        })
    };
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "UPDATE", "dryRun": false,
            "kind": { "group": "kubernaut.ai", "version": "v1alpha1", "kind": "NotificationRequest" },
            "resource": { "group": "kubernaut.ai", "version": "v1alpha1", "resource": "notificationrequests" },
            "subResource": "status", "name": "n1", "namespace": "web",
            "userInfo": { "username": "system:serviceaccount:web:controller", "groups": ["system:authenticated"] },
            "object": object(new), "oldObject": object(old), "options": { "kind": "UpdateOptions" },
        },
    })
}

#[test]
fn a_refusal_is_logged_with_the_id_of_the_api_servers_trace_and_without_content() {
    let server = GuardProcess::start(&[]);
    let refused = server.admit_with(PATH, TRACEPARENT, &review("Sending", "Pending"));
    assert_eq!(refused["allowed"], false, "{refused}");
    let line = server.log_line("write with findings");
    assert_eq!(line["trace_id"], TRACE_ID, "{line}");
    assert_eq!(line["outcome"], "Denied", "{line}");
    assert_eq!((&line["namespace"], &line["name"]), (&json!("web"), &json!("n1")), "{line}");
    assert!(!line.to_string().contains(SECRET), "{line}");
}

#[test]
fn a_call_that_is_not_judged_is_logged_with_the_id_of_the_api_servers_trace() {
    let server = GuardProcess::start(&[]);
    let mut other = review("Pending", "Sending");
    other["request"]["resource"]["resource"] = json!("pods");
    let (code, _) = server.call(PATH, TRACEPARENT, &other);
    assert_eq!(code, 400);
    let line = server.log_line("call not judged");
    assert_eq!((&line["trace_id"], &line["uid"]), (&json!(TRACE_ID), &json!("u-1")), "{line}");
}
