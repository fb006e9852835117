//! A new entry is `Ignore` first, and becomes `Fail` in one of two ways.

use std::time::Duration;

use statusguard_tests::eventually;

use crate::stage::Stage;

async fn becomes_fail(stage: &Stage, resource: &str) {
    eventually(&format!("{resource} is Fail"), async || {
        Ok(stage.failure_policy(resource).await.as_deref() == Some("Fail"))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn an_entry_becomes_fail_once_a_dry_run_write_of_its_policy_arrived() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    let keeper = stage.keep_in_sync(&["jobs", "tasks"]).await;
    stage.read_again(3).await;
    for resource in ["jobs", "tasks"] {
        assert_eq!(stage.failure_policy(resource).await.as_deref(), Some("Ignore"));
    }
    stage.arrives("jobs");
    becomes_fail(&stage, "jobs").await;
    stage.read_again(3).await;
    assert_eq!(stage.failure_policy("tasks").await.as_deref(), Some("Ignore"));
    assert_eq!(keeper.writes(), 2.0);
}

#[tokio::test]
async fn an_entry_becomes_fail_when_its_time_is_over() {
    let mut stage = Stage::new().await;
    stage.timing.trial = Duration::from_millis(50);
    stage.want(&["jobs"]);
    stage.new_bundle();
    let keeper = stage.keep();
    becomes_fail(&stage, "jobs").await;
    // Once as Ignore, once as Fail.
    assert_eq!(stage.stored().await.metadata.generation, Some(3));
    eventually("both writes are counted", async || Ok(keeper.writes() == 2.0)).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_starts_later_neither_waits_again_nor_goes_back() {
    let mut stage = Stage::new().await;
    stage.want(&["jobs"]);
    stage.new_bundle();
    stage.arrives("jobs");
    let keeper = stage.keep();
    becomes_fail(&stage, "jobs").await;
    keeper.stop().await;

    stage.arrived.send_replace(Default::default());
    stage.timing.resync = Duration::from_millis(1);
    let before = stage.stored().await;
    let mut later = stage.keep();
    later.in_sync().await;
    stage.read_again(3).await;
    assert_eq!(stage.stored().await, before);
}
