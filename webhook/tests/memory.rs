//! What large reviews take of the server's memory, and that it gives it back.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fmt::Write as _;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use common::{GuardProcess, PATIENCE};
use serde_json::{Value, json};

const PATH: &str = "/admit/kubernaut.ai/notificationrequests?timeout=30s";
const MIB: u64 = 1 << 20;

/// A review with these entries.
fn review(old: Value, new: Value) -> Value {
    let object = |entries: Value| {
        json!({
            "metadata": { "name": "n1", "namespace": "web", "uid": "u-1", "generation": 1, "resourceVersion": "7" },
            "status": { "phase": "Sending", "deliveryAttempts": entries },
        })
    };
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "r-1", "operation": "UPDATE", "subResource": "status", "name": "n1", "namespace": "web",
            "kind": { "group": "kubernaut.ai", "version": "v1alpha1", "kind": "NotificationRequest" },
            "resource": { "group": "kubernaut.ai", "version": "v1alpha1", "resource": "notificationrequests" },
            "userInfo": { "username": "alice" }, "object": object(new), "oldObject": object(old),
        },
    })
}

/// Deliveries, 90 bytes each.
fn deliveries(count: usize, error: &str) -> Value {
    let entry = |attempt| json!({ "attempt": attempt, "channel": "slack:oncall", "error": error, "status": "failed" });
    (0..count).map(entry).collect()
}

/// Bytes of memory that the server has now, and that it had at most.
fn resident(guard: &GuardProcess) -> [u64; 2] {
    let status = std::fs::read_to_string(format!("/proc/{}/status", guard.child.id())).unwrap();
    ["VmRSS:", "VmHWM:"].map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    })
}

#[test]
fn what_large_reviews_took_is_given_back() {
    const AT_ONCE: usize = 8;
    let guard = GuardProcess::start(&[]);
    let [before, _] = resident(&guard);
    let review = review(deliveries(36_000, "connection refused"), deliveries(36_000, "connection reset"));
    let size = review.to_string().len();
    let mut table = format!("{} of {size} bytes at once: {} MiB before", AT_ONCE, before / MIB);
    for _ in 0..2 {
        scope(|scope| {
            let call = || {
                loop {
                    let (code, reply) = guard.call(PATH, "", &review);
                    match code {
                        // The budget of bodies is used up: as the API server does, ask again.
                        503 => sleep(Duration::from_millis(100)),
                        _ => break assert_eq!(reply["response"]["status"]["code"], 409, "{reply}"),
                    }
                }
            };
            let calls: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(call)).collect();
            calls.into_iter().for_each(|call| call.join().unwrap());
        });
        let [after, most] = resident(&guard);
        let _ = write!(table, ", {} at most, {} after", most / MIB, after / MIB);
        // All bodies, what two judgements may hold, and as much again as the allocator keeps for a second.
        let limit = before + 2 * (AT_ONCE as u64 * size as u64 + 96 * MIB);
        assert!(most < limit, "{table}");
        assert_eq!(guard.metric("statusguard_judging_bytes"), 0.0);
        assert_eq!(guard.metric("statusguard_body_bytes"), 0.0);
        let start = Instant::now();
        while resident(&guard)[0] > before + 32 * MIB {
            assert!(start.elapsed() < PATIENCE, "{table}, {} later", resident(&guard)[0] / MIB);
            sleep(Duration::from_millis(100));
        }
        let _ = write!(table, ", {} after {:?}", resident(&guard)[0] / MIB, start.elapsed());
    }
    println!("{table}");
}

#[test]
fn a_review_that_takes_too_much_memory_is_a_failed_call() {
    let guard = GuardProcess::start(&[]);
    let zeros = |last: u32| -> Value { (0..400_000).map(|at| if at == 399_999 { last } else { 0 }).collect() };
    let (code, reply) = guard.call(PATH, "", &review(zeros(1), zeros(2)));
    let message = reply["message"].as_str().unwrap();
    assert_eq!((code, &reply["reason"], &reply["details"]["uid"]), (500, &json!("InternalError"), &json!("r-1")));
    assert!(message.starts_with("the judgement takes more than "), "{message}");
    assert!(message.contains(" bytes of memory (notificationrequests.kubernaut.ai web/n1, "), "{message}");
    assert_eq!(guard.metric("statusguard_shed_total{cause=\"too_much_memory\"}"), 1.0);
    assert_eq!(guard.metric("statusguard_judging_bytes"), 0.0);
    // Fewer of them have room in what every judgement is given.
    let few = |last: u32| -> Value { (0..30_000).map(|at| if at == 29_999 { last } else { 0 }).collect() };
    assert_eq!(guard.call(PATH, "", &review(few(1), few(2))).0, 200);
}
