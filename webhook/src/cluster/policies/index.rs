//! What is known of policies, their targets and CRDs, and what of it has to be looked at again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::api::DynamicObject;
use kube::core::ObjectMeta;
use kube::runtime::watcher::Event;
use statusguard_policy::spec::Target;

use super::compiled::of_document;
use super::conditions::switched_off;
use super::record::PolicyRecord;
use super::requests::TargetQuery;
use super::target::ServedTarget;
use super::watch::ServedPolicy;
use crate::guard::policy_changes::NamedPolicies;
use crate::guard::policy_file::PolicySource;
use crate::guard::store::ClusterPolicies;
use crate::guard::store_metrics::PolicyState;

/// Everything by name: a policy, its CRD and its target have the same.
#[derive(Default)]
pub struct PolicyIndex {
    pub records: BTreeMap<String, PolicyRecord>,
    /// What is served of targets that were looked up.
    pub targets: BTreeMap<String, ServedTarget>,
    /// The policies of the folder that are in force.
    folder: NamedPolicies,
    /// Whether all policies were listed.
    pub listed: bool,
    /// Policies to be compiled, or targets to be looked up.
    queue: BTreeSet<String>,
    /// Names seen in a listing that is under way.
    listing: BTreeSet<String>,
    /// The versions of all CRDs.
    crds: BTreeMap<String, String>,
    crd_listing: BTreeMap<String, String>,
    /// Objects whose conditions may have to be written.
    pub conditions: BTreeSet<String>,
    /// A policy has gone: that is put in force before anything else is compiled.
    pub gone: bool,
    /// Something else is to be put in force.
    pub changed: bool,
}

impl PolicyIndex {
    /// What the watch of policies tells.
    pub fn policy_event(&mut self, event: Event<DynamicObject>) {
        match event {
            // Never told: see `changes`.
            Event::Init => {}
            Event::InitApply(object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                self.apply(&name, object);
                self.listing.insert(name);
            }
            Event::InitDone => {
                let listing = std::mem::take(&mut self.listing);
                let gone: Vec<String> = self.records.keys().filter(|name| !listing.contains(*name)).cloned().collect();
                gone.iter().for_each(|name| self.delete(name));
                self.changed |= !self.listed;
                self.listed = true;
            }
            Event::Apply(object) => {
                let name = object.metadata.name.clone().unwrap_or_default();
                self.apply(&name, object);
            }
            Event::Delete(object) => self.delete(&object.metadata.name.unwrap_or_default()),
        }
    }

    fn apply(&mut self, name: &str, object: DynamicObject) {
        let newer = PolicyRecord::new(name, object);
        let changed = match self.records.get_mut(name) {
            Some(record) => {
                self.gone |= record.uid != newer.uid;
                record.update(newer)
            }
            None => {
                self.records.insert(name.to_owned(), newer);
                true
            }
        };
        if changed {
            self.queue.insert(name.to_owned());
        }
        self.conditions.insert(name.to_owned());
    }

    /// Something that all conditions depend on has changed.
    pub fn all_conditions(&mut self) {
        self.conditions.extend(self.records.keys().cloned());
    }

    fn delete(&mut self, name: &str) {
        self.records.remove(name);
        self.gone = true;
        // The folder may have one of its name.
        self.queue.insert(name.to_owned());
    }

    /// What the watch of CRDs tells.
    pub fn crd_event(&mut self, event: Event<ObjectMeta>) {
        let of =
            |metadata: ObjectMeta| (metadata.name.unwrap_or_default(), metadata.resource_version.unwrap_or_default());
        match event {
            // Never told: see `changes`.
            Event::Init => {}
            Event::InitApply(metadata) => self.crd_listing.extend([of(metadata)]),
            Event::InitDone => {
                let before = std::mem::replace(&mut self.crds, std::mem::take(&mut self.crd_listing));
                let names: BTreeSet<String> = before.keys().chain(self.crds.keys()).cloned().collect();
                for name in names {
                    if before.get(&name) != self.crds.get(&name) {
                        self.look_again(name);
                    }
                }
            }
            Event::Apply(metadata) => {
                let (name, version) = of(metadata);
                if self.crds.insert(name.clone(), version.clone()) != Some(version) {
                    self.look_again(name);
                }
            }
            Event::Delete(metadata) => {
                let (name, _) = of(metadata);
                self.crds.remove(&name);
                self.look_again(name);
            }
        }
    }

