//! Calls over real TLS that are answered as they should be.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{Script, allow, allowing, review, stale, start};
use serde_json::json;
use statusguard_edge::{Limits, Review, Target};

#[tokio::test]
async fn an_allowed_write() {
    let server = start(allowing(), Limits::default()).await;
    let reply = server.post(&review("put")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let uid = uid_of("put");
    assert_eq!(
        reply.json(),
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": { "uid": uid, "allowed": true }
        })
    );
    server.stop().await;
}

#[tokio::test]
async fn a_refused_write() {
    let server = start(Script(|_: Target<'_>, _: &Review<'_>| stale::<()>()), Limits::default()).await;
    let reply = server.post(&review("put")).await;
    assert_eq!(reply.status, 200, "a denial sent with another code is a failed call");
    let object: serde_json::Value = serde_json::from_slice(&review("put")).unwrap();
    let metadata = &object["request"]["oldObject"]["metadata"];
    assert_eq!(
        reply.json()["response"],
        json!({
            "uid": uid_of("put"),
            "allowed": false,
            "status": {
                "status": "Failure",
                "code": 409,
                "reason": "Conflict",
                "message": "attempts fell from 3 to 2; read again and decide again",
                "details": {
                    "name": metadata["name"],
                    "group": "facts.test",
                    "kind": "Delivery",
                    "uid": metadata["uid"],
                    "causes": [{
                        "reason": "CounterRegression",
                        "message": "attempts fell from 3 to 2",
                        "field": "status.attempts"
                    }]
                }
            }
        })
    );
    let labels = r#"{policy="deliveries.facts.test",outcome="Denied",class="Stale"}"#;
    assert_eq!(server.metric(&format!("statusguard_admission_requests_total{labels}")), 1.0);
    let labels = r#"{policy="deliveries.facts.test",reason="CounterRegression"}"#;
    assert_eq!(server.metric(&format!("statusguard_findings_total{labels}")), 1.0);
    let labels = r#"{policy="deliveries.facts.test"}"#;
    assert_eq!(server.metric(&format!("statusguard_admission_duration_seconds_count{labels}")), 1.0);
    server.stop().await;
}

#[tokio::test]
async fn warnings_and_annotations_arrive_as_the_api_server_takes_them() {
    let judge = Script(|_: Target<'_>, _: &Review<'_>| {
        let mut answer = allow::<()>();
        answer.warnings = vec!["two\nlines\t".to_owned(), String::new(), "two lines".to_owned()];
        answer.annotations = vec![
            ("decision/1".to_owned(), "deny".to_owned()),
            ("decision_1".to_owned(), "second".to_owned()),
            (String::new(), "nothing".to_owned()),
        ];
        answer
    });
    let server = start(judge, Limits::default()).await;
    let response = server.post(&review("put")).await.json()["response"].clone();
    assert_eq!(response["warnings"], json!(["two lines"]));
    assert_eq!(response["auditAnnotations"], json!({ "decision_1": "deny" }));
    server.stop().await;
}

fn uid_of(name: &str) -> serde_json::Value {
    let review: serde_json::Value = serde_json::from_slice(&review(name)).unwrap();
    review["request"]["uid"].clone()
}
