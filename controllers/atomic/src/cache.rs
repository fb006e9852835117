//! What this writer knows of each object: the newest version it has seen, and at least its number.
//!
//! The version itself serves until the cache has caught up, and then the cache's own object takes its
//! place, shared with the cache. The number is kept for longer, because
//! the proofs of [`authorship`](crate::authorship) need that a write is never based on a version
//! older than the writer's own last one: where even the number may have been dropped, the object is
//! read first.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use serde_json::Value;

use crate::object::StatusResource;
use crate::version::is_newer;

/// How many objects' numbers are kept.
const VERSION_MARKS: NonZeroUsize = NonZeroUsize::new(65_536).expect("not zero");

/// Where an object lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ObjectKey {
    pub(crate) namespace: Option<String>,
    pub(crate) name: String,
}

/// One object: another one of the same name is not the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId {
    pub(crate) key: ObjectKey,
    pub(crate) uid: String,
}

/// One version of an object, whole and typed.
#[derive(Debug)]
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

impl<K: StatusResource> Version<K> {
    pub(crate) fn of(raw: Arc<Value>) -> Result<Self, serde_json::Error> {
        let object = Arc::new(K::deserialize(&*raw)?);
        let (uid, version) = (text(&raw, "uid"), text(&raw, "resourceVersion"));
        Ok(Self { uid, version, raw, object })
    }
}

/// A text of an object's metadata.
pub(crate) fn text(raw: &Value, member: &str) -> String {
    raw["metadata"][member].as_str().unwrap_or_default().to_owned()
}

/// The number of the newest version seen of an object.
struct VersionMark {
    uid: String,
    version: String,
    /// Whether a PUT of ours on this version was given up as unknown and may still land.
    unresolved: bool,
}

/// The newest version seen of an object.
enum Newest<K> {
    /// It was written or read. The bytes count what no cache shares.
    Known { version: Version<K>, bytes: usize },
    /// A cache has shown it. It is not a base for a write, but from now on nothing older is shown.
    Shown(Arc<K>),
}

impl<K: StatusResource> Newest<K> {
    fn known(&self) -> Option<&Version<K>> {
        match self {
            Self::Known { version, .. } => Some(version),
            Self::Shown(_) => None,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Known { bytes, .. } => *bytes,
            Self::Shown(_) => 0,
        }
    }

    fn object(&self) -> &Arc<K> {
        match self {
            Self::Known { version, .. } => &version.object,
            Self::Shown(object) => object,
        }
    }
}

/// About how many bytes a JSON value takes in memory.
fn memory(value: &Value) -> usize {
    /// A member of an object: its name, its value and its share of a node of the map.
    const MEMBER: usize = 3 * size_of::<String>() + size_of::<Value>();
    let inside = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(entries) => entries.iter().map(memory).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| MEMBER + name.len() + memory(value)).sum(),
    };
    size_of::<Value>() + inside
}

/// A bounded store; when it is full, what was seen longest ago goes, but never the newest.
pub(crate) struct ObjectCache<K>(Mutex<CacheInner<K>>);

struct CacheInner<K> {
    versions: LruCache<ObjectKey, Newest<K>>,
    /// What the versions take together, and what they may take.
    bytes: usize,
    most_bytes: usize,
    marks: LruCache<ObjectKey, VersionMark>,
    /// The newest number that was dropped.
    floor: String,
}

impl<K: StatusResource> ObjectCache<K> {
    /// Of so many objects, and so many bytes of those that no cache shares.
    pub(crate) fn new(limit: NonZeroUsize, most_bytes: usize) -> Self {
        let inner = CacheInner {
            versions: LruCache::new(limit),
            bytes: 0,
            most_bytes,
            marks: LruCache::new(VERSION_MARKS.max(limit)),
            floor: "0".to_owned(),
        };
        Self(Mutex::new(inner))
    }

    pub(crate) fn get(&self, key: &ObjectKey) -> Option<Version<K>> {
        self.inner().versions.peek(key).and_then(Newest::known).cloned()
    }

    /// Keeps a version unless a newer one is kept.
    pub(crate) fn put(&self, key: ObjectKey, version: Version<K>) {
        let mut inner = self.inner();
        let known = inner.marks.peek(&key);
        if known.is_some_and(|known| is_newer(&known.version, &version.version)) {
            return;
        }
        let unresolved = known.is_some_and(|known| known.unresolved && known.version == version.version);
        inner.mark(key.clone(), VersionMark { uid: version.uid.clone(), version: version.version.clone(), unresolved });
        // The typed reading takes about as much as the raw object.
        let bytes = 2 * memory(&version.raw);
        inner.insert(key, Newest::Known { version, bytes });
    }

