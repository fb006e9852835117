//! Builds kube-apiserver, etcd and kubectl from their public Go modules.
//!
//! The module's sources are part of this crate, so that what is built, and the cache's key, depend on nothing
//! but this crate: no checkout path, no `go.work` above it, no `GOFLAGS` of the user.

use std::collections::VecDeque;
use std::env;
use std::fmt;
use std::fs;
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, bail, ensure};

use super::assets::THREE_WAYS;

/// What the build has done so far, by its own account.
#[derive(Debug, Clone, Default)]
pub(super) struct BuildProgress {
    downloaded: Arc<AtomicUsize>,
    compiled: Arc<AtomicUsize>,
    /// How many packages there are; those in Go's own cache are not compiled again. 0 until it is known.
    packages: Arc<AtomicUsize>,
}

/// The Go module: path below its root, content.
const SOURCES: [(&str, &str); 5] = [
    ("go.mod", include_str!("../../controlplane/go.mod")),
    ("go.sum", include_str!("../../controlplane/go.sum")),
    ("etcd/main.go", include_str!("../../controlplane/etcd/main.go")),
    ("kube-apiserver/main.go", include_str!("../../controlplane/kube-apiserver/main.go")),
    ("kubectl/main.go", include_str!("../../controlplane/kubectl/main.go")),
];

/// The programs' packages in that module.
const PROGRAMS: [&str; 3] = ["./etcd", "./kube-apiserver", "./kubectl"];

/// The oldest Go that fetches the toolchain which `go.mod` asks for.
const OLDEST_GO_MINOR: u32 = 21;

/// How many lines of a failed build its error shows.
const SHOWN_LINES: usize = 25;

/// The Kubernetes version that `go.mod` names, with its `v`.
pub(super) fn version() -> &'static str {
    SOURCES[0].1.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")).unwrap_or("v0.0.0").trim()
}

/// Names the programs that would be built: version, platform, and everything that decides what they are.
pub(super) fn cache_key() -> String {
    let mut hash = Fnv::new();
    for (path, content) in SOURCES {
        hash.add(path.as_bytes());
        hash.add(content.as_bytes());
    }
    hash.add(linker_flags().as_bytes());
    format!("{}-{}-{}-{:016x}", version(), env::consts::OS, env::consts::ARCH, hash.0)
}

/// Builds below `folder`, which must not exist, and returns the folder with the programs.
pub(super) fn build(folder: &Path, seen: &BuildProgress) -> anyhow::Result<PathBuf> {
    check_go()?;
    let module = folder.join("module");
    for (path, content) in SOURCES {
        let path = module.join(path);
        let parent = path.parent().unwrap_or(&module);
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).with_context(|| format!("making {}", programs.display()))?;

    // First, so that the progress has an end to go towards. It also downloads the modules.
    let packages = run(go().current_dir(&module).args(["list", "-deps"]).args(PROGRAMS), seen)?;
    seen.packages.store(packages.lines().count(), Ordering::Relaxed);
    let mut build = go();
    build.current_dir(&module).args(["build", "-v", "-trimpath", "-ldflags", &linker_flags(), "-o"]).arg(&programs);
    run(build.args(PROGRAMS), seen)?;
    Ok(programs)
}

/// Runs go, counts what it says on stderr, and returns what it prints on stdout.
fn run(go: &mut Command, seen: &BuildProgress) -> anyhow::Result<String> {
    let mut child =
        go.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("starting go")?;
    // On a thread of its own: go would wait for ever on a full pipe.
    let stdout = child.stdout.take().map(|stdout| thread::spawn(move || io::read_to_string(stdout)));
    let mut last = VecDeque::with_capacity(SHOWN_LINES);
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            let line = line.context("reading go's output")?;
            seen.count(&line);
            if last.len() == SHOWN_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
    let status = child.wait().context("waiting for go")?;
    let command = go.get_args().next().unwrap_or_default().to_string_lossy();
    ensure!(
        status.success(),
        "go {command} of the control plane ended with {status}; its last lines:\n{}\n\nIf this cannot be fixed: {THREE_WAYS}",
        Vec::from(last).join("\n"),
    );
    let printed = stdout.and_then(|reader| reader.join().ok()).unwrap_or_else(|| Ok(String::new()));
    printed.context("reading go's output")
}

