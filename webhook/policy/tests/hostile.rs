//! Hostile input: mutated policies, statuses and bytes must never panic, and what compiles must judge.
//!
//! `STATUSGUARD_FUZZ_SECONDS` makes each test run so long; by default they take a moment.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, RngExt as _, SeedableRng};
use serde_json::{Value as Json, json};
use statusguard_policy::{Budget, Object, Operation, Policy, Value, Verdict};

/// Runs `attempt` with one generator after another; a panic names the seed.
fn for_a_while(attempt: impl Fn(&mut StdRng)) {
    let seconds = std::env::var("STATUSGUARD_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let limit = seconds.map_or(Duration::from_secs(1), Duration::from_secs);
    let base: u64 = if seconds.is_some() { rand::rng().random() } else { 0 };
    let start = Instant::now();
    let mut rounds = 0u64;
    while start.elapsed() < limit {
        let seed = base.wrapping_add(rounds);
        let result =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| attempt(&mut StdRng::seed_from_u64(seed))));
        assert!(result.is_ok(), "seed {seed}");
        rounds += 1;
    }
    assert!(rounds > 10, "too slow to say anything: {rounds} rounds");
    eprintln!("{rounds} rounds in {:?}", start.elapsed());
}

fn policy() -> Json {
    json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy", "metadata": { "name": "a.example.org" },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": "a" },
            "redact": [".status.e"],
            "phases": [{
                "path": ".status.a", "initial": ["b"], "final": ["d"], "skip": ["c"],
                "transitions": [{ "from": ["b"], "to": ["c"] }, { "from": ["c", "*"], "to": ["d", "*"] }],
                "resets": { "with": [".status.f"] },
            }],
            "monotone": [{ "path": ".status.f", "atMost": ".metadata.generation", "resets": { "from": ["b"], "to": [""] } }],
            "setOnce": [{ "path": ".status.e", "requiredIn": ["d"] }],
            "collections": [
                { "path": ".status.c", "key": ["a", "b"], "keep": 2,
                  "each": { "phases": [{ "path": ".a", "states": { "x": "b=c", "y": "c=d" } }], "setOnce": [{ "path": "." }] } },
                { "path": ".status.d", "order": "Prepend", "each": { "collections": [{ "path": ".", "order": "Any" }] } },
                { "path": ".status.b", "keep": 0 },
            ],
            "equal": [{ "left": ["len(.status.c)", ".status.f"], "right": [".status.d"] }],
        },
    })
}

const NAMES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "type", "status", "path", "*"];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "b",
    "c",
    "d",
    ".",
    ".status.a",
    ".status.c",
    "len(.status.c)",
    "0",
    "12345678901234567890123",
    "All",
    "2026-01-05T03:00:00.5Z",
    "9999-12-31T23:59:59-23:59",
];
const NUMBERS: [&str; 10] = [
    "0",
    "-0",
    "1",
    "2",
    "-1",
    "1e400",
    "-1E-99999999999999999999",
    "0.1",
    "123456789012345678901234567890",
    "1e9999999999",
];

