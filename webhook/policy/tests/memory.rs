//! What a judgement holds in memory at most, against the size of the statuses it reads.

#![allow(clippy::unwrap_used, reason = "tests")]

use peak_alloc::PeakAlloc;
use serde_json::{Value as Json, json};
use statusguard_policy::{Budget, Object, Operation, Policy, Unfinished, Verdict};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Bytes of each of the two statuses, about.
const SIZE: usize = 3_700_000;
/// The limit of a judgement, in sizes of both statuses, as the guard sets it.
const LIMIT: usize = 6;
/// Bytes that a judgement takes whatever its size.
const FIXED: usize = 64 << 10;

/// A status of many entries of one kind.
struct StatusShape {
    what: &'static str,
    rules: Json,
    /// What is before, between and after all entries.
    around: [&'static str; 3],
    /// An entry by its number; of the new status the second one.
    entry: [fn(usize) -> String; 2],
    /// The most that a judgement may hold, in sizes of both statuses; above the limit it is not finished.
    most: f64,
}

impl StatusShape {
    fn status(&self, which: usize) -> String {
        let [before, between, after] = self.around;
        let mut status = String::from(before);
        for number in 0.. {
            status.push_str(&self.entry[which](number));
            if status.len() >= SIZE {
                break;
            }
            status.push_str(between);
        }
        status + after
    }
}

fn compiled(rules: Json) -> Policy {
    let mut spec = rules;
    spec["target"] = json!({ "group": "example.org", "version": "v1", "resource": "a" });
    let document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": "a.example.org" }, "spec": spec,
    });
    Policy::compile(&document).unwrap()
}

/// The verdict of a judgement, and the most bytes that were allocated for it at a time.
fn judged(policy: &Policy, statuses: [&str; 2], budget: &Budget<'_>) -> (Result<Verdict, Unfinished>, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let [old, new] = statuses.map(|status| Some(status.as_bytes()));
    let verdict = || {
        let old = Object::of_parts_within(budget, &Object::default(), old, None, None)?;
        let new = Object::of_parts_within(budget, &old, new, None, None)?;
        Ok(policy.judge(Operation::Update, &old, &new, budget)?.verdict)
    };
    let verdict = verdict();
    (verdict, ALLOCATOR.peak_usage() - before)
}

fn list(keep: Json) -> Json {
    json!({ "collections": [{ "path": ".status.l", "keep": keep }] })
}

fn keyed(keep: Json) -> Json {
    json!({ "collections": [{ "path": ".status.l", "key": ["attempt"], "keep": keep }] })
}

/// As a controller records a delivery, 150 bytes.
fn delivery(number: usize) -> String {
    format!(
        "{{\"attempt\":{number},\"channel\":\"slack:oncall\",\"durationSeconds\":0.25,\"error\":\"connection refused\",\
         \"status\":\"failed\",\"timestamp\":\"2026-01-05T03:00:{:02}Z\"}}",
        number % 60
    )
}

/// 34 bytes.
fn small(number: usize) -> String {
    format!("{{\"attempt\":{number},\"status\":\"failed\"}}")
}

const CONDITIONS: [fn(usize) -> String; 2] = [
    |n| format!("\"node-{n}\":{{\"type\":\"Ready\",\"status\":\"True\"}}"),
    |n| format!("\"node-{n}\":{{\"type\":\"Gone\",\"status\":\"True\"}}"),
];

const UNORDERED: [fn(usize) -> String; 2] =
    [|n| format!("\"{}\":1", (n * 7919) % 1_000_003), |n| format!("\"{}\":2", (n * 7919) % 1_000_003)];

fn long(number: usize) -> String {
    format!("\"{number:01000}\"")
}

fn number(number: usize) -> String {
    (200_000 + number).to_string()
}

fn nested(number: usize) -> String {
    format!("{{\"a\":{{\"b\":{{\"c\":{number}}}}}}}")
}

