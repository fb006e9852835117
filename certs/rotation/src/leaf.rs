//! What a replica does with the leaf that it serves.

use crate::observation::{Observation, SecretContent};
use crate::state::{AuthorityId, AuthorityRecord};
use crate::step::Rotation;
use crate::time::{UnixTime, Validity};

/// The part of a leaf's life after which it is renewed at the latest.
const RENEW_AFTER: f64 = 2.0 / 3.0;

/// How much earlier, as a part of the leaf's life, jitter renews it at most.
const JITTER: f64 = 0.1;

/// What to do about the leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeafAction {
    /// Serve the leaf. Ask again at this time by the wall clock, or when something changes.
    Keep {
        /// At most one tick ahead.
        until: UnixTime,
    },
    /// Make a leaf with this validity and serve it. The key is the one that the observed Secret holds.
    Issue {
        /// What signs it.
        authority: AuthorityId,
        /// Exactly this: a later end could outlast its authority in the bundle.
        validity: Validity,
    },
    /// There is nothing that may be served: refuse handshakes and be unready. Ask again after the next step.
    Wait {
        /// At most one tick ahead.
        until: UnixTime,
        /// Why.
        reason: NoLeaf,
    },
}

/// Why no leaf may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NoLeaf {
    /// No authority can sign: the Secret has to be made or repaired, or no authority is valid now.
    NoAuthority,
    /// The authority that signs is not in every managed bundle.
    NotPublished,
}

impl NoLeaf {
    /// A name for labels of metrics.
    #[must_use]
    pub fn category(self) -> &'static str {
        match self {
            NoLeaf::NoAuthority => "no_authority",
            NoLeaf::NotPublished => "authority_not_published",
        }
    }
}

impl Rotation {
    /// What to do about this replica's leaf. `now` is the wall clock after the reads of the observation.
    ///
    /// `jitter`, from 0 to 1, is drawn once for each leaf: it moves the renewal forward from two thirds of the leaf's
    /// life by up to a tenth of it.
    ///
    /// A leaf is kept only while it is valid and its authority is in every managed bundle. It is replaced at once when
    /// another authority signs, so that nothing depends on a retired one for long.
    #[must_use]
    pub fn leaf_action(&self, now: UnixTime, observation: &Observation, jitter: f64) -> LeafAction {
        let leaf = observation.leaf.filter(|leaf| leaf.validity.contains(now) && observation.publishes(leaf.authority));
        let signer = match &observation.secret {
            SecretContent::Readable(state) => state.current().filter(|current| current.validity.contains(now)),
            SecretContent::Absent | SecretContent::Unusable(_) => None,
        };
        let published = signer.filter(|signer| observation.publishes(signer.id));
        let fresh = published.and_then(|signer| self.fresh(now, observation, signer));
        let jitter = if jitter.is_nan() { 0.0 } else { jitter.clamp(0.0, 1.0) };
        match (leaf, fresh) {
            (Some(leaf), fresh) => {
                let renew_at = leaf.validity.at_part(RENEW_AFTER - JITTER * jitter);
                let better = |(signer, validity): &(AuthorityId, Validity)| {
                    *signer != leaf.authority || (renew_at <= now && validity.not_after > leaf.validity.not_after)
                };
                match fresh.filter(better) {
                    Some((authority, validity)) => LeafAction::Issue { authority, validity },
                    None if renew_at <= now => {
                        LeafAction::Keep { until: self.look_again(now, leaf.validity.not_after) }
                    }
                    None => LeafAction::Keep { until: self.look_again(now, renew_at) },
                }
            }
            (None, Some((authority, validity))) => LeafAction::Issue { authority, validity },
            (None, None) => LeafAction::Wait {
                until: now.after(self.timing.tick),
                reason: if signer.is_some() { NoLeaf::NotPublished } else { NoLeaf::NoAuthority },
            },
        }
    }

    /// The leaf that the authority can sign; none if it would not be valid now.
    ///
    /// It is counted from the clock before the Secret was read, when the authority was still current: whoever
    /// retires it later records a later end than this one.
    fn fresh(
        &self,
        now: UnixTime,
        observation: &Observation,
        signer: &AuthorityRecord,
    ) -> Option<(AuthorityId, Validity)> {
        let begin = observation.asked_at.min(now).before(self.timing.skew);
        let validity = Validity {
            not_before: begin.max(signer.validity.not_before),
            not_after: begin.after(self.timing.leaf_life).min(signer.validity.not_after),
        };
        validity.contains(now).then_some((signer.id, validity))
    }
}
