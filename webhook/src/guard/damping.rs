//! Ends the retries of a client that never reads again: the same stale write, repeated often
//! enough, is answered with 422 in place of 409. Never allowed.
//!
//! Repeats are counted for each version of the object that they were judged against. A writer that did read again may
//! come to the same content, but not against the same version: to be refused there again it would have to read
//! what it is refused for and write the older value all the same. The old value in place of the version would stop more of
//! those who never read, but values come back (a phase that is entered again), and then it would stop one who read each
//! time. The price: while others keep changing the object, nobody is stopped.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;
use lru::LruCache;
use statusguard_policy::{Finding, Value};

/// Repeats must span at least this long: a client that retries on conflict a few times at once does
/// read again each time.
const LEAST_TIME: Duration = Duration::from_secs(5);
/// A write that was not repeated for this long is counted from one again.
const FORGET: Duration = Duration::from_secs(120);
/// Writes that are remembered in all. Past it, the user with the most forgets the one not seen for longest.
const REMEMBERED: usize = 4096;
/// Writes of one user that are remembered: however many one makes, those of others stay.
const REMEMBERED_OF_USER: usize = 1024;

/// Repeats of stale writes, per replica.
pub struct Damping {
    /// Repeats that are answered with 409; 0: all.
    limit: u32,
    state: RandomState,
    seen: Mutex<SeenWrites>,
}

/// A stale write: who wrote what over which version.
pub struct RefusedWrite<'w> {
    /// The object's uid.
    pub uid: &'w str,
    /// The version that it was judged against.
    pub version: &'w str,
    pub user: &'w str,
    /// The field manager.
    pub manager: &'w str,
    pub findings: &'w [Finding],
    /// The status that it would have stored.
    pub status: &'w Value<'w>,
}

/// What was seen, by keyed hashes of users and writes.
#[derive(Default)]
struct SeenWrites {
    users: HashMap<u64, UserWrites>,
    /// How many writes each user has, and the last time of one; the last of these is the next to forget one.
    fullest: BTreeSet<(usize, Reverse<Instant>, u64)>,
    /// Writes of all users.
    count: usize,
}

/// The writes of one user, the one seen last at the end.
struct UserWrites {
    writes: LruCache<u64, Repeats>,
    last: Instant,
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

    /// Notes one more stale write and says whether it has been repeated too often.
    pub fn exceeded(&self, write: &RefusedWrite<'_>, now: Instant) -> bool {
        if self.limit == 0 {
            return false;
        }
        let user = self.state.hash_one(write.user);
        let mut hasher = self.state.build_hasher();
        (write.uid, write.version, write.manager).hash(&mut hasher);
        for finding in write.findings {
            (finding.reason, &finding.field).hash(&mut hasher);
            // The API server writes equal values with equal bytes.
            match value_at(write.status, &finding.field) {
                value if value.raw().is_empty() => value.to_string().hash(&mut hasher),
                value => value.raw().hash(&mut hasher),
            }
        }
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let repeats = seen.note(user, hasher.finish(), now);
        repeats.count > self.limit && now.duration_since(repeats.first) >= LEAST_TIME
    }
}

impl SeenWrites {
    /// Counts one more repeat of a write.
    fn note(&mut self, user: u64, write: u64, now: Instant) -> Repeats {
        let mut known = self.take(user).unwrap_or_else(|| UserWrites { writes: LruCache::unbounded(), last: now });
        let repeats = known.writes.pop(&write).filter(|repeats| now.duration_since(repeats.last) < FORGET);
        let Repeats { first, count, .. } = repeats.unwrap_or(Repeats { first: now, last: now, count: 0 });
        let repeats = Repeats { first, last: now, count: count.saturating_add(1) };
        known.writes.put(write, repeats);
        known.last = now;
        if known.writes.len() > REMEMBERED_OF_USER {
            known.writes.pop_lru();
        }
        self.put(user, known);
        if self.count > REMEMBERED {
            self.forget_one();
        }
        repeats
    }

    fn forget_one(&mut self) {
        let Some(&(_, _, user)) = self.fullest.last() else { return };
        if let Some(mut known) = self.take(user) {
            known.writes.pop_lru();
            if !known.writes.is_empty() {
                self.put(user, known);
            }
        }
    }

    fn take(&mut self, user: u64) -> Option<UserWrites> {
        let known = self.users.remove(&user)?;
        self.fullest.remove(&(known.writes.len(), Reverse(known.last), user));
        self.count -= known.writes.len();
        Some(known)
    }

