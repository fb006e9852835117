//! Builds the rival, a client-go program, once into the cache.
//!
//! Its sources are part of this crate, so that what is built depends on nothing but this crate.

use std::env;
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use statusguard_tests::controlplane::{cache_folder, go};
use tokio::process::Command;

/// The Go module: path below its root, content.
const SOURCES: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../rival/go.mod")),
    ("go.sum", include_str!("../../rival/go.sum")),
    ("main.go", include_str!("../../rival/main.go")),
];

/// The program; built if the cache does not have it.
///
/// # Errors
/// When there is no Go, or the build fails.
pub async fn program() -> anyhow::Result<PathBuf> {
    let root = cache_folder("rival")?;
    fs::create_dir_all(&root).with_context(|| format!("making {}", root.display()))?;
    let program = root.join(key());
    let lock = File::create(program.with_extension("lock")).context("making the rival's lock")?;
    // A build takes seconds: a second process waits for it.
    lock.lock().context("locking the rival's cache")?;
    if !program.is_file() {
        eprintln!("building the client-go program, once");
        build(&program).await?;
    }
    Ok(program)
}

/// Builds in a folder beside the program and renames, so that the program is complete whenever it exists. The
/// caller holds the lock.
async fn build(program: &Path) -> anyhow::Result<()> {
    let folder = program.with_extension("partial");
    if folder.exists() {
        // Left by a build that was killed.
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for (path, content) in SOURCES {
        let path = folder.join(path);
        fs::write(&path, content).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut go = Command::from(go());
    go.current_dir(&folder).args(["build", "-trimpath", "-ldflags", "-s -w", "-o", "program", "."]);
    let output = go.output().await.context("starting go, which builds the rival (https://go.dev/dl)")?;
    ensure!(
        output.status.success(),
        "go build of the rival ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(folder.join("program"), program).with_context(|| format!("making {}", program.display()))?;
    fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))
}

/// Names the program that would be built. Another standard library may hash otherwise: that costs one build.
fn key() -> String {
    let mut hasher = DefaultHasher::new();
    SOURCES.hash(&mut hasher);
    format!("rival-{}-{}-{:016x}", env::consts::OS, env::consts::ARCH, hasher.finish())
}