    /// The watch of policies failed. A listing under way begins again.
    pub fn policy_watch_failed(&mut self) {
        self.listing.clear();
    }

    /// The watch of CRDs failed. A listing under way begins again.
    pub fn crd_watch_failed(&mut self) {
        self.crd_listing.clear();
    }

    /// Something about a target may have changed. Most CRDs have no policy.
    fn look_again(&mut self, name: String) {
        if self.records.contains_key(&name) || self.targets.contains_key(&name) {
            self.queue.insert(name);
        }
    }

    /// The policies in force have changed. Those of the folder have targets to look up, too.
    pub fn in_force_changed(&mut self, in_force: &NamedPolicies) {
        let of_folder = in_force.iter().filter(|(_, entry)| entry.source != PolicySource::Cluster);
        let folder: NamedPolicies = of_folder.map(|(name, entry)| (*name, Arc::clone(entry))).collect();
        for (name, entry) in &folder {
            if !self.folder.get(name).is_some_and(|before| Arc::ptr_eq(before, entry)) {
                self.queue.insert((*name).to_owned());
            }
        }
        if !folder.keys().eq(self.folder.keys()) {
            self.all_conditions();
        }
        self.folder = folder;
    }

    /// All targets that no watch tells of are looked up again: those without a CRD, or all while CRDs are not watched.
    pub fn resync(&mut self, crds_watched: bool) {
        let names = self.targets.keys().chain(self.records.keys());
        let unwatched = names.filter(|name| !crds_watched || !self.crds.contains_key(*name));
        self.queue.extend(unwatched.cloned().collect::<Vec<_>>());
    }

    /// These could not be looked up.
    pub fn retry(&mut self, names: BTreeSet<String>) {
        self.queue.extend(names);
    }

    pub fn is_idle(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next to look at.
    pub fn next(&mut self) -> Option<String> {
        self.queue.pop_first()
    }

    /// What to ask the API server for a name; nothing if there is no policy of it, or its target cannot be read.
    pub fn query(&self, name: &str, in_force: &NamedPolicies) -> Option<TargetQuery> {
        let record = self.records.get(name);
        let newest = record.and_then(|record| of_document(&record.document));
        let active = record.and_then(|record| record.in_force()).or_else(|| in_force.get(name));
        let folder = in_force.get(name).filter(|entry| entry.source != PolicySource::Cluster);
        let active = [active, folder].into_iter().flatten().map(|entry| entry.policy.spec().target.clone());
        let targets: Vec<Target> = newest.into_iter().chain(active).filter(|target| is_name(target, name)).collect();
        let first = targets.first()?;
        Some(TargetQuery {
            group: first.group.clone(),
            resource: first.resource.clone(),
            versions: targets.iter().map(|target| target.version.clone()).filter(|text| is_version(text)).collect(),
        })
    }

    /// What is to be in force of the cluster, and what has become of the others.
    pub fn cluster(&self) -> ClusterPolicies {
        let mut cluster = ClusterPolicies::default();
        for (name, record) in &self.records {
            if let Some(entry) = record.in_force() {
                cluster.policies.insert(entry.name, Arc::clone(entry));
            }
            let state = record.compiled.as_ref().map_or(PolicyState::Unknown, |compiled| compiled.state);
            cluster.states.insert(name.clone(), state);
        }
        cluster
    }

    /// The policies in force whose targets are served, without those that are switched off.
    pub fn served(&self, in_force: &NamedPolicies) -> Vec<ServedPolicy> {
        let of = |entry: &Arc<_>| ServedPolicy { policy: Arc::clone(entry), namespaced: None };
        in_force
            .iter()
            .filter(|(_, entry)| switched_off(&entry.policy).is_none())
            .filter_map(|(name, entry)| match self.targets.get(*name) {
                None => Some(of(entry)),
                Some(served) => match served.namespaced(&entry.policy.spec().target) {
                    Ok(namespaced) => Some(ServedPolicy { namespaced: Some(namespaced), ..of(entry) }),
                    Err(_) => None,
                },
            })
            .collect()
    }
}

/// Whether the target is what the name says. It is part of a URL, and the API server has seen to it that names are names.
fn is_name(target: &Target, name: &str) -> bool {
    match target.group.as_str() {
        "" => target.resource == name,
        group => name.strip_prefix(target.resource.as_str()).and_then(|rest| rest.strip_prefix('.')) == Some(group),
    }
}

fn is_version(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests;
