//! The policies in force: read from a folder, replaced as a whole when its files change.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use statusguard_edge::ReadinessGate;

use super::policy_changes::{NamedPolicies, PolicyChanges, counted};
use super::policy_file::{ActivePolicy, PolicyFile};
use super::policy_folder::{self, FolderContents, FolderError, FolderHealth};
use crate::document;

/// 100 µs, four times as long nine times: up to 26 s.
const COMPILE_BUCKETS: u16 = 10;

/// What is known of the folder.
#[derive(Default)]
struct LoadedFolder {
    health: FolderHealth,
    files: PolicyFiles,
    /// The policies that are in force.
    named: NamedPolicies,
    /// Those that are not, because another file has them, too.
    doubled: BTreeSet<DoubledPolicy>,
}

/// The files of the folder by path.
type PolicyFiles = BTreeMap<PathBuf, Arc<PolicyFile>>;

/// A policy that stands in two places.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DoubledPolicy {
    name: &'static str,
    file: PathBuf,
    first: PathBuf,
}

/// The policies of one moment, by API group and resource.
type ActivePolicies = HashMap<String, HashMap<String, Arc<ActivePolicy>>>;

/// Called with the names of policies.
type Listener = Box<dyn Fn(&'static str) + Send + Sync>;

/// The policies in force.
pub struct PolicyStore {
    folder: PathBuf,
    /// One reading at a time, so that an older one does not replace a newer one.
    loaded: Mutex<LoadedFolder>,
    active: ArcSwap<ActivePolicies>,
    /// Policies in force, and documents that do not compile.
    count: Gauge,
    broken: Gauge,
    usable: Gauge,
    reloads: Counter,
    /// Who is told of each policy in force.
    listener: OnceLock<Listener>,
    /// Open once the folder was usable.
    gate: OnceLock<ReadinessGate>,
    compile_seconds: Histogram,
}

impl PolicyStore {
    /// Reads the folder for the first time. One without any policy file may get some later.
    ///
    /// # Errors
    /// When it cannot be read. A policy that does not compile is not an error.
    pub fn open(folder: PathBuf) -> Result<Self, document::Error> {
        if !folder.is_dir() {
            return Err(document::Error::unfit(&folder, "no such folder", "name one with --policy-dir"));
        }
        let loaded = LoadedFolder::default();
        let store = Self {
            folder,
            usable: loaded.health.usable(),
            loaded: Mutex::new(loaded),
            active: ArcSwap::default(),
            count: Gauge::default(),
            broken: Gauge::default(),
            reloads: Counter::default(),
            listener: OnceLock::new(),
            gate: OnceLock::new(),
            compile_seconds: Histogram::new(exponential_buckets(100e-6, 4.0, COMPILE_BUCKETS)),
        };
        match store.look() {
            Err(FolderError::Unreadable(error)) => Err(error),
            Ok(_) | Err(FolderError::Empty(_)) => Ok(store),
        }
    }

    /// Adds the metrics of the folder.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("statusguard_policies_loaded", "Policies in force", self.count.clone());
        registry.register("statusguard_policies_broken", "Policy documents that do not compile", self.broken.clone());
        registry.register(
            "statusguard_policy_folder_last_read_successful",
            "Whether the policy folder could be read at the last look, and held a policy file",
            self.usable.clone(),
        );
        registry.register(
            "statusguard_policy_reloads",
            "Times the policy folder was read because it changed",
            self.reloads.clone(),
        );
        registry.register(
            "statusguard_policy_compile_seconds",
            "From a policy document that was read to its compiled form or its problems",
            self.compile_seconds.clone(),
        );
    }

    /// Tells the name of each policy in force, now and whenever policies are loaded, to the first that asks.
    pub fn tell(&self, listener: impl Fn(&'static str) + Send + Sync + 'static) {
        let listener = self.listener.get_or_init(|| Box::new(listener));
        self.active.load().values().flat_map(HashMap::values).for_each(|entry| listener(entry.name));
    }

    /// Opens the gate once the folder was read with a policy file in it. It stays open: what was loaded stays in force.
    pub fn announce(&self, gate: ReadinessGate) {
        let gate = self.gate.get_or_init(|| gate);
        if self.usable.get() == 1 {
            gate.ready();
        }
    }

    /// The policy of a resource.
    pub fn get(&self, group: &str, resource: &str) -> Option<Arc<ActivePolicy>> {
        self.active.load().get(group)?.get(resource).cloned()
    }

    /// Looks at the folder again and again. Reading and compiling may take long, so neither happens on the runtime's
    /// own threads.
    pub async fn follow(self: Arc<Self>, interval: Duration) {
        let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(10)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let store = Arc::clone(&self);
            // What went wrong was said.
            drop(tokio::task::spawn_blocking(move || store.refresh()).await);
        }
    }

    /// Reads the folder and, if a file has changed, loads it. Contents are compared, not inodes or times: a mounted
    /// ConfigMap is swapped as a whole.
    ///
    /// # Errors
    /// When the folder cannot be used, which is said in the log, too, but not each time; nothing has changed then.
    pub fn refresh(&self) -> Result<(), FolderError> {
        if self.look()? {
            self.reloads.inc();
        }
        Ok(())
    }

    /// Reads the folder; whether a file has changed.
    fn look(&self) -> Result<bool, FolderError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match policy_folder::read(&self.folder) {
            Ok(contents) => contents,
            Err(error) => {
                if loaded.health.failed(Instant::now()) {
                    self.tell_unusable(&error, loaded.named.len());
                }
                return Err(error);
            }
        };
        if let Some(unusable) = loaded.health.succeeded(Instant::now()) {
            let (folder, seconds) = (self.folder.display(), unusable.as_secs());
            tracing::warn!(%folder, seconds, "the policy folder can be used again");
        }
        let same =
            |(path, content): (&PathBuf, &Vec<u8>)| loaded.files.get(path).is_some_and(|file| file.content == *content);
        let changed = contents.len() != loaded.files.len() || !contents.iter().all(same);
        if changed {
            self.load(&mut loaded, contents);
        }
        if let Some(gate) = self.gate.get() {
            gate.ready();
        }
        Ok(changed)
    }

    fn tell_unusable(&self, error: &FolderError, in_force: usize) {
        let (folder, error) = (self.folder.display(), error.text());
        if in_force == 0 {
            tracing::error!(%folder, error, "the policy folder cannot be used; nothing is guarded");
        } else {
            let count = counted(in_force);
            tracing::error!(%folder, error, "the policy folder cannot be used; still in force: {count}");
        }
    }

    /// Compiles the files that have changed and replaces the policies in force as a whole.
    fn load(&self, loaded: &mut LoadedFolder, contents: FolderContents) {
        let compiled = |(path, content): (PathBuf, Vec<u8>)| {
            let file = match loaded.files.get(&path) {
                Some(file) if file.content == content => Arc::clone(file),
                other => {
                    let before = other.map_or(&[][..], |file| &*file.policies);
                    Arc::new(PolicyFile::compile(&path, content, before, &self.compile_seconds))
                }
            };
            (path, file)
        };
        let files: PolicyFiles = contents.into_iter().map(compiled).collect();
        let (named, doubled) = by_name(&files);
        for DoubledPolicy { name, file, first } in doubled.difference(&loaded.doubled) {
            let (file, first) = (file.display(), first.display());
            tracing::error!(policy = name, %file, %first, "two policies of one name; the first stays");
        }
        let broken = files.values().map(|file| file.broken).sum();
        PolicyChanges::between(&loaded.named, &named).tell(named.len(), broken);
        self.count.set(i64::try_from(named.len()).unwrap_or(i64::MAX));
        self.broken.set(broken);
        let mut active = ActivePolicies::new();
        for entry in named.values() {
            if let Some(listener) = self.listener.get() {
                listener(entry.name);
            }
            let target = &entry.policy.spec().target;
            active.entry(target.group.clone()).or_default().insert(target.resource.clone(), Arc::clone(entry));
        }
        self.active.store(Arc::new(active));
        (loaded.files, loaded.named, loaded.doubled) = (files, named, doubled);
    }
}

/// The policies of files by name, the first of each; and the others.
fn by_name(files: &PolicyFiles) -> (NamedPolicies, BTreeSet<DoubledPolicy>) {
    let (mut named, mut doubled) = (NamedPolicies::new(), BTreeSet::new());
    for (path, entry) in files.iter().flat_map(|(path, file)| file.policies.iter().map(move |entry| (path, entry))) {
        match named.entry(entry.name) {
            Entry::Vacant(place) => drop(place.insert(Arc::clone(entry))),
            Entry::Occupied(first) => {
                let first = first.get().file.clone();
                doubled.insert(DoubledPolicy { name: entry.name, file: path.clone(), first });
            }
        }
    }
    (named, doubled)
}

#[cfg(test)]
mod tests;
