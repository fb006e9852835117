//! What to do about a configuration: values and the time in, a step out.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use statusguard_certs::UnixTime;

use super::author::{ChangeAuthor, author};
use super::authorities::AuthorityPlan;
use super::entry::{FAIL, IGNORE, PolicyEntry, bundle_of};
use super::pace::RepairPace;
use super::repair::{self, EntryChange, repaired};
use super::settings::ConfigurationSettings;
use super::trial::EntryTrial;

/// What the configuration is to hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub entries: Arc<[PolicyEntry]>,
    /// The authorities that this replica has mounted.
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
    /// Authorities that no replica has mounted come to their end, or are given one.
    Authorities,
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

    /// What to do about `object`, read at `now`, which is `wall` by the wall clock. `arrived` has the policies of which a
    /// dry-run write was seen to arrive.
    pub fn plan(
        &mut self,
        (now, wall): (Instant, UnixTime),
        object: &Json,
        wanted: &Wanted,
        arrived: &HashSet<String>,
    ) -> PlanStep {
        if !object["metadata"]["deletionTimestamp"].is_null() {
            // It goes as soon as its finalizers let it.
            return PlanStep::Idle { in_sync: false, held: false, until: None };
        }
        let authorities = (!self.settings.bundles_are_published)
            .then(|| AuthorityPlan::new(object, &wanted.bundle, wall, self.settings.timing.retention));
        let Desired { entries, promoted, until } = self.desired(now, object, wanted, arrived, authorities.as_ref());
        let look = authorities.as_ref().and_then(|authorities| authorities.until);
        let look = look.map(|at| now + seconds_between(wall, at));
        let until = until.into_iter().chain(look).min();
        let repair = repaired(object, &entries);
        let repair = match &authorities {
            Some(authorities) => authorities.recorded(object, repair),
            None => repair,
        };
        let Some(repair) = repair else {
            (self.gone, self.peer_since) = (false, None);
            self.reached = Some(wanted.clone());
            return PlanStep::Idle { in_sync: self.refused.is_empty(), held: false, until };
        };
        let (cause, due) = self.cause(now, object, wanted, &repair.changes, &promoted, authorities.as_ref());
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
            WriteCause::Authorities | WriteCause::Filled | WriteCause::Drift(_) => {
                Some(self.pace.repaired(now, &self.settings.timing))
            }
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

    fn desired(
        &mut self,
        now: Instant,
        object: &Json,
        wanted: &Wanted,
        arrived: &HashSet<String>,
        authorities: Option<&AuthorityPlan>,
    ) -> Desired {
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
                    let client = made(entry, authorities, current.copied(), others, IGNORE)["clientConfig"].take();
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
            desired.entries.push(made(entry, authorities, current.copied(), others, failure_policy));
        }
        desired
    }

    /// Why the object differs, and when that may be mended.
    fn cause(
        &mut self,
        now: Instant,
        object: &Json,
        wanted: &Wanted,
        changes: &[EntryChange],
        promoted: &[String],
        authorities: Option<&AuthorityPlan>,
    ) -> (WriteCause, Instant) {
        let promotion = |change: &EntryChange| match change {
            EntryChange::Changed(name, parts) => promoted.contains(name) && *parts == ["failurePolicy"],
            EntryChange::Authorities => !promoted.is_empty(),
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
        let bundles_differ = |change: &EntryChange| match change {
            EntryChange::Authorities => true,
            EntryChange::Changed(_, parts) => *parts == ["caBundle"],
            _ => false,
        };
        let bundles = authorities.filter(|_| changes.iter().all(bundles_differ));
        if bundles.is_some_and(|authorities| repair::our_entries(object).all(|(_, entry)| authorities.covers(entry))) {
            return (WriteCause::Authorities, due);
        }
        let author = author(object, changes, &self.settings.field_manager);
        let due = match author {
            // No replica takes away what another one has mounted.
            ChangeAuthor::Peer if bundles.is_some() => due,
            ChangeAuthor::Peer => due.max(*self.peer_since.get_or_insert(now) + timing.peer_patience),
            ChangeAuthor::Other(_) => due,
        };
        (WriteCause::Drift(author), due)
    }
}

/// An entry with its bundle. Where somebody else publishes that, it is what the entry holds, else what another one does.
fn made(
    entry: &PolicyEntry,
    authorities: Option<&AuthorityPlan>,
    current: Option<&Json>,
    others: Option<&Json>,
    failure_policy: &str,
) -> Json {
    if let Some(authorities) = authorities {
        return entry.json(&authorities.bundle(current.map(bundle_of).unwrap_or_default()), failure_policy);
    }
    let mut json = entry.json(&[], failure_policy);
    let own = current.map(|current| &current["clientConfig"]["caBundle"]);
    let client = &mut json["clientConfig"];
    match own.filter(|own| !is_empty(own)).or(others) {
        Some(bundle) => client["caBundle"] = bundle.clone(),
        None => _ = client.as_object_mut().and_then(|client| client.remove("caBundle")),
    }
    json
}

fn seconds_between(earlier: UnixTime, later: UnixTime) -> Duration {
    Duration::from_secs(u64::try_from(later.seconds().saturating_sub(earlier.seconds())).unwrap_or_default())
}

/// Whether a bundle is not there.
fn is_empty(bundle: &Json) -> bool {
    bundle.as_str().is_none_or(str::is_empty)
}

#[cfg(test)]
mod tests;
