//! What a judgement and a compilation may cost: inputs that are made to be expensive take time and steps almost in
//! proportion to their size.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value as Json, json};
use statusguard_policy::{Budget, Class, Object, Operation, Policy, Reason, Unfinished, Verdict};

fn document(rules: Json) -> Json {
    let mut spec = rules;
    spec["target"] = json!({ "group": "example.org", "version": "v1", "resource": "a" });
    json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": "a.example.org" }, "spec": spec,
    })
}

/// The time that this thread has computed: other work on the machine hardly counts.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// Steps, time and verdict of a judgement.
fn cost(policy: &Policy, (old, new): &(String, String)) -> (u64, Duration, Verdict) {
    let start = cpu_time();
    let old = Object::of_parts(Some(old.as_bytes()), None, None);
    let new = Object::of_parts_like(&old, Some(new.as_bytes()), None, None);
    let budget = Budget::unlimited();
    let judgement = policy.judge(Operation::Update, &old, &new, &budget).unwrap();
    (budget.spent(), cpu_time() - start, judgement.verdict)
}

/// Judges two statuses of some size and of eight times the size: steps and time may grow by some factor more than
/// eight, but not by the sixty-four of quadratic work.
fn grows_with_the_input(what: &str, rules: Json, verdict: Verdict, make: impl Fn(usize) -> (String, String)) {
    const TIMES: usize = 8;
    let policy = Policy::compile(&document(rules)).unwrap();
    let (small, large) = (make(1), make(TIMES));
    let bytes = |(old, new): &(String, String)| old.len() + new.len();
    // The quickest of several runs: what disturbs one only ever adds time.
    let quickest = |statuses| (0..3).map(|_| cost(&policy, statuses)).min_by_key(|(_, time, _)| *time).unwrap();
    let (steps, time, small_verdict) = quickest(&small);
    let (more_steps, more_time, large_verdict) = quickest(&large);
    eprintln!(
        "{what}: {} bytes {steps} steps {time:?}, {} bytes {more_steps} steps {more_time:?}",
        bytes(&small),
        bytes(&large)
    );
    assert_eq!((small_verdict, large_verdict), (verdict, verdict), "{what}");
    let growth = (bytes(&large) / bytes(&small) + 1) as u64;
    assert!(more_steps <= 2 * growth * steps, "{what}: {steps} steps become {more_steps}");
    assert!(more_steps < 200 * bytes(&large) as u64, "{what}: {more_steps} steps for {} bytes", bytes(&large));
    let allowed = 4 * u32::try_from(growth).unwrap() * time.max(Duration::from_millis(2));
    assert!(more_time < allowed, "{what}: {time:?} become {more_time:?}, more than {allowed:?}");
}

fn list(entries: impl Iterator<Item = String>) -> String {
    format!("{{\"l\":[{}]}}", entries.collect::<Vec<_>>().join(","))
}

/// One of many objects that have the same names and values in the same order, nested in different ways.
fn shape(number: usize) -> String {
    (0..16).fold("1".to_owned(), |inner, bit| match number >> bit & 1 {
        0 => format!("{{\"a\":{{\"j\":{inner}}},\"k\":1}}"),
        _ => format!("{{\"a\":{{\"j\":{inner},\"k\":1}}}}"),
    })
}

#[test]
fn entries_whose_texts_resemble_each_other() {
    let lists = |size: usize| {
        let count = 250 * size;
        (list((0..count).map(shape)), list((count..2 * count).map(shape)))
    };
    for (rule, verdict) in [
        (json!({ "path": ".status.l" }), Verdict::Stale),
        (json!({ "path": ".status.l", "keep": 3 }), Verdict::Stale),
        (json!({ "path": ".status.l", "order": "Any" }), Verdict::Stale),
        (json!({ "path": ".status.l", "keep": 0, "each": { "setOnce": [{ "path": ".a" }] } }), Verdict::Allow),
    ] {
        let what = format!("shapes {rule}");
        grows_with_the_input(&what, json!({ "collections": [rule] }), verdict, lists);
    }
}

