//! What this writer knows of each object: the newest version it has seen, and at least its number.
//!
//! The version itself serves until the cache has caught up, and then the cache's own object takes its
//! place, shared with the cache. The number is kept for longer, because
//! the proofs of [`authorship`](crate::authorship) need that a write is never based on a version
//! older than the writer's own last one: where even the number may have been dropped, the object is
//! read first.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::line::Target;
use crate::object::Subject;
use crate::version::is_newer;

/// How many objects' numbers are kept.
const MARKS: usize = 65_536;

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

/// One version of an object, whole and typed.
pub(crate) struct Version<K> {
    pub(crate) uid: String,
    pub(crate) version: String,
    pub(crate) raw: Arc<Value>,
    pub(crate) object: Arc<K>,
}

impl<K> Clone for Version<K> {
    fn clone(&self) -> Self {
        let Self { uid, version, raw, object } = self;
        Self { uid: uid.clone(), version: version.clone(), raw: raw.clone(), object: object.clone() }
    }
}

impl<K: Subject> Version<K> {
    pub(crate) fn read(raw: Value) -> Result<Self, serde_json::Error> {
        let object = K::deserialize(&raw)?;
        let (uid, version) = (text(&raw, "uid"), text(&raw, "resourceVersion"));
        Ok(Self { uid, version, raw: Arc::new(raw), object: Arc::new(object) })
    }
}

/// A text of an object's metadata.
pub(crate) fn text(raw: &Value, member: &str) -> String {
    raw["metadata"][member].as_str().unwrap_or_default().to_owned()
}

/// The number of the newest version seen of an object.
struct Mark {
    uid: String,
    version: String,
    /// Whether a PUT of ours on this version was given up as unknown and may still land.
    haunted: bool,
}

/// The newest version seen of an object.
enum Newest<K> {
    /// It was written or read.
    Known(Version<K>),
    /// A cache has shown it: it is no base for a write, but nothing that is known to be older is shown any more.
    Shown(Arc<K>),
}

impl<K: Subject> Newest<K> {
    fn known(&self) -> Option<&Version<K>> {
        match self {
            Self::Known(version) => Some(version),
            Self::Shown(_) => None,
        }
    }

    fn object(&self) -> &Arc<K> {
        match self {
            Self::Known(version) => &version.object,
            Self::Shown(object) => object,
        }
    }
}

/// A bounded store; when it is full, what was seen longest ago goes.
pub(crate) struct Kept<K>(Mutex<Shelf<K>>);

struct Shelf<K> {
    versions: Aged<Newest<K>>,
    marks: Aged<Mark>,
    /// The newest number that was dropped.
    floor: String,
}

impl<K: Subject> Kept<K> {
    pub(crate) fn new(limit: usize) -> Self {
        let shelf = Shelf { versions: Aged::new(limit), marks: Aged::new(MARKS.max(limit)), floor: "0".to_owned() };
        Self(Mutex::new(shelf))
    }

    pub(crate) fn get(&self, place: &Place) -> Option<Version<K>> {
        self.shelf().versions.get(place).and_then(Newest::known).cloned()
    }

    /// Keeps a version unless a newer one is kept.
    pub(crate) fn put(&self, place: Place, version: Version<K>) {
        let mut shelf = self.shelf();
        let known = shelf.marks.get(&place);
        if known.is_some_and(|known| is_newer(&known.version, &version.version)) {
            return;
        }
        let haunted = known.is_some_and(|known| known.haunted && known.version == version.version);
        shelf.mark(place.clone(), Mark { uid: version.uid.clone(), version: version.version.clone(), haunted });
        shelf.versions.insert(place, Newest::Known(version));
    }

    /// Notes that there is this newer version of `target`, which cannot be kept.
    pub(crate) fn outdate(&self, target: &Target, version: &str) {
        let mark = Mark { uid: target.uid.clone(), version: version.to_owned(), haunted: false };
        let mut shelf = self.shelf();
        shelf.versions.remove(&target.place);
        shelf.mark(target.place.clone(), mark);
    }

    /// Notes that a PUT on this version of `target` may still land although nobody waits for it.
    pub(crate) fn haunt(&self, target: &Target, version: &str) {
        let mark = Mark { uid: target.uid.clone(), version: version.to_owned(), haunted: true };
        self.shelf().mark(target.place.clone(), mark);
    }

    /// Whether a PUT on this version was given up and may have landed since.
    pub(crate) fn is_haunted(&self, target: &Target, version: &str) -> bool {
        let shelf = self.shelf();
        let mark = shelf.marks.get(&target.place).filter(|mark| mark.uid == target.uid);
        mark.is_some_and(|mark| mark.haunted && mark.version == version)
    }

    /// Whether this writer may have seen or written a newer version than this.
    pub(crate) fn may_be_outdated(&self, target: &Target, version: &str) -> bool {
        let shelf = self.shelf();
        match shelf.marks.get(&target.place).filter(|mark| mark.uid == target.uid) {
            // Nor can versions that do not compare rule it out.
            Some(mark) => mark.version != version && !is_newer(version, &mark.version),
            None => is_newer(&shelf.floor, version),
        }
    }

