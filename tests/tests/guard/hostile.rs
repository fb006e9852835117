//! Objects as large as the API server takes them.

use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::common::Setup;
use crate::object::{attempt, causes, pending, refusal, sending_with, status_of};

/// A history of so many attempts, each with an error text of so many bytes.
fn history(attempts: usize, text: usize) -> Vec<Value> {
    let error = "x".repeat(text);
    let entry = |number| {
        let mut entry = attempt("console", number);
        entry["error"] = json!(error);
        entry
    };
    (1..=attempts).map(entry).collect()
}

/// The answer's size does not grow with the object's.
const LONGEST_MESSAGE: usize = 4096;

#[tokio::test]
async fn a_megabyte_of_history_is_judged_in_time() {
    let guarded = Setup::new().start().await;
    let full = history(4000, 200);
    let size = Value::Array(full.clone()).to_string().len();
    assert!((1 << 20..5 << 18).contains(&size), "{size} bytes");
    guarded.object("large", &[pending(), sending_with(full[..1].to_vec())]).await;
    guarded.write("large", &sending_with(full[..3999].to_vec())).await;

    let write = async |attempts: &[Value]| {
        let patch = Patch::Merge(json!({ "status": sending_with(attempts.to_vec()) }));
        guarded.calls_of(guarded.api().patch_status("large", &PatchParams::default(), &patch)).await
    };
    // Under `Fail` any answer but the guard's own would be a 500.
    let (result, calls) = write(&full).await;
    let object = result.unwrap();
    guarded.settle(&object).await;
    assert_eq!((status_of(&object)["totalAttempts"].as_u64(), calls), (Some(4000), 1));

    // A stale writer knows all but the last; one that knows the last and not one in the middle was never right.
    let mut gap = full.clone();
    gap.remove(2000);
    let reasons = [("CounterRegression", "status.totalAttempts"), ("HistoryTruncated", "status.deliveryAttempts")];
    for (attempts, code, reason) in [(&full[..3999], 409, "Conflict"), (&gap, 422, "Invalid")] {
        let (result, calls) = write(attempts).await;
        let status = refusal(result);
        assert_eq!((status.code, status.reason.as_str(), calls), (code, reason, 1), "{status:?}");
        assert_eq!(causes(&status), reasons);
        let longest = status.details.iter().flat_map(|details| &details.causes).map(|cause| cause.message.len()).max();
        assert!(status.message.len() < LONGEST_MESSAGE && longest < Some(LONGEST_MESSAGE), "{status:?}");
    }
    let sum = guarded.guard.metric("statusguard_admission_duration_seconds_sum", &[]).await;
    println!("{size} bytes of history: {:.1} ms a call", sum * 1e3 / guarded.guard.calls().await as f64);
    assert_eq!(guarded.guard.metric("statusguard_shed_total", &[]).await, 0.0);
}

#[tokio::test]
async fn more_than_can_be_stored_is_refused_by_the_storage_not_by_the_guard() {
    let guarded = Setup::new().start().await;
    let object = guarded.object("huge", &[pending(), sending_with(history(1, 0))]).await;
    for (size, words) in [(1_700_000, "etcdserver: request is too large"), (2 << 20, "larger than max")] {
        let mut huge = sending_with(history(1, 0));
        huge["message"] = json!("x".repeat(size));
        let patch = Patch::Merge(json!({ "status": huge }));
        let allowed = guarded.guard.outcomes("Allowed").await;
        let status = refusal(guarded.api().patch_status("huge", &PatchParams::default(), &patch).await);
        assert!(status.message.contains(words), "{status:?}");
        assert_eq!(causes(&status), [], "{size}: {status:?}");
        // The API server may try once more when its storage refused what it had read from its cache.
        assert!(guarded.guard.outcomes("Allowed").await > allowed);
    }
    // Stale besides: the guard speaks first.
    let mut huge = sending_with(vec![]);
    huge["message"] = json!("x".repeat(2 << 20));
    let patch = Patch::Merge(json!({ "status": huge }));
    let status = refusal(guarded.api().patch_status("huge", &PatchParams::default(), &patch).await);
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"), "{status:?}");
    assert_eq!(guarded.guard.outcomes("Denied").await, 1);
    assert_eq!(guarded.api().get("huge").await.unwrap().status, object.status);
}
