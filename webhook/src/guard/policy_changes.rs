//! What a reload has changed, and what the log says about it: nothing of what stayed as it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use statusguard_policy::spec::{FailurePolicy, StatusPolicySpec};

use super::policy_file::ActivePolicy;

/// Policies by name.
pub type NamedPolicies = BTreeMap<&'static str, Arc<ActivePolicy>>;

/// Who writes the entries of the policies in the webhook configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntriesKeptBy {
    /// The guard itself.
    Guard,
    /// The administrator, as with `--static-config`.
    Administrator,
}

/// The differences between two sets of policies.
pub struct PolicyChanges<'p> {
    added: Vec<&'p ActivePolicy>,
    changed: Vec<&'p ActivePolicy>,
    removed: Vec<&'p ActivePolicy>,
}

impl<'p> PolicyChanges<'p> {
    pub fn between(before: &'p NamedPolicies, after: &'p NamedPolicies) -> Self {
        let (mut added, mut changed) = (Vec::new(), Vec::new());
        for (name, entry) in after {
            match before.get(name) {
                None => added.push(&**entry),
                Some(old) if old.document != entry.document => changed.push(&**entry),
                Some(_) => {}
            }
        }
        let gone = before.iter().filter(|(name, _)| !after.contains_key(*name));
        Self { added, changed, removed: gone.map(|(_, entry)| &**entry).collect() }
    }

    /// Whether nothing is different.
    pub fn is_empty(&self) -> bool {
        let Self { added, changed, removed } = self;
        [added, changed, removed].into_iter().all(Vec::is_empty)
    }

    /// Says what is new of each policy that was added or has changed, and names all that is different.
    pub fn tell(&self, in_force: usize, broken: i64, entries: EntriesKeptBy) {
        for entry in self.added.iter().chain(&self.changed) {
            let (policy, source) = (entry.name, &entry.source);
            for problem in entry.policy.warnings() {
                tracing::warn!(policy, %source, %problem, "policy");
            }
            let settings = entry_settings(entry);
            if entries == EntriesKeptBy::Administrator && !settings.is_empty() {
                tracing::warn!(
                    policy,
                    %source,
                    settings = settings.join(", "),
                    "the guard does not apply these settings: set them in the policy's entry of the \
                     ValidatingWebhookConfiguration"
                );
            }
        }
        let [added, changed, removed] = [&self.added, &self.changed, &self.removed].map(|entries| names(entries));
        let count = counted(in_force);
        if removed.is_some() {
            tracing::warn!(policies = in_force, broken, added, changed, removed, "{count} in force");
        } else {
            tracing::info!(policies = in_force, broken, added, changed, "{count} in force");
        }
    }
}

/// `jobs.batch, pods.core`, or nothing.
fn names(entries: &[&ActivePolicy]) -> Option<String> {
    let names: Vec<_> = entries.iter().map(|entry| entry.name).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// `1 policy`, `2 policies`.
pub fn counted(policies: usize) -> String {
    match policies {
        1 => "1 policy".to_owned(),
        count => format!("{count} policies"),
    }
}

/// The settings of a policy that concern its entry in the webhook configuration, and are not the defaults.
fn entry_settings(entry: &ActivePolicy) -> Vec<&'static str> {
    let StatusPolicySpec { failure_policy, target, .. } = entry.policy.spec();
    let settings = [
        ("spec.failurePolicy", *failure_policy != FailurePolicy::default()),
        ("spec.target.namespaceSelector", target.namespace_selector.is_some()),
        ("spec.target.objectSelector", target.object_selector.is_some()),
    ];
    settings.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect()
}
