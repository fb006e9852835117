//! Writes that were not simply allowed, in memory: the newest ones, until the process ends.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use statusguard_edge::Recorder;
use statusguard_policy::spec::Mode;
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
    /// The HTTP status code of the refusal; `None` when the write was allowed.
    pub code: Option<u16>,
    /// The policy's mode in the object's namespace.
    pub mode: Mode,
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
    /// Who wrote. This and the other names are cut after [`statusguard_edge::LONGEST_SHOWN`] bytes.
    pub user: String,
    /// `options.fieldManager`, empty when the client did not send it.
    pub field_manager: String,
    /// The id of the API server's trace, empty when the call was not part of one.
    pub trace_id: String,
    /// The violated rules.
    pub findings: Vec<Finding>,
    /// The number of further ones.
    pub more: usize,
    /// The waived rules.
    pub waivers: Vec<Waiver>,
    /// Why the write could not be judged, empty when it was.
    pub unjudged: String,
}

impl Refusal {
    /// Bytes of its texts.
    fn weight(&self) -> usize {
        let texts = [
            &self.namespace,
            &self.name,
            &self.uid,
            &self.resource_version,
            &self.user,
            &self.field_manager,
            &self.trace_id,
            &self.unjudged,
        ];
        let findings = self.findings.iter().flat_map(|f| [&f.field, &f.old, &f.new, &f.what]);
        let waivers = self.waivers.iter().map(|waiver| &waiver.field);
        texts.into_iter().chain(findings).chain(waivers).map(String::len).sum()
    }
}

/// The newest refusals. Clones share them.
#[derive(Clone)]
pub struct Refusals {
    buffer: Arc<Mutex<RefusalBuffer>>,
    most: usize,
    bytes: usize,
}

#[derive(Default)]
struct RefusalBuffer {
    refusals: VecDeque<Refusal>,
    weight: usize,
}

impl Refusals {
    /// Keeps the newest: at most `most`, with at most `bytes` bytes of text.
    #[must_use]
    pub fn new(most: usize, bytes: usize) -> Self {
        Self { buffer: Arc::default(), most, bytes }
    }

    /// All that are kept, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Refusal> {
        self.buffer().refusals.iter().cloned().collect()
    }

    fn buffer(&self) -> MutexGuard<'_, RefusalBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder<Refusal> for Refusals {
    async fn record(&self, refusal: Refusal) {
        let mut buffer = self.buffer();
        buffer.weight += refusal.weight();
        buffer.refusals.push_back(refusal);
        while buffer.refusals.len() > self.most || buffer.weight > self.bytes {
            let Some(oldest) = buffer.refusals.pop_front() else { break };
            buffer.weight -= oldest.weight();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: String) -> Refusal {
        Refusal {
            time: SystemTime::UNIX_EPOCH,
            outcome: "Denied",
            class: Some(Class::Stale),
            code: Some(409),
            mode: Mode::Enforce,
            policy: "jobs.example.org",
            namespace: String::new(),
            name,
            uid: String::new(),
            resource_version: String::new(),
            user: String::new(),
            field_manager: String::new(),
            trace_id: String::new(),
            findings: Vec::new(),
            more: 0,
            waivers: Vec::new(),
            unjudged: String::new(),
        }
    }

    #[tokio::test]
    async fn the_newest_are_kept_within_their_number_and_their_bytes() {
        let refusals = Refusals::new(3, 100);
        let names = || refusals.list().iter().map(|refusal| refusal.name.len()).collect::<Vec<_>>();
        for length in 1..=5 {
            refusals.record(refusal("x".repeat(length))).await;
        }
        assert_eq!(names(), [3, 4, 5]);
        refusals.record(refusal("x".repeat(93))).await;
        assert_eq!(names(), [5, 93]);
        refusals.record(refusal("x".repeat(101))).await;
        assert_eq!(names(), [0_usize; 0], "none is kept that is too long by itself");
        refusals.record(refusal("x".repeat(7))).await;
        assert_eq!(names(), [7]);
    }
}