    /// Forgets an object that is gone; another object of its name stays.
    pub(crate) fn forget(&self, target: &Target) {
        let mut shelf = self.shelf();
        if shelf.marks.get(&target.place).is_some_and(|mark| mark.uid == target.uid) {
            shelf.marks.remove(&target.place);
        }
        let uid = Some(target.uid.as_str());
        if shelf.versions.get(&target.place).is_some_and(|kept| kept.object().meta().uid.as_deref() == uid) {
            shelf.versions.remove(&target.place);
        }
    }

    /// The newer of what a cache holds and what is kept, which then is kept, because another cache may lag behind.
    pub(crate) fn latest(&self, place: &Place, cached: &Arc<K>) -> Arc<K> {
        let mut shelf = self.shelf();
        let Some(kept) = shelf.versions.get(place) else {
            return cached.clone();
        };
        let version = |object: &K| object.meta().resource_version.clone().unwrap_or_default();
        let (known, seen) = (version(kept.object()), version(cached));
        if is_newer(&known, &seen) {
            return kept.object().clone();
        }
        // The raw form of an equal version still saves a read; an older one is of no use.
        if known != seen {
            shelf.versions.insert(place.clone(), Newest::Shown(cached.clone()));
        }
        cached.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.shelf().versions.by_place.len()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Shelf<K> {
    fn mark(&mut self, place: Place, mark: Mark) {
        if let Some(dropped) = self.marks.insert(place, mark).filter(|dropped| is_newer(&dropped.version, &self.floor))
        {
            self.floor = dropped.version;
        }
    }
}

/// A map that drops what was inserted longest ago.
struct Aged<V> {
    limit: usize,
    clock: u64,
    by_place: HashMap<Place, (u64, V)>,
    by_age: BTreeMap<u64, Place>,
}

impl<V> Aged<V> {
    fn new(limit: usize) -> Self {
        Self { limit, clock: 0, by_place: HashMap::new(), by_age: BTreeMap::new() }
    }

    fn get(&self, place: &Place) -> Option<&V> {
        self.by_place.get(place).map(|(_, value)| value)
    }

    /// Inserts, and returns what had to go for it.
    fn insert(&mut self, place: Place, value: V) -> Option<V> {
        self.clock += 1;
        if let Some((age, _)) = self.by_place.insert(place.clone(), (self.clock, value)) {
            self.by_age.remove(&age);
        }
        self.by_age.insert(self.clock, place);
        if self.by_place.len() <= self.limit {
            return None;
        }
        let (_, oldest) = self.by_age.pop_first()?;
        self.by_place.remove(&oldest).map(|(_, value)| value)
    }

    fn remove(&mut self, place: &Place) {
        if let Some((age, _)) = self.by_place.remove(place) {
            self.by_age.remove(&age);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use serde_json::json;

    use super::*;
    use crate::object::Dynamic;

    fn target(name: &str) -> Target {
        Target { place: Place { namespace: None, name: name.to_owned() }, uid: format!("uid of {name}") }
    }

    fn put(kept: &Kept<Dynamic>, name: &str, version: &str) {
        let Target { place, uid } = target(name);
        let raw = json!({"metadata": {"name": name, "uid": uid, "resourceVersion": version}});
        kept.put(place, Version::read(raw).unwrap());
    }

    #[test]
    fn a_number_outlives_its_version() {
        let kept = Kept::<Dynamic>::new(1);
        put(&kept, "a", "10");
        put(&kept, "b", "11");
        assert_eq!(kept.len(), 1);
        assert!(kept.get(&target("a").place).is_none());
        assert!(kept.may_be_outdated(&target("a"), "9"));
        assert!(!kept.may_be_outdated(&target("a"), "10"));
        assert!(!kept.may_be_outdated(&target("never seen"), "1"));
    }

    #[test]
    fn where_a_number_was_dropped_any_object_not_known_may_be_outdated() {
        let kept = Kept::<Dynamic>::new(1);
        for number in 0..=MARKS {
            put(&kept, &number.to_string(), &(100 + number).to_string());
        }
        assert!(kept.may_be_outdated(&target("0"), "99"), "its number was dropped");
        assert!(kept.may_be_outdated(&target("never seen"), "99"));
        assert!(!kept.may_be_outdated(&target("never seen"), "100"));
        assert!(!kept.may_be_outdated(&target("1"), "101"));
    }

    #[test]
    fn what_does_not_compare_with_the_newest_seen_may_be_outdated() {
        let kept = Kept::<Dynamic>::new(1);
        put(&kept, "a", "opaque b");
        assert!(kept.may_be_outdated(&target("a"), "opaque a"));
        assert!(!kept.may_be_outdated(&target("a"), "opaque b"));
    }

    #[test]
    fn a_version_stays_haunted_until_the_object_moves() {
        let kept = Kept::<Dynamic>::new(1);
        kept.haunt(&target("a"), "10");
        put(&kept, "a", "10");
        assert!(kept.is_haunted(&target("a"), "10"), "a read of the same version proves nothing");
        put(&kept, "a", "11");
        assert!(!kept.is_haunted(&target("a"), "11") && !kept.is_haunted(&target("a"), "10"));
    }

    #[test]
    fn an_older_version_replaces_no_newer_one() {
        let kept = Kept::<Dynamic>::new(4);
        put(&kept, "a", "10");
        put(&kept, "a", "9");
        assert_eq!(kept.get(&target("a").place).unwrap().version, "10");
        kept.forget(&target("a"));
        assert_eq!(kept.len(), 0);
        assert!(!kept.may_be_outdated(&target("a"), "1"));
    }
}
