//! Writes that were not simply allowed, in memory: the newest ones, until the process ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use statusguard_edge::Recorder;
use statusguard_policy::{Class, Finding, Waiver};

/// One write that was refused, or allowed although a rule spoke against it.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// When it was judged.
    pub time: SystemTime,
    /// What happened to it: Repaired, Bypassed, Warned, Audited or Denied.
    pub outcome: &'static str,
    /// The class of its findings.
    pub class: Option<Class>,
    /// The policy that judged it.
    pub policy: &'static str,
    /// Namespace of the object, empty for cluster-scoped ones.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// The object's uid.
    pub uid: String,
    /// The version that the write was to replace, as this call saw it.
    pub resource_version: String,
    /// Who wrote.
    pub user: String,
    /// `options.fieldManager`, empty when the client did not send it.
    pub field_manager: String,
    /// The violated rules.
    pub findings: Vec<Finding>,
    /// The waived rules.
    pub waivers: Vec<Waiver>,
}

/// The newest refusals. Clones share them.
#[derive(Clone)]
pub struct Refusals {
    kept: Arc<Mutex<VecDeque<Refusal>>>,
    most: usize,
}

impl Refusals {
    /// Keeps the `most` newest.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { kept: Arc::default(), most }
    }

    /// All that are kept, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Refusal> {
        self.kept().iter().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Refusal>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder<Refusal> for Refusals {
    async fn record(&self, refusal: Refusal) {
        let mut kept = self.kept();
        if kept.len() >= self.most {
            kept.pop_front();
        }
        kept.push_back(refusal);
    }
}