/// Go must be there and new enough to fetch the toolchain which `go.mod` asks for.
fn check_go() -> anyhow::Result<()> {
    let output = match go().args(["env", "GOVERSION"]).current_dir("/").output() {
        Ok(output) => output,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no control plane, and no Go to build one with.\n{THREE_WAYS}")
        }
        Err(error) => return Err(error).context("starting go"),
    };
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure!(
        output.status.success(),
        "`go env GOVERSION` ended with {}: {}\n{THREE_WAYS}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim(),
    );
    ensure!(is_new_enough(&found), "{found} is too old to build the control plane with.\n{THREE_WAYS}");
    Ok(())
}

/// `go1.21.4`, `go1.26`, `go1.22rc1`; anything else (`devel ...`) is built from a newer tree.
fn is_new_enough(version: &str) -> bool {
    version
        .strip_prefix("go1.")
        .and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next())
        .and_then(|minor| minor.parse::<u32>().ok())
        .is_none_or(|minor| minor >= OLDEST_GO_MINOR)
}

/// `go`, without what a user's settings could change about the build.
pub fn go() -> Command {
    let mut go = Command::new("go");
    go.env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        // Not empty: that would let the value of `go env -w` in.
        .env("GOFLAGS", "-mod=readonly")
        .env_remove("GOOS")
        .env_remove("GOARCH");
    // `local` is what distributions set; Go then refuses a go.mod that asks for a newer one. With `auto` it
    // fetches that one as a module, and only if it is older itself.
    if env::var("GOTOOLCHAIN").map_or(true, |choice| choice.is_empty() || choice == "local") {
        go.env("GOTOOLCHAIN", "auto");
    }
    go
}

/// Strips, and sets the version that the programs report.
fn linker_flags() -> String {
    let version = version();
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    format!("-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

impl BuildProgress {
    fn count(&self, line: &str) {
        if line.starts_with("go: downloading ") {
            self.downloaded.fetch_add(1, Ordering::Relaxed);
        } else {
            self.compiled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl fmt::Display for BuildProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (downloaded, compiled) = (self.downloaded.load(Ordering::Relaxed), self.compiled.load(Ordering::Relaxed));
        if downloaded > 0 {
            write!(f, "{downloaded} modules downloaded, ")?;
        }
        match self.packages.load(Ordering::Relaxed) {
            0 => write!(f, "looking for packages"),
            packages => write!(f, "{compiled} of {packages} packages compiled"),
        }
    }
}

/// FNV-1a, 64 bit: the standard library's hasher may change between releases, a cache's key must not.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Adds bytes and an end mark, so that moving bytes from one part to the next changes the sum.
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().copied().chain((bytes.len() as u64).to_le_bytes()) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_in_go_mod() {
        assert_eq!(version(), "v1.36.3");
        assert!(linker_flags().ends_with(".gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"));
    }

    #[test]
    fn go_is_new_enough_from_1_21_on() {
        for (found, enough) in [
            ("go1.20.14", false),
            ("go1.9", false),
            ("go1.21", true),
            ("go1.21rc2", true),
            ("go1.26.8", true),
            ("devel go1.28-abcdef", true),
        ] {
            assert_eq!(is_new_enough(found), enough, "{found}");
        }
    }

    #[test]
    fn fnv_matches_its_published_vector() {
        let mut hash = Fnv::new();
        // The end mark of add() is not part of the published function: take it byte by byte.
        for byte in b"foobar" {
            hash.0 = (hash.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        assert_eq!(hash.0, 0x8594_4171_f739_67e8);
    }
}
