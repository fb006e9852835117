//! What the modelled API server stores of an object, and shows to the proof of authorship.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value, json};

use super::world::ModelEntry;
use crate::authorship::{AppendOnly, Author, Lost};

/// How a version is judged.
pub(in crate::protocol) type Proof = fn(&Lost<'_>, &Value) -> Author;

/// A writer, by its number, or whoever else comes after them.
pub(super) type Manager = usize;

/// A list `log` that is atomic, and a field `mode` that every update sets to the same value. Each manager has a field of
/// its own besides, so that all of them hold something around these two.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Version {
    pub(super) entries: Vec<ModelEntry>,
    log_owner: Option<Manager>,
    mode: bool,
    mode_owner: Option<Manager>,
    /// The second of each manager's last change.
    times: Vec<usize>,
}

/// The list, if identities are known to be stored as they are sent.
static KNOWN: LazyLock<[AppendOnly; 1]> = LazyLock::new(|| {
    let sent = json!({"log": [{"id": "earlier"}]});
    let list = AppendOnly::new("/log".to_owned(), "id".to_owned());
    list.learn(&json!({}), &sent, &json!({"status": sent}));
    [list]
});

/// The list, if they are not.
static UNKNOWN: LazyLock<[AppendOnly; 1]> = LazyLock::new(|| [AppendOnly::new("/log".to_owned(), "id".to_owned())]);

impl Version {
    pub(super) fn first(managers: usize) -> Self {
        Self { entries: Vec::new(), log_owner: None, mode: false, mode_owner: None, times: vec![0; managers] }
    }

    /// The version after a PUT of `manager` that appends these entries.
    pub(super) fn put(&self, manager: Manager, entries: &[ModelEntry], second: usize) -> Self {
        let mut next = self.clone();
        next.entries.extend(entries);
        next.log_owner = Some(manager);
        if !self.mode {
            (next.mode, next.mode_owner) = (true, Some(manager));
        }
        next.times[manager] = second;
        next
    }

    /// The version after a write of somebody else that leaves the status alone.
    pub(super) fn touched(&self, second: usize) -> Self {
        let mut next = self.clone();
        next.times[self.times.len() - 1] = second;
        next
    }

    /// The version after somebody else gave up a field: a default takes its place, which is what every update sets, and
    /// nobody holds it.
    pub(super) fn with_default(&self, second: usize) -> Option<Self> {
        (!self.mode).then(|| Self { mode: true, ..self.touched(second) })
    }

    fn object(&self, alters: bool) -> Value {
        let entry = |(manager, time): (Manager, &usize)| {
            let mut fields = Map::from_iter([(".".to_owned(), json!({})), (format!("f:own{manager}"), json!({}))]);
            for (name, owner) in [("f:log", self.log_owner), ("f:mode", self.mode_owner)] {
                if owner == Some(manager) {
                    fields.insert(name.to_owned(), json!({}));
                }
            }
            json!({
                "manager": manager.to_string(), "operation": "Update", "apiVersion": "model/v1",
                "time": time, "fieldsV1": {"f:status": fields},
            })
        };
        let managers: Vec<Value> = self.times.iter().enumerate().map(entry).collect();
        json!({"apiVersion": "model/v1", "metadata": {"managedFields": managers}, "status": self.status(&[], alters)})
    }

    /// The status, or what a PUT makes of it. The API server may alter identities that it stores.
    fn status(&self, appended: &[ModelEntry], alters: bool) -> Value {
        let id = |(writer, update): &ModelEntry| format!("W{writer}U{update}");
        let stored = |entry| if alters { id(entry).to_lowercase() } else { id(entry) };
        let log: Vec<Value> =
            self.entries.iter().map(stored).chain(appended.iter().map(id)).map(|id| json!({"id": id})).collect();
        let mut status = json!({"log": log});
        for manager in 0..self.times.len() {
            status[format!("own{manager}")] = 0.into();
        }
        if self.mode || !appended.is_empty() {
            status["mode"] = "on".into();
        }
        status
    }

    /// What `proof` makes of `version` for a PUT on this one whose answer was lost.
    pub(super) fn judge(&self, lost: &LostPut, version: &Self, proof: Proof) -> Author {
        // Many interleavings lead to the same question.
        thread_local!(static JUDGED: RefCell<HashMap<Question, Author>> = RefCell::default());
        let question = (self.clone(), lost.clone(), version.clone(), proof as usize);
        JUDGED.with_borrow_mut(|judged| *judged.entry(question).or_insert_with(|| self.ask(lost, version, proof)))
    }

    fn ask(&self, lost: &LostPut, version: &Self, proof: Proof) -> Author {
        let &LostPut { manager, ref entries, unresolved, identities, alters } = lost;
        let list: &[AppendOnly] = match (identities, alters) {
            (false, _) => &[],
            (true, false) => &*KNOWN,
            (true, true) => &*UNKNOWN,
        };
        let (base, sent) = (self.object(alters), self.status(entries, alters));
        let lost = Lost { base: &base, sent: &sent, manager: &manager.to_string(), unresolved, append_only: list };
        proof(&lost, &version.object(alters))
    }
}

/// A PUT, its base, the version that may be of its author, and the proof.
type Question = (Version, LostPut, Version, usize);

/// A PUT whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LostPut {
    pub(super) manager: Manager,
    pub(super) entries: Vec<ModelEntry>,
    pub(super) unresolved: bool,
    /// Whether the list is declared to be appended only.
    pub(super) identities: bool,
    /// Whether the API server stores identities in another form.
    pub(super) alters: bool,
}