fn shapes() -> Vec<StatusShape> {
    let (all, three) = (|| json!("All"), || json!(3));
    let each = json!({ "collections": [{ "path": ".status.l", "each": { "setOnce": [{ "path": ".type" }] } }] });
    let equal = json!({ "equal": [{ "left": [".status.n"], "right": [".status.m"] }] });
    let shape = |what, rules, entry, most| StatusShape { what, rules, around: ["{\"l\":[", ",", "]}"], entry, most };
    let around = |around, shape: StatusShape| StatusShape { around, ..shape };
    vec![
        shape("deliveries with a key", keyed(all()), [delivery, |n| delivery(2 * n + 1)], 2.0),
        shape("deliveries in a window", list(three()), [delivery, |n| delivery(2 * n + 1)], 2.0),
        shape("small entries with a key", keyed(all()), [small, |n| small(2 * n + 1)], 4.7),
        shape("small entries with a key in a window", keyed(three()), [small, |n| small(2 * n + 1)], 4.7),
        shape("small entries", list(all()), [small, |n| small(2 * n + 1)], 4.7),
        shape("small entries in a window", list(three()), [small, |n| small(2 * n + 1)], 4.7),
        around(["{\"l\":{", ",", "}}"], shape("conditions in a map", each, CONDITIONS, 4.2)),
        shape("strings of 1 KB", list(three()), [long, |n| long(2 * n + 1)], 0.15),
        around(["{\"l\":\"", "", "\"}"], shape("one string", list(all()), [|_| "x".into(), |_| "y".into()], 0.01)),
        shape("numbers of 6 digits", list(three()), [number, |n| number(2 * n + 1)], 12.5),
        shape("zeros", list(three()), [|_| "0".into(), |n| if n == 9 { "1".into() } else { "0".into() }], 43.0),
        shape("objects with a list of one", list(three()), [|_| "{\"\":[0]}".into(), |_| "{\"\":[1]}".into()], 21.0),
        around(["{\"l\":{", ",", "}}"], shape("members in no order", list(all()), UNORDERED, 5.8)),
        shape("nested small objects", list(all()), [nested, |n| nested(2 * n + 1)], 10.3),
        shape("lists of one", list(all()), [|_| "[0]".into(), |_| "[1]".into()], 29.0),
        shape("escaped strings", list(all()), [|_| "\"\\n\"".into(), |_| "\"\\t\"".into()], 15.0),
        around(
            ["{\"m\":1,\"n\":", "", "1}"],
            shape("a number of many digits", equal, [|_| "7".into(), |_| "8".into()], 8.6),
        ),
    ]
}

#[test]
fn a_judgement_holds_a_small_multiple_of_its_review() {
    println!("{:40} {:>9}  {:>9}  within the limit", "both statuses have 7.4 MB", "unlimited", "limited");
    let mut wrong = Vec::new();
    for shape in shapes() {
        let policy = compiled(shape.rules.clone());
        let statuses = [shape.status(0), shape.status(1)];
        let statuses = [&*statuses[0], &*statuses[1]];
        let size = statuses[0].len() + statuses[1].len();
        let times = |bytes: usize| bytes as f64 / size as f64;
        let (verdict, bytes) = judged(&policy, statuses, &Budget::unlimited());
        assert!(verdict.is_ok_and(|verdict| verdict != Verdict::Allow), "{}: {verdict:?}", shape.what);
        let limit = LIMIT * size;
        let (limited, limited_bytes) = judged(&policy, statuses, &Budget::unlimited().within(limit as u64));
        println!("{:40} {:9.2}  {:9.2}  {limited:?}", shape.what, times(bytes), times(limited_bytes));
        if times(bytes) > shape.most || limited_bytes > limit + FIXED {
            wrong.push(shape.what);
        }
        match limited {
            Ok(limited) => assert_eq!(Ok(limited), verdict, "{}", shape.what),
            Err(unfinished) => {
                assert_eq!(unfinished, Unfinished::TooMuchMemory { limit: limit as u64 }, "{}", shape.what)
            }
        }
    }
    assert!(wrong.is_empty(), "more than expected: {wrong:?}");
}
