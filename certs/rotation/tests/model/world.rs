//! What there is: clock, Secret, bundles, replicas.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use statusguard_rotation::{
    AuthorityId, Bundle, Leaf, LeafAction, Observation, Rotation, SecretContent, Step, Timing, UnixTime, Validity,
};

pub const HOUR: u64 = 60 * 60;
pub const DAY: u64 = 24 * HOUR;

/// Production's timing, but with longer ticks: the model goes from event to event.
pub const TIMING: Timing = Timing {
    authority_life: Duration::from_secs(365 * DAY),
    leaf_life: Duration::from_secs(7 * DAY),
    spread: Duration::from_secs(30),
    skew: Duration::from_secs(2 * HOUR),
    tick: Duration::from_secs(DAY),
};

pub fn rotation() -> Rotation {
    Rotation::new(TIMING).unwrap()
}

pub fn id(number: usize) -> AuthorityId {
    AuthorityId::from([u8::try_from(number).unwrap(); 32])
}

/// How replicas break the contract of `Observation`, so that the model shows what it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Misuse {
    /// The Secret is not read before the bundles.
    pub secret_late: bool,
    /// The Secret is not read again after the bundles.
    pub secret_once: bool,
    /// A leaf's end is counted from the clock after the reads.
    pub asked_late: bool,
    /// The clock after the reads is read before them.
    pub now_early: bool,
    /// Writes succeed whatever the version.
    pub blind_writes: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub misuse: Misuse,
    pub now: UnixTime,
    pub secret: SecretContent,
    /// What a person copied from it.
    pub backup: Option<SecretContent>,
    pub bundles: Vec<Bundle>,
    pub replicas: Vec<Replica>,
    /// All that were ever made, and foreign ones.
    pub authorities: BTreeMap<AuthorityId, Validity>,
    /// How many of them are ours.
    pub made: usize,
    /// What happened can leave a served leaf without a bundle until its replica looks again and again.
    pub beyond_promise: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    pub leaf: Option<Leaf>,
    pub look: Look,
    /// A person changed a bundle, and the replica has not acted on it.
    pub unaware: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Look {
    Idle,
    /// Clock and Secret are read.
    Begun {
        asked_at: UnixTime,
        secret: SecretContent,
        /// Only read here where the contract is broken.
        bundles: Vec<Bundle>,
        fresh: Fresh,
    },
    Decided {
        step: Step,
        leaf: LeafAction,
        fresh: Fresh,
    },
}

/// What was not written since this look has read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fresh {
    pub secret: bool,
    pub bundles: Vec<bool>,
    /// No person has changed a bundle since.
    pub aware: bool,
}

impl World {
    /// Before the first start.
    pub fn empty(replicas: usize, bundles: usize) -> World {
        World {
            misuse: Misuse::default(),
            now: UnixTime::from_seconds(1_800_000_000),
            secret: SecretContent::Absent,
            backup: None,
            bundles: vec![Bundle::Holds(BTreeMap::new()); bundles],
            replicas: vec![Replica { leaf: None, look: Look::Idle, unaware: false }; replicas],
            authorities: BTreeMap::new(),
            made: 0,
            beyond_promise: false,
        }
    }

    pub fn observation(&self, replica: usize) -> Observation {
        Observation {
            asked_at: self.now,
            bundles: self.bundles.clone(),
            secret: self.secret.clone(),
            leaf: self.replicas[replica].leaf,
        }
    }

    pub fn bundle_of(&self, ids: impl IntoIterator<Item = AuthorityId>) -> Bundle {
        Bundle::Holds(ids.into_iter().map(|id| (id, self.authorities[&id])).collect())
    }

    pub fn covers(&self, leaf: &Leaf) -> bool {
        covered(&self.bundles, leaf)
    }

    /// Everybody's knowledge of the Secret is old.
    pub fn touch_secret(&mut self) {
        self.each_fresh(|fresh| fresh.secret = false);
    }

    pub fn touch_bundle(&mut self, index: usize) {
        self.each_fresh(|fresh| fresh.bundles[index] = false);
    }

    pub fn each_fresh(&mut self, mut change: impl FnMut(&mut Fresh)) {
        for replica in &mut self.replicas {
            match &mut replica.look {
                Look::Idle => {}
                Look::Begun { fresh, .. } | Look::Decided { fresh, .. } => change(fresh),
            }
        }
    }

    pub fn advance(&mut self, by: i64) {
        self.now = UnixTime::from_seconds(self.now.seconds() + by);
    }
}

pub fn covered(bundles: &[Bundle], leaf: &Leaf) -> bool {
    bundles.iter().all(|bundle| match bundle {
        Bundle::Absent => true,
        Bundle::Unreadable => false,
        Bundle::Holds(authorities) => authorities.contains_key(&leaf.authority),
    })
}

pub fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
