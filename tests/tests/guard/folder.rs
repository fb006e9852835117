//! The policy folder changes under a guard that serves.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use statusguard_tests::eventually;

use crate::common::Setup;
use crate::modes::replace;
use crate::object::{causes, pending, refusal, sending, status_of};

#[tokio::test]
async fn a_broken_policy_replaces_nothing_and_a_removed_one_allows() {
    let guarded = Setup::new().start().await;
    let object = guarded.object("held", &[pending(), sending(1), sending(2)]).await;
    let stale = Patch::Merge(json!({ "status": sending(1) }));
    let write = async || guarded.api().patch_status("held", &PatchParams::default(), &stale).await;
    let gauge = async |name: &str| guarded.guard.metric(name, &[]).await;
    let loaded = async || (gauge("statusguard_policies_loaded").await, gauge("statusguard_policies_broken").await);
    let good = std::fs::read_to_string(guarded.site.policies.join("policy.json")).unwrap();
    let regression = ("CounterRegression", "status.totalAttempts");
    assert_eq!(loaded().await, (1.0, 0.0));

    // A rule that is misspelt, then no JSON at all: the last good policy stays.
    for broken in [good.replace("\"monotone\"", "\"monotony\""), good[..good.len() / 2].to_owned()] {
        guarded.change_policy(|file| replace(file, &broken)).await;
        assert_eq!(loaded().await, (1.0, 1.0));
        let status = refusal(write().await);
        assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"), "{status:?}");
        assert!(causes(&status).contains(&regression), "{status:?}");
    }

    // One that compiles takes its place.
    let mut other: Value = serde_json::from_str(&good).unwrap();
    other["spec"]["monotone"] = json!([]);
    guarded.change_policy(|file| replace(file, &other.to_string())).await;
    assert_eq!(loaded().await, (1.0, 0.0));
    let status = refusal(write().await);
    assert_eq!(causes(&status), [("HistoryTruncated", "status.deliveryAttempts")]);
    assert_eq!(guarded.api().get("held").await.unwrap().status, object.status);

    // Gone, and a file without policies left: a call that still comes is allowed and counted.
    let none = guarded.site.policies.join("none.yaml");
    std::fs::write(&none, "# no policies\n").unwrap();
    guarded.change_policy(|file| std::fs::remove_file(file).unwrap()).await;
    eventually("the policy is gone", async || Ok(loaded().await.0 == 0.0)).await.unwrap();
    assert_eq!(loaded().await, (0.0, 0.0));
    let unknown = gauge("statusguard_unknown_policy_total").await;
    assert_eq!(status_of(&write().await.unwrap())["totalAttempts"], 1);
    assert_eq!(gauge("statusguard_unknown_policy_total").await, unknown + 1.0);

    // And back.
    guarded.change_policy(|file| replace(file, &good)).await;
    assert_eq!(loaded().await, (1.0, 0.0));
    guarded.write("held", &sending(2)).await;
    let status = refusal(write().await);
    assert!(causes(&status).contains(&regression), "{status:?}");
}

#[tokio::test]
async fn a_folder_that_vanishes_or_is_emptied_keeps_its_policies_in_force() {
    let guarded = Setup::new().start().await;
    guarded.object("kept", &[pending(), sending(1), sending(2)]).await;
    let stale = Patch::Merge(json!({ "status": sending(1) }));
    let usable = async |expected: f64| {
        let name = "statusguard_policy_folder_last_read_successful";
        let what = format!("{name} is {expected}");
        eventually(&what, async || Ok(guarded.guard.metric(name, &[]).await == expected)).await.unwrap();
    };
    let policies = &guarded.site.policies;
    let away = policies.with_extension("away");
    let file = policies.join("policy.json");
    let held = std::fs::read(&file).unwrap();
    for emptied in [false, true] {
        usable(1.0).await;
        if emptied { std::fs::remove_file(&file) } else { std::fs::rename(policies, &away) }.unwrap();
        usable(0.0).await;
        let status = refusal(guarded.api().patch_status("kept", &PatchParams::default(), &stale).await);
        assert!(causes(&status).contains(&("CounterRegression", "status.totalAttempts")), "{status:?}");
        assert_eq!(guarded.guard.metric("statusguard_policies_loaded", &[]).await, 1.0);
        if emptied { std::fs::write(&file, &held) } else { std::fs::rename(&away, policies) }.unwrap();
    }
    usable(1.0).await;
}
