//! What a replica has read before it asks what to do.
//!
//! The order of the reads is part of the contract, see [`Observation`].

use std::collections::BTreeMap;

use crate::state::{AuthorityId, RotationState};
use crate::stored::StateError;
use crate::time::{UnixTime, Validity};

/// What one replica has read, in this order: the clock (`asked_at`), the Secret, every managed configuration, the Secret
/// again, and the clock again (`now` of the functions). If the Secret's version is not the same both times, or it was
/// made or deleted meanwhile, the replica begins anew.
///
/// All are read from the API server, not from a cache and not with `resourceVersion=0`, and their versions are kept for
/// the writes. What the order is for (`tests/exhaustive.rs` shows what fails without each of them):
/// - Because the Secret is read *after* the configurations, it knows all that they hold: a repair of a bundle cannot
///   undo a later step. Such a step changes the configuration, and the repair conflicts.
/// - Because it is read *before* them, too, a Secret that was lost is made again with all that was published until then.
/// - The clock before the reads bounds what this replica signs, the clock after them what others may have signed,
///   however long the process stood still in between.
///
/// If a read fails, there is no observation: the replica serves its leaf until that ends, and tries again.
///
/// An observation serves one question. Between ticks, a watch should start a new one at every change of the Secret or of
/// a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Observation {
    /// The wall clock before the first read.
    pub asked_at: UnixTime,
    /// Every managed `caBundle`, in an order of the caller's choice: [`Step::Publish`](crate::Step::Publish) names them
    /// by index. Empty if there is none, as while the configuration is deleted to switch the guard off.
    pub bundles: Vec<Bundle>,
    /// The Secret.
    pub secret: SecretContent,
    /// The leaf that this replica serves.
    pub leaf: Option<Leaf>,
}

/// One managed `caBundle`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bundle {
    /// The configuration or its entry does not exist, so that there is no call that could fail.
    Absent,
    /// The API server cannot read it: no call works.
    Unreadable,
    /// The authorities in it with their validities, ours and others. Nothing if it is empty.
    Holds(BTreeMap<AuthorityId, Validity>),
}

/// What is in the Secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretContent {
    /// There is no Secret, or it has none of our keys.
    Absent,
    /// There is one that cannot be used.
    Unusable(Unusable),
    /// The state. The certificate of each of its authorities is there, and the key of each that
    /// [needs one](RotationState::needs_key), and they fit.
    Readable(RotationState),
}

/// Why a Secret cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unusable {
    /// State, certificate or key cannot be read.
    Garbage,
    /// A certificate or a key that the state needs is missing.
    HalfPair,
    /// A key does not fit its certificate.
    KeyMismatch,
    /// A later release wrote it. It is left alone: replicas of that release take the steps.
    UnknownVersion,
}

impl Bundle {
    /// Whether it differs from what the state asks for, [`RotationState::bundle`]. One that does not exist does not.
    #[must_use]
    pub fn is_outdated(&self, state: &RotationState) -> bool {
        match self {
            Bundle::Absent => false,
            Bundle::Unreadable => true,
            Bundle::Holds(authorities) => !authorities.keys().eq(state.bundle().iter()),
        }
    }
}

impl Unusable {
    /// A name for labels of metrics.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            Unusable::Garbage => "secret_garbage",
            Unusable::HalfPair => "secret_half_pair",
            Unusable::KeyMismatch => "secret_key_mismatch",
            Unusable::UnknownVersion => "secret_version",
        }
    }
}

impl From<&StateError> for Unusable {
    fn from(error: &StateError) -> Unusable {
        match error {
            StateError::Parse(_) | StateError::Contradictory(_) => Unusable::Garbage,
            StateError::UnknownVersion(_) => Unusable::UnknownVersion,
        }
    }
}

/// A serving certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaf {
    /// What signed it.
    pub authority: AuthorityId,
    /// Its validity.
    pub validity: Validity,
}

impl Observation {
    /// The bundles that exist: `None` for one that the API server cannot read.
    fn existing(&self) -> impl Iterator<Item = Option<&BTreeMap<AuthorityId, Validity>>> {
        self.bundles.iter().filter_map(|bundle| match bundle {
            Bundle::Absent => None,
            Bundle::Unreadable => Some(None),
            Bundle::Holds(authorities) => Some(Some(authorities)),
        })
    }

    /// Whether every managed bundle that exists holds it.
    pub(crate) fn publishes(&self, id: AuthorityId) -> bool {
        self.existing().all(|bundle| bundle.is_some_and(|authorities| authorities.contains_key(&id)))
    }

    /// Every authority in any bundle, with the number of bundles that hold it.
    pub(crate) fn published(&self) -> BTreeMap<AuthorityId, (Validity, usize)> {
        let mut found = BTreeMap::new();
        for (id, validity) in self.existing().flatten().flatten() {
            found.entry(*id).or_insert((*validity, 0)).1 += 1;
        }
        found
    }

    /// The indices of the bundles that differ from the state's.
    pub(crate) fn outdated(&self, state: &RotationState) -> Vec<usize> {
        (0..self.bundles.len()).filter(|index| self.bundles[*index].is_outdated(state)).collect()
    }

    /// Whether this replica's leaf was signed by it.
    pub(crate) fn serves(&self, id: AuthorityId) -> bool {
        self.leaf.is_some_and(|leaf| leaf.authority == id)
    }
}
