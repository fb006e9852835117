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
    /// It was written or read.
    Known(Version<K>),
    /// A cache has shown it. It is not a base for a write, but from now on nothing older is shown.
    Shown(Arc<K>),
}

impl<K: StatusResource> Newest<K> {
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
pub(crate) struct ObjectCache<K>(Mutex<CacheInner<K>>);

struct CacheInner<K> {
    versions: LruCache<ObjectKey, Newest<K>>,
    marks: LruCache<ObjectKey, VersionMark>,
    /// The newest number that was dropped.
    floor: String,
}

impl<K: StatusResource> ObjectCache<K> {
    pub(crate) fn new(limit: NonZeroUsize) -> Self {
        let inner = CacheInner {
            versions: LruCache::new(limit),
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
        inner.versions.push(key, Newest::Known(version));
    }

    /// Notes that there is this newer version of `id`, which cannot be kept.
    pub(crate) fn outdate(&self, id: &ObjectId, version: &str) {
        let mark = VersionMark { uid: id.uid.clone(), version: version.to_owned(), unresolved: false };
        let mut inner = self.inner();
        inner.versions.pop(&id.key);
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
            inner.versions.pop(&id.key);
        }
    }

    /// The newer of what a cache holds and what is kept, which then is kept, because another cache may lag behind.
    pub(crate) fn latest(&self, key: &ObjectKey, cached: &Arc<K>) -> Arc<K> {
        let mut inner = self.inner();
        let Some(kept) = inner.versions.peek(key) else {
            return cached.clone();
        };
        let version = |object: &K| object.meta().resource_version.clone().unwrap_or_default();
        let (known, seen) = (version(kept.object()), version(cached));
        if is_newer(&known, &seen) {
            return kept.object().clone();
        }
        // The raw form of an equal version still saves a read; an older one is of no use.
        if known != seen {
            inner.versions.push(key.clone(), Newest::Shown(cached.clone()));
        }
        cached.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.inner().versions.len()
    }

    fn inner(&self) -> MutexGuard<'_, CacheInner<K>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> CacheInner<K> {
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
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN);
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
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN);
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
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN);
        put(&kept, "a", "opaque b");
        assert!(kept.may_be_outdated(&id("a"), "opaque a"));
        assert!(!kept.may_be_outdated(&id("a"), "opaque b"));
    }

    #[test]
    fn a_version_stays_unresolved_until_the_object_moves() {
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::MIN);
        kept.mark_unresolved(&id("a"), "10");
        put(&kept, "a", "10");
        assert!(kept.is_unresolved(&id("a"), "10"), "a read of the same version proves nothing");
        put(&kept, "a", "11");
        assert!(!kept.is_unresolved(&id("a"), "11") && !kept.is_unresolved(&id("a"), "10"));
    }

    #[test]
    fn an_older_version_replaces_no_newer_one() {
        let kept = ObjectCache::<Dynamic>::new(NonZeroUsize::new(4).unwrap());
        put(&kept, "a", "10");
        put(&kept, "a", "9");
        assert_eq!(kept.get(&id("a").key).unwrap().version, "10");
        kept.forget(&id("a"));
        assert_eq!(kept.len(), 0);
        assert!(!kept.may_be_outdated(&id("a"), "1"));
    }
}
