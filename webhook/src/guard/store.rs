//! The policies in force: read from a folder, replaced as a whole when its files change.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use statusguard_policy::Policy;

use crate::{document, policies};

/// 100 µs, four times as long nine times: up to 26 s.
const COMPILE_BUCKETS: u16 = 10;

/// The files of the folder by path.
type PolicyFiles = BTreeMap<PathBuf, Arc<PolicyFile>>;

/// A file of the folder as it was last read.
struct PolicyFile {
    content: Vec<u8>,
    /// Its policies; of one that does not compile any more, the last good version.
    policies: Vec<Arc<ActivePolicy>>,
    /// Documents that do not compile.
    broken: i64,
}

/// A policy and what does not change from call to call.
#[derive(Debug)]
pub struct ActivePolicy {
    /// The compiled policy.
    pub policy: Policy,
    /// Its name, shared with labels and records.
    pub name: &'static str,
}

/// The policies of one moment, by API group and resource.
type ActivePolicies = HashMap<String, HashMap<String, Arc<ActivePolicy>>>;

/// Called with the names of policies.
type Listener = Box<dyn Fn(&'static str) + Send + Sync>;

/// The policies in force.
pub struct PolicyStore {
    folder: PathBuf,
    files: Mutex<PolicyFiles>,
    active: ArcSwap<ActivePolicies>,
    loaded: Gauge,
    broken: Gauge,
    reloads: Counter,
    /// Who is told of each policy in force.
    listener: OnceLock<Listener>,
    /// One reading at a time, so that an older one does not replace a newer one.
    reading: Mutex<()>,
    compile_seconds: Histogram,
}

impl PolicyStore {
    /// Reads the folder for the first time.
    ///
    /// # Errors
    /// When it cannot be read. A policy that does not compile is not an error.
    pub fn open(folder: PathBuf) -> Result<Self, document::Error> {
        if !folder.is_dir() {
            return Err(document::Error::unfit(&folder, "no such folder", "name one with --policy-dir"));
        }
        let store = Self {
            folder,
            files: Mutex::default(),
            active: ArcSwap::default(),
            loaded: Gauge::default(),
            broken: Gauge::default(),
            reloads: Counter::default(),
            listener: OnceLock::new(),
            reading: Mutex::default(),
            compile_seconds: Histogram::new(exponential_buckets(100e-6, 4.0, COMPILE_BUCKETS)),
        };
        store.load(store.read()?);
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
            let refreshed = tokio::task::spawn_blocking(move || store.refresh()).await;
            if let Ok(Err(error)) = refreshed {
                tracing::warn!(folder = %self.folder.display(), %error, "policies cannot be read; the last ones stay");
            }
        }
    }

    /// Reads the folder and, if a file has changed, loads it. Contents are compared, not inodes or times: a mounted
    /// ConfigMap is swapped as a whole.
    ///
    /// # Errors
    /// When the folder or a file cannot be read; nothing has changed then.
    pub fn refresh(&self) -> Result<(), document::Error> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let contents = self.read()?;
        let changed = {
            let files = self.files();
            contents.len() != files.len()
                || contents.iter().any(|(path, content)| files.get(path).is_none_or(|file| file.content != *content))
        };
        if changed {
            self.reloads.inc();
            self.load(contents);
        }
        Ok(())
    }

    fn read(&self) -> Result<BTreeMap<PathBuf, Vec<u8>>, document::Error> {
        let mut contents = BTreeMap::new();
        for file in document::files(&self.folder, false)? {
            match std::fs::read(&file) {
                Ok(content) => {
                    contents.insert(file, content);
                }
                // Removed between listing and reading.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(document::Error::Read { file, source }),
            }
        }
        Ok(contents)
    }

    /// Compiles the files that have changed and replaces the policies in force as a whole.
    fn load(&self, contents: BTreeMap<PathBuf, Vec<u8>>) {
        let before = self.files().clone();
        let files: PolicyFiles = contents
            .into_iter()
            .map(|(path, content)| {
                let file = match before.get(&path) {
                    Some(file) if file.content == content => Arc::clone(file),
                    other => {
                        let before = other.map_or(&[][..], |file| &*file.policies);
                        Arc::new(compile(&path, content, before, &self.compile_seconds))
                    }
                };
                (path, file)
            })
            .collect();
        let mut active = ActivePolicies::new();
        let mut first: HashMap<_, &PathBuf> = HashMap::new();
        for (path, entry) in files.iter().flat_map(|(path, file)| file.policies.iter().map(move |entry| (path, entry)))
        {
            let target = &entry.policy.spec().target;
            if let Some(first) = first.get(&(&target.group, &target.resource)) {
                tracing::error!(policy = entry.name, file = %path.display(), first = %first.display(), "two policies of one name; the first stays");
                continue;
            }
            first.insert((&target.group, &target.resource), path);
            active.entry(target.group.clone()).or_default().insert(target.resource.clone(), Arc::clone(entry));
        }
        let (count, broken) = (first.len(), files.values().map(|file| file.broken).sum());
        tracing::info!(policies = count, broken, folder = %self.folder.display(), "policies loaded");
        self.loaded.set(i64::try_from(count).unwrap_or(i64::MAX));
        self.broken.set(broken);
        if let Some(listener) = self.listener.get() {
            active.values().flat_map(HashMap::values).for_each(|entry| listener(entry.name));
        }
        self.active.store(Arc::new(active));
        *self.files() = files;
    }

    fn files(&self) -> MutexGuard<'_, PolicyFiles> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Compiles a file. Of a document that does not compile, the policy it gave `before` stays in force.
fn compile(path: &Path, content: Vec<u8>, before: &[Arc<ActivePolicy>], seconds: &Histogram) -> PolicyFile {
    let file = path.display();
    let parsed = document::documents(path, &content).and_then(|documents| policies::to_json(path, &documents));
    let (mut policies, mut broken) = (Vec::new(), 0);
    match parsed {
        Ok(documents) => {
            for document in &documents {
                let start = Instant::now();
                let compiled = Policy::compile(document);
                seconds.observe(start.elapsed().as_secs_f64());
                match compiled {
                    Ok(policy) => {
                        policy.warnings().iter().for_each(|problem| tracing::warn!(%file, %problem, "policy"));
                        policies.push(Arc::new(ActivePolicy { name: interned(policy.name()), policy }));
                    }
                    Err(problems) => {
                        broken += 1;
                        problems.iter().for_each(|problem| tracing::error!(%file, %problem, "policy does not compile"));
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
    PolicyFile { content, policies, broken }
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

#[cfg(test)]
mod tests {
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
        store.refresh().unwrap();
        assert!(store.get("example.org", "jobs").is_some(), "a broken version replaces nothing");
        assert_eq!(store.broken.get(), 2);

        std::fs::remove_file(&file).unwrap();
        store.refresh().unwrap();
        assert!(store.get("example.org", "jobs").is_none(), "a removed policy is gone");
    }
}
