//! What to do about a configuration: values and the time in, a step out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::author::{ChangeAuthor, author};
use super::entry::{FAIL, IGNORE, PolicyEntry};
use super::pace::RepairPace;
use super::repair::{self, EntryChange, repaired};
use super::settings::ConfigurationSettings;
use super::trial::EntryTrial;

/// What the configuration is to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub entries: Arc<[PolicyEntry]>,
    pub bundle: Arc<[u8]>,
}

/// What to do next.
#[derive(Debug, PartialEq)]
pub enum PlanStep {
    Idle {
        /// Everything that is wanted is there.
        in_sync: bool,
        /// A repair waits for its time.
        held: bool,
        /// When to look again, if nothing happens before.
        until: Option<Instant>,
    },
    Write(PlannedWrite),
}

/// An object to write in place of the one that was read.
#[derive(Debug, PartialEq)]
pub struct PlannedWrite {
    pub object: Json,
    pub changes: Vec<EntryChange>,
    pub cause: WriteCause,
    /// Entries whose trial ends with it.
    promoted: Vec<String>,
}

/// Why something is written. Only the first two follow from what the guard knows anew, and are never held back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteCause {
    /// Policies or bundle have changed, or were not in the object yet.
    Wanted,
    /// Calls arrive.
    Trial,
    /// The object had been gone.
    Filled,
    /// Somebody has changed what is the guard's.
    Drift(ChangeAuthor),
}

/// Decides about one configuration.
pub struct Planner {
    settings: ConfigurationSettings,
    trials: BTreeMap<String, EntryTrial>,
    /// Entries that the API server does not take.
    refused: BTreeMap<String, PolicyEntry>,
    /// What was in force, or written, last.
    reached: Option<Wanted>,
    /// The object was gone when it was last read.
    gone: bool,
    /// Since when something differs that another replica wrote.
    peer_since: Option<Instant>,
    pace: RepairPace,
}

/// The desired entries, and what of them is a matter of time.
struct Desired {
    entries: Vec<Json>,
    promoted: Vec<String>,
    until: Option<Instant>,
}

impl Planner {
    pub fn new(settings: ConfigurationSettings) -> Self {
        Self {
            settings,
            trials: BTreeMap::new(),
            refused: BTreeMap::new(),
            reached: None,
            gone: false,
            peer_since: None,
            pace: RepairPace::default(),
        }
    }

    /// What to do about `object`, read at `now`. `arrived` has the policies of which a dry-run write was seen to arrive.
    pub fn plan(&mut self, now: Instant, object: &Json, wanted: &Wanted, arrived: &HashSet<String>) -> PlanStep {
        if !object["metadata"]["deletionTimestamp"].is_null() {
            // It goes as soon as its finalizers let it.
            return PlanStep::Idle { in_sync: false, held: false, until: None };
        }
        let Desired { entries, promoted, until } = self.desired(now, object, wanted, arrived);
        let Some(repair) = repaired(object, &entries) else {
            (self.gone, self.peer_since) = (false, None);
            self.reached = Some(wanted.clone());
            return PlanStep::Idle { in_sync: self.refused.is_empty(), held: false, until };
        };
        let (cause, due) = self.cause(now, object, wanted, &repair.changes, &promoted);
        if due > now {
            let until = until.map_or(due, |until| until.min(due));
            return PlanStep::Idle { in_sync: false, held: true, until: Some(until) };
        }
        PlanStep::Write(PlannedWrite { object: repair.object, changes: repair.changes, cause, promoted })
    }

    /// The object is not there: it is somebody's to create it, and not the guard's.
    pub fn absent(&mut self) {
        (self.gone, self.peer_since) = (true, None);
        self.trials.clear();
        self.refused.clear();
    }

    /// A write has gone through, whatever has become of the object since. Returns the least time until the next repair.
    pub fn written(&mut self, now: Instant, write: &PlannedWrite, wanted: &Wanted) -> Option<Duration> {
        (self.gone, self.peer_since) = (false, None);
        self.reached = Some(wanted.clone());
        for name in &write.promoted {
            self.trials.insert(name.clone(), EntryTrial::Passed);
        }
        match write.cause {
            WriteCause::Wanted | WriteCause::Trial => None,
            WriteCause::Filled | WriteCause::Drift(_) => Some(self.pace.repaired(now, &self.settings.timing)),
        }
    }

