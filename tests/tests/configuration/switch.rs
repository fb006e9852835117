//! Deleting the configuration switches the guard off, and nothing but its creation by somebody switches it on.

use std::time::Duration;

use kube::api::DeleteParams;
use statusguard::cluster::configuration::Published;
use statusguard_tests::{RequestCounts, eventually};

use crate::stage::Stage;

fn none_created(counts: &RequestCounts) {
    for verb in ["POST", "PATCH"] {
        assert_eq!(counts.verb(verb), 0, "{counts}");
    }
}

#[tokio::test]
async fn a_deleted_configuration_stays_deleted_until_somebody_creates_it() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    let mut keeper = stage.keep_in_sync(&["jobs"]).await;

    stage.api().delete(&stage.name, &DeleteParams::default()).await.unwrap();
    keeper.publishes("absent", |published| *published == Published::Absent).await;
    eventually("the metric says so", async || Ok(keeper.metric("statusguard_configuration_present") == 0.0))
        .await
        .unwrap();
    assert_eq!(keeper.metric("statusguard_configuration_entries"), 0.0);
    // Whatever is wanted anew meanwhile.
    stage.want(&["jobs", "tasks"]);
    stage.new_bundle();
    let counts = stage.read_again(5).await;
    none_created(&counts);
    assert_eq!(counts.verb("PUT"), 1, "{counts}");
    assert_eq!(stage.api().get_opt(&stage.name).await.unwrap(), None);

    // A shutdown and a new start change nothing.
    keeper.stop().await;
    let mut keeper = stage.keep();
    keeper.publishes("absent", |published| *published == Published::Absent).await;
    none_created(&stage.read_again(3).await);
    assert_eq!(stage.api().get_opt(&stage.name).await.unwrap(), None);

    stage.create().await;
    keeper.in_sync().await;
    stage.has_entries(&["jobs", "tasks"]).await;
}

/// Without the resync: the watch says that it is back.
#[tokio::test]
async fn a_configuration_that_comes_back_is_filled_in_at_once() {
    let stage = Stage::without_object().await;
    stage.want(&["jobs"]);
    stage.new_bundle();
    let mut keeper = stage.keep();
    keeper.publishes("absent", |published| *published == Published::Absent).await;
    for _ in 0..3 {
        stage.create().await;
        keeper.in_sync().await;
        stage.has_entries(&["jobs"]).await;
        stage.api().delete(&stage.name, &DeleteParams::default()).await.unwrap();
        keeper.publishes("absent", |published| *published == Published::Absent).await;
    }
    assert_eq!((keeper.writes(), keeper.repairs("unknown")), (3.0, 0.0), "filling it in undoes nobody's change");
}

#[tokio::test]
async fn a_configuration_that_is_on_its_way_out_is_left_alone() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    stage.merge(serde_json::json!({ "metadata": { "finalizers": ["example.org/held"] } })).await;
    stage.api().delete(&stage.name, &DeleteParams::default()).await.unwrap();
    stage.want(&["jobs"]);
    stage.new_bundle();
    let mut keeper = stage.keep();
    keeper.publishes("read", |published| *published != Published::Unknown).await;
    let counts = stage.read_again(3).await;
    assert_eq!(counts.verb("PUT"), 0, "{counts}");
    stage.merge(serde_json::json!({ "metadata": { "finalizers": null } })).await;
    keeper.publishes("absent", |published| *published == Published::Absent).await;
}
