//! Where a rotation is, in one word.

use std::fmt;

use crate::observation::{Observation, SecretContent};
use crate::state::Role;
use crate::step::Rotation;
use crate::time::UnixTime;

/// Where a rotation is: the values of the metric `statusguard_rotation_phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RotationPhase {
    /// One authority signs, and every bundle holds it alone.
    Stable,
    /// A bundle is to be written or was not seen to be written.
    Publishing,
    /// Every bundle holds the next authority; API servers may not know it yet.
    Spreading,
    /// The current authority signs; leaves of earlier ones may still be served.
    Retiring,
    /// No authority can sign: the Secret is missing or cannot be used, or its authorities are not valid now. Leaves
    /// that were signed before are served until they end.
    Healing,
}

impl RotationPhase {
    /// All phases.
    pub const ALL: [RotationPhase; 5] = [
        RotationPhase::Stable,
        RotationPhase::Publishing,
        RotationPhase::Spreading,
        RotationPhase::Retiring,
        RotationPhase::Healing,
    ];

    /// Its name in metrics and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            RotationPhase::Stable => "Stable",
            RotationPhase::Publishing => "Publishing",
            RotationPhase::Spreading => "Spreading",
            RotationPhase::Retiring => "Retiring",
            RotationPhase::Healing => "Healing",
        }
    }
}

impl fmt::Display for RotationPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Rotation {
    /// Where the rotation is. `now` is the wall clock after the reads of the observation.
    #[must_use]
    pub fn phase(&self, now: UnixTime, observation: &Observation) -> RotationPhase {
        let SecretContent::Readable(state) = &observation.secret else { return RotationPhase::Healing };
        let signs = state.current().is_some_and(|current| current.validity.contains(now));
        match state.next().map(|next| next.role) {
            _ if !signs => RotationPhase::Healing,
            _ if !observation.outdated(state).is_empty() => RotationPhase::Publishing,
            Some(Role::Next { published_at: Some(_) }) => RotationPhase::Spreading,
            Some(_) => RotationPhase::Publishing,
            None if state.retired().next().is_some() => RotationPhase::Retiring,
            None => RotationPhase::Stable,
        }
    }
}
