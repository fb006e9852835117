//! R7: fields that are set stay as they are.

use super::evaluation::{Evaluation, Violation};
use super::phase::PhaseStep;
use crate::graph::Reading;
use crate::path::{Location, LocationStep};
use crate::rules::SetOnceRule;
use crate::value::Value;
use crate::verdict::{Class, Reason};

impl Evaluation<'_> {
    /// R7.
    pub(super) fn set_once(
        &mut self,
        rule: &SetOnceRule,
        reset: bool,
        (old, new): (&Value<'_>, &Value<'_>),
        phases: &[PhaseStep<'_>],
        location: &Location<'_>,
    ) {
        if !old.semantically_equal(new) && !reset {
            self.kept_leaves(old, new, location);
        }
        if !new.is_unset() {
            return;
        }
        let named = || rule.required_in.iter().map(|phase| (&phases[phase.machine], phase.node));
        let changed = named().any(|(phase, _)| phase.changed) || !old.is_unset();
        let required = named().find(|(phase, node)| phase.after.reading == Reading::Known(*node));
        let Some((phase, _)) = required.filter(|_| changed) else { return };
        if old.is_unset() && named().any(|(phase, node)| phase.before.reading == Reading::Known(node)) {
            return self.waive(location, Reason::FieldMissing);
        }
        let class = if rule.resets.restarts { Class::Stale } else { Class::Invalid };
        let phase = self.phase_name(&phase.rule.graph, &phase.after.reading, &location.beside(&phase.rule.path));
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
