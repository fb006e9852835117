//! What reading a review costs, beside parsers that read all of it.
#![allow(clippy::unwrap_used, reason = "a benchmark ends at the first surprise")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use serde_json::{Value, json};
use statusguard_edge::Review;

/// Approximate size of the review, in bytes.
const SIZES: [usize; 3] = [2 << 10, 16 << 10, 256 << 10];

fn main() {
    divan::main();
}

/// A real review without white space, with as many entries in status and spec as reach the size.
fn review(size: usize, changed: bool) -> Vec<u8> {
    let path = format!("{}/tests/reviews/put.json", env!("CARGO_MANIFEST_DIR"));
    let mut review: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bare = serde_json::to_vec(&review).unwrap().len();
    let entry = |n: usize| {
        json!({
            "channel": "slack", "attempt": n, "timestamp": "2026-11-21T08:28:56Z", "status": "failed",
            "error": "rpc error: code = Unavailable desc = \"upstream\" {connect: refused}"
        })
    };
    let each = serde_json::to_vec(&entry(0)).unwrap().len();
    // Half of the entries in status, half in spec; both objects.
    let entries: Vec<Value> = (0..size.saturating_sub(bare) / each / 4).map(entry).collect();
    for object in ["object", "oldObject"] {
        let object = &mut review["request"][object];
        object["spec"]["history"] = entries.clone().into();
        object["status"]["history"] = entries.clone().into();
        object["status"]["attempts"] = 3.into();
    }
    if changed {
        let object = &mut review["request"]["object"];
        object["metadata"]["managedFields"][0]["time"] = "2026-11-21T08:28:57Z".into();
        object["status"]["attempts"] = 4.into();
    }
    serde_json::to_vec(&review).unwrap()
}

#[divan::bench(args = SIZES)]
fn unchanged(bencher: Bencher<'_, '_>, size: usize) {
    let body = review(size, false);
    assert!(Review::read(&body).unwrap().status_unchanged());
    bencher.counter(BytesCount::new(body.len())).bench(|| Review::read(black_box(&body)).unwrap().status_unchanged());
}

#[divan::bench(args = SIZES)]
fn changed(bencher: Bencher<'_, '_>, size: usize) {
    let body = review(size, true);
    assert!(!Review::read(&body).unwrap().status_unchanged());
    bencher.counter(BytesCount::new(body.len())).bench(|| Review::read(black_box(&body)).unwrap().status_unchanged());
}

#[divan::bench(args = SIZES)]
fn serde_json_ignoring_all(bencher: Bencher<'_, '_>, size: usize) {
    let body = review(size, true);
    bencher
        .counter(BytesCount::new(body.len()))
        .bench(|| serde_json::from_slice::<serde::de::IgnoredAny>(black_box(&body)).unwrap());
}

#[divan::bench(args = SIZES)]
fn serde_json_value(bencher: Bencher<'_, '_>, size: usize) {
    let body = review(size, true);
    bencher.counter(BytesCount::new(body.len())).bench(|| serde_json::from_slice::<Value>(black_box(&body)).unwrap());
}
