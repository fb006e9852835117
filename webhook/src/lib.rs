//! The guard: an admission webhook that refuses stale status writes, and its operator's commands.