    /// Notes that there is this newer version of `id`, which cannot be kept.
    pub(crate) fn outdate(&self, id: &ObjectId, version: &str) {
        let mark = VersionMark { uid: id.uid.clone(), version: version.to_owned(), unresolved: false };
        let mut inner = self.inner();
        inner.remove(&id.key);
        inner.mark(id.key.clone(), mark);
    }

    /// Notes that a PUT on this version of `id` may still land although nobody waits for it.
    pub(crate) fn mark_unresolved(&self, id: &ObjectId, version: &str) {
        let mark = VersionMark { uid: id.uid.clone(), version: version.to_owned(), unresolved: true };
        self.inner().mark(id.key.clone(), mark);
    }

    /// Whether a PUT on this version was given up and may have landed since.
    pub(crate) fn is_unresolved(&self, id: &ObjectId, version: &str) -> bool {
        let inner = self.inner();
        let mark = inner.marks.peek(&id.key).filter(|mark| mark.uid == id.uid);
        mark.is_some_and(|mark| mark.unresolved && mark.version == version)
    }

    /// Whether this writer may have seen or written a newer version than this.
    pub(crate) fn may_be_outdated(&self, id: &ObjectId, version: &str) -> bool {
        let inner = self.inner();
        match inner.marks.peek(&id.key).filter(|mark| mark.uid == id.uid) {
            // Nor can versions that do not compare rule it out.
            Some(mark) => mark.version != version && !is_newer(version, &mark.version),
            None => is_newer(&inner.floor, version),
        }
    }

    /// Forgets an object that is gone; another object of its name stays.
    pub(crate) fn forget(&self, id: &ObjectId) {
        let mut inner = self.inner();
        if inner.marks.peek(&id.key).is_some_and(|mark| mark.uid == id.uid) {
            inner.marks.pop(&id.key);
        }
        let uid = Some(id.uid.as_str());
        if inner.versions.peek(&id.key).is_some_and(|kept| kept.object().meta().uid.as_deref() == uid) {
            inner.remove(&id.key);
        }
    }

    /// The newer of what a cache holds and what is kept. The cache's object is then kept in its place, because another
    /// cache may lag behind; of an equal version the raw form stays, which saves a read, unless the cache's object
    /// `is_base` for a write itself.
    pub(crate) fn latest(&self, key: &ObjectKey, cached: &Arc<K>, is_base: bool) -> Arc<K> {
        let mut inner = self.inner();
        let Some(kept) = inner.versions.peek(key) else {
            return cached.clone();
        };
        let version = |object: &K| object.meta().resource_version.clone().unwrap_or_default();
        let (known, seen) = (version(kept.object()), version(cached));
        if is_newer(&known, &seen) || Arc::ptr_eq(kept.object(), cached) {
            return kept.object().clone();
        }
        let shown = match kept.known() {
            Some(kept) if known == seen && !is_base => {
                let version = Version { object: cached.clone(), ..kept.clone() };
                let bytes = memory(&version.raw);
                Newest::Known { version, bytes }
            }
            _ => Newest::Shown(cached.clone()),
        };
        inner.insert(key.clone(), shown);
        cached.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner().versions.len()
    }

    fn inner(&self) -> MutexGuard<'_, CacheInner<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: StatusResource> CacheInner<K> {
    fn insert(&mut self, key: ObjectKey, newest: Newest<K>) {
        self.bytes += newest.bytes();
        if let Some((_, dropped)) = self.versions.push(key, newest) {
            self.bytes -= dropped.bytes();
        }
        while self.bytes > self.most_bytes && self.versions.len() > 1 {
            let Some((_, dropped)) = self.versions.pop_lru() else { break };
            self.bytes -= dropped.bytes();
        }
    }

    fn remove(&mut self, key: &ObjectKey) {
        if let Some(version) = self.versions.pop(key) {
            self.bytes -= version.bytes();
        }
    }