    /// The API server does not take `fields` of what was sent. Their entries are left out, or as they are, until their
    /// policies change; their bundle is kept all the same. Returns the policies; none if it is about something else.
    pub fn refuse(&mut self, sent: &Json, fields: &[String], wanted: &Wanted) -> Vec<String> {
        let index = |field: &String| field.strip_prefix("webhooks[")?.split(']').next()?.parse::<usize>().ok();
        let names: HashSet<&str> =
            fields.iter().filter_map(index).map(|index| repair::name(&sent["webhooks"][index])).collect();
        let mut policies = Vec::new();
        for entry in wanted.entries.iter().filter(|entry| names.contains(entry.name())) {
            if self.refused.insert(entry.name().to_owned(), entry.clone()).as_ref() != Some(entry) {
                policies.push(entry.policy().to_owned());
            }
        }
        policies
    }

    fn desired(&mut self, now: Instant, object: &Json, wanted: &Wanted, arrived: &HashSet<String>) -> Desired {
        let has = |name: &String| wanted.entries.iter().any(|entry| entry.name() == name);
        self.trials.retain(|name, _| has(name));
        self.refused.retain(|_, refused| wanted.entries.contains(refused));
        let current: BTreeMap<&str, &Json> = repair::our_entries(object).collect();
        let others = current.values().map(|entry| &entry["clientConfig"]["caBundle"]).find(|bundle| !is_empty(bundle));
        let mut desired = Desired { entries: Vec::new(), promoted: Vec::new(), until: None };
        for entry in &*wanted.entries {
            let name = entry.name();
            let current = current.get(name);
            if self.refused.contains_key(name) {
                if current.is_some() {
                    let client = self.entry(entry, wanted, current.copied(), others, IGNORE)["clientConfig"].take();
                    desired.entries.push(json!({ "name": name, "clientConfig": client }));
                }
                continue;
            }
            let mut failure_policy = IGNORE;
            if entry.fails() {
                // Fail is what the API server takes for no failure policy.
                let current = current.map(|current| current["failurePolicy"].as_str().unwrap_or(FAIL));
                let trial = self.trials.entry(name.to_owned()).or_default();
                let verdict = trial.next(now, current, arrived.contains(entry.policy()), self.settings.timing.trial);
                failure_policy = verdict.failure_policy;
                if verdict.promoted {
                    desired.promoted.push(name.to_owned());
                }
                desired.until = desired.until.into_iter().chain(verdict.until).min();
            } else {
                self.trials.remove(name);
            }
            desired.entries.push(self.entry(entry, wanted, current.copied(), others, failure_policy));
        }
        desired
    }

    /// An entry with its bundle. Where somebody else publishes that, it is what the entry holds, else what another one does.
    fn entry(
        &self,
        entry: &PolicyEntry,
        wanted: &Wanted,
        current: Option<&Json>,
        others: Option<&Json>,
        failure_policy: &str,
    ) -> Json {
        let mut json = entry.json(&wanted.bundle, failure_policy);
        if self.settings.bundles_are_published {
            let own = current.map(|current| &current["clientConfig"]["caBundle"]);
            let client = &mut json["clientConfig"];
            match own.filter(|own| !is_empty(own)).or(others) {
                Some(bundle) => client["caBundle"] = bundle.clone(),
                None => _ = client.as_object_mut().and_then(|client| client.remove("caBundle")),
            }
        }
        json
    }

    /// Why the object differs, and when that may be mended.
    fn cause(
        &mut self,
        now: Instant,
        object: &Json,
        wanted: &Wanted,
        changes: &[EntryChange],
        promoted: &[String],
    ) -> (WriteCause, Instant) {
        let promotion = |change: &EntryChange| match change {
            EntryChange::Changed(name, parts) => promoted.contains(name) && *parts == ["failurePolicy"],
            _ => false,
        };
        let timing = &self.settings.timing;
        if self.reached.as_ref() != Some(wanted) {
            return (WriteCause::Wanted, now);
        }
        if changes.iter().all(promotion) {
            return (WriteCause::Trial, now);
        }
        let due = self.pace.due(now, timing);
        if self.gone {
            return (WriteCause::Filled, due);
        }
        let author = author(object, changes, &self.settings.field_manager);
        let due = match author {
            ChangeAuthor::Peer => due.max(*self.peer_since.get_or_insert(now) + timing.peer_patience),
            ChangeAuthor::Other(_) => due,
        };
        (WriteCause::Drift(author), due)
    }
}

/// Whether a bundle is not there.
fn is_empty(bundle: &Json) -> bool {
    bundle.as_str().is_none_or(str::is_empty)
}

#[cfg(test)]
mod tests;
