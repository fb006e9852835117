//! Where the control plane's programs come from: `KUBEBUILDER_ASSETS`, or the cache, which is filled by one build.

use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::gobuild;

/// The programs of one control plane.
#[derive(Debug, Clone)]
pub(super) struct Assets {
    pub(super) etcd: PathBuf,
    pub(super) kube_apiserver: PathBuf,
    pub(super) kubectl: PathBuf,
}

/// Prints a line on stderr every few seconds until dropped, so that a long build does not look like a hang.
struct Progress {
    stop: Option<mpsc::Sender<()>>,
    printer: Option<thread::JoinHandle<()>>,
}

/// How often a wait says that it still waits.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);

/// What to do when there is no control plane.
pub(super) const THREE_WAYS: &str = "Do one of:\n  \
    - install Go 1.21 or newer (https://go.dev/dl): the programs are then built once, from their public Go modules;\n  \
    - set KUBEBUILDER_ASSETS to a folder with kube-apiserver, etcd and kubectl (as `setup-envtest use -p path` prints it);\n  \
    - set STATUSGUARD_USE_CLUSTER=1 and KUBECONFIG to use a running cluster.";

impl Assets {
    /// Finds or builds the programs. Blocks, for minutes when they must be built.
    pub(super) fn locate() -> anyhow::Result<Self> {
        match env::var_os("KUBEBUILDER_ASSETS").filter(|folder| !folder.is_empty()) {
            Some(folder) => Self::complete(Path::new(&folder))
                .with_context(|| format!("KUBEBUILDER_ASSETS is {}", folder.display())),
            None => Self::cached(&cache_folder("controlplane")?),
        }
    }

    /// `kubectl` for a cluster that was not started here: from `KUBEBUILDER_ASSETS`, else from `PATH`.
    pub(super) fn kubectl_only() -> PathBuf {
        env::var_os("KUBEBUILDER_ASSETS")
            .map(|folder| Path::new(&folder).join("kubectl"))
            .filter(|kubectl| kubectl.is_file())
            .unwrap_or_else(|| PathBuf::from("kubectl"))
    }

    /// From the cache below `root`, filling it if needed.
    fn cached(root: &Path) -> anyhow::Result<Self> {
        let key = gobuild::cache_key();
        let folder = root.join(&key);
        if folder.is_dir() {
            return Self::complete(&folder);
        }
        fs::create_dir_all(root).with_context(|| format!("making {}", root.display()))?;
        let lock_path = root.join(format!("{key}.lock"));
        let lock = File::create(&lock_path).with_context(|| format!("making {}", lock_path.display()))?;
        {
            let _waiting =
                Progress::start(|| "control plane: waiting for another process that is building it".to_owned());
            lock.lock().with_context(|| format!("locking {}", lock_path.display()))?;
        }
        // The previous holder of the lock may have finished the build.
        if !folder.is_dir() {
            build_into(root, &key)?;
        }
        Self::complete(&folder)
    }

    fn complete(folder: &Path) -> anyhow::Result<Self> {
        let program = |name: &str| {
            let path = folder.join(name);
            ensure!(path.is_file(), "{} is missing", path.display());
            Ok(path)
        };
        Ok(Self { etcd: program("etcd")?, kube_apiserver: program("kube-apiserver")?, kubectl: program("kubectl")? })
    }
}

impl Progress {
    fn start(line: impl Fn() -> String + Send + 'static) -> Self {
        let (stop, stopped) = mpsc::channel::<()>();
        let begun = Instant::now();
        let printer = thread::spawn(move || {
            while stopped.recv_timeout(PROGRESS_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
                say(&format!("{} ({} s)", line(), begun.elapsed().as_secs()));
            }
        });
        Self { stop: Some(stop), printer: Some(printer) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(printer) = self.printer.take() {
            // It only prints; had it panicked, the work it reports on is none the worse.
            let _ = printer.join();
        }
    }
}

/// Builds in a folder beside the final one and renames, so that the final one is complete whenever it exists.
/// The caller holds the lock.
fn build_into(root: &Path, key: &str) -> anyhow::Result<()> {
    let partial = root.join(format!("{key}.partial"));
    if partial.exists() {
        // Left by a build that was killed: we hold the lock, so no build is using it.
        fs::remove_dir_all(&partial).with_context(|| format!("removing {}", partial.display()))?;
    }
    let begun = Instant::now();
    say(&format!(
        "control plane: building kube-apiserver, etcd and kubectl {} from source into {}.\n\
         control plane: this happens once and usually takes four to five minutes on two cores",
        gobuild::version(),
        root.join(key).display()
    ));
    let seen = gobuild::BuildProgress::default();
    let programs = {
        let shown = seen.clone();
        let _progress = Progress::start(move || format!("control plane: building: {shown}"));
        gobuild::build(&partial, &seen)?
    };
    for program in fs::read_dir(&programs).with_context(|| format!("reading {}", programs.display()))? {
        let path = program.with_context(|| format!("reading {}", programs.display()))?.path();
        File::open(&path).and_then(|file| file.sync_all()).with_context(|| format!("writing {}", path.display()))?;
    }
    fs::rename(&programs, root.join(key)).with_context(|| format!("renaming {}", programs.display()))?;
    fs::remove_dir_all(&partial).with_context(|| format!("removing {}", partial.display()))?;
    say(&format!("control plane: built in {} s", begun.elapsed().as_secs()));
    Ok(())
}

/// `$XDG_CACHE_HOME/statusguard/<name>`, else below `~/.cache`.
///
/// # Errors
/// When there is no home folder either.
pub fn cache_folder(name: &str) -> anyhow::Result<PathBuf> {
    let named = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(".cache"));
    let cache = named.or_else(home).context("there is no home folder for the cache: set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join("statusguard").join(name))
}

/// Prints a line straight to stderr: the test runner would capture what `eprintln!` prints.
fn say(line: &str) {
    // With stderr closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}
