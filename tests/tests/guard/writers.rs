//! Many writers, one object, nothing lost.

use std::sync::Arc;

use kube::api::{Api, Patch, PatchParams};
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::common::{Guarded, Setup};
use crate::object::{attempt, causes, pending, sending, status_of};

const WRITERS: usize = 50;
const ROUNDS: usize = 2;

/// What one writer saw.
#[derive(Default)]
struct Tally {
    acknowledged: usize,
    refused: usize,
}

/// What a writer sends that read `object`: the whole history with one attempt more, and no version.
fn decide(object: &NotificationRequest, channel: &str, number: usize) -> Value {
    let status = status_of(object);
    let mut attempts = status["deliveryAttempts"].as_array().cloned().unwrap_or_default();
    attempts.push(attempt(channel, number));
    json!({ "status": { "totalAttempts": attempts.len(), "deliveryAttempts": attempts } })
}

/// Gets, changes, merge-patches, and does so again on conflict, as client-go's RetryOnConflict.
async fn write(api: Api<NotificationRequest>, writer: usize, barrier: Arc<Barrier>) -> Tally {
    let mut tally = Tally::default();
    for round in 1..=ROUNDS {
        let mut object = api.get("shared").await.unwrap();
        // All decide on the same version once: without a guard all but one of these updates are lost.
        if round == 1 {
            barrier.wait().await;
        }
        loop {
            let patch = Patch::Merge(decide(&object, &format!("channel-{writer}"), round));
            match api.patch_status("shared", &PatchParams::default(), &patch).await {
                Ok(_) => break tally.acknowledged += 1,
                Err(kube::Error::Api(status)) if status.is_conflict() => {
                    assert!(causes(&status).contains(&("HistoryTruncated", "status.deliveryAttempts")), "{status:?}");
                    tally.refused += 1;
                    object = api.get("shared").await.unwrap();
                }
                Err(error) => panic!("writer {writer}: {error:?}"),
            }
        }
    }
    tally
}

async fn run(guarded: &Guarded<'_>) -> Tally {
    let barrier = Arc::new(Barrier::new(WRITERS));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        writers.spawn(write(guarded.api(), writer, Arc::clone(&barrier)));
    }
    let mut total = Tally::default();
    for tally in writers.join_all().await {
        total.acknowledged += tally.acknowledged;
        total.refused += tally.refused;
    }
    total
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_writers_lose_nothing() {
    let guarded = Setup::new().start().await;
    guarded.object("shared", &[pending(), sending(0)]).await;
    let total = run(&guarded).await;
    let status = status_of(&guarded.api().get("shared").await.unwrap());
    let attempts = status["deliveryAttempts"].as_array().unwrap();
    println!("{WRITERS} writers: {} acknowledged, {} refused and decided again", total.acknowledged, total.refused);

    assert_eq!(total.acknowledged, WRITERS * ROUNDS);
    assert_eq!(status["totalAttempts"], total.acknowledged);
    assert_eq!(attempts.len(), total.acknowledged);
    for writer in 0..WRITERS {
        let channel = format!("channel-{writer}");
        let mine: Vec<&Value> =
            attempts.iter().filter(|entry| entry["channel"] == *channel).map(|e| &e["attempt"]).collect();
        assert_eq!(mine, [1, 2], "{channel}");
    }
    assert!(total.refused >= WRITERS - 1, "of the first decisions all but one were stale");
}
