//! The verdict on one write: `(old, new)` against the compiled rules (R1 to R11 in the README).
//!
//! ```text
//! Object, Object ──> Evaluation ──> rules of the root ──> findings, waivers ──> Judgement
//!                      └── rules of each entry, with the same Evaluation
//! ```
//! Every rule is asked alone, with only its own inputs; the verdict comes last.

use std::cmp::Ordering;

use crate::changes::Changes;
use crate::collection::MAX_STEPS;
use crate::graph::{Graph, Read, Reading};
use crate::magnitude::{Magnitude, advanced, sum, terms};
use crate::number::Sum;
use crate::path::{Path, Place, Step};
use crate::rules::{EqualRule, MonotoneRule, PhaseRule, Policy, Resets, Rules, SetOnceRule, Term};
use crate::shown::{cut, shown};
use crate::value::{ParseError, Value};
use crate::verdict::{Class, Finding, Judgement, Operation, Reason, Verdict, Waiver};

/// Findings and waivers that a judgement spells out; more are only counted.
pub const MAX_FINDINGS: usize = 32;

/// Characters of a value that a message shows.
const SHOWN_IN_MESSAGE: usize = 80;
/// Bytes of a value that a finding keeps.
const SHOWN_IN_FINDING: usize = 1024;
/// What stands in place of what a policy redacts.
const REDACTED: &str = "[redacted]";

/// The parts of an object that a verdict depends on.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    /// `.status`, [`Value::Null`] when absent.
    pub status: Value<'a>,
    /// `.metadata.generation`.
    pub generation: Value<'a>,
    /// Whether `.metadata.deletionTimestamp` is set.
    pub deleting: bool,
}

impl<'a> Object<'a> {
    /// From the raw JSON of the three fields, as a lazy reader finds them.
    ///
    /// # Errors
    /// When one of them is not JSON.
    pub fn of_parts(
        status: Option<&'a [u8]>,
        generation: Option<&'a [u8]>,
        deletion: Option<&'a [u8]>,
    ) -> Result<Self, ParseError> {
        let parse = |part: Option<&'a [u8]>| part.map_or(Ok(Value::Null), Value::parse);
        Ok(Self { status: parse(status)?, generation: parse(generation)?, deleting: !parse(deletion)?.is_unset() })
    }

    /// As [`Object::of_parts`], for the other object of the same write: what the two have in common
    /// is read once.
    ///
    /// # Errors
    /// When one of the fields is not JSON.
    pub fn of_parts_like(
        like: &Self,
        status: Option<&'a [u8]>,
        generation: Option<&'a [u8]>,
        deletion: Option<&'a [u8]>,
    ) -> Result<Self, ParseError> {
        let status = status.map_or(Ok(Value::Null), |status| Value::parse_like(status, &like.status))?;
        Ok(Self { status, ..Self::of_parts(None, generation, deletion)? })
    }

    /// From a whole object.
    #[must_use]
    pub fn of(object: &Value<'a>) -> Self {
        let metadata = object.get("metadata");
        Self {
            status: object.get("status").clone(),
            generation: metadata.get("generation").clone(),
            deleting: !metadata.get("deletionTimestamp").is_unset(),
        }
    }
}

impl Policy {
    /// Judges one write. Pure: the same arguments give the same judgement, and nothing
    /// but `.status`, `.metadata.generation` and `.metadata.deletionTimestamp` matters.
    #[must_use]
    pub fn judge(&self, operation: Operation, old: &Object<'_>, new: &Object<'_>) -> Judgement {
        if operation != Operation::Update {
            return Judgement::allow();
        }
        let (old_phase, new_phase) = match &self.rules.phase {
            Some(rule) => (rule.graph.read(rule.path.of(&old.status)), rule.graph.read(rule.path.of(&new.status))),
            None => {
                (Read { reading: Reading::Empty, seen: Vec::new() }, Read { reading: Reading::Empty, seen: Vec::new() })
            }
        };
        let node = |read: &Read<'_>| self.rules.phase.as_ref().and_then(|rule| rule.graph.node(&read.reading));
        let mut evaluation = Evaluation {
            policy: self,
            old,
            new,
            old_phase: node(&old_phase),
            new_phase: node(&new_phase),
            judgement: Judgement::allow(),
            steps: MAX_STEPS,
            invalid: false,
            stale: false,
        };
        evaluation.rules(&self.rules, &old.status, &new.status, None);
        evaluation.judgement()
    }
}

