//! What the crate promises about every world.

use statusguard_rotation::{Bundle, MAX_AUTHORITIES, RotationPhase, RotationState, SecretContent};

use super::faults::is_foreign;
use super::world::{Replica, World, rotation};

/// Rounds in which every replica looks once, until all is stable again.
pub const ROUNDS: usize = 30;

impl World {
    /// What is broken, if anything.
    pub fn broken(&self) -> Option<String> {
        for (number, replica) in self.replicas.iter().enumerate() {
            let Some(leaf) = replica.leaf else { continue };
            let end = self.authorities[&leaf.authority].not_after;
            if leaf.validity.not_after > end {
                return Some(format!("replica {number}: its leaf outlives its authority"));
            }
            let promised = !replica.unaware && !self.beyond_promise;
            if promised && leaf.validity.contains(self.now) && !self.covers(&leaf) {
                return Some(format!("replica {number}: its leaf is not in every bundle"));
            }
        }
        for bundle in &self.bundles {
            let Bundle::Holds(held) = bundle else { continue };
            if held.keys().filter(|id| !is_foreign(**id)).count() > MAX_AUTHORITIES {
                return Some("a bundle holds more than three authorities".into());
            }
        }
        if let SecretContent::Readable(state) = &self.secret {
            match RotationState::from_json(state.to_json().as_bytes()) {
                Ok(read) if read == *state => {}
                other => return Some(format!("the state is read as {other:?}")),
            }
        }
        None
    }

    /// After how many rounds without faults everything is stable and every replica serves a leaf.
    pub fn settles(&self) -> Result<usize, String> {
        let mut world = self.clone();
        for round in 0..ROUNDS {
            let before = (world.secret.clone(), world.bundles.clone());
            for replica in 0..world.replicas.len() {
                world.whole_look(replica);
            }
            if let Some(broken) = world.broken() {
                return Err(format!("{broken}, after {round} rounds:\n{world:#?}"));
            }
            if world.is_stable() {
                return Ok(round + 1);
            }
            if before == (world.secret.clone(), world.bundles.clone()) {
                // A round may do nothing but end looks that were begun before a fault.
                world.now = world.next_event().unwrap_or(world.now);
            }
        }
        Err(format!("not stable after {ROUNDS} rounds:\n{world:#?}"))
    }

    fn is_stable(&self) -> bool {
        let served =
            |replica: &Replica| replica.leaf.is_some_and(|leaf| leaf.validity.contains(self.now) && self.covers(&leaf));
        rotation().phase(self.now, &self.observation(0)) == RotationPhase::Stable && self.replicas.iter().all(served)
    }
}
