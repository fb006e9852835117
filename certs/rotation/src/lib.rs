//! The rotation of authorities and leaves, as pure functions: no clock, no network, no keys.
//!
//! A replica reads the Secret, the managed configurations and its own leaf into an [`Observation`], and asks
//! [`Rotation::next_step`] what to write and [`Rotation::leaf_action`] what to serve. Every replica does so on every tick
//! and after every change; none of them leads.
//!
//! # Guarantees
//! 1. A leaf that is served by [`LeafAction`] is valid, and its authority is in every managed bundle. In a rotation
//!    without faults this holds at every moment, whatever replicas crash, stand still or see late; a clock may be
//!    wrong by up to [`Timing::skew`]. After a person has changed a bundle it holds from the moment at which the
//!    replica has read the change.
//! 2. A state, and thus a bundle that is published, has at most [`MAX_AUTHORITIES`] authorities.
//! 3. No leaf outlives its authority.
//! 4. From every state, and whatever a person did to Secret and bundles, a bounded number of steps leads back to
//!    [`RotationPhase::Stable`]. The one exception is the Secret of a later release, which is left alone.
//!
//! # Assumptions
//! - Secret and configurations are written by compare-and-swap, and read in the order of [`Observation`].
//! - The caller keeps its clock, and takes no step while the API server's `Date` differs from it by more than
//!   [`Timing::skew`]: one replica whose clock is a year ahead would renew what the others hold valid.
//!
//! # The writes of each step
//!
//! | step | write | by compare-and-swap on |
//! |---|---|---|
//! | [`Step::Add`] | Secret: state, the new certificate and key, certificates of [`Addition::kept`]; other keys erased | the Secret's version, or creation |
//! | [`Step::Write`] | Secret: state; certificates and keys that it does not need any more erased | the Secret's version |
//! | [`Step::Publish`] | each named configuration: `caBundle` | the configuration's version |
//! | [`Step::Wait`] | nothing | |
//!
//! ```
//! use std::time::SystemTime;
//! use statusguard_rotation::{AuthorityId, Bundle, LeafAction, Observation, Rotation, SecretContent, Step};
//!
//! let rotation = Rotation::default();
//! let now = SystemTime::now().into();
//! let mut observation = Observation {
//!     asked_at: now,
//!     bundles: vec![Bundle::Holds([].into())],
//!     secret: SecretContent::Absent,
//!     leaf: None,
//! };
//! let Step::Add(addition) = rotation.next_step(now, &observation) else { unreachable!() };
//! // Make the certificate with `addition.validity`; its fingerprint is the id. Then create the Secret.
//! let state = addition.with(AuthorityId::from([7; 32]));
//!
//! observation.secret = SecretContent::Readable(state);
//! assert!(matches!(rotation.next_step(now, &observation), Step::Publish { .. }));
//! assert!(matches!(rotation.leaf_action(now, &observation, 0.5), LeafAction::Wait { .. }));
//! ```

mod heal;
mod leaf;
mod observation;
mod phase;
mod state;
mod step;
mod stored;
mod time;
mod timing;

pub use leaf::{LeafAction, NoLeaf};
pub use observation::{Bundle, Leaf, Observation, SecretContent, Unusable};
pub use phase::RotationPhase;
pub use state::{AuthorityId, AuthorityRecord, MAX_AUTHORITIES, Role, RotationState};
pub use step::{AddCause, Addition, Rotation, StateChange, Step, WaitReason};
pub use stored::StateError;
pub use time::{UnixTime, Validity};
pub use timing::{BadTiming, Timing};