#[test]
fn lists_with_equal_entries() {
    let rules = json!({ "collections": [{ "path": ".status.l", "keep": 3 }] });
    let repeated = |count: usize, entry: &str| vec![entry.to_owned(); count].into_iter();
    let one = |entry: &str| std::iter::once(entry.to_owned());
    grows_with_the_input("a window over equal entries", rules.clone(), Verdict::Allow, |size| {
        let old = list(one("0").chain(repeated(4000 * size, "1")));
        (old, list(repeated(4000 * size, "1").chain(one("2"))))
    });
    grows_with_the_input("a window with another newest entry", rules.clone(), Verdict::Stale, |size| {
        let old = list(repeated(4000 * size, "1").chain(one("2")).chain(one("3")));
        (old, list(repeated(2000 * size, "1").chain(one("2")).chain(one("4"))))
    });
    grows_with_the_input("runs that all break late", rules.clone(), Verdict::Invalid, |size| {
        let cycle = |times: usize| (0..50 * times).map(|n| (n % 50).to_string());
        let old = list(cycle(40 * size).chain(one("\"x\"")));
        (old, list(cycle(20 * size).chain(one("\"y\"")).chain(cycle(20 * size)).chain(one("\"x\""))))
    });
    let rules = json!({ "collections": [{ "path": ".status.l" }] });
    grows_with_the_input("entries that come again only before the change", rules.clone(), Verdict::Stale, |size| {
        let old = list(repeated(4000 * size, "1").chain(one("2")));
        (old, list(repeated(4000 * size, "1").chain(one("3")).chain(repeated(4000 * size, "1"))))
    });
    grows_with_the_input("times with and without a fraction", rules, Verdict::Stale, |size| {
        let time = |n: usize| match n % 3 {
            0 => "\"2026-01-05T03:00:00Z\"".to_owned(),
            _ => format!("\"2026-01-05T03:00:00.{}Z\"", n + 1),
        };
        (list((0..2000 * size).map(time)), list((1..2000 * size).map(time)))
    });
    let rules = json!({ "collections": [{ "path": ".status.l", "key": ["k"] }] });
    grows_with_the_input("copies", rules, Verdict::Invalid, |size| {
        let entry = |n: usize| format!("{{\"k\":{}}}", n / 2);
        (list(std::iter::empty()), list((0..4000 * size).map(entry)))
    });
}

#[test]
fn sums_of_numbers_with_exponents() {
    let each = json!({ "equal": [{ "left": [".a", ".b"], "right": [".c"] }] });
    let rules = json!({ "collections": [{ "path": ".status.l", "order": "Any", "keep": 0, "each": each }] });
    for exponent in [308, 4096, 1_000_000_000] {
        grows_with_the_input(&format!("exponents of {exponent}"), rules.clone(), Verdict::Stale, |size| {
            let entry = |n: usize| format!("{{\"a\":{n}.5e{exponent},\"b\":{n}e-{exponent},\"c\":1}}");
            (list(std::iter::empty()), list((1..1000 * size).map(entry)))
        });
    }
    let rules = json!({ "equal": [{ "left": [".status.a"], "right": [".status.b"] }] });
    grows_with_the_input("numbers of many digits", rules, Verdict::Stale, |size| {
        let digits = "7".repeat(40_000 * size);
        ("{}".into(), format!("{{\"a\":{digits},\"b\":1{digits}}}"))
    });
}

#[test]
fn a_witness_of_many_digits_is_read_once() {
    let resets = json!({ "with": [".status.w"] });
    let each = json!({ "monotone": [{ "path": ".n", "resets": resets }] });
    let rules = json!({ "collections": [{ "path": ".status.l", "key": ["k"], "each": each }] });
    grows_with_the_input("a long witness", rules, Verdict::Stale, |size| {
        let digits = "7".repeat(20_000 * size);
        let status = |n: usize| {
            let entries: Vec<String> = (0..500 * size).map(|k| format!("{{\"k\":{k},\"n\":{n}}}")).collect();
            format!("{{\"w\":\"{digits}\",\"l\":[{}]}}", entries.join(","))
        };
        (status(2), status(1))
    });
}

/// An object nested so deep, with a member that is set and many that are not at each level.
fn nested(depth: usize, width: usize, innermost: &str) -> String {
    let unset = (0..width).fold(String::new(), |mut unset, n| {
        let _ = write!(unset, "\"u{n}\":{{\"x\":0}},");
        unset
    });
    (0..depth).fold(innermost.to_owned(), |inner, _| format!("{{{unset}\"z\":{inner}}}"))
}

