//! Policies that the API server stores, but that cannot be meant.

use serde_json::{Value, json};

use crate::stage::{Stage, guards};

/// The StatusPolicy's schema lets this pass.
#[tokio::test]
async fn what_the_api_server_takes_may_still_be_wrong() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    let watching = stage.watch();
    let policy = |pointer: &str, value: Value| {
        let mut policy = stage.policy("jobs", &guards("a"));
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        policy.pointer_mut(parent).unwrap()[key] = value;
        policy
    };
    let deep = (0..40).fold(json!({}), |each, _| json!({ "collections": [{ "path": ".a", "each": each }] }));
    for (policy, part) in [
        (policy("/spec/phase", json!([])), "spec.phase: unknown key"),
        (policy("/spec/monotone/0/resets", json!({ "when": ["A"] })), "spec.monotone[0].resets.when: unknown key"),
        (policy("/spec/target/kind", json!("Job")), "spec.target.kind: unknown key"),
        (policy("/spec/target/resource", json!("tasks")), "metadata.name"),
        (policy("/spec/target/version", json!("v1/../v2")), "spec.target.version"),
        (policy("/spec/collections", json!([{ "path": ".status.l", "each": deep }])), "spec.collections[0]"),
    ] {
        stage.apply(&policy).await;
        let message = stage.says("jobs", "Compiled", "False", "Invalid").await;
        assert!(message.contains(part), "{part}: {message}");
    }
    assert_eq!(watching.field(&stage, "jobs"), None);
}

#[tokio::test]
async fn a_huge_policy_is_refused_with_a_short_message_and_holds_nobody_up() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.apply_crd(&stage.crd("tasks", &["v1"], &["a"])).await;
    let watching = stage.watch();
    // Near to what etcd takes.
    let rules: Vec<Value> = (0..20_000).map(|n| json!({ "path": format!(".status.a{n}") })).collect();
    stage.apply(&stage.policy("jobs", &json!({ "monotone": rules }))).await;
    stage.guard("tasks", "a").await;
    watching.in_force(&stage, "tasks", Some("a")).await;
    let message = stage.says("jobs", "Compiled", "False", "Invalid").await;
    assert!(message.len() < 4096, "{} bytes: {message}", message.len());
}
