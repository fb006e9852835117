//! Which core runs what.

use anyhow::{Context as _, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// One core for the server and another one for the load.
///
/// # Errors
/// When this process may use only one.
pub fn pair() -> anyhow::Result<(usize, usize)> {
    let allowed = sched_getaffinity(None).context("asking for the cores")?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let (first, last) = (cores.next(), cores.next_back());
    let pair = first.zip(last);
    ensure!(pair.is_some(), "server and load need a core each; this process may use one");
    pair.context("cores")
}

/// Binds the thread that calls, and those that it starts from now on.
///
/// # Errors
/// When this process may not use the core.
pub fn pin(core: usize) -> anyhow::Result<()> {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).with_context(|| format!("running on core {core} alone"))
}