#[test]
fn statuses_that_are_nested_deep() {
    let frozen = json!({ "collections": [{ "path": ".status.l" }] });
    let once = json!({ "setOnce": [{ "path": ".status.l" }] });
    let map = json!({ "collections": [{ "path": ".status.l", "order": "Any", "each": {} }] });
    for (rules, verdict) in [(frozen.clone(), Verdict::Stale), (once, Verdict::Stale), (map, Verdict::Allow)] {
        // Deeper by the same factor as larger: work for each level on all below it would show.
        let what = format!("nesting {rules}");
        grows_with_the_input(&what, rules, verdict, |size| {
            let status = |innermost: &str| format!("{{\"l\":{{\"a\":{}}}}}", nested(60 * size, 40, innermost));
            (status("1"), status("2"))
        });
    }
    grows_with_the_input("nested entries of a list", frozen, Verdict::Stale, |size| {
        let entries = |innermost: &str| list((0..2).map(|_| nested(60 * size, 20, innermost)));
        (entries("1"), entries("2"))
    });
}

#[test]
fn conditions_of_many_types() {
    let states: serde_json::Map<String, Json> =
        (0..1000).map(|n| (format!("S{n}"), json!(format!("C{n}=True")))).collect();
    let rules = json!({ "phases": [{ "path": ".status.l", "states": states, "initial": ["S0"] }] });
    grows_with_the_input("conditions", rules, Verdict::Repair, |size| {
        let condition = |n: usize| format!("{{\"type\":\"C{}\",\"status\":\"True\"}}", n % 1000);
        (list((0..2000 * size).map(condition)), list((5..2000 * size - 5).filter(|n| n % 1000 > 0).map(condition)))
    });
}

#[test]
fn a_judgement_ends_with_its_budget() {
    let rules = json!({ "collections": [{ "path": ".status.l", "keep": 3 }] });
    let policy = Policy::compile(&document(rules)).unwrap();
    let (old, new) = (list((0..20_000).map(|n| n.to_string())), list((5..25_000).map(|n| (n * 7).to_string())));
    let old = Object::of_parts(Some(old.as_bytes()), None, None);
    let new = Object::of_parts(Some(new.as_bytes()), None, None);
    let judge = |budget: &Budget<'_>| policy.judge(Operation::Update, &old, &new, budget).map(|j| j.verdict);
    let unlimited = Budget::unlimited();
    let verdict = judge(&unlimited);
    assert!(verdict.is_ok());
    assert_eq!(judge(&Budget::new(unlimited.spent(), &|| false)), verdict);
    let limit = unlimited.spent() - 1;
    assert_eq!(judge(&Budget::new(limit, &|| false)), Err(Unfinished::TooManySteps { limit }));
    // Asked in time: a small part of the work is done before.
    let stopped = judge(&Budget::new(u64::MAX, &|| true)).unwrap_err();
    let Unfinished::Stopped { steps } = stopped else { unreachable!("{stopped}") };
    assert!(steps < unlimited.spent() / 10, "{steps} of {}", unlimited.spent());
    assert_eq!(stopped.category(), "stopped");
}

