//! Whatever is stored can be read, and what this version does not know is written back as it was.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use kubernaut_api::{
    AIAnalysisPhase, AIAnalysisStatus, Decision, ExecutionEngine, NotificationPhase, NotificationPriority,
    NotificationRequestSpec, NotificationRequestStatus, PhaseMachine, RemediationApprovalRequestStatus,
    RemediationPhase, RemediationRequestStatus, RetryPolicy, SignalProcessingPhase, SignalProcessingStatus,
    WorkflowExecutionPhase, WorkflowExecutionStatus, WorkflowRef,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn round_trip<T: DeserializeOwned + Serialize>(value: &Value) -> Value {
    serde_json::to_value(read::<T>(value.clone())).unwrap()
}

#[test]
fn a_status_of_a_newer_version_is_read_and_written_back() {
    let status = json!({
        "phase": "Paused",
        "reason": "SomethingNew",
        "deliveryAttempts": [{
            "channel": "pigeon", "attempt": 1, "timestamp": "2026-01-02T03:04:05.678000Z", "status": "eaten",
        }],
    });
    assert_eq!(round_trip::<NotificationRequestStatus>(&status), status);
    let status: NotificationRequestStatus = read(status);
    assert_eq!(status.phase, Some(NotificationPhase::Other("Paused".to_owned())));
    assert!(!status.phase.unwrap().is_final());

    let status = json!({ "overallPhase": "Napping", "blockReason": "FullMoon", "timeoutPhase": "Dreaming" });
    assert_eq!(round_trip::<RemediationRequestStatus>(&status), status);
    assert_eq!(read::<RemediationApprovalRequestStatus>(json!({ "decision": "Maybe" })).decision.as_str(), "Maybe");
    let engine = json!({
        "workflowId": "w", "version": "1", "executionBundle": "b", "executionEngine": "argo",
    });
    assert_eq!(read::<WorkflowRef>(engine.clone()).execution_engine, ExecutionEngine::Other("argo".to_owned()));
    assert_eq!(round_trip::<WorkflowRef>(&engine), engine);
}

#[test]
fn every_status_can_be_empty() {
    assert_eq!(round_trip::<NotificationRequestStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<SignalProcessingStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<AIAnalysisStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<WorkflowExecutionStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<RemediationRequestStatus>(&json!({})), json!({}));
    assert_eq!(round_trip::<RemediationApprovalRequestStatus>(&json!({})), json!({}));
}

#[test]
fn defaults_complete_a_spec_field_by_field() {
    let spec: NotificationRequestSpec = read(json!({
        "type": "Simple", "subject": "s", "body": "b", "retryPolicy": { "maxAttempts": 2 },
    }));
    assert_eq!(spec.priority, NotificationPriority::Medium);
    assert_eq!(spec.retention_days, 7);
    assert_eq!(spec.retry_policy, Some(RetryPolicy { max_attempts: 2, ..RetryPolicy::default() }));
    let RetryPolicy { max_attempts, initial_backoff_seconds, backoff_multiplier, max_backoff_seconds } =
        RetryPolicy::default();
    assert_eq!((max_attempts, initial_backoff_seconds, backoff_multiplier, max_backoff_seconds), (5, 30, 2, 480));
}

#[test]
fn negative_timeouts_are_read_so_that_the_controller_can_refuse_them() {
    let status: RemediationRequestStatus = read(json!({ "timeoutConfig": { "analyzing": "-1m", "global": "1h" } }));
    let timeouts = status.timeout_config.unwrap();
    assert!(timeouts.analyzing.unwrap().0.is_negative());
    assert_eq!(timeouts.global.unwrap().0.as_secs(), 3600);
}

/// Every phase is final or has a way out, never both; every edge ends at a phase of the machine.
fn is_sound<P: PhaseMachine + std::fmt::Debug>() {
    for phase in P::PHASES {
        assert_ne!(phase.is_final(), !phase.successors().is_empty(), "{phase:?}");
    }
    assert_eq!(P::FINAL.iter().filter(|phase| !P::PHASES.contains(phase)).count(), 0);
    let mut reached: Vec<&P> = P::INITIAL.iter().collect();
    let mut next = 0;
    while let Some(phase) = reached.get(next).copied() {
        assert!(P::PHASES.contains(phase), "{phase:?}");
        next += 1;
        for successor in phase.successors() {
            if !reached.contains(&successor) {
                reached.push(successor);
            }
        }
    }
    assert_eq!(reached.len(), P::PHASES.len(), "every phase can be reached");
}

#[test]
fn the_machines_are_sound() {
    is_sound::<NotificationPhase>();
    is_sound::<SignalProcessingPhase>();
    is_sound::<AIAnalysisPhase>();
    is_sound::<WorkflowExecutionPhase>();
    is_sound::<RemediationPhase>();
    is_sound::<Decision>();
}
