//! R5: the phase moves along the edges of its graph.

use super::evaluation::{Evaluation, REDACTED, SHOWN_IN_FINDING, SHOWN_IN_MESSAGE, Violation};
use crate::budget::Unfinished;
use crate::graph::{Graph, Read, Reading};
use crate::path::Location;
use crate::rules::{PhaseRule, Required};
use crate::shown::cut;
use crate::value::Value;
use crate::verdict::{Class, Reason};

/// What a machine reads before and after a write.
pub(super) struct PhaseStep<'v> {
    pub(super) rule: &'v PhaseRule,
    pub(super) before: Read<'v>,
    pub(super) after: Read<'v>,
    /// Whether the two are different phases.
    pub(super) changed: bool,
}

impl<'v> PhaseStep<'v> {
    pub(super) fn between(rule: &'v PhaseRule, old: &'v Value<'_>, new: &'v Value<'_>) -> Self {
        let read = |value| rule.graph.read(rule.path.of(value));
        let (before, after) = (read(old), read(new));
        // Two ways to write one time are one name.
        let unknown = matches!((&before.reading, &after.reading), (Reading::Unknown(_), Reading::Unknown(_)));
        let same =
            before.reading == after.reading || (unknown && rule.path.of(old).semantically_equal(rule.path.of(new)));
        Self { rule, before, after, changed: !same }
    }
}

/// The machines of a rule set, each read when it is first asked for.
pub(super) struct Machines<'v> {
    rules: &'v [PhaseRule],
    old: &'v Value<'v>,
    new: &'v Value<'v>,
    steps: Vec<Option<PhaseStep<'v>>>,
}

impl<'v> Machines<'v> {
    pub(super) fn new(rules: &'v [PhaseRule], old: &'v Value<'v>, new: &'v Value<'v>) -> Self {
        Self { rules, old, new, steps: Vec::new() }
    }

    /// What one of them reads before and after the write.
    pub(super) fn step(&mut self, index: usize, evaluation: &Evaluation<'_>) -> Result<&PhaseStep<'v>, Unfinished> {
        if self.steps.is_empty() {
            self.steps.resize_with(self.rules.len(), || None);
        }
        if self.steps[index].is_none() {
            let path = &self.rules[index].path;
            evaluation.spend(path.of(self.old).size() + path.of(self.new).size())?;
        }
        let between = || PhaseStep::between(&self.rules[index], self.old, self.new);
        Ok(self.steps[index].get_or_insert_with(between))
    }

    /// Those of the machines that `requiredIn` names.
    pub(super) fn steps<'r>(
        &mut self,
        required: &'r [Required],
        evaluation: &Evaluation<'_>,
    ) -> Result<Vec<(&PhaseStep<'v>, &'r Required)>, Unfinished> {
        for required in required {
            self.step(required.machine, evaluation)?;
        }
        let steps = required.iter().filter_map(|required| Some((self.steps[required.machine].as_ref()?, required)));
        Ok(steps.collect())
    }
}

impl Evaluation<'_> {
    /// R5.
    pub(super) fn phase(
        &mut self,
        PhaseStep { rule, before, after, changed }: &PhaseStep<'_>,
        reset: bool,
        (old, new): (&Value<'_>, &Value<'_>),
        location: &Location<'_>,
    ) {
        let graph = &rule.graph;
        if !changed {
            return;
        }
        let violation = |reason, class| Violation { reason, class, old, new };
        let names = |evaluation: &Self| {
            (
                evaluation.phase_name(graph, &before.reading, location),
                evaluation.phase_name(graph, &after.reading, location),
            )
        };
        let to = match &after.reading {
            Reading::Malformed => {
                self.report(location, violation(Reason::Malformed, Class::Invalid), |new| {
                    format!("is not a phase: {new}")
                });
                return;
            }
            Reading::Ambiguous(phases) => {
                if matches!(&before.reading, Reading::Ambiguous(all) if phases.iter().all(|phase| all.binary_search(phase).is_ok()))
                {
                    self.waive(location, Reason::PhaseAmbiguous);
                    return;
                }
                let stale = ambiguous_is_stale(graph, before, phases);
                let class = if stale { Class::Stale } else { Class::Invalid };
                let (old_name, new_name) = names(self);
                self.report(location, violation(Reason::PhaseAmbiguous, class), |_| {
                    format!("name the phases {new_name} at the same time; the phase was {old_name}")
                });
                return;
            }
            Reading::Empty | Reading::Known(_) | Reading::Unknown(_) => graph.node(&after.reading),
        };
        let from = match &before.reading {
            Reading::Malformed | Reading::Ambiguous(_) => None,
            Reading::Unknown(_) if !graph.any_target() => None,
            reading => graph.node(reading),
        };
        let (Some(from), Some(to)) = (from, to) else {
            self.waive(location, Reason::PhaseUnknown);
            return;
        };
        if graph.legal(from, to) || (reset && (to == graph.empty() || graph.legal(graph.empty(), to))) {
            return;
        }
        let (old_name, new_name) = names(self);
        if matches!(after.reading, Reading::Unknown(_)) && !graph.any_target() {
            self.report(location, violation(Reason::PhaseUnknown, Class::Invalid), |_| {
                let known = cut(&graph.names().join(", "), SHOWN_IN_FINDING).into_owned();
                format!("went from {old_name} to {new_name}, which is not a phase of this kind ({known})")
            });
        } else if graph.explained(from, to) {
            self.report(location, violation(Reason::PhaseRegression, Class::Stale), |_| {
                format!("went back from {old_name} to {new_name}")
            });
        } else {
            self.report(location, violation(Reason::PhaseSkipped, Class::Invalid), |_| {
                format!("went from {old_name} to {new_name}, and no transition leads there")
            });
        }
    }

    /// A phase as messages name it.
    pub(super) fn phase_name(&self, graph: &Graph, reading: &Reading<'_>, location: &Location<'_>) -> String {
        if self.redacted(location) { REDACTED.into() } else { cut(&graph.show(reading), SHOWN_IN_MESSAGE).into_owned() }
    }
}

/// R5.3: a plain phase, and one more state that an older base explains.
fn ambiguous_is_stale(graph: &Graph, before: &Read<'_>, phases: &[usize]) -> bool {
    let Reading::Known(from) = before.reading else { return false };
    if phases.binary_search(&from).is_err() {
        return false;
    }
    let mut others = phases.iter().copied().filter(|phase| *phase != from && before.seen.binary_search(phase).is_err());
    match (others.next(), others.next()) {
        (Some(other), None) => graph.explained(from, other),
        _ => false,
    }
}
