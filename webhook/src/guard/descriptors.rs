//! How many files the process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use statusguard_edge::Limits;

/// Descriptors that are kept for everything but connections of the admission port: the plain port, the runtime, the
/// log, and files that are read again.
const KEPT: u64 = 256;

/// Raises the soft limit to the hard one, and lowers `--max-connections` to what that leaves room for. A guard that is
/// out of descriptors answers neither calls nor probes.
pub fn make_room(limits: &mut Limits) {
    let Rlimit { current: soft, maximum: hard } = getrlimit(Resource::Nofile);
    let mut open = soft;
    if soft != hard {
        match setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }) {
            Ok(()) => open = hard,
            Err(error) => tracing::warn!(%error, soft, hard, "the limit of open files cannot be raised"),
        }
    }
    // None: without limit.
    let Some(open) = open else { return };
    let room = room(open);
    if limits.max_connections > room {
        tracing::warn!(
            open_files = open,
            wanted = limits.max_connections,
            max_connections = room,
            "--max-connections does not fit in the limit of open files (ulimit -n) and is lowered"
        );
        limits.max_connections = room;
    }
}

/// Connections that a limit of open files leaves room for.
fn room(open: u64) -> usize {
    let kept = KEPT.min(open / 2) + Limits::BUSY_CONNECTIONS as u64;
    usize::try_from(open.saturating_sub(kept)).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept() {
        assert_eq!(room(65_536), 65_536 - 256 - 64);
        assert_eq!(room(1024), 1024 - 256 - 64);
        assert_eq!(room(256), 64);
        assert_eq!(room(10), 1);
    }
}
