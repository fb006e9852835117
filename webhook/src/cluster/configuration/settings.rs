//! What the keeper of the configuration is told.

use std::time::Duration;

/// Which object is kept, as whom.
#[derive(Clone, Debug)]
pub struct ConfigurationSettings {
    /// The object's name.
    pub name: String,
    /// The field manager of all writes; that of all replicas.
    pub field_manager: String,
    /// Who reports Events: the pod's name, if it is known.
    pub instance: Option<String>,
    /// Whether somebody else publishes the bundles, as the rotation of a self-managed authority does: what an entry holds
    /// stays then, and a new one begins with what another one holds.
    pub bundles_are_published: bool,
    /// How long things take.
    pub timing: KeeperTiming,
}

/// How long things take. Tests have them shorter.
#[derive(Clone, Debug)]
pub struct KeeperTiming {
    /// How long a new entry is `Ignore` if no call is seen to arrive.
    pub trial: Duration,
    /// How long what another replica has written is left alone: it may know something newer. Longer than policies
    /// take at most to reach a replica.
    pub peer_patience: Duration,
    /// Between the first repair and the second; doubled from repair to repair.
    pub second_repair: Duration,
    /// The most between two repairs.
    pub slowest_repair: Duration,
    /// After this time without a repair, the next is a first one. Longer than `slowest_repair`.
    pub quiet: Duration,
    /// How long an authority is published that no replica has mounted any more. Longer than a changed Secret takes at most to
    /// reach all replicas, however far their clocks are apart.
    pub retention: Duration,
    /// How often the object is read though no watch said that it had changed.
    pub resync: Duration,
    /// Between a failure and the next attempt; doubled from failure to failure.
    pub first_retry: Duration,
    /// The most between two attempts, and the time after a missing right.
    pub slowest_retry: Duration,
    /// How long a request may take.
    pub request: Duration,
    /// The least time between two readings.
    pub between_reads: Duration,
}

impl Default for ConfigurationSettings {
    fn default() -> Self {
        Self {
            name: "statusguard".to_owned(),
            field_manager: "statusguard".to_owned(),
            instance: None,
            bundles_are_published: false,
            timing: KeeperTiming::default(),
        }
    }
}

impl Default for KeeperTiming {
    fn default() -> Self {
        Self {
            trial: Duration::from_secs(10),
            peer_patience: Duration::from_secs(15),
            second_repair: Duration::from_secs(1),
            slowest_repair: Duration::from_secs(60),
            quiet: Duration::from_secs(180),
            retention: Duration::from_secs(5 * 60 * 60),
            resync: Duration::from_secs(60),
            first_retry: Duration::from_secs(1),
            slowest_retry: Duration::from_secs(60),
            request: Duration::from_secs(10),
            between_reads: Duration::from_millis(100),
        }
    }
}
