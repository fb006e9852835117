//! An API server that is away, or a proxy in its place: the last state stays, and all goes on afterwards.

use std::time::Duration;

use statusguard::cluster::configuration::Published;
use statusguard_tests::{Fault, eventually};

use crate::stage::Stage;

#[tokio::test]
async fn an_api_server_that_is_away_at_the_start_is_waited_for() {
    for fault in Fault::AWAY {
        let stage = Stage::new().await;
        stage.want(&["jobs"]);
        stage.new_bundle();
        stage.proxy.set_faults(move |_| fault);
        let mut keeper = stage.keep();
        eventually("it was tried again", async || Ok(keeper.errors("get") >= 3.0)).await.unwrap();
        assert_eq!(*keeper.published.borrow(), Published::Unknown, "{fault:?}");
        stage.proxy.set_faults(|_| Fault::Pass);
        keeper.in_sync().await;
        stage.has_entries(&["jobs"]).await;
    }
}

#[tokio::test]
async fn while_the_api_server_is_away_the_last_state_stays() {
    for fault in Fault::AWAY {
        let mut stage = Stage::new().await;
        stage.timing.resync = Duration::from_millis(1);
        let keeper = stage.keep_in_sync(&["jobs"]).await;
        let before = keeper.published.borrow().clone();
        stage.proxy.set_faults(move |_| fault);
        stage.proxy.sever();
        eventually("it was tried again", async || Ok(keeper.errors("get") >= 3.0)).await.unwrap();
        assert_eq!(*keeper.published.borrow(), before, "{fault:?}");
        stage.want(&["jobs", "tasks"]);
        stage.proxy.set_faults(|_| Fault::Pass);
        stage.has_entries(&["jobs", "tasks"]).await;
    }
}

/// Nobody knows whether it was stored. It was.
#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_made_twice() {
    let stage = Stage::new().await;
    stage.want(&["jobs"]);
    stage.new_bundle();
    stage.proxy.set_faults(|parts| if parts.method == "PUT" { Fault::CutAfterSending } else { Fault::Pass });
    let mut keeper = stage.keep();
    keeper.in_sync().await;
    assert_eq!(stage.proxy.counts().verb("PUT"), 1);
    assert_eq!(stage.stored().await.metadata.generation, Some(2));
}

#[tokio::test]
async fn a_lost_watch_is_taken_up_again() {
    let stage = Stage::new().await;
    let _keeper = stage.keep_in_sync(&["jobs"]).await;
    stage.proxy.sever();
    stage.meddle("meddler", |entries| entries[0].timeout_seconds = Some(1)).await;
    eventually("the time-out is back", async || {
        Ok(stage.stored_entry("jobs").await.unwrap().timeout_seconds == Some(5))
    })
    .await
    .unwrap();
}
