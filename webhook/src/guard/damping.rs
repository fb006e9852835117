//! Ends the retries of a client that never reads again: the same stale write, repeated often
//! enough, is answered with 422 in place of 409. Never allowed.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use statusguard_policy::{Judgement, Value};

/// Repeats must span at least this long: a client that retries on conflict a few times at once does
/// read again each time.
const LEAST_TIME: Duration = Duration::from_secs(5);
/// A write that was not repeated for this long is counted from one again.
const FORGET: Duration = Duration::from_secs(120);
/// Writes remembered; past it the one not seen for longest is forgotten.
const REMEMBERED: usize = 4096;

/// Repeats of stale writes, per replica.
pub struct Damping {
    /// Repeats that are answered with 409; 0: all.
    limit: u32,
    state: RandomState,
    seen: Mutex<HashMap<u64, Repeats, RandomState>>,
}

#[derive(Clone, Copy)]
struct Repeats {
    first: Instant,
    last: Instant,
    count: u32,
}

impl Damping {
    pub fn new(limit: u32) -> Self {
        Self { limit, state: RandomState::default(), seen: Mutex::default() }
    }

    /// Notes one more stale write of `status` and says whether it has been repeated too often.
    pub fn exceeded(
        &self,
        uid: &str,
        user: &str,
        manager: &str,
        judgement: &Judgement,
        status: &Value<'_>,
        now: Instant,
    ) -> bool {
        if self.limit == 0 {
            return false;
        }
        let mut hasher = self.state.build_hasher();
        (uid, user, manager).hash(&mut hasher);
        for finding in &judgement.findings {
            (finding.reason, &finding.field).hash(&mut hasher);
            // The API server writes equal values with equal bytes.
            match value_at(status, &finding.field) {
                value if value.raw().is_empty() => value.to_string().hash(&mut hasher),
                value => value.raw().hash(&mut hasher),
            }
        }
        let key = hasher.finish();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= REMEMBERED && !seen.contains_key(&key) {
            seen.retain(|_, repeats| now.duration_since(repeats.last) < FORGET);
            let oldest = seen.iter().min_by_key(|(_, repeats)| repeats.last).map(|(key, _)| *key);
            if let Some(oldest) = oldest.filter(|_| seen.len() >= REMEMBERED) {
                seen.remove(&oldest);
            }
        }
        let fresh = Repeats { first: now, last: now, count: 0 };
        let repeats = seen.entry(key).or_insert(fresh);
        if now.duration_since(repeats.last) >= FORGET {
            *repeats = fresh;
        }
        repeats.last = now;
        repeats.count = repeats.count.saturating_add(1);
        repeats.count > self.limit && now.duration_since(repeats.first) >= LEAST_TIME
    }
}

/// What a status holds at a finding's field, or the smallest part of it that can be reached by names: a list
/// as a whole. The finding's own text will not do: it is cut, or redacted, and would be the same for writers
/// that did read again.
fn value_at<'s>(status: &'s Value<'_>, field: &str) -> &'s Value<'s> {
    let names = field.split('[').next().unwrap_or_default().split('.').skip(1);
    let mut reached = status;
    for name in names {
        match reached.get(name) {
            Value::Null => break,
            value => reached = value,
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use statusguard_policy::{Budget, Object, Operation, Policy, Verdict};

    use super::*;

    /// The stale write of `new` over `old`.
    fn stale(old: &str, new: &str) -> (Judgement, Value<'static>) {
        let document = serde_json::json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": "jobs.example.org" },
            "spec": {
                "target": { "group": "example.org", "version": "v1", "resource": "jobs" },
                "monotone": [{ "path": ".status.n" }],
                "collections": [{ "path": ".status.log" }],
                "redact": [".status.n"],
            },
        });
        let object =
            |text: &str| Object { status: Value::parse(text.as_bytes()).unwrap().into_owned(), ..Object::default() };
        let (old, new) = (object(old), object(new));
        let judgement =
            Policy::compile(&document).unwrap().judge(Operation::Update, &old, &new, &Budget::unlimited()).unwrap();
        assert_eq!(judgement.verdict, Verdict::Stale, "{judgement:?}");
        (judgement, new.status)
    }

    #[test]
    fn a_client_that_never_reads_again_is_stopped() {
        let damping = Damping::new(3);
        let start = Instant::now();
        let exceeded = |user: &str, (judgement, status): &(Judgement, Value<'_>), seconds| {
            damping.exceeded("u", user, "m", judgement, status, start + Duration::from_secs(seconds))
        };
        let old = r#"{"n":9}"#;
        let (same, other) = (stale(old, r#"{"n":1}"#), stale(old, r#"{"n":2}"#));
        for second in 0..3 {
            assert!(!exceeded("alice", &same, second));
        }
        assert!(!exceeded("alice", &same, 4), "too quick to judge");
        assert!(exceeded("alice", &same, 5));
        assert!(
            exceeded("alice", &stale(old, r#"{"n":1,"note":"another writer's field"}"#), 5),
            "the same where it was refused"
        );
        assert!(!exceeded("bob", &same, 5), "another writer");
        assert!(!exceeded("alice", &other, 5), "another write");
        assert!(!exceeded("alice", &same, 200), "long ago");
        let (judgement, status) = &same;
        assert!(!Damping::new(0).exceeded("u", "alice", "m", judgement, status, start + Duration::from_secs(5)));
    }

    /// Workers of one user that append to one long list, read again each time and lose the race each time.
    #[test]
    fn writes_that_differ_only_where_a_finding_is_cut_are_different() {
        let damping = Damping::new(3);
        let start = Instant::now();
        let common = vec!["\"an entry that all of them know\""; 100].join(",");
        let log = |last: usize| format!("{{\"log\":[{common},\"{last}\"]}}");
        for worker in 1..100 {
            let (judgement, status) = stale(&log(0), &log(worker));
            let now = start + Duration::from_secs(worker as u64);
            assert!(!damping.exceeded("u", "alice", "m", &judgement, &status, now), "worker {worker}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let damping = Damping::new(1);
        let (judgement, status) = stale(r#"{"n":9}"#, r#"{"n":1}"#);
        for uid in 0..REMEMBERED + 10 {
            damping.exceeded(&uid.to_string(), "alice", "m", &judgement, &status, Instant::now());
        }
        assert_eq!(damping.seen.lock().unwrap().len(), REMEMBERED);
    }
}
