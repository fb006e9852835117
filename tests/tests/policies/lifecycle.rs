//! A policy is created, changed, broken, mended and deleted; and one of the folder has its name.

use serde_json::json;
use statusguard_tests::eventually;

use crate::stage::{Stage, guards};

#[tokio::test]
async fn a_policy_is_in_force_from_its_creation_to_its_deletion() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a", "b"])).await;
    stage.guard("jobs", "a").await;
    let mut watching = stage.watch();
    watching.ready().await;
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("a"), "ready once it is in force");
    watching.serves(&stage, &[("jobs", true)]).await;
    assert_eq!(
        stage.says("jobs", "Compiled", "True", "Compiled").await,
        "the policy compiles, and the API server serves its target"
    );
    assert_eq!((watching.count("cluster", "in_force"), watching.count("cluster", "broken")), (1.0, 0.0));

    stage.guard("jobs", "b").await;
    watching.in_force(&stage, "jobs", Some("b")).await;

    // Broken: the last good version stays.
    stage.apply(&stage.policy("jobs", &json!({ "monotony": [] }))).await;
    let message = stage.says("jobs", "Compiled", "False", "Invalid").await;
    assert!(message.contains("spec.monotony: unknown key; did you mean `monotone`?"), "{message}");
    stage.says("jobs", "Enforced", "False", "NotCompiled").await;
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("b"));
    watching.serves(&stage, &[("jobs", true)]).await;
    assert_eq!((watching.count("cluster", "in_force"), watching.count("cluster", "broken")), (0.0, 1.0));
    assert_eq!(watching.metric("statusguard_policies_loaded"), 1.0);

    stage.guard("jobs", "a").await;
    watching.in_force(&stage, "jobs", Some("a")).await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;

    stage.delete("jobs").await;
    watching.in_force(&stage, "jobs", None).await;
    watching.serves(&stage, &[]).await;
    eventually("nothing is counted", async || Ok(watching.count("cluster", "in_force") == 0.0)).await.unwrap();
    watching.stop().await;
}

#[tokio::test]
async fn a_policy_that_was_deleted_and_made_anew_has_no_last_good_version() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    let watching = stage.watch();
    watching.in_force(&stage, "jobs", Some("a")).await;
    stage.delete("jobs").await;
    stage.apply(&stage.policy("jobs", &json!({ "monotony": [] }))).await;
    stage.says("jobs", "Compiled", "False", "Invalid").await;
    watching.in_force(&stage, "jobs", None).await;
}

/// Its target is looked up once, and not each time that policies change.
#[tokio::test]
async fn a_policy_of_the_folder_whose_target_is_not_served_costs_nothing() {
    let stage = Stage::new().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("jobs.json"), stage.policy("jobs", &guards("a")).to_string()).unwrap();
    stage.guard("jobs", "b").await;
    let mut watching = stage.watch_as(stage.proxy.config(), Some(folder.path().into()));
    stage.says("jobs", "Enforced", "False", "ReplacedByFolder").await;
    watching.serves(&stage, &[]).await;
    let look_ups = || stage.proxy.counts().of("GET", &format!("/{}", stage.name("jobs")));
    stage.guard("tasks", "a").await;
    stage.says("tasks", "Compiled", "False", "ResourceNotServed").await;
    let before = look_ups();
    for field in ["b", "c", "d"] {
        stage.guard("tasks", field).await;
        stage.says("tasks", "Compiled", "False", "ResourceNotServed").await;
    }
    assert_eq!(look_ups(), before);
}

#[tokio::test]
async fn a_policy_of_the_folder_wins_over_one_of_its_name() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a", "b"])).await;
    stage.apply_crd(&stage.crd("tasks", &["v1"], &["a"])).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jobs.json");
    std::fs::write(&file, stage.policy("jobs", &guards("a")).to_string()).unwrap();
    stage.guard("jobs", "b").await;
    stage.guard("tasks", "a").await;
    let mut watching = stage.watch_as(stage.proxy.config(), Some(folder.path().into()));
    watching.in_force(&stage, "tasks", Some("a")).await;
    watching.serves(&stage, &[("jobs", true), ("tasks", true)]).await;
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("a"));
    let message = stage.says("jobs", "Enforced", "False", "ReplacedByFolder").await;
    assert!(message.contains("jobs.json"), "{message}");
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    assert_eq!((watching.count("cluster", "replaced"), watching.count("folder", "in_force")), (1.0, 1.0));

    // When it leaves the folder, that of the cluster comes into force.
    std::fs::write(&file, "").unwrap();
    std::fs::rename(&file, folder.path().join("none.yaml")).unwrap();
    std::fs::write(folder.path().join("none.yaml"), "# none\n").unwrap();
    watching.store.refresh().unwrap();
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("b"));
    stage.says("jobs", "Enforced", "Unknown", "ConfigurationUnknown").await;
    watching.serves(&stage, &[("jobs", true), ("tasks", true)]).await;
}
