//! The newest version of each object that this writer has seen, until the cache has caught up.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::object::Subject;
use crate::version::is_newer;

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
        let text = |member: &str| raw["metadata"][member].as_str().unwrap_or_default().to_owned();
        let (uid, version) = (text("uid"), text("resourceVersion"));
        Ok(Self { uid, version, raw: Arc::new(raw), object: Arc::new(object) })
    }
}

/// A bounded store; when it is full, what was written longest ago goes.
pub(crate) struct Kept<K> {
    limit: usize,
    shelf: Mutex<Shelf<K>>,
}

struct Shelf<K> {
    clock: u64,
    by_place: HashMap<Place, (u64, Version<K>)>,
    by_age: BTreeMap<u64, Place>,
}

impl<K: Subject> Kept<K> {
    pub(crate) fn new(limit: usize) -> Self {
        let shelf = Shelf { clock: 0, by_place: HashMap::new(), by_age: BTreeMap::new() };
        Self { limit, shelf: Mutex::new(shelf) }
    }

    pub(crate) fn get(&self, place: &Place) -> Option<Version<K>> {
        self.shelf().by_place.get(place).map(|(_, version)| version.clone())
    }

    /// Keeps a version unless a newer one is kept.
    pub(crate) fn put(&self, place: Place, version: Version<K>) {
        let mut shelf = self.shelf();
        if shelf.by_place.get(&place).is_some_and(|(_, kept)| is_newer(&kept.version, &version.version)) {
            return;
        }
        shelf.clock += 1;
        let now = shelf.clock;
        if let Some((age, _)) = shelf.by_place.insert(place.clone(), (now, version)) {
            shelf.by_age.remove(&age);
        }
        shelf.by_age.insert(now, place);
        while shelf.by_place.len() > self.limit {
            let Some((_, oldest)) = shelf.by_age.pop_first() else { break };
            shelf.by_place.remove(&oldest);
        }
    }

    /// Forgets what is kept of an object; another object of its name stays.
    pub(crate) fn forget(&self, place: &Place, uid: &str) {
        let mut shelf = self.shelf();
        if shelf.by_place.get(place).is_some_and(|(_, kept)| kept.uid == uid) {
            shelf.remove(place);
        }
    }

    /// The newer of what a cache holds and what is kept.
    pub(crate) fn latest(&self, place: &Place, cached: &Arc<K>) -> Arc<K> {
        let mut shelf = self.shelf();
        let Some((_, kept)) = shelf.by_place.get(place) else {
            return cached.clone();
        };
        let seen = cached.meta().resource_version.as_deref().unwrap_or_default();
        if is_newer(&kept.version, seen) {
            return kept.object.clone();
        }
        // The raw form of an equal version still saves a read; an older one is of no use.
        if kept.version != seen {
            shelf.remove(place);
        }
        cached.clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.shelf().by_place.len()
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<K>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K> Shelf<K> {
    fn remove(&mut self, place: &Place) {
        if let Some((age, _)) = self.by_place.remove(place) {
            self.by_age.remove(&age);
        }
    }
}
