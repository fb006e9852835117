//! R7: fields that are set stay as they are.

use super::evaluation::{Evaluation, Violation};
use crate::graph::{Read, Reading};
use crate::path::{Location, LocationStep};
use crate::rules::{PhaseRule, SetOnceRule};
use crate::value::Value;
use crate::verdict::{Class, Reason};

impl Evaluation<'_> {
    /// R7.
    pub(super) fn set_once(
        &mut self,
        rule: &SetOnceRule,
        reset: bool,
        (old, new): (&Value<'_>, &Value<'_>),
        phases: Option<(&PhaseRule, &Read<'_>, &Read<'_>)>,
        location: &Location<'_>,
    ) {
        if !old.semantically_equal(new) && !reset {
            self.kept_leaves(old, new, location);
        }
        let Some((phase_rule, before, after)) = phases else { return };
        let required =
            |read: &Read<'_>| matches!(read.reading, Reading::Known(phase) if rule.required_in.contains(&phase));
        if !required(after) || !new.is_unset() || (before.reading == after.reading && old.semantically_equal(new)) {
            return;
        }
        if required(before) && old.is_unset() {
            return self.waive(location, Reason::FieldMissing);
        }
        let class = if rule.resets.restarts { Class::Stale } else { Class::Invalid };
        let phase = self.phase_name(&phase_rule.graph, &after.reading, &location.beside(&phase_rule.path));
        self.report(location, Violation { reason: Reason::FieldMissing, class, old, new }, |_| {
            format!("must be set in phase {phase}")
        });
    }

    /// Finds the first set leaf of `old` that `new` does not keep; true when there is none.
    fn kept_leaves(&mut self, old: &Value<'_>, new: &Value<'_>, location: &Location<'_>) -> bool {
        if old.is_unset() {
            return true;
        }
        if let (Value::Object(members), true) = (old, matches!(new, Value::Object(_)) || new.is_unset()) {
            return members.iter().all(|(name, value)| {
                // A name is a step of its own: it may hold characters that no path can.
                self.kept_leaves(value, new.get(name), &location.then(LocationStep::Name(name)))
            });
        }
        if old.semantically_equal(new) {
            return true;
        }
        let violation = Violation { reason: Reason::SetOnceChanged, class: Class::Stale, old, new };
        let removed = new.is_unset();
        self.report_change(location, violation, |old, new| match removed {
            true => format!("was set to {old} and is now unset"),
            false => format!("was set to {old} and became {new}"),
        });
        false
    }
}
