//! Time and allocations of one judgement, from the bytes of a review to the verdict.
//!
//! `scan` finds the statuses in the review and nothing else: the floor that the others stand on.

use std::hint::black_box;

use divan::{AllocProfiler, Bencher};
use statusguard_edge::Review;
use statusguard_policy::{Budget, Object, Operation, Policy, Verdict};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// KiB of one object; the review holds two.
const SIZES: [usize; 3] = [2, 16, 256];

fn main() {
    divan::main();
}

fn policy() -> Policy {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/policies/kubernaut/notificationrequests.yaml");
    statusguard::policies::load_one(file.as_ref()).expect("a policy of this project compiles")
}

/// A status of about 2 KiB (1 KiB in objects of 2 KiB) with `attempts` entries.
fn status(attempts: usize, size: usize) -> serde_json::Value {
    let error = "x".repeat(if size > 2 { 110 } else { 10 });
    let entries: Vec<serde_json::Value> = (1..=attempts)
        .map(|attempt| {
            serde_json::json!({
                "attempt": attempt, "channel": "slack:oncall", "durationSeconds": 0.25, "error": error,
                "status": "failed", "timestamp": format!("2026-01-05T03:{:02}:{:02}.000Z", attempt / 60, attempt % 60),
            })
        })
        .collect();
    serde_json::json!({
        "deliveryAttempts": entries, "failedDeliveries": 1, "message": "still trying", "observedGeneration": 1,
        "phase": "Sending", "processingStartedAt": "2026-01-05T03:00:00Z", "queuedAt": "2026-01-05T03:00:00Z",
        "reason": "ProcessingDeliveries", "totalAttempts": attempts,
    })
}

/// A review whose objects are padded to `size` KiB.
fn review(size: usize, old: usize, new: usize) -> Vec<u8> {
    let object = |attempts: usize| {
        let mut object = serde_json::json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "kind": "NotificationRequest",
            "metadata": {
                "generation": 1, "name": "n1", "namespace": "web", "resourceVersion": "1838",
                "uid": "8b8a4a0c-8f2a-4d29-9df1-7f7d4d3a3c11",
                "managedFields": [{ "manager": "controller", "operation": "Update", "time": format!("2026-01-05T03:00:{attempts:02}Z") }],
            },
            "spec": { "body": "", "subject": "Disk full", "type": "Escalation", "extensions": {} },
            "status": status(attempts, size),
        });
        let missing = (size * 1024).saturating_sub(object.to_string().len());
        let entry = "\"key-000000\":\"value of some length\",".len();
        for index in 0..missing / entry {
            object["spec"]["extensions"][format!("key-{index:06}")] = "value of some length".into();
        }
        object
    };
    serde_json::json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "4b8ae34c-2b3c-4d29-9df1-000000000001", "operation": "UPDATE", "dryRun": false,
            "kind": { "group": "kubernaut.ai", "version": "v1alpha1", "kind": "NotificationRequest" },
            "resource": { "group": "kubernaut.ai", "version": "v1alpha1", "resource": "notificationrequests" },
            "subResource": "status", "name": "n1", "namespace": "web",
            "userInfo": { "username": "system:serviceaccount:web:controller", "groups": ["system:authenticated"] },
            "object": object(new), "oldObject": object(old), "options": { "kind": "UpdateOptions" },
        },
    })
    .to_string()
    .into_bytes()
}

fn verdict(policy: &Policy, body: &[u8]) -> Verdict {
    let review = Review::read(body).expect("a review");
    if review.status_unchanged() {
        return Verdict::Allow;
    }
    let (Some(old), Some(new)) = (&review.old_object, &review.object) else { unreachable!("both objects are there") };
    let old = Object::of_parts(old.status, old.metadata.generation, old.metadata.deletion_timestamp);
    let new = Object::of_parts_like(&old, new.status, new.metadata.generation, new.metadata.deletion_timestamp);
    policy.judge(Operation::Update, &old, &new, &Budget::unlimited()).expect("no limit").verdict
}

fn run(bencher: Bencher<'_, '_>, size: usize, old: usize, new: usize, expected: Verdict) {
    let policy = policy();
    let body = review(size, old, new);
    assert_eq!(verdict(&policy, &body), expected);
    bencher.counter(divan::counter::BytesCount::of_slice(&body)).bench(|| verdict(&policy, black_box(&body)));
}

/// Entries of a status of the right size.
fn entries(size: usize) -> usize {
    if size > 2 { 8 } else { 4 }
}

#[divan::bench(args = SIZES)]
fn scan(bencher: Bencher<'_, '_>, size: usize) {
    let body = review(size, entries(size), entries(size) + 1);
    bencher.counter(divan::counter::BytesCount::of_slice(&body)).bench(|| Review::read(black_box(&body)).is_ok());
}

#[divan::bench(args = SIZES)]
fn scan_unchanged(bencher: Bencher<'_, '_>, size: usize) {
    let body = review(size, entries(size), entries(size));
    bencher.counter(divan::counter::BytesCount::of_slice(&body)).bench(|| Review::read(black_box(&body)).is_ok());
}

#[divan::bench(args = SIZES)]
fn unchanged(bencher: Bencher<'_, '_>, size: usize) {
    run(bencher, size, entries(size), entries(size), Verdict::Allow);
}

#[divan::bench(args = SIZES)]
fn legal(bencher: Bencher<'_, '_>, size: usize) {
    run(bencher, size, entries(size), entries(size) + 1, Verdict::Allow);
}

#[divan::bench(args = SIZES)]
fn refused(bencher: Bencher<'_, '_>, size: usize) {
    run(bencher, size, entries(size) + 1, entries(size), Verdict::Stale);
}
