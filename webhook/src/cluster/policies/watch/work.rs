//! What the watch does about what it has seen.

use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use serde_json::Value as Json;

use super::{EnforcementInputs, PolicyWatch, ServedPolicy};
use crate::cluster::policies::compiled::{CompiledVersion, KnownTarget};
use crate::cluster::policies::conditions::{self, EnforcementState, WantedCondition};
use crate::cluster::policies::problems::PolicyRequest;
use crate::cluster::policies::record::PolicyRecord;
use crate::cluster::policies::requests::TargetQuery;
use crate::cluster::policies::target::ServedTarget;
use crate::cluster::request::RequestError;
use crate::guard::policy_changes::NamedPolicies;
use crate::guard::policy_file::PolicySource;
use crate::guard::store_metrics::PolicyState;

/// For so long at most, discovery may still list what a deleted CRD defined.
const DISCOVERY_LAG: Duration = Duration::from_secs(3);

/// Conditions to write to an object.
struct DueWrite {
    wanted: [WantedCondition; 2],
    status: Json,
}

impl PolicyWatch {
    /// Does one thing, the most urgent. What is compiled is put in force together.
    pub(super) async fn work(&mut self, inputs: &mut EnforcementInputs) {
        if self.index.gone {
            (self.index.gone, self.unpublished) = (false, true);
            self.put_in_force().await;
        } else if let Some(name) = self.index.next() {
            self.look_at(name).await;
        } else if self.index.changed {
            (self.index.changed, self.unpublished) = (false, true);
            self.put_in_force().await;
            if let Some(gate) = &self.gate {
                gate.ready();
            }
        } else if self.unpublished {
            self.unpublished = false;
            self.publish();
        } else {
            self.write_conditions(inputs).await;
        }
    }

    /// Looks up what is served of a target, and compiles its policy.
    async fn look_at(&mut self, name: String) {
        let in_force = Arc::clone(&self.in_force.borrow());
        let Some(query) = self.index.query(&name, &in_force) else {
            self.unpublished |= self.index.targets.remove(&name).is_some();
            // Whatever keeps the target from being read is an error of the document.
            return self.compile(&name, KnownTarget::Unknown("it cannot be read".to_owned()), None).await;
        };
        match self.look_up(&query).await {
            KnownTarget::Told(served, crd) => {
                let version = crd.as_ref().and_then(|crd| crd["metadata"]["resourceVersion"].as_str());
                let version = version.map(str::to_owned);
                let before = self.index.targets.insert(name.clone(), served.clone());
                if !served.is_of_crd() && before.as_ref().is_some_and(ServedTarget::is_of_crd) {
                    self.unknown.insert(name.clone());
                    self.retry_by(Instant::now() + DISCOVERY_LAG);
                }
                tell_unserved(&name, &served, before.as_ref(), &in_force);
                let same = before.as_ref() == Some(&served);
                self.unpublished |= !same;
                let compiled = |record: &PolicyRecord| same && record.is_compiled_with(version.as_deref());
                if !self.index.records.get(&name).is_some_and(compiled) {
                    self.compile(&name, KnownTarget::Told(served, crd), version).await;
                }
            }
            unknown @ KnownTarget::Unknown(_) => {
                self.unknown.insert(name.clone());
                // What came to something once is not doubted while the API server is away.
                if self.index.records.get(&name).is_some_and(|record| record.compiled.is_none()) {
                    self.compile(&name, unknown, None).await;
                }
            }
        }
    }

    async fn look_up(&mut self, query: &TargetQuery) -> KnownTarget {
        if let Some((until, error)) = &self.away
            && *until > Instant::now()
        {
            return KnownTarget::Unknown(error.clone());
        }
        match self.requests.target(query, &mut self.problems).await {
            Ok((served, crd)) => {
                self.away = None;
                KnownTarget::Told(served, crd)
            }
            Err((error, delay)) => {
                let until = Instant::now() + delay;
                self.retry_by(until);
                let text = error.to_string();
                if let RequestError::Unreachable(_) = error {
                    self.away = Some((until, text.clone()));
                }
                KnownTarget::Unknown(text)
            }
        }
    }

    fn retry_by(&mut self, time: Instant) {
        self.retry_at = Some(self.retry_at.map_or(time, |at| at.min(time)));
    }

    /// Compiles what an object says, off the runtime's own threads.
    async fn compile(&mut self, name: &str, target: KnownTarget, crd_version: Option<String>) {
        let Some(record) = self.index.records.get_mut(name) else { return };
        let (document, seconds) = (record.document.clone(), self.store.compile_seconds());
        let compiling = tokio::task::spawn_blocking(move || CompiledVersion::of(document, &target, &seconds));
        let compiled = compiling.await.unwrap_or_else(|_| CompiledVersion::panicked());
        let said = |version: &CompiledVersion| (version.reason, version.message.clone());
        let news = record.compiled.as_ref().map(said) != Some(said(&compiled));
        record.set_compiled(compiled, crd_version);
        if news {
            tell_uncompiled(name, record);
        }
        self.index.changed = true;
        self.index.conditions.insert(name.to_owned());
    }