#[test]
fn a_status_that_cannot_be_read_is_invalid_if_it_is_new_and_waived_if_it_is_old() {
    let policy = Policy::compile(&document(json!({ "monotone": [{ "path": ".status.n" }] }))).unwrap();
    let deep = format!("{{\"n\":1,\"l\":{}{}}}", "[".repeat(600), "]".repeat(600));
    let object = |text: &'static str| Object::of_parts(Some(text.as_bytes()), None, None);
    let unreadable = Object::of_parts(Some(deep.as_bytes()), None, None);
    let judge =
        |old: &Object<'_>, new: &Object<'_>| policy.judge(Operation::Update, old, new, &Budget::unlimited()).unwrap();
    let refused = judge(&object(r#"{"n":2}"#), &unreadable);
    assert_eq!((refused.verdict, refused.findings.len()), (Verdict::Invalid, 1));
    let finding = &refused.findings[0];
    assert_eq!((finding.reason, finding.class, finding.field.as_str()), (Reason::Malformed, Class::Invalid, "status"));
    assert!(finding.message().starts_with("cannot be read: nested too deep at byte "), "{}", finding.message());
    for new in [object(r#"{"n":1}"#), unreadable.clone()] {
        let waived = judge(&unreadable, &new);
        assert_eq!((waived.verdict, waived.findings.len()), (Verdict::Repair, 0));
        assert_eq!((waived.waivers[0].reason, waived.waivers[0].field.as_str()), (Reason::Malformed, "status"));
    }
    assert_eq!(
        policy.judge(Operation::Delete, &unreadable, &unreadable, &Budget::unlimited()).unwrap().verdict,
        Verdict::Allow
    );
}

/// The problems of a document, and how long compiling took.
fn compiled(rules: Json) -> (Vec<String>, Duration) {
    let document = document(rules);
    let start = cpu_time();
    let problems = match Policy::compile(&document) {
        Ok(policy) => policy.warnings().to_vec(),
        Err(problems) => problems,
    };
    (problems.iter().map(ToString::to_string).collect(), cpu_time() - start)
}

/// What compiling the largest policies may take. It takes less than a fifth of a second when it is optimized; tests are not.
const LONGEST_COMPILATION: Duration = Duration::from_secs(3);

/// Two rings of a thousand phases, which any write may enter again, and as many names of phases as a document holds.
fn rings() -> Json {
    let edge =
        |n: usize| json!({ "from": [format!("P{n}")], "to": [format!("P{}", n / 1000 * 1000 + (n + 1) % 1000)] });
    let edges: Vec<Json> = (0..2000).map(edge).collect();
    let phase = json!({
        "path": ".status.phase", "initial": ["P0", "P1000"], "transitions": edges, "skip": ["*"],
        "resets": { "with": [".status.m0"] },
    });
    let named = |n: usize| (0..50).map(|k| format!("P{}", (n * 7 + k) % 2000)).collect::<Vec<_>>();
    let once: Vec<Json> =
        (0..2000).map(|n| json!({ "path": format!(".status.m{n}"), "requiredIn": named(n) })).collect();
    json!({ "phases": [phase], "setOnce": once })
}

/// Writes in both directions between phases, of which neither all nor few pairs have one.
fn mutual(phases: usize) -> Json {
    let to = |n: usize| (0..phases).filter(|m| (n * m) % 5 < 3 && n != *m).map(|m| format!("P{m}")).collect::<Vec<_>>();
    let edges: Vec<Json> = (0..phases).map(|n| json!({ "from": [format!("P{n}")], "to": to(n) })).collect();
    json!({ "phases": [{ "path": ".status.phase", "transitions": edges }] })
}

/// A machine of so many phases in a row.
fn chain(phases: usize) -> Json {
    let edges: Vec<Json> =
        (1..phases).map(|n| json!({ "from": [format!("P{}", n - 1)], "to": [format!("P{n}")] })).collect();
    let last = format!("P{}", phases - 1);
    json!({ "phases": [{ "path": ".status.phase", "initial": ["P0"], "transitions": edges, "final": [last], "skip": ["*"] }] })
}

#[test]
fn large_policies_compile_at_once_or_are_refused() {
    let names = |prefix: &str, count: usize| (0..count).map(|n| format!("{prefix}{n}")).collect::<Vec<_>>();
    let phases = |from: Vec<String>, to: Vec<String>| json!({ "phases": [{ "path": ".status.p", "initial": ["a0"], "transitions": [{ "from": from, "to": to }], "skip": ["*"] }] });
    let witnesses: Vec<Json> = (0..1000)
        .map(|n| json!({ "path": format!(".status.m{n}"), "resets": { "with": [format!(".status.m{}", (n * 7) % 1000)] } }))
        .collect();
    let pairs: Vec<Json> = (0..500)
        .flat_map(|n| {
            let (a, b) = (format!("a{n}"), format!("b{n}"));
            [json!({ "from": [a], "to": [b] }), json!({ "from": [b], "to": [a] })]
        })
        .collect();
    let fits = [
        ("a chain", chain(2000)),
        ("all to all", phases(names("a", 500), names("a", 500))),
        ("half to half", phases(names("a", 500), names("b", 500))),
        ("from any to any", phases(vec!["*".into(), "a0".into(), "a1".into()], vec!["*".into()])),
        ("many witnesses", json!({ "monotone": witnesses })),
        ("rings", rings()),
        ("a dense graph", mutual(420)),
        ("mutual pairs", json!({ "phases": [{ "path": ".status.p", "transitions": pairs }] })),
    ];
    for (what, rules) in fits {
        let (problems, time) = compiled(rules);
        assert!(problems.iter().all(|problem| problem.starts_with("warning: ")), "{what}: {problems:?}");
        assert!(time < LONGEST_COMPILATION, "{what}: {time:?}");
    }
    let machine = |n: usize| json!({ "path": format!(".status.l{n}"), "each": chain(1000) });
    let many: Vec<Json> = (0..3000).map(|n| json!({ "path": format!(".status.m{n}") })).collect();
    let too_large = [
        (chain(8000), "error: spec: the policy has 8000 phases, more than 2048"),
        (
            json!({ "collections": [machine(0), machine(1), machine(2)] }),
            "error: spec: the policy has 3000 phases, more than 2048",
        ),
        (
            phases(names("a", 600), names("a", 600)),
            "error: spec: the policy has 360000 transitions from one phase to another, more than 262144",
        ),
        (json!({ "monotone": many }), "error: spec: the policy has 3000 rules, more than 2048"),
        (json!({ "redact": names(".status.a", 100_000) }), "error: : the document is larger than 1048576 bytes"),
    ];
    for (rules, expected) in too_large {
        let (problems, time) = compiled(rules);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{problems:?}");
        assert!(time < LONGEST_COMPILATION, "{expected}: {time:?}");
    }
}

#[test]
fn not_every_problem_of_a_hopeless_document_is_listed() {
    let transitions: Vec<Json> = (0..50_000).map(Json::from).collect();
    let (problems, time) = compiled(json!({ "phases": [{ "path": ".status.p", "transitions": transitions }] }));
    assert_eq!(problems.len(), 257);
    assert!(problems[256].contains(" more are not listed"), "{}", problems[256]);
    assert!(time < LONGEST_COMPILATION, "{time:?}");
}

#[test]
fn names_are_found_in_many_machines_at_once() {
    let machines = |count: usize| -> Vec<Json> {
        (0..count).map(|n| json!({ "path": format!(".status.a{n}"), "final": [format!("P{n}")] })).collect()
    };
    let reset = |names: Vec<String>| json!([{ "path": ".status.x", "resets": { "from": names } }]);
    let known = json!({ "phases": machines(1900), "monotone": reset(vec!["P1899".into(); 40_000]) });
    let unknown = json!({ "phases": machines(500), "monotone": reset((0..2000).map(|n| format!("N{n}")).collect()) });
    for (what, rules) in [("known", known), ("unknown", unknown)] {
        let (_, time) = compiled(rules);
        assert!(time < LONGEST_COMPILATION, "{what}: {time:?}");
    }
}

/// What a write leaves alone may be shared by its two statuses, and costs nothing, or it is counted.
#[test]
fn work_on_machines_is_counted() {
    let conditions: Vec<String> = (0..5000).map(|n| format!("{{\"type\":\"C{n}\",\"status\":\"True\"}}")).collect();
    let status = |n: usize| format!("{{\"l\":[{{\"c\":[{}],\"id\":1,\"n\":{n}}}]}}", conditions.join(","));
    let write = (status(1), status(2));
    let of_machines = |count: usize| {
        let machine = |n: usize| json!({ "path": ".c", "states": { format!("A{n}"): format!("T{n}=True") }, "final": [format!("A{n}")] });
        let each = json!({ "phases": (0..count).map(machine).collect::<Vec<_>>() });
        let rules = json!({ "collections": [{ "path": ".status.l", "key": ["id"], "each": each }] });
        let policy = Policy::compile(&document(rules)).unwrap();
        (0..3).map(|_| cost(&policy, &write)).min_by_key(|(_, time, _)| *time).unwrap()
    };
    let ((steps, time, _), (more_steps, more_time, _)) = (of_machines(1), of_machines(500));
    let growth = u32::try_from(more_steps / steps + 1).unwrap();
    let allowed = 8 * growth * time.max(Duration::from_millis(2));
    assert!(more_time < allowed, "{steps} steps {time:?}, {more_steps} steps {more_time:?}");
}
