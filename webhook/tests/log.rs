//! What the log says about calls.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{GuardProcess, PATH};
use serde_json::{Value, json};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n";
/// A text that only the status holds.
const SECRET: &str = "content-of-a-status";

/// A write of a status as the API server shows it.
fn review(old: &str, new: &str) -> Value {
    let object = |phase: &str| {
        json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "kind": "NotificationRequest",
            "metadata": { "name": "n1", "namespace": "web", "generation": 1, "resourceVersion": "1838" },
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
            "object": object(new), "oldObject": object(old),
            "options": { "kind": "UpdateOptions", "fieldManager": "worker" },
        },
    })
}

#[test]
fn a_refusal_is_logged_as_its_client_is_told_and_without_other_content() {
    let server = GuardProcess::start(&[]);
    let refused = server.admit_with(PATH, TRACEPARENT, &review("Sending", "Pending"));
    assert_eq!(refused["allowed"], false, "{refused}");
    let line = server.log_line("status write refused");
    assert!(!line.to_string().contains(SECRET), "{line}");
    assert_eq!(
        line,
        json!({
            "message": "status write refused", "policy": "notificationrequests.kubernaut.ai", "mode": "Enforce",
            "outcome": "Denied", "class": "Stale", "code": 409, "namespace": "web", "name": "n1",
            "resource_version": "1838", "user": "system:serviceaccount:web:controller", "field_manager": "worker",
            "dry_run": false, "trace_id": TRACE_ID, "more": 0,
            "findings": [{
                "reason": "PhaseRegression", "class": "Stale", "field": "status.phase",
                "old": "\"Sending\"", "new": "\"Pending\"", "what": "went back from \"Sending\" to \"Pending\"",
            }],
        })
    );
    let says = format!("{} {}", line["findings"][0]["field"].as_str().unwrap(), "went back from");
    assert!(refused["status"]["message"].as_str().unwrap().contains(&says), "{refused}");

    // A write that is never legal, and a dry run: the line shows both.
    let mut jump = review("Pending", "Sent");
    jump["request"]["dryRun"] = json!(true);
    assert_eq!(server.admit(PATH, &jump)["allowed"], false);
    let line = server.log_line_that("a dry run is refused", |fields| fields["dry_run"] == true);
    assert_eq!((&line["class"], &line["code"]), (&json!("Invalid"), &json!(422)), "{line}");
    assert_eq!(line["findings"][0]["reason"], "PhaseSkipped", "{line}");
    assert!(line.get("trace_id").is_none(), "{line}");
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

/// More log lines than a pipe takes.
const REFUSALS: usize = 300;

/// Whoever reads the log, calls are judged, probes answered and signals heard.
fn serves_and_ends(guard: &mut GuardProcess) {
    let replies = guard.call_often(PATH, &review("Sending", "Pending"), REFUSALS);
    assert_eq!(replies.matches(r#""allowed":false"#).count(), REFUSALS);
    assert!(guard.get("/livez").starts_with("HTTP/1.1 200"));
    guard.terminate();
    assert_eq!(guard.ends().code(), Some(0));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let mut guard = GuardProcess::start_unread(&["--min-drain=0s"]);
    serves_and_ends(&mut guard);
    // What it has written fills the pipe: a log that blocks would have stopped it.
    let written: usize = guard.unread.take().unwrap().map(|line| line.unwrap().len() + 1).sum();
    assert!(written > 60_000, "only {written} bytes");
}

#[test]
fn a_log_that_is_closed_holds_up_nothing() {
    let mut guard = GuardProcess::start_unread(&["--min-drain=0s"]);
    drop(guard.unread.take());
    serves_and_ends(&mut guard);
}

#[test]
fn a_log_on_a_full_disk_holds_up_nothing_and_what_it_loses_is_counted() {
    let mut guard = GuardProcess::start_on_full_disk(&["--min-drain=0s"]);
    let refused = guard.admit(PATH, &review("Sending", "Pending"));
    assert_eq!(refused["allowed"], false, "{refused}");
    let metrics = guard.get("/metrics");
    let dropped = metrics.lines().find_map(|line| line.strip_prefix("statusguard_log_dropped_total "));
    assert!(dropped.unwrap().parse::<u64>().unwrap() > 0, "{metrics}");
    serves_and_ends(&mut guard);
}

#[test]
fn a_users_name_has_any_length_and_is_cut_in_the_log() {
    let server = GuardProcess::start(&[]);
    let mut by_long_name = review("Sending", "Pending");
    by_long_name["request"]["userInfo"]["username"] = json!("é".repeat(2500));
    let refused = server.admit(PATH, &by_long_name);
    assert_eq!((&refused["allowed"], &refused["uid"]), (&json!(false), &json!("u-1")), "{refused}");
    let line = server.log_line("status write refused");
    assert_eq!(line["user"], "é".repeat(512) + "…", "{line}");
}

#[test]
fn a_review_that_does_not_fit_its_policy_is_logged_with_what_to_do() {
    let server = GuardProcess::start(&[]);
    let mut other = review("Pending", "Sending");
    other["request"]["subResource"] = json!("scale");
    let (code, status) = server.call(PATH, TRACEPARENT, &other);
    assert_eq!((code, &status["reason"]), (400, &json!("BadRequest")), "{status}");
    let line = server.log_line("call not judged");
    assert_eq!((&line["trace_id"], &line["uid"]), (&json!(TRACE_ID), &json!("u-1")), "{line}");
    let reason = line["reason"].as_str().unwrap();
    assert_eq!(status["message"], reason);
    for part in ["rules and the policy's target do not fit", "notificationrequests/scale in", "matchPolicy: Equivalent"]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert!(server.get("/metrics").contains("statusguard_malformed_total{cause=\"target\"} 1\n"));
}