impl Policy {
    /// How findings and waivers name a place.
    fn field(&self, place: &Place<'_>) -> String {
        cut(&place.shown(&self.redact), SHOWN_IN_FINDING).into_owned()
    }
}

/// One write while it is judged.
pub(crate) struct Evaluation<'v> {
    policy: &'v Policy,
    old: &'v Object<'v>,
    new: &'v Object<'v>,
    /// The root's phases as nodes, for `resets.from` and `resets.to`.
    old_phase: Option<usize>,
    new_phase: Option<usize>,
    judgement: Judgement,
    /// What is left of [`MAX_STEPS`].
    pub(crate) steps: usize,
    /// Whether a finding that is no consequence was Invalid.
    invalid: bool,
    /// Whether any finding was Stale.
    stale: bool,
}

/// What a finding is about.
pub(crate) struct Violation<'c, 'v> {
    pub(crate) reason: Reason,
    pub(crate) class: Class,
    pub(crate) old: &'c Value<'v>,
    pub(crate) new: &'c Value<'v>,
}

impl<'v> Evaluation<'v> {
    fn judgement(self) -> Judgement {
        let mut judgement = self.judgement;
        judgement.verdict = match (judgement.findings.is_empty(), judgement.waivers.is_empty()) {
            (true, true) => Verdict::Allow,
            (true, false) => Verdict::Repair,
            (false, _) if self.invalid || !self.stale => Verdict::Invalid,
            (false, _) => Verdict::Stale,
        };
        judgement.softened = self.new.deleting && judgement.verdict.class().is_some();
        judgement
    }

    /// Asks every rule of a set about one item, or about the root. R3 first, for all rules at once: a rule whose
    /// members did not change has nothing to say.
    pub(crate) fn rules(&mut self, rules: &Rules, old: &Value<'_>, new: &Value<'_>, parent: Option<&Place<'_>>) {
        if old.ptr_eq(new) {
            return;
        }
        let changes = Changes::between(old, new);
        let phases = rules.phase.as_ref().map(|rule| {
            let read = |value| rule.graph.read(rule.path.of(value));
            (rule, read(old), read(new))
        });
        let entered = phases.as_ref().is_some_and(|(_, before, after)| before.reading != after.reading);
        if let Some((rule, before, after)) = &phases
            && changes.touch(&rule.path)
        {
            let place = Place::under(parent, &rule.path);
            self.phase(rule, (before, after), rule.path.of(old), rule.path.of(new), &place);
        }
        for rule in rules.monotone.iter().filter(|rule| changes.touch(&rule.path)) {
            let place = Place::under(parent, &rule.path);
            self.monotone(rule, rule.path.of(old), rule.path.of(new), &place);
        }
        let due = |rule: &&SetOnceRule| changes.touch(&rule.path) || (entered && !rule.required_in.is_empty());
        for rule in rules.set_once.iter().filter(due) {
            let place = Place::under(parent, &rule.path);
            let phases = phases.as_ref().map(|(rule, before, after)| (*rule, before, after));
            self.set_once(rule, rule.path.of(old), rule.path.of(new), phases, &place);
        }
        for rule in rules.collections.iter().filter(|rule| changes.touch(&rule.path)) {
            let place = Place::under(parent, &rule.path);
            self.collection(rule, rule.path.of(old), rule.path.of(new), &place);
        }
        let due = |rule: &&EqualRule| rule.left.iter().chain(&rule.right).any(|term| changes.touch(term.path()));
        for rule in rules.equal.iter().filter(due) {
            self.equal(rule, old, new, parent);
        }
    }