    /// Replaces the policies of the cluster that are in force. The folder may be read at the moment: that is waited for.
    async fn put_in_force(&mut self) {
        let (cluster, store) = (self.index.cluster(), Arc::clone(&self.store));
        // It ends only with the runtime.
        drop(tokio::task::spawn_blocking(move || store.set_cluster(cluster)).await);
        let in_force = Arc::clone(&self.in_force.borrow_and_update());
        self.index.in_force_changed(&in_force);
    }

    /// Tells what is served.
    fn publish(&self) {
        let served = self.index.served(&self.in_force.borrow());
        self.served.send_if_modified(|before| {
            let same = |(one, other): (&ServedPolicy, &ServedPolicy)| {
                Arc::ptr_eq(&one.policy, &other.policy) && one.namespaced == other.namespaced
            };
            let unchanged = before
                .as_ref()
                .is_some_and(|before| before.len() == served.len() && before.iter().zip(&served).all(same));
            if !unchanged {
                *before = Some(served.into());
            }
            !unchanged
        });
    }

    /// Writes the conditions of the next object that says something else.
    async fn write_conditions(&mut self, inputs: &mut EnforcementInputs) {
        while let Some(name) = self.index.conditions.pop_first() {
            if let Some(write) = self.due_write(&name, inputs) {
                self.write(name, write).await;
                return;
            }
        }
    }

    fn due_write(&mut self, name: &str, inputs: &EnforcementInputs) -> Option<DueWrite> {
        self.held.remove(name);
        let record = self.index.records.get_mut(name)?;
        let in_force = self.in_force.borrow();
        let folder = in_force.get(name).filter(|entry| entry.source != PolicySource::Cluster);
        let state = EnforcementState {
            published: &inputs.published.borrow(),
            arrived: &inputs.arrived.borrow(),
            replaced_by: folder.map(|entry| entry.source.to_string()),
        };
        let wanted = conditions::wanted(name, record.compiled.as_ref()?, &state, &record.status);
        let time = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let Some(status) = conditions::merged(&record.status, &wanted, record.generation, &time) else {
            record.writes.agrees(record.generation, &wanted);
            return None;
        };
        let now = Instant::now();
        let due = record.writes.due(now, record.generation, &wanted, &self.settings);
        if due > now {
            self.held.insert(name.to_owned(), due);
            return None;
        }
        Some(DueWrite { wanted, status })
    }

    async fn write(&mut self, name: String, DueWrite { wanted, status }: DueWrite) {
        let Some(record) = self.index.records.get_mut(&name) else { return };
        let written = self.requests.write_status(&name, &record.uid, &record.version, &status).await;
        let now = Instant::now();
        self.write_at = now + self.settings.between_writes;
        let error = match written {
            Ok(version) => {
                self.problems.succeeded(PolicyRequest::PatchStatus);
                self.metrics.writes.inc();
                record.writes.written(record.generation, &wanted, &self.settings);
                (record.version, record.status) = (version, status);
                return;
            }
            Err(error) => error,
        };
        let wait = match &error {
            // The watch brings the version to write to.
            RequestError::Conflict | RequestError::Absent => {
                self.metrics.conflicts.inc();
                self.settings.first_retry
            }
            // This object alone is not taken.
            RequestError::Invalid(..) | RequestError::Refused(400..=428, _) => {
                self.problems.failed(PolicyRequest::PatchStatus, &error);
                self.settings.slowest_retry
            }
            _ => {
                self.write_at = now + self.problems.failed(PolicyRequest::PatchStatus, &error);
                self.index.conditions.insert(name);
                return;
            }
        };
        record.writes.failed(now + wait);
        self.held.insert(name, now + wait);
    }
}

/// Says of a policy of the cluster why it is not in force.
fn tell_uncompiled(policy: &str, record: &PolicyRecord) {
    let Some(CompiledVersion { state, reason, message, .. }) = &record.compiled else { return };
    match state {
        PolicyState::InForce | PolicyState::Replaced => return,
        PolicyState::Broken => tracing::error!(policy, reason, message, "policy does not compile"),
        PolicyState::NotServed => tracing::warn!(policy, reason, message, "the policy's target is not served"),
        PolicyState::Unknown => tracing::warn!(policy, reason, message, "the policy's target is not known"),
    }
    if record.in_force().is_some_and(|entry| entry.document != record.document) {
        tracing::warn!(policy, "the last good version stays in force");
    }
}

/// Says of a policy of the folder that there is nothing to guard.
fn tell_unserved(name: &str, served: &ServedTarget, before: Option<&ServedTarget>, in_force: &NamedPolicies) {
    let Some(entry) = in_force.get(name).filter(|entry| entry.source != PolicySource::Cluster) else { return };
    let target = &entry.policy.spec().target;
    if let Err(error) = served.namespaced(target)
        && before.and_then(|before| before.namespaced(target).err()).as_ref() != Some(&error)
    {
        let source = &entry.source;
        tracing::warn!(policy = name, %source, reason = error.reason, message = error.message, "the policy's target is not served");
    }
}
