use std::sync::LazyLock;

use statusguard_certs::{SigningAuthority, Validity};

use super::*;
use crate::cluster::configuration::repair::repaired;

const ENTRIES: [&str; 2] = ["jobs.example.org.statusguard.dev", "tasks.example.org.statusguard.dev"];
const START: UnixTime = UnixTime::from_seconds(1_800_000_000);
/// The one that ends.
const SHORT: usize = 7;
const RETENTION: Duration = Duration::from_secs(1000);

/// Authorities that outlast every test, but for one.
static AUTHORITIES: LazyLock<Vec<SigningAuthority>> = LazyLock::new(|| {
    let authority = |seconds| {
        let not_after = START.after(Duration::from_secs(seconds));
        SigningAuthority::create(Validity { not_before: START.before(Duration::from_secs(60)), not_after }).unwrap()
    };
    (0..MOST + 8).map(|index| authority(if index == SHORT { 100 } else { 1_000_000 })).collect()
});

fn pem(authorities: &[usize]) -> String {
    authorities.iter().map(|index| AUTHORITIES[*index].certificate_pem()).collect()
}

fn id(authority: usize) -> AuthorityId {
    AUTHORITIES[authority].id()
}

/// The configuration as the API server has it.
struct SharedConfiguration {
    object: Json,
    now: UnixTime,
    writes: usize,
}

impl SharedConfiguration {
    /// Entries that hold these.
    fn new(published: &[usize]) -> Self {
        let entry = |name: &str| {
            let bundle = k8s_openapi::ByteString(pem(published).into_bytes());
            json!({ "name": name, "clientConfig": { "caBundle": bundle } })
        };
        Self { object: json!({ "webhooks": ENTRIES.map(entry) }), now: START, writes: 0 }
    }

    fn plan(&self, mounted: &str) -> AuthorityPlan {
        AuthorityPlan::new(&self.object, mounted.as_bytes(), self.now, RETENTION)
    }

    /// A replica that has mounted these looks, and writes what it wants.
    fn look(&mut self, mounted: &[usize]) {
        let plan = self.plan(&pem(mounted));
        let entry = |(name, entry): (&str, &Json)| {
            let bundle = k8s_openapi::ByteString(plan.bundle(bundle_of(entry)));
            json!({ "name": name, "clientConfig": { "caBundle": bundle } })
        };
        let desired: Vec<Json> = repair::our_entries(&self.object).map(entry).collect();
        if let Some(repair) = plan.recorded(&self.object, repaired(&self.object, &desired)) {
            self.object = repair.object;
            self.writes += 1;
            // Whoever has written has nothing more to write.
            let again = self.plan(&pem(mounted));
            assert_eq!(again.recorded(&self.object, None), None);
        }
    }

    fn published(&self) -> BTreeSet<AuthorityId> {
        let all: Vec<_> = repair::our_entries(&self.object).map(|(_, entry)| ids(&bundle_of(entry))).collect();
        assert_eq!(all[0], all[1], "all entries hold the same");
        all[0].clone()
    }

    fn has(&self, authorities: &[usize]) {
        assert_eq!(self.published(), authorities.iter().map(|index| id(*index)).collect());
    }

    fn end(&self, authority: usize) -> Option<i64> {
        let ends = recorded(&self.object);
        ends.get(&id(authority)).map(|end| end.seconds() - START.seconds())
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.after(Duration::from_secs(seconds));
    }
}

#[test]
fn an_authority_that_no_replica_has_mounted_goes_at_its_end() {
    let mut shared = SharedConfiguration::new(&[]);
    shared.look(&[0]);
    shared.has(&[0]);
    assert!(annotation(&shared.object).is_null());
    shared.look(&[1]);
    shared.has(&[0, 1]);
    assert_eq!((shared.end(0), shared.end(1)), (Some(1000), None));
    let text = annotation(&shared.object).as_str().unwrap().to_owned();
    assert_eq!(text, format!("{{\"{}\":\"2027-01-15T08:16:40Z\"}}", id(0)));
    assert_eq!(shared.plan(&pem(&[1])).until, Some(START.after(RETENTION)));
    shared.pass(999);
    shared.look(&[1]);
    shared.has(&[0, 1]);
    shared.pass(1);
    shared.look(&[1]);
    shared.has(&[1]);
    assert!(annotation(&shared.object).is_null());
    assert_eq!(shared.writes, 3);
}

