//! Running the waiting closures on a base and making one PUT of what they changed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::cache::Version;
use crate::error::Error;
use crate::merge;
use crate::object::StatusResource;
use crate::protocol::{self, Updates};
use crate::queue::{ClosureResult, UpdateRequest, message};

/// Whether a phase differs between two statuses.
pub(crate) type PhaseChange<S> = Box<dyn Fn(&S, &S) -> bool + Send + Sync>;

/// The version that closures run on.
#[derive(Clone)]
pub(crate) struct Base {
    pub(crate) version: String,
    pub(crate) raw: Arc<Value>,
    /// When the request that showed it was sent; absent for what a cache showed.
    pub(crate) live: Option<Instant>,
}

/// Updates whose closures ran on one base, and the PUT of what they changed, ready to be sent any number of times.
pub(crate) struct Batch<K: StatusResource> {
    pub(crate) base: Base,
    pub(crate) updates: Vec<UpdateRequest<K>>,
    pub(crate) body: Bytes,
    /// The status in it.
    pub(crate) status: Value,
}

impl<K: StatusResource> Batch<K> {
    /// How many updates are in the PUT.
    pub(crate) fn changes(&self) -> usize {
        self.updates.iter().filter(|update| update.result == ClosureResult::Changed).count()
    }
}

impl<K: StatusResource> Updates for Batch<K> {
    fn count(&self) -> usize {
        self.updates.len()
    }

    fn is_late(&self, now: Instant) -> bool {
        self.updates.iter().any(|update| update.deadline <= now)
    }
}

/// A version to be shown to callers, with the time when the request was sent that showed it.
pub(crate) type Shown<K> = (Version<K>, Option<Instant>);

/// What the driver sees.
pub(crate) type Event<K> = protocol::Event<Batch<K>, Shown<K>, Error>;

/// How to compose.
pub(crate) struct Composer<K: StatusResource> {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) phase: Option<PhaseChange<K::Status>>,
}

impl<K: StatusResource> Composer<K> {
    /// Runs the closures of `updates`, each on what the one before left. Those that are not in the event go back to
    /// the queue.
    pub(crate) fn compose(&self, base: Base, updates: Vec<UpdateRequest<K>>) -> (Event<K>, Vec<UpdateRequest<K>>) {
        let mut batch = Batch { base, updates, body: Bytes::new(), status: Value::Null };
        let mut rest = Vec::new();
        // Comparing, cloning and writing a status are its type's own code. What they leave behind after a panic is
        // thrown away.
        let composed = catch_unwind(AssertUnwindSafe(|| self.fill(&mut batch, &mut rest)))
            .unwrap_or_else(|panic| Err(Error::Panicked(message(panic.as_ref()))));
        let event = match composed {
            Ok(None) => Event::Composed(batch),
            Ok(Some(version)) => Event::Unchanged(batch, version),
            Err(failure @ Error::Unreadable { .. }) => {
                batch.updates.append(&mut rest);
                return (Event::Unreadable(failure), batch.updates);
            }
            Err(failure) => Event::Unwritable(batch, failure),
        };
        (event, rest)
    }

    /// Makes the PUT of a batch, or returns the version in which its closures change nothing.
    fn fill(&self, batch: &mut Batch<K>, rest: &mut Vec<UpdateRequest<K>>) -> Result<Option<Shown<K>>, Error> {
        let unreadable = |source| Error::Unreadable { committed: false, source: Arc::new(source) };
        let unwritable = |source| Error::Unwritable(Arc::new(source));
        let Base { raw: object, live, .. } = batch.base.clone();
        let raw = object.get("status").filter(|status| !status.is_null());
        let first = match raw {
            Some(raw) => K::Status::deserialize(raw).map_err(unreadable)?,
            None => K::Status::default(),
        };
        let before = serde_json::to_value(&first).map_err(unwritable)?;
        let last = self.run(first.clone(), &mut batch.updates, rest).map_err(unwritable)?;
        let mut after = serde_json::to_value(&last).map_err(unwritable)?;

        if before == after && batch.updates.len() > 1 && batch.changes() > 0 {
            // Updates that undo each other are still one write each.
            rest.splice(..0, batch.updates.drain(1..));
            let last = self.run(first, &mut batch.updates, rest).map_err(unwritable)?;
            after = serde_json::to_value(&last).map_err(unwritable)?;
        }
        if before == after {
            for update in batch.updates.iter_mut().filter(|update| update.result == ClosureResult::Changed) {
                update.result = ClosureResult::Same;
            }
            return Version::of(object).map(|version| Some((version, live))).map_err(unreadable);
        }
        batch.status = match raw {
            Some(raw) => {
                let mut status = raw.clone();
                merge::apply(&mut status, &before, &after);
                status
            }
            // A new status is written whole, defaults included: a reader may require them.
            None => after,
        };
        batch.body = serde_json::to_vec(&self.body(&object, &batch.status)).map_err(unwritable)?.into();
        Ok(None)
    }

    fn run(
        &self,
        first: K::Status,
        updates: &mut Vec<UpdateRequest<K>>,
        rest: &mut Vec<UpdateRequest<K>>,
    ) -> Result<K::Status, serde_json::Error> {
        let mut status = first.clone();
        let mut kept = first;
        for index in 0..updates.len() {
            let update = &mut updates[index];
            // In case it panics.
            update.result = ClosureResult::Changed;
            if !(update.closure)(&mut status) {
                update.result = ClosureResult::Declined;
                status = kept.clone();
            // A type may leave out of its comparison what it writes.
            } else if status == kept && serde_json::to_value(&status)? == serde_json::to_value(&kept)? {
                update.result = ClosureResult::Same;
            } else if self.phase.as_ref().is_some_and(|changes| changes(&kept, &status)) {
                rest.splice(..0, updates.drain(index + 1..));
                break;
            } else {
                kept = status.clone();
            }
        }
        Ok(status)
    }

    /// The whole object with its new status. `managedFields` stay out: absent, they are kept.
    fn body(&self, base: &Value, status: &Value) -> Value {
        let mut body: Map<String, Value> = Map::new();
        for (name, value) in base.as_object().into_iter().flatten() {
            match (name.as_str(), value) {
                ("status", _) => {}
                ("metadata", Value::Object(metadata)) => {
                    let sent = metadata.iter().filter(|(name, _)| *name != "managedFields");
                    let sent: Map<String, Value> = sent.map(|(name, value)| (name.clone(), value.clone())).collect();
                    body.insert(name.clone(), Value::Object(sent));
                }
                _ => {
                    body.insert(name.clone(), value.clone());
                }
            }
        }
        // Objects out of a list come without these.
        body.insert("apiVersion".to_owned(), self.api_version.clone().into());
        body.insert("kind".to_owned(), self.kind.clone().into());
        body.insert("status".to_owned(), status.clone());
        Value::Object(body)
    }
}
