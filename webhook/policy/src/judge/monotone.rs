//! R6: numbers and times never fall.

use std::cmp::Ordering;

use super::evaluation::{Evaluation, SHOWN_IN_MESSAGE, Violation};
use crate::magnitude::Magnitude;
use crate::path::Location;
use crate::rules::MonotoneRule;
use crate::shown::shown;
use crate::value::Value;
use crate::verdict::{Class, Reason};

impl Evaluation<'_> {
    /// R6.
    pub(super) fn monotone(
        &mut self,
        rule: &MonotoneRule,
        reset: bool,
        (old, new): (&Value<'_>, &Value<'_>),
        location: &Location<'_>,
    ) {
        if old.semantically_equal(new) {
            return;
        }
        let violation = |reason, class| Violation { reason, class, old, new };
        let (before, after) = (Magnitude::of(old), Magnitude::of(new));
        let after = match (before, after) {
            (Magnitude::Malformed, Magnitude::Malformed) => return self.waive(location, Reason::Malformed),
            (_, Magnitude::Malformed) => {
                return self.report(location, violation(Reason::Malformed, Class::Invalid), |new| {
                    format!("is neither a number nor a time: {new}")
                });
            }
            (Magnitude::Malformed, _) => return self.waive(location, Reason::Malformed),
            (_, after) => after,
        };
        let order = after.compare(before);
        if order.is_none() && !reset {
            // From unset either is legal: an older state may have been unset.
            return self.report(location, violation(Reason::Malformed, Class::Stale), |_| {
                "changed between a number and a time".into()
            });
        }
        let old_above = rule.bounded && before.above(&self.old.generation);
        if rule.bounded && after.above(&self.new.generation) {
            if old_above && matches!(order, Some(Ordering::Less | Ordering::Equal)) {
                return self.waive(location, Reason::AboveBound);
            }
            let bound = shown(&self.new.generation, SHOWN_IN_MESSAGE);
            return self.report(location, violation(Reason::AboveBound, Class::Invalid), |new| {
                format!("is {new}, above metadata.generation, which is {bound}")
            });
        }
        if reset || order != Some(Ordering::Less) || (rule.to_zero && after.is_zero()) {
            return;
        }
        if old_above {
            return self.waive(location, Reason::AboveBound);
        }
        let violation = violation(Reason::CounterRegression, Class::Stale);
        self.report_change(location, violation, |old, new| format!("fell from {old} to {new}"));
    }
}
