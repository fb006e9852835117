//! The policies in force: from a folder, from the cluster, or from both. They are replaced as a whole when one of the two
//! changes; of two with one name, that of the folder is in force.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use statusguard_certs::with_sources;
use statusguard_edge::ReadinessGate;
use tokio::sync::watch;

use super::policy_changes::{EntriesKeptBy, NamedPolicies, PolicyChanges, counted};
use super::policy_file::{ActivePolicy, PolicyFile};
use super::policy_folder::{self, FolderContents, FolderError, FolderHealth};
use super::store_metrics::{PolicyState, StoreMetrics};
use crate::document;

/// What is known of both sources.
#[derive(Default)]
struct LoadedPolicies {
    health: FolderHealth,
    files: PolicyFiles,
    /// The policies of the folder, the first of each name.
    folder: NamedPolicies,
    /// The others of the folder.
    doubled: BTreeSet<DoubledPolicy>,
    cluster: ClusterPolicies,
    /// Policies of the cluster that the folder has, too.
    replaced: BTreeSet<&'static str>,
    /// The policies in force.
    named: NamedPolicies,
}

/// What the cluster has.
#[derive(Default)]
pub struct ClusterPolicies {
    /// To be in force.
    pub policies: NamedPolicies,
    /// What has become of each object, by its name.
    pub states: BTreeMap<String, PolicyState>,
}

/// The files of the folder by path.
type PolicyFiles = BTreeMap<PathBuf, Arc<PolicyFile>>;

/// A policy that stands in two places.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct DoubledPolicy {
    name: &'static str,
    file: PathBuf,
    first: String,
}

/// The policies of one moment, by API group and resource.
type ActivePolicies = HashMap<String, HashMap<String, Arc<ActivePolicy>>>;

