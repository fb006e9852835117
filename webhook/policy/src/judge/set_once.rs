//! R7: fields that are set stay as they are.

use super::evaluation::{Evaluation, Violation};
use super::phase::PhaseStep;
use crate::graph::{Read, Reading};
use crate::path::{Location, LocationStep};
use crate::rules::{Required, SetOnceRule};
use crate::value::Value;
use crate::verdict::{Class, Reason};

impl Evaluation<'_> {
    /// R7 but for `requiredIn`.
    pub(super) fn set_once(&mut self, reset: bool, (old, new): (&Value<'_>, &Value<'_>), location: &Location<'_>) {
        if !reset && !old.semantically_equal(new) {
            self.kept_leaves(old, new, location);
        }
    }

    /// R7: a field that is unset although a phase may require it. `steps` are the machines that `requiredIn` names.
    pub(super) fn required(
        &mut self,
        rule: &SetOnceRule,
        steps: Vec<(&PhaseStep<'_>, &Required)>,
        (old, new): (&Value<'_>, &Value<'_>),
        location: &Location<'_>,
    ) {
        let requires = |read: &Read<'_>, required: &Required| matches!(read.reading, Reading::Known(phase) if required.phases.binary_search(&phase).is_ok());
        let Some((step, _)) = steps.iter().find(|(step, required)| requires(&step.after, required)) else { return };
        if old.is_unset() && steps.iter().all(|(step, _)| !step.changed) {
            return;
        }
        if old.is_unset() && steps.iter().any(|(step, required)| requires(&step.before, required)) {
            return self.waive(location, Reason::FieldMissing);
        }
        let class = if rule.resets.restarts { Class::Stale } else { Class::Invalid };
        let phase = self.phase_name(&step.rule.graph, &step.after.reading, &location.beside(&step.rule.path));
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