/// JSON text with numbers that no double holds.
fn text(rng: &mut impl Rng, depth: u32) -> String {
    let pick = |rng: &mut _, list: &[&str]| list[Rng::next_u32(rng) as usize % list.len()].to_owned();
    match rng.next_u32() % if depth == 0 { 4 } else { 9 } {
        0 => "null".into(),
        1 => {
            if rng.random() {
                "true".into()
            } else {
                "false".into()
            }
        }
        2 => pick(rng, &NUMBERS),
        3 => format!("{:?}", pick(rng, &TEXTS)),
        4..=6 => {
            let members =
                (0..rng.random_range(0..5)).map(|_| format!("{:?}:{}", pick(rng, &NAMES), text(rng, depth - 1)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        }
        _ => {
            let items = (0..rng.random_range(0..6)).map(|_| text(rng, depth - 1));
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
    }
}

/// Changes one place of a document.
fn mutate(json: &mut Json, rng: &mut impl Rng) {
    let place = rng.random_range(0..12);
    match json {
        Json::Object(members) if !members.is_empty() && place < 10 => {
            let index = rng.random_range(0..members.len());
            let key = members.keys().nth(index).unwrap().clone();
            match place {
                0 => drop(members.remove(&key)),
                1 => {
                    let value = members.remove(&key).unwrap();
                    members.insert(NAMES[rng.random_range(0..NAMES.len())].into(), value);
                }
                _ => mutate(&mut members[&key], rng),
            }
        }
        Json::Array(items) if !items.is_empty() && place < 10 => {
            let index = rng.random_range(0..items.len());
            match place {
                0 => drop(items.remove(index)),
                1 => items.push(items[index].clone()),
                _ => mutate(&mut items[index], rng),
            }
        }
        _ => *json = serde_json::from_str(&text(rng, 2)).unwrap_or(Json::Null),
    }
}

#[test]
fn mutated_policies_compile_or_say_why() {
    for_a_while(|rng| {
        let mut document = policy();
        for _ in 0..rng.random_range(0..4) {
            mutate(&mut document, rng);
        }
        match Policy::compile(&document) {
            Err(problems) => {
                assert!(problems.iter().all(|problem| !problem.message.is_empty() && !problem.hint.is_empty()))
            }
            Ok(policy) => {
                for _ in 0..20 {
                    let status = |rng: &mut StdRng| {
                        format!(
                            "{{\"a\":{},\"c\":{},\"d\":{},\"f\":{}}}",
                            text(rng, 2),
                            text(rng, 3),
                            text(rng, 3),
                            text(rng, 1)
                        )
                    };
                    let (old, new) = (status(rng), status(rng));
                    let generation = text(rng, 0);
                    let old = Object::of_parts(Some(old.as_bytes()), None, None);
                    let new = Object::of_parts_like(&old, Some(new.as_bytes()), Some(generation.as_bytes()), None);
                    let judgement = policy.judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap();
                    assert_eq!(judgement.verdict.class().is_some(), !judgement.findings.is_empty());
                    assert!(
                        judgement
                            .findings
                            .iter()
                            .all(|finding| !finding.field.is_empty() && finding.message().len() < 4096)
                    );
                    assert_eq!(
                        policy.judge(Operation::Update, &new, &new, &Budget::unlimited()).unwrap().verdict,
                        Verdict::Allow
                    );
                }
            }
        }
    });
}

#[test]
fn random_bytes_are_json_or_not_as_serde_json_says() {
    for_a_while(|rng| {
        let like = text(rng, 4);
        let mut bytes = like.clone().into_bytes();
        for _ in 0..rng.random_range(0..3) {
            if bytes.is_empty() {
                break;
            }
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] = b"{}[]\":,\\u0-.eE \n\x00\xff"[rng.random_range(0..18)],
                1 => bytes.truncate(at),
                _ => bytes.insert(at, rng.random()),
            }
        }
        let (ours, theirs) = (Value::parse(&bytes), serde_json::from_slice::<Json>(&bytes));
        // What else was read before makes no difference.
        let like = Value::parse(like.as_bytes()).unwrap_or_default();
        assert_eq!(Value::parse_like(&bytes, &like), ours);
        match (&ours, &theirs) {
            (Ok(value), Ok(json)) => {
                // Printed and read again it is the same value.
                let again = value.to_string();
                assert_eq!(Value::parse(again.as_bytes()).as_ref(), Ok(value));
                assert_eq!(serde_json::from_str::<Json>(&again).unwrap(), *json);
            }
            (Err(_), Err(_)) => {}
            // A double cannot hold it, and Go reads a lone surrogate: we do both.
            (Ok(_), Err(error)) => {
                let said = error.to_string();
                assert!(
                    said.contains("out of range") || said.contains("surrogate") || said.contains("hex escape"),
                    "{said}: {bytes:?}"
                );
            }
            (Err(error), Ok(_)) => assert_eq!(error.reason, "nested too deep", "{bytes:?}"),
        }
    });
}

#[test]
fn hostile_sizes_take_no_quadratic_time() {
    let policy = |rule: Json| {
        let document = json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy", "metadata": { "name": "a.example.org" },
            "spec": { "target": { "group": "example.org", "version": "v1", "resource": "a" }, "collections": [rule] },
        });
        Policy::compile(&document).unwrap()
    };
    let many = |item: &str, count: usize| format!("{{\"l\":[{}]}}", vec![item; count].join(","));
    let distinct = |count: usize, from: usize| {
        let items: Vec<String> = (from..from + count).map(|n| format!("{{\"k\":{n}}}")).collect();
        format!("{{\"l\":[{}]}}", items.join(","))
    };
    let cycle = |length: usize, times: usize, last: &str| {
        let items = (0..length * times).map(|n| format!("\"{}\"", n % length)).collect::<Vec<_>>();
        format!("{{\"l\":[{},{last}]}}", items.join(","))
    };
    let then = |list: &str, more: &str| format!("{},{more}]}}", &list[..list.len() - 2]);
    let lists = [
        (many("1", 60_000), many("1", 59_999)),
        (many("[0]", 20_000), many("[0]", 20_001)),
        (distinct(20_000, 0), distinct(20_000, 10_000)),
        (distinct(20_000, 0), many("{\"k\":7}", 20_000)),
        // What follows the common beginning is among what came before it, and nowhere after it.
        (then(&many("1", 30_000), "2"), then(&many("1", 30_000), &format!("3,{}", vec!["1"; 30_000].join(",")))),
        // Many places where a long run could begin, each broken late.
        (cycle(2_000, 64, "0"), cycle(2_000, 63, "9")),
        (cycle(100, 64, "0"), then(&cycle(100, 40, "9"), &vec!["9"; 20_000].join(","))),
    ];
    for rule in [
        json!({ "path": ".status.l" }),
        json!({ "path": ".status.l", "keep": 3 }),
        json!({ "path": ".status.l", "order": "Any" }),
        json!({ "path": ".status.l", "key": ["k"], "each": { "monotone": [{ "path": ".k" }] } }),
        json!({ "path": ".status.l", "key": ["k"], "order": "Prepend", "keep": 10 }),
    ] {
        let policy = policy(rule);
        for (old, new) in &lists {
            let old = Object::of_parts(Some(old.as_bytes()), None, None);
            let new = Object::of_parts_like(&old, Some(new.as_bytes()), None, None);
            let start = Instant::now();
            let judgement = policy.judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap();
            assert!(judgement.findings.len() <= statusguard_policy::MAX_FINDINGS);
            // Quadratic would be minutes; this bound is not a measurement.
            assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        }
    }
    // A window that slides over many equal entries, as probes and events have them.
    let policy = policy(json!({ "path": ".status.l", "keep": 3 }));
    let verdict = |old: &str, new: &str| {
        let (old, new) = (format!("{{\"l\":[{old}]}}"), format!("{{\"l\":[{new}]}}"));
        let old = Object::of_parts(Some(old.as_bytes()), None, None);
        let new = Object::of_parts(Some(new.as_bytes()), None, None);
        policy.judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap().verdict
    };
    for count in [60, 80, 400] {
        let equal = vec!["\"ok\""; count].join(",");
        let start = ["\"ok\""; 10].join(",");
        assert_eq!(verdict(&format!("0,{equal}"), &format!("{equal},4")), Verdict::Allow, "{count}");
        assert_eq!(verdict(&format!("{equal},2,3"), &format!("{start},2,4")), Verdict::Stale, "{count}");
        assert_eq!(verdict(&format!("1,{equal},2,3"), &format!("4,{equal},2,3")), Verdict::Invalid, "{count}");
    }
    for count in [760, 3000] {
        let equal = vec!["\"ok\""; count].join(",");
        assert_eq!(verdict(&format!("{equal},1"), &format!("{equal},\"ok\"")), Verdict::Stale, "{count}");
        assert_eq!(verdict(&format!("1,{equal}"), &format!("{equal},2")), Verdict::Allow, "{count}");
        // No entry twice: one is out of its place.
        let numbers = |from: usize, to: usize| (from..to).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let old = numbers(0, count);
        let new = format!("{},{},{}", numbers(0, count / 2), count - 2, numbers(count, count + count / 2));
        assert_eq!(verdict(&old, &new), Verdict::Invalid, "{count}");
    }
    // As many lists as there is room for, each with what it takes to use all comparisons up.
    let document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy", "metadata": { "name": "a.example.org" },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": "a" },
            "collections": [{
                "path": ".status.l", "order": "Any", "each": { "collections": [{ "path": ".", "keep": 3 }] },
            }],
        },
    });
    let lists = |last: &str| {
        let list = format!("[{},{last}]", ["1"; 510].join(","));
        let lists: Vec<String> = (0..300).map(|n| format!("\"{n}\":{list}")).collect();
        format!("{{\"l\":{{{}}}}}", lists.join(","))
    };
    let (old, new) = (lists("2,1"), lists("1,3"));
    let old = Object::of_parts(Some(old.as_bytes()), None, None);
    let new = Object::of_parts(Some(new.as_bytes()), None, None);
    let start = Instant::now();
    let judgement =
        Policy::compile(&document).unwrap().judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap();
    assert_eq!(judgement.verdict, Verdict::Invalid);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    // Deep nesting is an error, not a crash.
    let deep = "[".repeat(100_000);
    assert_eq!(Value::parse(deep.as_bytes()).unwrap_err().reason, "nested too deep");
}