    /// R4: whether a rule drops its comparison with old.
    pub(crate) fn resets_apply(&self, resets: &Resets) -> bool {
        let named = |phase: Option<usize>, names: &[usize]| phase.is_some_and(|phase| names.contains(&phase));
        named(self.old_phase, &resets.from)
            || named(self.new_phase, &resets.to)
            || resets.with.iter().any(|path| advanced(path.of(&self.old.status), path.of(&self.new.status)))
    }

    /// R5.
    fn phase(
        &mut self,
        rule: &PhaseRule,
        (before, after): (&Read<'_>, &Read<'_>),
        old: &Value<'_>,
        new: &Value<'_>,
        place: &Place<'_>,
    ) {
        let graph = &rule.graph;
        // Two ways to write one time are one name.
        let unknown = matches!((&before.reading, &after.reading), (Reading::Unknown(_), Reading::Unknown(_)));
        if before.reading == after.reading || (unknown && old.semantically_equal(new)) {
            return;
        }
        let violation = |reason, class| Violation { reason, class, old, new };
        let names = |evaluation: &Self| {
            (evaluation.phase_name(graph, &before.reading, place), evaluation.phase_name(graph, &after.reading, place))
        };
        let to = match &after.reading {
            Reading::Malformed => {
                self.report(place, violation(Reason::Malformed, Class::Invalid), |new| format!("is no phase: {new}"));
                return;
            }
            Reading::Ambiguous(phases) => {
                if matches!(&before.reading, Reading::Ambiguous(all) if phases.iter().all(|phase| all.contains(phase)))
                {
                    self.waive(place, Reason::PhaseAmbiguous);
                    return;
                }
                let stale = ambiguous_is_stale(graph, before, phases);
                let class = if stale { Class::Stale } else { Class::Invalid };
                let (old_name, new_name) = names(self);
                self.report(place, violation(Reason::PhaseAmbiguous, class), |_| {
                    format!("say {new_name} at once, after {old_name}")
                });
                return;
            }
            Reading::Unknown(_) => graph.node(&after.reading),
            Reading::Empty | Reading::Known(_) => graph.node(&after.reading),
        };
        let from = match &before.reading {
            Reading::Malformed | Reading::Ambiguous(_) => None,
            Reading::Unknown(_) if !graph.any_target() => None,
            reading => graph.node(reading),
        };
        let (Some(from), Some(to)) = (from, to) else {
            self.waive(place, Reason::PhaseUnknown);
            return;
        };
        if graph.legal(from, to)
            || (self.resets_apply(&rule.resets) && (to == graph.empty() || graph.legal(graph.empty(), to)))
        {
            return;
        }
        let (old_name, new_name) = names(self);
        if matches!(after.reading, Reading::Unknown(_)) && !graph.any_target() {
            let known = graph.names().join(", ");
            self.report(place, violation(Reason::PhaseUnknown, Class::Invalid), |_| {
                format!("went from {old_name} to {new_name}, which is no phase of this kind ({known})")
            });
        } else if graph.explained(from, to) {
            self.report(place, violation(Reason::PhaseRegression, Class::Stale), |_| {
                format!("went back from {old_name} to {new_name}")
            });
        } else {
            self.report(place, violation(Reason::PhaseSkipped, Class::Invalid), |_| {
                format!("went from {old_name} to {new_name}, and no transition leads there")
            });
        }
    }

    /// A phase as messages name it.
    fn phase_name(&self, graph: &Graph, reading: &Reading<'_>, place: &Place<'_>) -> String {
        if self.redacted(place) { REDACTED.into() } else { cut(&graph.show(reading), SHOWN_IN_MESSAGE).into_owned() }
    }