/// Called with the names of policies.
type Listener = Box<dyn Fn(&'static str) + Send + Sync>;

/// The policies in force.
pub struct PolicyStore {
    folder: Option<PathBuf>,
    entries: EntriesKeptBy,
    /// One change at a time, so that an older one does not replace a newer one.
    loaded: Mutex<LoadedPolicies>,
    active: ArcSwap<ActivePolicies>,
    /// The policy of the guard's own kind, if the guard calls itself.
    own: OnceLock<Arc<ActivePolicy>>,
    /// Those that are active by name, for those who wait for changes.
    in_force: watch::Sender<Arc<NamedPolicies>>,
    metrics: StoreMetrics,
    /// Who is told of each policy in force.
    listener: OnceLock<Listener>,
    /// Open once the folder was usable.
    gate: OnceLock<ReadinessGate>,
}

impl PolicyStore {
    /// Reads the folder for the first time. One without any policy file may get some later. The log names settings that
    /// are up to the administrator, if the entries are.
    ///
    /// # Errors
    /// When it cannot be read. A policy that does not compile is not an error.
    pub fn open(folder: PathBuf, entries: EntriesKeptBy) -> Result<Self, document::Error> {
        if !folder.is_dir() {
            return Err(document::Error::unfit(&folder, "no such folder", "name one with --policy-dir"));
        }
        let store = Self { folder: Some(folder), entries, ..Self::without_folder() };
        match store.look() {
            Err(FolderError::Unreadable(error)) => Err(error),
            Ok(_) | Err(FolderError::Empty(_)) => Ok(store),
        }
    }

    /// For policies of the cluster only.
    #[must_use]
    pub fn without_folder() -> Self {
        let loaded = LoadedPolicies::default();
        Self {
            folder: None,
            entries: EntriesKeptBy::Guard,
            metrics: StoreMetrics::new(loaded.health.usable()),
            loaded: Mutex::new(loaded),
            active: ArcSwap::default(),
            own: OnceLock::new(),
            in_force: watch::Sender::default(),
            listener: OnceLock::new(),
            gate: OnceLock::new(),
        }
    }

    /// Adds the metrics of both sources.
    pub fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    /// Tells the name of each policy in force, now and whenever policies are loaded, to the first that asks.
    pub fn tell(&self, listener: impl Fn(&'static str) + Send + Sync + 'static) {
        let listener = self.listener.get_or_init(|| Box::new(listener));
        let active = self.active.load();
        let active = active.values().flat_map(HashMap::values);
        active.chain(self.own.get()).for_each(|entry| listener(entry.name));
    }

    /// Judges writes to the guard's own kind by this policy, from now on. The first one stays.
    pub fn judge_own(&self, policy: Arc<ActivePolicy>) {
        let policy = self.own.get_or_init(|| policy);
        if let Some(listener) = self.listener.get() {
            listener(policy.name);
        }
    }

    /// Opens the gate once the folder was read with a policy file in it. It stays open: what was loaded stays in force.
    pub fn announce(&self, gate: ReadinessGate) {
        let gate = self.gate.get_or_init(|| gate);
        if self.metrics.usable.get() == 1 {
            gate.ready();
        }
    }

    /// The policy of a resource.
    pub fn get(&self, group: &str, resource: &str) -> Option<Arc<ActivePolicy>> {
        let active = self.active.load();
        let found = active.get(group).and_then(|resources| resources.get(resource)).cloned();
        found.or_else(|| self.own.get().filter(|own| own.is_for(group, resource)).cloned())
    }

    /// The policies in force by name, whenever they change.
    #[must_use]
    pub fn in_force(&self) -> watch::Receiver<Arc<NamedPolicies>> {
        self.in_force.subscribe()
    }

    /// How long compiling takes.
    pub(crate) fn compile_seconds(&self) -> Histogram {
        self.metrics.compile_seconds.clone()
    }

    /// Replaces the policies of the cluster. Waits while the folder is being read.
    pub fn set_cluster(&self, cluster: ClusterPolicies) {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.cluster = cluster;
        self.apply(&mut loaded, false);
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
            self.metrics.reloads.inc();
        }
        Ok(())
    }

    /// Reads the folder; whether a file has changed.
    fn look(&self) -> Result<bool, FolderError> {
        let Some(folder) = &self.folder else { return Ok(false) };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = match policy_folder::read(folder) {
            Ok(contents) => contents,
            Err(error) => {
                if loaded.health.failed(Instant::now()) {
                    tell_unusable(folder, &error, loaded.named.len());
                }
                return Err(error);
            }
        };
        if let Some(unusable) = loaded.health.succeeded(Instant::now()) {
            let (folder, seconds) = (folder.display(), unusable.as_secs());
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

    /// Compiles the files that have changed and replaces the policies in force as a whole.
    fn load(&self, loaded: &mut LoadedPolicies, contents: FolderContents) {
        let compiled = |(path, content): (PathBuf, Vec<u8>)| {
            let file = match loaded.files.get(&path) {
                Some(file) if file.content == content => Arc::clone(file),
                other => {
                    let before = other.map_or(&[][..], |file| &*file.policies);
                    Arc::new(PolicyFile::compile(&path, content, before, &self.metrics.compile_seconds))
                }
            };
            (path, file)
        };
        let files: PolicyFiles = contents.into_iter().map(compiled).collect();
        let (folder, doubled) = by_name(&files);
        for DoubledPolicy { name, file, first } in doubled.difference(&loaded.doubled) {
            let file = file.display();
            tracing::error!(policy = name, %file, first, "two policies of one name; the first stays");
        }
        (loaded.files, loaded.folder, loaded.doubled) = (files, folder, doubled);
        self.apply(loaded, true);
    }

    /// Replaces the policies in force by those of both sources. `tell` even if they are the same.
    fn apply(&self, loaded: &mut LoadedPolicies, tell: bool) {
        let mut named = loaded.cluster.policies.clone();
        let mut replaced = BTreeSet::new();
        for (name, entry) in &loaded.folder {
            if named.insert(name, Arc::clone(entry)).is_some() {
                replaced.insert(*name);
            }
        }
        for name in replaced.difference(&loaded.replaced) {
            let file = &loaded.folder[name].source;
            tracing::warn!(policy = name, %file, "the folder and the cluster have this policy; that of the folder is in force");
        }
        loaded.replaced = replaced;
        let broken = self.count(loaded, named.len());
        let changes = PolicyChanges::between(&loaded.named, &named);
        if tell || !changes.is_empty() {
            changes.tell(named.len(), broken, self.entries);
        }
        let mut active = ActivePolicies::new();
        for entry in named.values() {
            if let Some(listener) = self.listener.get() {
                listener(entry.name);
            }
            let target = &entry.policy.spec().target;
            active.entry(target.group.clone()).or_default().insert(target.resource.clone(), Arc::clone(entry));
        }
        self.active.store(Arc::new(active));
        self.in_force.send_replace(Arc::new(named.clone()));
        loaded.named = named;
    }

    /// Sets the metrics; returns how many policies do not compile.
    fn count(&self, loaded: &LoadedPolicies, in_force: usize) -> i64 {
        let folder = [
            (PolicyState::InForce, count_of(loaded.folder.len())),
            (PolicyState::Broken, loaded.files.values().map(|file| file.broken).sum()),
            (PolicyState::Replaced, count_of(loaded.doubled.len())),
        ];
        let mut cluster = BTreeMap::new();
        for (name, state) in &loaded.cluster.states {
            let replaced = loaded.folder.contains_key(name.as_str());
            *cluster.entry(if replaced { PolicyState::Replaced } else { *state }).or_default() += 1;
        }
        self.metrics.count(count_of(in_force), &folder.into(), &cluster)
    }
}

fn count_of(policies: usize) -> i64 {
    i64::try_from(policies).unwrap_or(i64::MAX)
}

fn tell_unusable(folder: &Path, error: &FolderError, in_force: usize) {
    let (folder, error) = (folder.display(), with_sources(error));
    if in_force == 0 {
        tracing::error!(%folder, error, "the policy folder cannot be used; nothing is guarded");
    } else {
        let count = counted(in_force);
        tracing::error!(%folder, error, "the policy folder cannot be used; still in force: {count}");
    }
}

/// The policies of files by name, the first of each; and the others.
fn by_name(files: &PolicyFiles) -> (NamedPolicies, BTreeSet<DoubledPolicy>) {
    let (mut named, mut doubled) = (NamedPolicies::new(), BTreeSet::new());
    for (path, entry) in files.iter().flat_map(|(path, file)| file.policies.iter().map(move |entry| (path, entry))) {
        match named.entry(entry.name) {
            Entry::Vacant(place) => drop(place.insert(Arc::clone(entry))),
            Entry::Occupied(first) => {
                let first = first.get().source.to_string();
                doubled.insert(DoubledPolicy { name: entry.name, file: path.clone(), first });
            }
        }
    }
    (named, doubled)
}

#[cfg(test)]
mod tests;
