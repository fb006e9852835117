//! Running the waiting closures on a base and making one PUT of what they changed.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::Failure;
use crate::line::{Ticket, Verdict};
use crate::merge;
use crate::object::Subject;
use crate::writer::PhaseChange;

/// What came of running the closures.
pub(crate) enum Composed {
    /// Something to send.
    Offer(Offer),
    /// Nothing changed.
    Nothing(Vec<Verdict>),
}

/// A PUT ready to be sent, any number of times, on its one base.
pub(crate) struct Offer {
    pub(crate) body: Bytes,
    /// The status in it.
    pub(crate) status: Value,
    /// What each update at the head of the line did.
    pub(crate) verdicts: Vec<Verdict>,
}

impl Offer {
    /// The updates that are in the PUT.
    pub(crate) fn changes(&self) -> usize {
        self.verdicts.iter().filter(|verdict| **verdict == Verdict::Changed).count()
    }
}

/// How to compose.
pub(crate) struct Composer<K: Subject> {
    pub(crate) api_version: String,
    pub(crate) kind: String,
    pub(crate) phase: Option<PhaseChange<K::Status>>,
}

impl<K: Subject> Composer<K> {
    /// Runs up to `limit` closures from the head of the line, each on what the one before left.
    pub(crate) fn compose(
        &self,
        base: &Arc<Value>,
        line: &mut VecDeque<Ticket<K>>,
        limit: usize,
    ) -> Result<Composed, Failure> {
        let raw = base.get("status").filter(|status| !status.is_null());
        let first = match raw {
            Some(raw) => K::Status::deserialize(raw)
                .map_err(|source| Failure::Unreadable { committed: false, source: Arc::new(source) })?,
            None => K::Status::default(),
        };
        let unwritable = |source| Failure::Unwritable(Arc::new(source));
        let before = serde_json::to_value(&first).map_err(unwritable)?;
        let (last, mut verdicts) = self.run(first, line, limit);
        let after = serde_json::to_value(&last).map_err(unwritable)?;

        if before == after {
            if verdicts.len() > 1 && verdicts.contains(&Verdict::Changed) {
                // Updates that undo each other are still one write each.
                return self.compose(base, line, 1);
            }
            verdicts.iter_mut().filter(|verdict| **verdict == Verdict::Changed).for_each(|v| *v = Verdict::Same);
            return Ok(Composed::Nothing(verdicts));
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
        Ok(Composed::Offer(Offer { body: body.into(), status, verdicts }))
    }

    fn run(&self, first: K::Status, line: &mut VecDeque<Ticket<K>>, limit: usize) -> (K::Status, Vec<Verdict>) {
        let mut status = first.clone();
        let mut kept = first;
        let mut verdicts = Vec::new();
        for ticket in line.iter_mut().take(limit) {
            if !ticket.job.decide(&mut status) {
                status = kept.clone();
                verdicts.push(Verdict::Declined);
            } else if status == kept {
                verdicts.push(Verdict::Same);
            } else {
                verdicts.push(Verdict::Changed);
                let ends = self.phase.as_ref().is_some_and(|changes| changes(&kept, &status));
                if ends {
                    break;
                }
                kept = status.clone();
            }
        }
        (status, verdicts)
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
