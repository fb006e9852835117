//! How long things take. Tests have them shorter.

use std::time::Duration;

/// What the watch of policies is told.
#[derive(Clone, Debug)]
pub struct PolicyWatchSettings {
    /// The field manager of the conditions; that of all replicas.
    pub field_manager: String,
    /// How often targets are looked up that no watch tells of: those without a CRD, and all while CRDs cannot be watched.
    pub resync: Duration,
    /// How long a request may take.
    pub request: Duration,
    /// Between a failure and the next attempt; doubled from failure to failure.
    pub first_retry: Duration,
    /// The most between two attempts, and the time after a missing right.
    pub slowest_retry: Duration,
    /// Between two writes of conditions.
    pub between_writes: Duration,
    /// How long conditions that another replica has written are left alone: it may know something newer. Doubled from one
    /// write over them to the next.
    pub peer_patience: Duration,
    /// The most that they are left alone.
    pub longest_peer_patience: Duration,
}

impl Default for PolicyWatchSettings {
    fn default() -> Self {
        Self {
            field_manager: "statusguard".to_owned(),
            resync: Duration::from_secs(300),
            request: Duration::from_secs(10),
            first_retry: Duration::from_secs(1),
            slowest_retry: Duration::from_secs(60),
            between_writes: Duration::from_millis(50),
            peer_patience: Duration::from_secs(5),
            longest_peer_patience: Duration::from_secs(600),
        }
    }
}
