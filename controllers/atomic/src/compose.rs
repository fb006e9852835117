//! Running the waiting closures on a base and making one PUT of what they changed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::WriteError;
use crate::merge;
use crate::object::StatusResource;
use crate::queue::{ClosureResult, UpdateRequest};
use crate::writer::PhaseChange;

/// What came of running the closures.
pub(crate) enum Composed {
    /// Something to send.
    Batch(Batch),
    /// Nothing changed.
    Nothing(Vec<ClosureResult>),
}

/// A PUT ready to be sent, any number of times, on its one base.
pub(crate) struct Batch {
    pub(crate) body: Bytes,
    /// The status in it.
    pub(crate) status: Value,
    /// What each update at the head of the queue did.
    pub(crate) results: Vec<ClosureResult>,
}

impl Batch {
    /// The updates that are in the PUT.
    pub(crate) fn changes(&self) -> usize {
        self.results.iter().filter(|result| **result == ClosureResult::Changed).count()
    }
}

/// How to compose.
pub(crate) struct Composer<K: StatusResource> {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) phase: Option<PhaseChange<K::Status>>,
}

impl<K: StatusResource> Composer<K> {
    /// Runs up to `limit` closures from the head of the queue, each on what the one before left.
    pub(crate) fn compose(
        &self,
        base: &Arc<Value>,
        queue: &mut VecDeque<UpdateRequest<K>>,
        limit: usize,
    ) -> Result<Composed, WriteError> {
        let raw = base.get("status").filter(|status| !status.is_null());
        let first = match raw {
            Some(raw) => K::Status::deserialize(raw)
                .map_err(|source| WriteError::Unreadable { committed: false, source: Arc::new(source) })?,
            None => K::Status::default(),
        };
        let unwritable = |source| WriteError::Unwritable(Arc::new(source));
        let before = serde_json::to_value(&first).map_err(unwritable)?;
        let (last, mut results) = self.run(first, queue, limit);
        let after = serde_json::to_value(&last).map_err(unwritable)?;

        if before == after {
            if results.len() > 1 && results.contains(&ClosureResult::Changed) {
                // Updates that undo each other are still one write each.
                return self.compose(base, queue, 1);
            }
            results
                .iter_mut()
                .filter(|result| **result == ClosureResult::Changed)
                .for_each(|v| *v = ClosureResult::Same);
            return Ok(Composed::Nothing(results));
        }
        let status = match raw {
            Some(raw) => {
                let mut status = raw.clone();
                merge::apply(&mut status, &before, &after);
                status
            }
            // A new status is written whole, defaults included: a reader may require them.
            None => after,
        };
        let body = serde_json::to_vec(&self.body(base, &status)).map_err(unwritable)?;
        Ok(Composed::Batch(Batch { body: body.into(), status, results }))
    }

    fn run(
        &self,
        first: K::Status,
        queue: &mut VecDeque<UpdateRequest<K>>,
        limit: usize,
    ) -> (K::Status, Vec<ClosureResult>) {
        let mut status = first.clone();
        let mut kept = first;
        let mut results = Vec::new();
        for request in queue.iter_mut().take(limit) {
            if !request.pending.decide(&mut status) {
                status = kept.clone();
                results.push(ClosureResult::Declined);
            } else if status == kept {
                results.push(ClosureResult::Same);
            } else {
                results.push(ClosureResult::Changed);
                let ends = self.phase.as_ref().is_some_and(|changes| changes(&kept, &status));
                if ends {
                    break;
                }
                kept = status.clone();
            }
        }
        (status, results)
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
