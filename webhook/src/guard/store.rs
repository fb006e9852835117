//! The policies in force: read from a folder, replaced as a whole when its files change.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use statusguard_policy::Policy;

use crate::{document, policies};

/// Files by path, with their contents when they were last read.
type FileContents = BTreeMap<PathBuf, Vec<u8>>;

/// A policy and what does not change from call to call.
#[derive(Debug)]
pub struct ActivePolicy {
    /// The compiled policy.
    pub policy: Policy,
    /// Its name, shared with labels and records.
    pub name: &'static str,
    file: PathBuf,
}

/// The policies of one moment, by API group and resource.
type ActivePolicies = HashMap<String, HashMap<String, Arc<ActivePolicy>>>;

/// The policies in force.
pub struct PolicyStore {
    folder: PathBuf,
    active: ArcSwap<ActivePolicies>,
    loaded: Gauge,
    broken: Gauge,
    reloads: Counter,
}

impl PolicyStore {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// When it cannot be read. A policy that does not compile is no error.
    pub fn open(folder: PathBuf) -> Result<Self, document::Error> {
        if !folder.is_dir() {
            return Err(document::Error::unfit(&folder, "no such folder", "name one with --policy-dir"));
        }
        let store = Self {
            folder,
            active: ArcSwap::default(),
            loaded: Gauge::default(),
            broken: Gauge::default(),
            reloads: Counter::default(),
        };
        let files = store.files()?;
        store.load(&files);
        Ok(store)
    }

    /// Adds the metrics of the folder.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("statusguard_policies_loaded", "Policies in force", self.loaded.clone());
        registry.register("statusguard_policies_broken", "Policy documents that do not compile", self.broken.clone());
        registry.register(
            "statusguard_policy_reloads",
            "Times the policy folder was read because it changed",
            self.reloads.clone(),
        );
    }

    /// The policy of a resource.
    pub fn get(&self, group: &str, resource: &str) -> Option<Arc<ActivePolicy>> {
        self.active.load().get(group)?.get(resource).cloned()
    }

    /// Reads the folder again whenever a file has changed. Contents are compared, not inodes or
    /// times: a mounted ConfigMap is swapped as a whole.
    pub async fn follow(&self, interval: Duration) {
        let mut seen = self.files().unwrap_or_default();
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match self.files() {
                Ok(files) if files != seen => {
                    self.reloads.inc();
                    self.load(&files);
                    seen = files;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(folder = %self.folder.display(), %error, "policies cannot be read; the last ones stay")
                }
            }
        }
    }

    fn files(&self) -> Result<FileContents, document::Error> {
        let mut files = FileContents::new();
        for file in document::files(&self.folder, false)? {
            match std::fs::read(&file) {
                Ok(content) => {
                    files.insert(file, content);
                }
                // Removed between listing and reading.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(document::Error::Read { file, source }),
            }
        }
        Ok(files)
    }

    /// Compiles all files. Of one that does not compile, the policies it gave before stay in force.
    fn load(&self, files: &FileContents) {
        let before = self.active.load_full();
        let mut entries: Vec<Arc<ActivePolicy>> = Vec::new();
        let mut broken = 0;
        for file in files.keys() {
            let (compiled, failed) = self.compile(file);
            if failed > 0 {
                broken += failed;
                let kept = before.values().flat_map(HashMap::values).filter(|entry| entry.file == *file);
                let kept = kept.filter(|entry| compiled.iter().all(|other| other.name != entry.name));
                for entry in kept {
                    tracing::warn!(policy = entry.name, file = %file.display(), "the last good version stays in force");
                    entries.push(Arc::clone(entry));
                }
            }
            entries.extend(compiled.into_iter().map(Arc::new));
        }
        let mut active = ActivePolicies::new();
        for entry in entries {
            let target = &entry.policy.spec().target;
            let resources = active.entry(target.group.clone()).or_default();
            if let Some(first) = resources.get(&target.resource) {
                tracing::error!(policy = entry.name, file = %entry.file.display(), first = %first.file.display(), "two policies of one name; the first stays");
                continue;
            }
            resources.insert(target.resource.clone(), entry);
        }
        let count: usize = active.values().map(HashMap::len).sum();
        tracing::info!(policies = count, broken, folder = %self.folder.display(), "policies loaded");
        self.loaded.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.broken.set(broken);
        self.active.store(Arc::new(active));
    }

    /// The policies of a file, and how many of its documents are none.
    fn compile(&self, file: &Path) -> (Vec<ActivePolicy>, i64) {
        let loaded = match policies::load(file) {
            Ok(loaded) => loaded,
            Err(error) => {
                tracing::error!(file = %file.display(), error = format!("{:#}", anyhow::Error::from(error)), "policy file unusable");
                return (Vec::new(), 1);
            }
        };
        let (mut entries, mut failed) = (Vec::new(), 0);
        for policies::Loaded { file, result } in loaded {
            match result {
                Ok(policy) => {
                    policy
                        .warnings()
                        .iter()
                        .for_each(|problem| tracing::warn!(file = %file.display(), %problem, "policy"));
                    entries.push(ActivePolicy { name: interned(policy.name()), policy, file });
                }
                Err(problems) => {
                    failed += 1;
                    problems.iter().for_each(
                        |problem| tracing::error!(file = %file.display(), %problem, "policy does not compile"),
                    );
                }
            }
        }
        (entries, failed)
    }
}

/// Policy names live as long as the process: there are few, and labels need them without a copy.
fn interned(name: &str) -> &'static str {
    use std::sync::{Mutex, PoisonError};
    static NAMES: Mutex<Vec<&'static str>> = Mutex::new(Vec::new());
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = names.iter().find(|known| **known == name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.push(name);
    name
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const GOOD: &str = "apiVersion: statusguard.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {name: jobs.example.org}\nspec:\n  target: {group: example.org, version: v1, resource: jobs}\n  monotone: [{path: .status.attempts}]\n";

    #[test]
    fn the_last_good_version_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("jobs.yaml");
        std::fs::write(&file, GOOD).unwrap();
        std::fs::write(folder.path().join("broken.yaml"), "kind: [").unwrap();
        let store = PolicyStore::open(folder.path().into()).unwrap();
        assert!(store.get("example.org", "jobs").is_some());
        assert!(store.get("example.org", "others").is_none());
        assert_eq!(store.broken.get(), 1);

        std::fs::write(&file, GOOD.replace("monotone", "monotony")).unwrap();
        store.load(&store.files().unwrap());
        assert!(store.get("example.org", "jobs").is_some(), "a broken version replaces nothing");
        assert_eq!(store.broken.get(), 2);

        std::fs::remove_file(&file).unwrap();
        store.load(&store.files().unwrap());
        assert!(store.get("example.org", "jobs").is_none(), "a removed policy is gone");
    }
}
