//! Several replicas write conditions of the same policies.

use kube::api::{Patch, PatchParams};
use serde_json::json;
use statusguard_tests::eventually;

use crate::stage::Stage;

/// Nothing is waited for by the clock: when a later policy has been dealt with, the earlier ones have, too.
#[tokio::test]
async fn replicas_agree_and_stop_writing() {
    let stage = Stage::new().await;
    for resource in ["jobs", "tasks", "others"] {
        stage.apply_crd(&stage.crd(resource, &["v1"], &["a"])).await;
    }
    let replicas: Vec<_> = (0..3).map(|_| stage.watch()).collect();
    stage.configure(&["jobs", "tasks", "others"]);
    stage.guard("jobs", "a").await;
    stage.guard("tasks", "b").await;
    stage.says("jobs", "Enforced", "Unknown", "WaitingForFirstCall").await;
    stage.says("tasks", "Compiled", "False", "Invalid").await;
    stage.call_arrives("jobs");
    stage.says("jobs", "Enforced", "True", "Enforced").await;
    let writes = || {
        let counts = stage.proxy.counts();
        ["jobs", "tasks"].map(|resource| counts.of("PATCH", &format!("/{}/status", stage.name(resource))))
    };
    for replica in &replicas {
        replica.in_force(&stage, "jobs", Some("a")).await;
    }
    // Who was late has seen that nothing is to be written.
    let mut before = None;
    for round in 0..6 {
        // All conditions are looked at again.
        stage.published.send_modify(|_| {});
        // Each replica sees this later than all that was written before.
        stage.guard("others", "a").await;
        for replica in &replicas {
            replica.in_force(&stage, "others", Some("a")).await;
        }
        stage.says("others", "Enforced", "Unknown", "WaitingForFirstCall").await;
        stage.delete("others").await;
        for replica in &replicas {
            replica.in_force(&stage, "others", None).await;
        }
        let now = (stage.version("jobs").await, stage.version("tasks").await, writes());
        assert_eq!(*before.get_or_insert_with(|| now.clone()), now, "round {round}");
    }
}

#[tokio::test]
async fn a_call_that_only_one_replica_has_seen_is_believed_by_all() {
    let mut stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    stage.configure(&["jobs"]);
    stage.call_arrives("jobs");
    let first = stage.watch();
    stage.says("jobs", "Enforced", "True", "Enforced").await;
    first.stop().await;
    let before = stage.version("jobs").await;
    stage.arrived = Default::default();
    stage.published = Default::default();
    let second = stage.watch();
    second.ready().await;
    stage.guard("others", "a").await;
    stage.says("others", "Compiled", "False", "ResourceNotServed").await;
    assert_eq!(stage.version("jobs").await, before, "nor is it doubted before the configuration was read");
    stage.configure(&["jobs"]);
    // It writes something else, and so has looked at this.
    stage.guard("tasks", "a").await;
    stage.says("tasks", "Compiled", "False", "ResourceNotServed").await;
    assert_eq!(stage.version("jobs").await, before);
}

#[tokio::test]
async fn what_another_writes_over_the_conditions_is_corrected_and_its_own_stay() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    let _watching = stage.watch();
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    let condition = |kind: &str, status: &str| {
        json!({
            "type": kind, "status": status, "reason": "Meddled", "message": "", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({ "status": { "conditions": [condition("Compiled", "False"), condition("Reviewed", "True")] } });
    let name = stage.name("jobs");
    stage.policies().patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    eventually("the condition is corrected", async || {
        Ok(stage.condition("jobs", "Compiled").await.is_some_and(|(status, ..)| status == "True"))
    })
    .await
    .unwrap();
    stage.says("jobs", "Reviewed", "True", "Meddled").await;
}