#[test]
fn replicas_that_have_mounted_different_ones_agree_on_both() {
    let mut shared = SharedConfiguration::new(&[0]);
    shared.look(&[1]);
    shared.look(&[0]);
    shared.look(&[1]);
    shared.look(&[0]);
    shared.has(&[0, 1]);
    assert_eq!((shared.end(0), shared.end(1)), (Some(1000), Some(1000)));
    assert_eq!(shared.writes, 2, "the second one of the replica that has not mounted the new one");
    // As long as they differ nothing goes, and a write or two follow in the time until an end.
    for _ in 0..100 {
        shared.pass(100);
        shared.look(&[0]);
        shared.look(&[1]);
        shared.has(&[0, 1]);
    }
    assert!(shared.writes < 2 + 100 / 5 * 4, "{} writes", shared.writes);
    // They agree in the end, and nothing is left of it.
    let before = shared.writes;
    for _ in 0..100 {
        shared.pass(100);
        shared.look(&[1]);
        shared.look(&[1]);
    }
    shared.has(&[1]);
    assert!(annotation(&shared.object).is_null());
    assert!(shared.writes - before <= 2, "{} writes", shared.writes - before);
}

/// Three replicas whose mounts, lists of authorities, change at any time, and whose clocks are up to a fifth of the
/// retention apart.
#[test]
fn what_a_replica_has_mounted_never_goes() {
    for seed in 1..=12_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        let lists: [Vec<usize>; 3] = [(8..13).collect(), (13..18).collect(), (16..21).collect()];
        let mut shared = SharedConfiguration::new(&lists[0]);
        let mut mounts = [0_usize; 3];
        for _ in 0..80 {
            shared.pass(random(60));
            let replica = random(3) as usize;
            if random(6) == 0 {
                mounts[replica] = random(3) as usize;
            }
            let now = shared.now;
            shared.now = now.before(Duration::from_secs(100) * replica as u32);
            shared.look(&lists[mounts[replica]]);
            shared.now = now;
            let published = shared.published();
            let mounted = mounts.iter().flat_map(|list| &lists[*list]);
            assert!(mounted.clone().all(|mounted| published.contains(&id(*mounted))), "seed {seed}: {mounts:?}");
        }
    }
}

#[test]
fn the_latest_stay_beside_those_that_are_mounted() {
    let mut shared = SharedConfiguration::new(&[0]);
    for mounted in 1..MOST + 8 {
        shared.pass(1);
        shared.look(&[mounted]);
    }
    let latest: Vec<usize> = (7..MOST + 8).collect();
    shared.has(&latest);
    shared.look(&[MOST + 7, 0, 1]);
    shared.has(&[&[0, 1], &*latest].concat());
}

#[test]
fn a_certificate_that_has_ended_is_not_a_reason_to_write() {
    let mut shared = SharedConfiguration::new(&[0, SHORT]);
    shared.pass(100);
    // One replica has it in its list of authorities, the other has not.
    for _ in 0..5 {
        shared.look(&[0, SHORT]);
        shared.look(&[0]);
    }
    shared.has(&[0, SHORT]);
    assert_eq!(shared.writes, 2, "the record of the first look, and that of its end");
    shared.pass(1000);
    shared.look(&[0]);
    shared.has(&[0]);
}

#[test]
fn a_record_that_others_have_changed_is_made_anew() {
    for (broken, expected) in [
        (json!("garbage"), 1000),
        (json!(format!("{{\"{}\":\"never\"}}", id(0))), 1000),
        (json!(format!("{{\"{}\":\"2099-01-01T00:00:00Z\"}}", id(0))), 1000),
        (json!(format!("{{\"{}\":\"2027-01-15T08:10:00Z\"}}", id(0))), 600),
        (json!(format!("{{\"{}\":\"2027-01-15T08:10:00Z\",\"ab\":\"2027-01-15T08:10:00Z\"}}", id(0))), 1000),
        (Json::Null, 1000),
    ] {
        let mut shared = SharedConfiguration::new(&[0]);
        shared.object["metadata"] = json!({ "annotations": { ENDS: broken } });
        shared.look(&[1]);
        shared.has(&[0, 1]);
        assert_eq!((shared.end(0), shared.end(1)), (Some(expected), None), "{broken}");
    }
    // Nothing but noise.
    let mut shared = SharedConfiguration::new(&[0]);
    shared.object["metadata"] = json!({ "annotations": { ENDS: "garbage", "app": "statusguard" } });
    shared.look(&[0]);
    assert_eq!(shared.object["metadata"]["annotations"]["app"], "statusguard");
    assert!(annotation(&shared.object).is_null());
}

#[test]
fn a_bundle_that_holds_the_right_certificates_stays_as_it_is_written() {
    let shared = SharedConfiguration::new(&[0, 1]);
    let written = format!("# theirs\n{}{}", pem(&[1]), pem(&[0])).into_bytes();
    let plan = shared.plan(&pem(&[0, 1]));
    assert_eq!(plan.bundle(written.clone()), written);
    assert_eq!(plan.bundle(pem(&[0]).into_bytes()), pem(&[0, 1]).into_bytes());
    assert_eq!(plan.bundle(b"hello".to_vec()), pem(&[0, 1]).into_bytes());
    let [first, second] = [0, 1].map(|index| &shared.object["webhooks"][index]);
    assert!(plan.covers(first) && plan.covers(second));
    assert!(!shared.plan(&pem(&[2])).covers(first));
}