    /// R6.
    fn monotone(&mut self, rule: &MonotoneRule, old: &Value<'_>, new: &Value<'_>, place: &Place<'_>) {
        if old.semantically_equal(new) {
            return;
        }
        let violation = |reason, class| Violation { reason, class, old, new };
        let (before, after) = (Magnitude::of(old), Magnitude::of(new));
        let after = match (before, after) {
            (Magnitude::Malformed, Magnitude::Malformed) => return self.waive(place, Reason::Malformed),
            (_, Magnitude::Malformed) => {
                return self.report(place, violation(Reason::Malformed, Class::Invalid), |new| {
                    format!("is neither a number nor a time: {new}")
                });
            }
            (Magnitude::Malformed, _) => return self.waive(place, Reason::Malformed),
            (_, after) => after,
        };
        let reset = self.resets_apply(&rule.resets);
        let order = after.compare(before);
        if order.is_none() && !reset {
            let class = if rule.resets.any() || rule.to_zero { Class::Stale } else { Class::Invalid };
            return self
                .report(place, violation(Reason::Malformed, class), |_| "changed between a number and a time".into());
        }
        let old_above = rule.bounded && before.above(&self.old.generation);
        if rule.bounded && after.above(&self.new.generation) {
            if old_above && matches!(order, Some(Ordering::Less | Ordering::Equal)) {
                return self.waive(place, Reason::AboveBound);
            }
            let bound = shown(&self.new.generation, SHOWN_IN_MESSAGE);
            return self.report(place, violation(Reason::AboveBound, Class::Invalid), |new| {
                format!("is {new}, above metadata.generation, which is {bound}")
            });
        }
        if reset || order != Some(Ordering::Less) || (rule.to_zero && after.is_zero()) {
            return;
        }
        if old_above {
            return self.waive(place, Reason::AboveBound);
        }
        let violation = violation(Reason::CounterRegression, Class::Stale);
        self.report_change(place, violation, |old, new| format!("fell from {old} to {new}"));
    }

    /// R7.
    fn set_once(
        &mut self,
        rule: &SetOnceRule,
        old: &Value<'_>,
        new: &Value<'_>,
        phases: Option<(&PhaseRule, &Read<'_>, &Read<'_>)>,
        place: &Place<'_>,
    ) {
        if !old.semantically_equal(new) && !self.resets_apply(&rule.resets) {
            self.kept_leaves(old, new, place);
        }
        let Some((phase_rule, before, after)) = phases else { return };
        let required =
            |read: &Read<'_>| matches!(read.reading, Reading::Known(phase) if rule.required_in.contains(&phase));
        if !required(after) || !new.is_unset() || (before.reading == after.reading && old.semantically_equal(new)) {
            return;
        }
        if required(before) && old.is_unset() {
            return self.waive(place, Reason::FieldMissing);
        }
        let class = if rule.resets.any() { Class::Stale } else { Class::Invalid };
        let phase = self.phase_name(&phase_rule.graph, &after.reading, &place.beside(&phase_rule.path));
        self.report(place, Violation { reason: Reason::FieldMissing, class, old, new }, |_| {
            format!("must be set in phase {phase}")
        });
    }

    /// Finds the first set leaf of `old` that `new` does not keep; true when there is none.
    fn kept_leaves(&mut self, old: &Value<'_>, new: &Value<'_>, place: &Place<'_>) -> bool {
        if old.is_unset() {
            return true;
        }
        if let (Value::Object(members), true) = (old, matches!(new, Value::Object(_)) || new.is_unset()) {
            return members.iter().all(|(name, value)| {
                // A name is a step of its own: it may hold characters that no path can.
                self.kept_leaves(value, new.get(name), &place.then(Step::Name(name)))
            });
        }
        if old.semantically_equal(new) {
            return true;
        }
        let violation = Violation { reason: Reason::SetOnceChanged, class: Class::Stale, old, new };
        let removed = new.is_unset();
        self.report_change(place, violation, |old, new| match removed {
            true => format!("was set to {old} and is gone"),
            false => format!("was set to {old} and became {new}"),
        });
        false
    }

