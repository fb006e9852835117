//! Many writers, one object, nothing lost.

use std::sync::Arc;

use kube::api::{Api, Patch, PatchParams};
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::common::Setup;
use crate::object::{attempt, causes, pending, sending, status_of};

const WRITERS: usize = 50;

/// What a writer sends that read `object`: the whole history with one attempt more, and no version.
fn decide(object: &NotificationRequest, channel: &str) -> Value {
    let mut attempts = history(object);
    attempts.push(attempt(channel, 1));
    json!({ "status": { "totalAttempts": attempts.len(), "deliveryAttempts": attempts } })
}

fn history(object: &NotificationRequest) -> Vec<Value> {
    status_of(object)["deliveryAttempts"].as_array().cloned().unwrap_or_default()
}

/// Gets, changes, merge-patches, and does so again on every conflict. How often it was refused.
async fn write(api: Api<NotificationRequest>, channel: String, barrier: Arc<Barrier>) -> usize {
    let mut object = api.get("shared").await.unwrap();
    // All decide on the same version once: without a guard all but one of these updates are lost.
    barrier.wait().await;
    let mut refused = 0;
    loop {
        let patch = Patch::Merge(decide(&object, &channel));
        match api.patch_status("shared", &PatchParams::default(), &patch).await {
            Ok(_) => return refused,
            Err(kube::Error::Api(status)) if status.is_conflict() => {
                assert!(causes(&status).contains(&("HistoryTruncated", "status.deliveryAttempts")), "{status:?}");
                refused += 1;
                object = api.get("shared").await.unwrap();
            }
            Err(error) => panic!("{channel}: {error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_lose_nothing() {
    let guarded = Setup::new().start().await;
    guarded.object("shared", &[pending(), sending(0)]).await;
    let barrier = Arc::new(Barrier::new(WRITERS));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(guarded.api(), format!("channel-{writer:02}"), Arc::clone(&barrier)));
    }
    // Every writer that returns was acknowledged once.
    let refused: usize = writers.join_all().await.into_iter().sum();
    println!("{WRITERS} writers: {refused} writes refused and decided again, {} calls", guarded.guard.calls().await);

    let object = guarded.api().get("shared").await.unwrap();
    assert_eq!(status_of(&object)["totalAttempts"], WRITERS);
    let mut channels: Vec<Value> = history(&object).iter().map(|entry| entry["channel"].clone()).collect();
    channels.sort_by_key(Value::to_string);
    assert_eq!(channels, (0..WRITERS).map(|writer| json!(format!("channel-{writer:02}"))).collect::<Vec<_>>());
    assert!(refused >= WRITERS - 1, "of the first decisions all but one were stale");
}
