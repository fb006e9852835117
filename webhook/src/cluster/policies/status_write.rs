//! When the conditions of one policy are written: at once what is new, slowly what another has written over.

use std::time::{Duration, Instant};

use super::conditions::WantedCondition;
use super::settings::PolicyWatchSettings;

/// The writes of one policy's conditions.
#[derive(Debug, Default)]
pub struct StatusWrites {
    /// What the object had, or was given, last, as this replica wants it; and for which generation.
    reached: Option<(i64, [WantedCondition; 2])>,
    /// Since when it has been different though it was reached.
    differs_since: Option<Instant>,
    /// How long that is left alone.
    patience: Option<Duration>,
    /// After a write that failed.
    not_before: Option<Instant>,
}

impl StatusWrites {
    /// The object says what is wanted.
    pub fn agrees(&mut self, generation: i64, wanted: &[WantedCondition; 2]) {
        self.reached = Some((generation, wanted.clone()));
        (self.differs_since, self.not_before) = (None, None);
    }

    /// When an object that differs at `now` may be written.
    pub fn due(
        &mut self,
        now: Instant,
        generation: i64,
        wanted: &[WantedCondition; 2],
        settings: &PolicyWatchSettings,
    ) -> Instant {
        let reached = self.reached.as_ref().is_some_and(|(at, reached)| *at == generation && reached == wanted);
        let due = if reached {
            let patience = *self.patience.get_or_insert(settings.peer_patience);
            *self.differs_since.get_or_insert(now) + patience
        } else {
            (self.differs_since, self.patience) = (None, None);
            now
        };
        due.max(self.not_before.unwrap_or(due))
    }

    /// A write went through.
    pub fn written(&mut self, generation: i64, wanted: &[WantedCondition; 2], settings: &PolicyWatchSettings) {
        if self.differs_since.is_some() {
            self.patience = self.patience.map(|patience| (patience * 2).min(settings.longest_peer_patience));
        }
        self.agrees(generation, wanted);
    }

    /// A write failed, or came too late.
    pub fn failed(&mut self, until: Instant) {
        self.not_before = Some(until);
    }

    /// There is a newer version of the object to write to.
    pub fn object_changed(&mut self) {
        self.not_before = None;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value as Json;

    use super::*;
    use crate::cluster::configuration::Published;
    use crate::cluster::policies::compiled::CompiledVersion;
    use crate::cluster::policies::conditions::{self, EnforcementState};
    use crate::guard::store_metrics::PolicyState;

    fn wanted(message: &str) -> [WantedCondition; 2] {
        let (state, reason, message) = (PolicyState::Broken, "Invalid", message.to_owned());
        let version = CompiledVersion { policy: None, state, reason, message };
        let (published, arrived) = (&Published::Unknown, &HashSet::new());
        let state = EnforcementState { published, arrived, replaced_by: None };
        conditions::wanted("jobs.example.org", &version, &state, &Json::Null)
    }

    #[test]
    fn what_is_new_is_written_at_once_and_what_another_wrote_ever_later() {
        let settings = PolicyWatchSettings::default();
        let start = Instant::now();
        let mut writes = StatusWrites::default();
        assert_eq!(writes.due(start, 1, &wanted("a"), &settings), start);
        writes.written(1, &wanted("a"), &settings);
        // Another replica, of another release, writes something else again and again, at once.
        let (mut now, mut waits) = (start, Vec::new());
        for _ in 0..10 {
            let due = writes.due(now, 1, &wanted("a"), &settings);
            assert_eq!(writes.due(now + Duration::from_secs(1), 1, &wanted("a"), &settings), due, "it does not move");
            waits.push((due - now).as_secs());
            writes.written(1, &wanted("a"), &settings);
            now = due;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600]);
        // Something new of the policy itself is not held back, nor is a new generation.
        assert_eq!(writes.due(now, 1, &wanted("b"), &settings), now);
        writes.written(1, &wanted("b"), &settings);
        assert_eq!(writes.due(now, 2, &wanted("b"), &settings), now);
    }

    #[test]
    fn after_a_failure_it_waits_unless_the_object_changes() {
        let settings = PolicyWatchSettings::default();
        let now = Instant::now();
        let mut writes = StatusWrites::default();
        writes.failed(now + Duration::from_secs(7));
        assert_eq!(writes.due(now, 1, &wanted("a"), &settings), now + Duration::from_secs(7));
        writes.object_changed();
        assert_eq!(writes.due(now, 1, &wanted("a"), &settings), now);
    }
}
