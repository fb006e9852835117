//! A file of the policy folder and the policies in it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use prometheus_client::metrics::histogram::Histogram;
use serde_json::Value as Json;
use statusguard_policy::Policy;

use crate::{document, policies};

/// A file of the folder as it was last read.
pub struct PolicyFile {
    pub content: Vec<u8>,
    /// Its policies; of one that does not compile any more, the last good version.
    pub policies: Vec<Arc<ActivePolicy>>,
    /// Documents that do not compile.
    pub broken: i64,
}

/// A policy and what does not change from call to call.
#[derive(Debug)]
pub struct ActivePolicy {
    /// The compiled policy.
    pub policy: Policy,
    /// Its name, shared with labels and records.
    pub name: &'static str,
    /// What it was compiled from.
    pub document: Json,
    /// Where that stands.
    pub source: PolicySource,
    called: AtomicBool,
}

/// Where a policy is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    /// A file of the policy folder.
    File(PathBuf),
    /// A StatusPolicy object of the cluster.
    Cluster,
}

impl fmt::Display for PolicySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Cluster => f.write_str("the cluster"),
        }
    }
}

impl ActivePolicy {
    /// A compiled policy with what it was compiled from.
    pub fn new(policy: Policy, document: Json, source: PolicySource) -> Self {
        Self { name: interned(policy.name()), policy, document, source, called: AtomicBool::new(false) }
    }

    /// Whether it judges writes to this resource.
    pub fn is_for(&self, group: &str, resource: &str) -> bool {
        let target = &self.policy.spec().target;
        target.group == group && target.resource == resource
    }

    /// Whether no call has come yet; asked once for each call.
    pub fn first_call(&self) -> bool {
        !self.called.load(Ordering::Relaxed) && !self.called.swap(true, Ordering::Relaxed)
    }
}

impl PolicyFile {
    /// Compiles what has changed since the file gave the policies `before`. Of a document that does not compile, the
    /// one it gave before stays in force.
    pub fn compile(path: &Path, content: Vec<u8>, before: &[Arc<ActivePolicy>], seconds: &Histogram) -> Self {
        let file = path.display();
        let (mut policies, mut broken) = (Vec::new(), 0);
        match documents(path, &content) {
            Ok(documents) => {
                for document in documents {
                    if let Some(same) = before.iter().find(|entry| entry.document == document) {
                        policies.push(Arc::clone(same));
                        continue;
                    }
                    let start = Instant::now();
                    let compiled = Policy::compile(&document);
                    seconds.observe(start.elapsed().as_secs_f64());
                    match compiled {
                        Ok(policy) => {
                            let source = PolicySource::File(path.into());
                            policies.push(Arc::new(ActivePolicy::new(policy, document, source)));
                        }
                        Err(problems) => {
                            broken += 1;
                            for problem in &problems {
                                tracing::error!(%file, %problem, "policy does not compile");
                            }
                        }
                    }
                }
            }
            Err(error) => {
                broken += 1;
                tracing::error!(%file, error = format!("{:#}", anyhow::Error::from(error)), "policy file unusable");
            }
        }
        if broken > 0 {
            let gone: Vec<_> =
                before.iter().filter(|entry| policies.iter().all(|other| other.name != entry.name)).collect();
            for entry in gone {
                tracing::warn!(policy = entry.name, %file, "the last good version stays in force");
                policies.push(Arc::clone(entry));
            }
        }
        Self { content, policies, broken }
    }
}

/// The documents of a file. One with nothing but comments holds none; one without any text may be half written, and is
/// not taken for that.
fn documents(path: &Path, content: &[u8]) -> Result<Vec<Json>, document::Error> {
    let documents = document::documents(path, content)?;
    if documents.is_empty() && !content.trim_ascii().is_empty() {
        return Ok(Vec::new());
    }
    policies::to_json(path, &documents)
}

/// Policy names live as long as the process: there are few, and labels need them without a copy.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.push(name);
    name
}