    fn put(&mut self, user: u64, known: UserWrites) {
        self.fullest.insert((known.writes.len(), Reverse(known.last), user));
        self.count += known.writes.len();
        self.users.insert(user, known);
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
    use statusguard_policy::{Budget, Judgement, Object, Operation, Policy, Verdict};

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

    /// A stale write by alice over version 7.
    fn write<'w>((judgement, status): &'w (Judgement, Value<'static>)) -> RefusedWrite<'w> {
        let findings = &judgement.findings;
        RefusedWrite { uid: "u", version: "7", user: "alice", manager: "m", findings, status }
    }

    #[test]
    fn a_client_that_never_reads_again_is_stopped() {
        let damping = Damping::new(3);
        let start = Instant::now();
        let exceeded =
            |write: &RefusedWrite<'_>, seconds| damping.exceeded(write, start + Duration::from_secs(seconds));
        let old = r#"{"n":9}"#;
        let (same, other) = (stale(old, r#"{"n":1}"#), stale(old, r#"{"n":2}"#));
        for second in 0..3 {
            assert!(!exceeded(&write(&same), second));
        }
        assert!(!exceeded(&write(&same), 4), "too quick to judge");
        assert!(exceeded(&write(&same), 5));
        let noted = stale(old, r#"{"n":1,"note":"another writer's field"}"#);
        assert!(exceeded(&write(&noted), 5), "the same where it was refused");
        assert!(!exceeded(&RefusedWrite { user: "bob", ..write(&same) }, 5), "another writer");
        assert!(!exceeded(&RefusedWrite { manager: "other", ..write(&same) }, 5), "another manager");
        assert!(!exceeded(&RefusedWrite { uid: "v", ..write(&same) }, 5), "another object");
        assert!(!exceeded(&write(&other), 5), "another write");
        assert!(!exceeded(&write(&same), 200), "long ago");
        assert!(!Damping::new(0).exceeded(&write(&same), start + Duration::from_secs(5)));
    }

    /// Its writer may have read what has changed since, and come to the same content.
    #[test]
    fn a_write_over_another_version_is_another_write() {
        let damping = Damping::new(20);
        let start = Instant::now();
        let same = stale(r#"{"n":9}"#, r#"{"n":1}"#);
        let exceeded = |version, millis| {
            damping.exceeded(&RefusedWrite { version, ..write(&same) }, start + Duration::from_millis(millis))
        };
        assert_eq!((0..21).map(|n| exceeded("7", n * 250)).filter(|exceeded| *exceeded).count(), 1);
        assert!(!exceeded("8", 5250));
        assert!(exceeded("7", 5500), "the count of the other version goes on");
        // Read again each time: never stopped, however long it takes.
        let versions: Vec<String> = (9..200).map(|version| version.to_string()).collect();
        assert!(versions.iter().zip(0..).all(|(version, n)| !exceeded(version, 6000 + n * 500)));
    }

    /// Workers of one user that append to one long list, read again each time and lose the race each time.
    #[test]
    fn writes_that_differ_only_where_a_finding_is_cut_are_different() {
        let damping = Damping::new(3);
        let start = Instant::now();
        let common = vec!["\"an entry that all of them know\""; 100].join(",");
        let log = |last: usize| format!("{{\"log\":[{common},\"{last}\"]}}");
        for worker in 1..100 {
            let stale = stale(&log(0), &log(worker));
            let now = start + Duration::from_secs(worker as u64);
            assert!(!damping.exceeded(&write(&stale), now), "worker {worker}");
        }
    }

    #[test]
    fn other_users_cannot_make_a_writer_forgotten() {
        let damping = Damping::new(3);
        let start = Instant::now();
        let same = stale(r#"{"n":9}"#, r#"{"n":1}"#);
        let at = |second| start + Duration::from_secs(second);
        for second in 0..3 {
            assert!(!damping.exceeded(&write(&same), at(second)));
        }
        let flood = |user: &str, writes: usize| {
            for uid in 0..writes {
                damping.exceeded(&RefusedWrite { uid: &uid.to_string(), user, ..write(&same) }, at(3));
            }
            let seen = damping.seen.lock().unwrap();
            seen.users[&damping.state.hash_one(user)].writes.len()
        };
        assert_eq!(flood("mallory", 10_000), REMEMBERED_OF_USER);
        // Many at once share what there is, and still take nothing from one who has little.
        for user in 0..10 {
            assert!(flood(&format!("user {user}"), 2000) > REMEMBERED / 12);
        }
        for user in 0..REMEMBERED - 100 {
            flood(&format!("stranger {user}"), 1);
        }
        assert!(damping.exceeded(&write(&same), at(5)), "alice is still known");
    }

    #[test]
    fn memory_is_bounded() {
        let damping = Damping::new(1);
        let same = stale(r#"{"n":9}"#, r#"{"n":1}"#);
        let mut most = 0;
        for number in 0..3 * REMEMBERED {
            let number = number.to_string();
            // One user of many writes, and many of one.
            damping.exceeded(&RefusedWrite { uid: &number, ..write(&same) }, Instant::now());
            damping.exceeded(&RefusedWrite { user: &number, ..write(&same) }, Instant::now());
            let seen = damping.seen.lock().unwrap();
            assert_eq!((seen.users.len(), seen.count >= seen.users.len()), (seen.fullest.len(), true));
            most = most.max(seen.count);
        }
        assert_eq!(most, REMEMBERED);
        let seen = damping.seen.lock().unwrap();
        assert_eq!(seen.users.values().map(|user| user.writes.len()).sum::<usize>(), REMEMBERED);
    }
}
