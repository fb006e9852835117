//! Ends the retries of a client that never reads again: the same stale write, repeated often
//! enough, is answered with 422 in place of 409. Never allowed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use statusguard_policy::Judgement;

/// Repeats must take at least so long: a client that retries on conflict a few times at once does
/// read again each time.
const LEAST_TIME: Duration = Duration::from_secs(5);
/// A write that was not repeated for so long counts from one again.
const FORGET: Duration = Duration::from_secs(120);
/// Writes remembered; past it the one not seen for longest is forgotten.
const REMEMBERED: usize = 4096;

/// Repeats of stale writes, per replica.
pub struct Damping {
    /// Repeats that are answered with 409; 0: all.
    limit: u32,
    seen: Mutex<HashMap<u64, Repeats>>,
}

#[derive(Clone, Copy)]
struct Repeats {
    first: Instant,
    last: Instant,
    count: u32,
}

impl Damping {
    pub fn new(limit: u32) -> Self {
        Self { limit, seen: Mutex::default() }
    }

    /// Notes one more stale write and says whether it has been repeated too often.
    pub fn exceeded(&self, uid: &str, user: &str, manager: &str, judgement: &Judgement, now: Instant) -> bool {
        if self.limit == 0 {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        (uid, user, manager).hash(&mut hasher);
        for finding in &judgement.findings {
            (finding.reason, &finding.field, &finding.new).hash(&mut hasher);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use statusguard_policy::{Object, Operation, Policy, Value};

    use super::*;

    fn stale(to: &str) -> Judgement {
        let document = serde_json::json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": "jobs.example.org" },
            "spec": {
                "target": { "group": "example.org", "version": "v1", "resource": "jobs" },
                "monotone": [{ "path": ".status.n" }],
            },
        });
        let object = |text: &str| Object { status: Value::parse(text.as_bytes()).unwrap().into_owned(), ..Object::default() };
        let new = format!("{{\"n\":{to}}}");
        Policy::compile(&document).unwrap().judge(Operation::Update, &object(r#"{"n":9}"#), &object(&new))
    }

    #[test]
    fn a_client_that_never_reads_again_is_stopped() {
        let damping = Damping::new(3);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let (same, other) = (stale("1"), stale("2"));
        for second in 0..3 {
            assert!(!damping.exceeded("u", "alice", "m", &same, at(second)));
        }
        assert!(!damping.exceeded("u", "alice", "m", &same, at(4)), "too quick to judge");
        assert!(damping.exceeded("u", "alice", "m", &same, at(5)));
        assert!(!damping.exceeded("u", "bob", "m", &same, at(5)), "another writer");
        assert!(!damping.exceeded("u", "alice", "m", &other, at(5)), "another write");
        assert!(!damping.exceeded("u", "alice", "m", &same, at(200)), "long ago");
        assert!(!Damping::new(0).exceeded("u", "alice", "m", &same, at(5)));
    }

    #[test]
    fn memory_is_bounded() {
        let damping = Damping::new(1);
        let judgement = stale("1");
        for uid in 0..REMEMBERED + 10 {
            damping.exceeded(&uid.to_string(), "alice", "m", &judgement, Instant::now());
        }
        assert_eq!(damping.seen.lock().unwrap().len(), REMEMBERED);
    }
}