    /// R9.
    fn equal(&mut self, rule: &EqualRule, old: &Value<'_>, new: &Value<'_>, parent: Option<&Place<'_>>) {
        let (l, r) = (sum(&rule.left, new), sum(&rule.right, new));
        if l == r {
            return;
        }
        let (old_l, old_r) = (sum(&rule.left, old), sum(&rule.right, old));
        if l == old_l && r == old_r {
            return;
        }
        let (smaller, lesser, greater) = if l < r { (&rule.left, &l, &r) } else { (&rule.right, &r, &l) };
        let larger = if l < r { &rule.right } else { &rule.left };
        let first = smaller.iter().chain(larger).map(Term::path).next();
        let empty = Path::default();
        let place = Place::under(parent, first.unwrap_or(&empty));
        let old_gap = old_l.gap(&old_r);
        if !old_gap.is_zero() && l.gap(&r) <= old_gap {
            return self.waive(&place, Reason::CountMismatch);
        }
        let lags = smaller.iter().any(|term| matches!(term, Term::Number(_)));
        let class = if lags { Class::Stale } else { Class::Invalid };
        let redacted = smaller.iter().chain(larger).any(|term| self.redacted(&Place::under(parent, term.path())));
        let what = if redacted {
            format!("{} and {} no longer agree", terms(smaller), terms(larger))
        } else {
            let shown = |sum: &Sum| cut(&sum.to_string(), SHOWN_IN_MESSAGE).into_owned();
            format!("{} is {}, but {} is {}", terms(smaller), shown(lesser), terms(larger), shown(greater))
        };
        let (before, after) =
            (first.map_or(&Value::Null, |path| path.of(old)), first.map_or(&Value::Null, |path| path.of(new)));
        self.report(&place, Violation { reason: Reason::CountMismatch, class, old: before, new: after }, |_| what);
    }

    fn redacted(&self, place: &Place<'_>) -> bool {
        self.policy.redact.iter().any(|path| place.touches(path))
    }

    /// Records a waiver.
    pub(crate) fn waive(&mut self, place: &Place<'_>, reason: Reason) {
        self.judgement.note(reason);
        let waivers = &mut self.judgement.waivers;
        if waivers.len() < MAX_FINDINGS {
            waivers.push(Waiver { reason, field: self.policy.field(place) });
        }
    }

    /// Records a finding whose text shows the new value.
    pub(crate) fn report(
        &mut self,
        place: &Place<'_>,
        violation: Violation<'_, '_>,
        what: impl FnOnce(&str) -> String,
    ) {
        self.report_change(place, violation, |_, new| what(new));
    }

    /// Records a finding whose text shows the old and the new value.
    pub(crate) fn report_change(
        &mut self,
        place: &Place<'_>,
        violation: Violation<'_, '_>,
        what: impl FnOnce(&str, &str) -> String,
    ) {
        let Violation { reason, class, old, new } = violation;
        match class {
            Class::Stale => self.stale = true,
            Class::Invalid => self.invalid |= !reason.is_consequence(),
        }
        self.judgement.note(reason);
        if self.judgement.findings.len() >= MAX_FINDINGS {
            self.judgement.more += 1;
            return;
        }
        let redacted = self.redacted(place);
        let show = |value: &Value<'_>| if redacted { REDACTED.into() } else { shown(value, SHOWN_IN_FINDING) };
        let (old, new) = (show(old), show(new));
        let what = what(&cut(&old, SHOWN_IN_MESSAGE), &cut(&new, SHOWN_IN_MESSAGE));
        let finding = Finding { reason, class, field: self.policy.field(place), old, new, what };
        self.judgement.findings.push(finding);
    }

    /// The text of a value for a message at this place.
    pub(crate) fn name(&self, place: &Place<'_>, value: &Value<'_>) -> String {
        if self.redacted(place) { REDACTED.into() } else { shown(value, SHOWN_IN_MESSAGE) }
    }
}

/// R5.3: a plain phase, and one more state that an older base explains.
fn ambiguous_is_stale(graph: &Graph, before: &Read<'_>, phases: &[usize]) -> bool {
    let Reading::Known(from) = before.reading else { return false };
    if !phases.contains(&from) {
        return false;
    }
    let mut others = phases.iter().copied().filter(|phase| *phase != from && !before.seen.contains(phase));
    match (others.next(), others.next()) {
        (Some(other), None) => graph.explained(from, other),
        _ => false,
    }
}
