//! An API server that is away, or a proxy in its place.

use std::time::{Duration, Instant};

use serde_json::json;
use statusguard_tests::{Fault, eventually};

use crate::stage::{NEVER, Stage, guards};

#[tokio::test]
async fn a_guard_without_a_folder_is_not_ready_before_the_api_server_has_answered() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    stage.proxy.set_faults(|_| Fault::CutBeforeSending);
    let watching = stage.watch();
    let failed = async || Ok(watching.errors("list", "statuspolicies") >= 2.0);
    eventually("listing was tried again", failed).await.unwrap();
    assert_eq!(watching.health.missing(), ["cluster-policies"]);
    assert!(watching.served.borrow().is_none(), "it is not known what is served");
    assert_eq!(watching.metric("statusguard_policy_watch_synced"), 0.0);
    stage.proxy.set_faults(|_| Fault::Pass);
    watching.ready().await;
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("a"));
    assert_eq!(watching.metric("statusguard_policy_watch_synced"), 1.0);
}

#[tokio::test]
async fn attempts_become_rarer() {
    let stage = Stage::new().await;
    stage.proxy.set_faults(|_| Fault::CutBeforeSending);
    let watching = stage.watch();
    let failed = async |times: f64| {
        let seen = async || Ok(watching.errors("list", "statuspolicies") >= times);
        eventually("listing was tried again", seen).await.unwrap();
        Instant::now()
    };
    let (first, fourth) = (failed(1.0).await, failed(4.0).await);
    // At least 0.8 s, 1.6 s and 3.2 s lie between, less the time in which the first was noticed.
    assert!(fourth - first > Duration::from_secs(4), "{:?}", fourth - first);
}

#[tokio::test]
async fn a_folder_is_in_force_from_the_start() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobs.json"), stage.policy("jobs", &guards("a")).to_string()).unwrap();
    stage.proxy.set_faults(|_| Fault::CutBeforeSending);
    let watching = stage.watch_as(stage.proxy.config(), Some(folder.path().into()));
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("a"));
    eventually("listing failed", async || Ok(watching.errors("list", "statuspolicies") >= 1.0)).await.unwrap();
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("a"));
}

#[tokio::test]
async fn while_the_api_server_is_away_the_last_state_stays() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a", "b"])).await;
    stage.guard("jobs", "a").await;
    let mut watching = stage.watch();
    watching.serves(&stage, &[("jobs", true)]).await;
    for (round, fault) in Fault::AWAY.into_iter().enumerate() {
        let failures = || watching.errors("list", "statuspolicies") + watching.errors("watch", "statuspolicies");
        let before = failures();
        let field = ["a", "b"][round % 2];
        stage.proxy.set_faults(move |_| fault);
        stage.proxy.sever();
        eventually("the watch failed", async || Ok(failures() > before)).await.unwrap();
        assert_eq!(watching.field(&stage, "jobs").as_deref(), Some(field), "{fault:?}");
        assert_eq!(watching.health.missing(), [""; 0], "{fault:?}");
        let other = ["b", "a"][round % 2];
        stage.guard("jobs", other).await;
        stage.proxy.set_faults(|_| Fault::Pass);
        stage.proxy.sever();
        watching.in_force(&stage, "jobs", Some(other)).await;
    }
    stage.says("jobs", "Compiled", "True", "Compiled").await;
}

/// The policies can be listed, but not their targets looked up.
#[tokio::test]
async fn a_target_that_is_not_known_yet_is_compiled_without_its_schema_until_it_is() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["b"])).await;
    stage.guard("jobs", "a").await;
    let down = |path: &str| path.contains("customresourcedefinitions/");
    stage.proxy.set_faults(move |parts| if down(parts.uri.path()) { Fault::CutBeforeSending } else { Fault::Pass });
    let mut watching = stage.watch();
    watching.ready().await;
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("a"));
    stage.says("jobs", "Compiled", "Unknown", "TargetUnknown").await;
    let served = watching.served.wait_for(Option::is_some).await.unwrap().clone().unwrap();
    let jobs = served.iter().find(|served| served.policy.name == stage.name("jobs")).unwrap();
    assert_eq!(jobs.namespaced, None, "an entry made before is not taken out");
    assert_eq!(watching.count("cluster", "unknown"), 1.0);
    stage.proxy.set_faults(|_| Fault::Pass);
    stage.says("jobs", "Compiled", "False", "Invalid").await;
    watching.in_force(&stage, "jobs", None).await;
}

#[tokio::test]
async fn what_was_compiled_is_not_doubted_while_its_target_cannot_be_looked_up() {
    let stage = Stage::new().await;
    let mut crd = stage.crd("jobs", &["v1"], &["a"]);
    stage.apply_crd(&crd).await;
    stage.guard("jobs", "a").await;
    let mut watching = stage.watch();
    watching.serves(&stage, &[("jobs", true)]).await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    let down = |path: &str| path.contains("customresourcedefinitions/");
    stage.proxy.set_faults(move |parts| if down(parts.uri.path()) { Fault::CutBeforeSending } else { Fault::Pass });
    crd["metadata"]["labels"] = json!({ "a": "b" });
    stage.apply_crd(&crd).await;
    eventually("it was looked up", async || Ok(watching.errors("get", "customresourcedefinitions") >= 1.0))
        .await
        .unwrap();
    stage.guard("tasks", "a").await;
    stage.says("tasks", "Compiled", "Unknown", "TargetUnknown").await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    let served = watching.served.borrow().clone().unwrap();
    let jobs = served.iter().find(|served| served.policy.name == stage.name("jobs")).unwrap();
    assert_eq!(jobs.namespaced, Some(true));
}

/// Nobody knows whether it was stored. It was.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_made_twice() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    stage.proxy.set_faults(|parts| if parts.method == "PATCH" { Fault::CutAfterSending } else { Fault::Pass });
    let watching = stage.watch();
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    eventually("the failure is counted", async || Ok(watching.errors("patch", "statuspolicies/status") >= 1.0))
        .await
        .unwrap();
    stage.proxy.set_faults(|_| Fault::Pass);
    let version = stage.version("jobs").await;
    stage.apply(&stage.policy("tasks", &json!({}))).await;
    stage.says("tasks", "Compiled", "False", "ResourceNotServed").await;
    assert_eq!(stage.version("jobs").await, version);
}

/// By then another one has been made in its place.
#[tokio::test]
async fn a_write_that_lands_late_changes_nothing() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    stage.proxy.set_faults(|parts| if parts.method == "PATCH" { Fault::LandLate(NEVER) } else { Fault::Pass });
    let watching = stage.watch();
    eventually("the failure is counted", async || Ok(watching.errors("patch", "statuspolicies/status") >= 1.0))
        .await
        .unwrap();
    stage.proxy.set_faults(|_| Fault::Pass);
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    let version = stage.version("jobs").await;
    stage.proxy.release_late();
    let landed = stage.proxy.landed().await;
    assert!(!landed.is_empty() && landed.iter().all(|late| late.status.is_some_and(|code| code == 409)), "{landed:?}");
    assert_eq!(stage.version("jobs").await, version);
}