    fn mark(&mut self, key: ObjectKey, mark: VersionMark) {
        // What makes room may also be the former mark of the same object.
        let dropped = self.marks.push(key.clone(), mark).filter(|(dropped, _)| *dropped != key);
        if let Some((_, dropped)) = dropped.filter(|(_, dropped)| is_newer(&dropped.version, &self.floor)) {
            self.floor = dropped.version;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::object::Dynamic;

    fn id(name: &str) -> ObjectId {
        ObjectId { key: ObjectKey { namespace: None, name: name.to_owned() }, uid: format!("uid of {name}") }
    }

    fn put(kept: &ObjectCache<Dynamic>, name: &str, version: &str) {
        let ObjectId { key, uid } = id(name);
        let raw = json!({"metadata": {"name": name, "uid": uid, "resourceVersion": version}});
        kept.put(key, Version::of(Arc::new(raw)).unwrap());
    }

    #[test]
    fn a_number_outlives_its_version() {
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN, usize::MAX);
        put(&kept, "a", "10");
        put(&kept, "b", "11");
        assert_eq!(kept.len(), 1);
        assert!(kept.get(&id("a").key).is_none());
        assert!(kept.may_be_outdated(&id("a"), "9"));
        assert!(!kept.may_be_outdated(&id("a"), "10"));
        assert!(!kept.may_be_outdated(&id("never seen"), "1"));
    }

    #[test]
    fn where_a_number_was_dropped_any_object_not_known_may_be_outdated() {
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN, usize::MAX);
        for number in 0..=VERSION_MARKS.get() {
            put(&kept, &number.to_string(), &(100 + number).to_string());
        }
        assert!(kept.may_be_outdated(&id("0"), "99"), "its number was dropped");
        assert!(kept.may_be_outdated(&id("never seen"), "99"));
        assert!(!kept.may_be_outdated(&id("never seen"), "100"));
        assert!(!kept.may_be_outdated(&id("1"), "101"));
    }

    #[test]
    fn what_does_not_compare_with_the_newest_seen_may_be_outdated() {
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN, usize::MAX);
        put(&kept, "a", "opaque b");
        assert!(kept.may_be_outdated(&id("a"), "opaque a"));
        assert!(!kept.may_be_outdated(&id("a"), "opaque b"));
    }

    #[test]
    fn a_version_stays_unresolved_until_the_object_moves() {
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN, usize::MAX);
        kept.mark_unresolved(&id("a"), "10");
        put(&kept, "a", "10");
        assert!(kept.is_unresolved(&id("a"), "10"), "a read of the same version proves nothing");
        put(&kept, "a", "11");
        assert!(!kept.is_unresolved(&id("a"), "11") && !kept.is_unresolved(&id("a"), "10"));
    }

    #[test]
    fn an_older_version_replaces_no_newer_one() {
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::new(4).unwrap(), usize::MAX);
        put(&kept, "a", "10");
        put(&kept, "a", "9");
        assert_eq!(kept.get(&id("a").key).unwrap().version, "10");
        kept.forget(&id("a"));
        assert_eq!(kept.len(), 0);
        assert!(!kept.may_be_outdated(&id("a"), "1"));
    }

    #[test]
    fn the_oldest_versions_go_when_they_take_too_many_bytes() {
        let raw = |name: &str| json!({"metadata": {"name": name, "uid": "u", "resourceVersion": "1"}, "status": {"text": "x".repeat(10_000)}});
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::new(100).unwrap(), 45_000);
        for name in ["a", "b", "c"] {
            kept.put(id(name).key, Version::of(Arc::new(raw(name))).unwrap());
        }
        let names = |kept: &ObjectCache<Dynamic>| ["a", "b", "c"].map(|name| kept.get(&id(name).key).is_some());
        assert_eq!(names(&kept), [false, true, true]);

        // What a cache shares counts half, and nothing of it if it is a base itself.
        let cached = |name: &str| Arc::new(serde_json::from_value::<Dynamic>(raw(name)).unwrap());
        let (b, c) = (cached("b"), cached("c"));
        assert!(Arc::ptr_eq(&kept.latest(&id("b").key, &b, false), &b));
        kept.put(id("a").key, Version::of(Arc::new(raw("a"))).unwrap());
        assert_eq!(names(&kept), [true, true, false], "one and a half fit");
        assert!(Arc::ptr_eq(&kept.get(&id("b").key).unwrap().object, &b));
        kept.put(id("c").key, Version::of(Arc::new(raw("c"))).unwrap());
        assert!(Arc::ptr_eq(&kept.latest(&id("c").key, &c, true), &c));
        assert_eq!((names(&kept), kept.len()), ([true, false, false], 2), "c is shown by a cache alone");

        // The newest stays, however large it is.
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::new(100).unwrap(), 0);
        kept.put(id("a").key, Version::of(Arc::new(raw("a"))).unwrap());
        kept.put(id("b").key, Version::of(Arc::new(raw("b"))).unwrap());
        assert_eq!(names(&kept), [false, true, false]);
    }

    #[test]
    fn memory_is_counted_for_every_part() {
        assert!(memory(&json!(1)) >= 24);
        assert!(memory(&json!(["x".repeat(1000), {"a": "y".repeat(1000)}])) >= 2000 + 4 * 24);
        let (few, many) = (json!({"a": 1}), json!({"a": 1, "b": 2}));
        assert!(memory(&many) > memory(&few));
    }
}
