//! One write while it is judged: what every rule may look at, and where findings and waivers are recorded.

use super::object::Object;
use crate::budget::{Budget, Unfinished};
use crate::magnitude::advanced;
use crate::path::Location;
use crate::rules::{PhaseOf, PhaseRule, Policy, Resets};
use crate::shown::{cut, shown};
use crate::value::Value;
use crate::verdict::{Class, Finding, Judgement, Reason, Verdict, Waiver};

/// How many findings and waivers a judgement lists; further ones are only counted.
pub const MAX_FINDINGS: usize = 32;

/// Characters of a value that a message shows.
pub(super) const SHOWN_IN_MESSAGE: usize = 80;
/// Bytes of a value that a finding keeps.
pub(super) const SHOWN_IN_FINDING: usize = 1024;
/// Replaces values that a policy redacts.
pub(super) const REDACTED: &str = "[redacted]";

/// One write while it is judged.
pub(super) struct Evaluation<'v> {
    policy: &'v Policy,
    pub(super) old: &'v Object<'v>,
    pub(super) new: &'v Object<'v>,
    /// What the root's machines read before and after the write, as nodes, for `resets.from` and `resets.to`; each as far
    /// as it was asked for.
    root_phases: Vec<Option<[Option<usize>; 2]>>,
    /// Which resets apply, by their ids, as far as it is known.
    resets: Vec<Option<bool>>,
    pub(super) budget: &'v Budget<'v>,
    judgement: Judgement,
    /// Whether a finding that is not a consequence was Invalid.
    invalid: bool,
    /// Whether any finding was Stale.
    stale: bool,
}

/// What a finding is about.
pub(super) struct Violation<'c, 'v> {
    pub(super) reason: Reason,
    pub(super) class: Class,
    pub(super) old: &'c Value<'v>,
    pub(super) new: &'c Value<'v>,
}

impl<'v> Evaluation<'v> {
    pub(super) fn new(policy: &'v Policy, old: &'v Object<'v>, new: &'v Object<'v>, budget: &'v Budget<'v>) -> Self {
        Self {
            policy,
            old,
            new,
            root_phases: vec![None; policy.rules.phases.len()],
            resets: vec![None; policy.resets],
            budget,
            judgement: Judgement::allow(),
            invalid: false,
            stale: false,
        }
    }

    /// R10 and R11.
    pub(super) fn judgement(self) -> Judgement {
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

    /// R4: whether a rule does not compare with the old value. `old` and `new` are the entry that the rule judges.
    pub(super) fn resets_apply(
        &mut self,
        resets: &Resets,
        (old, new): (&Value<'_>, &Value<'_>),
    ) -> Result<bool, Unfinished> {
        for path in &resets.within {
            let (old, new) = (path.of(old), path.of(new));
            self.spend_on(old, new)?;
            if advanced(old, new) {
                return Ok(true);
            }
        }
        self.object_resets_apply(resets)
    }

    /// What of the resets depends on the whole object only: evaluated once, however many entries have the rule.
    fn object_resets_apply(&mut self, resets: &Resets) -> Result<bool, Unfinished> {
        let Some(id) = resets.id else { return Ok(false) };
        if let Some(Some(apply)) = self.resets.get(id) {
            return Ok(*apply);
        }
        let mut apply = self.names(&resets.from, 0)? || self.names(&resets.to, 1)?;
        for path in &resets.with {
            let (old, new) = (path.of(&self.old.status), path.of(&self.new.status));
            self.spend_on(old, new)?;
            apply |= advanced(old, new);
        }
        self.resets[id] = Some(apply);
        Ok(apply)
    }

    /// Whether a phase of the root, before the write (0) or after it (1), is named.
    fn names(&mut self, names: &[PhaseOf], at: usize) -> Result<bool, Unfinished> {
        self.budget.spend(names.len())?;
        for name in names {
            if self.root_phase(name.machine)?[at] == Some(name.node) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn root_phase(&mut self, machine: usize) -> Result<[Option<usize>; 2], Unfinished> {
        if let Some(read) = self.root_phases[machine] {
            return Ok(read);
        }
        let PhaseRule { path, graph, .. } = &self.policy.rules.phases[machine];
        let values = [path.of(&self.old.status), path.of(&self.new.status)];
        self.budget.spend(values.iter().map(|value| value.size()).sum())?;
        let read = values.map(|value| graph.node(&graph.read(value).reading));
        self.root_phases[machine] = Some(read);
        Ok(read)
    }

    /// Counts work that is about to be done.
    pub(super) fn spend(&self, steps: usize) -> Result<(), Unfinished> {
        self.budget.spend(steps)
    }

    /// Counts work on all of two values.
    pub(super) fn spend_on(&self, old: &Value<'_>, new: &Value<'_>) -> Result<(), Unfinished> {
        self.budget.spend(if old.ptr_eq(new) { 1 } else { old.size() + new.size() })
    }

    /// Whether the policy hides what is at a location.
    pub(super) fn redacted(&self, location: &Location<'_>) -> bool {
        self.policy.redact.iter().any(|path| location.touches(path))
    }

    /// Records a waiver.
    pub(super) fn waive(&mut self, location: &Location<'_>, reason: Reason) {
        self.judgement.note(reason);
        let waivers = &mut self.judgement.waivers;
        if waivers.len() < MAX_FINDINGS {
            waivers.push(Waiver { reason, field: self.policy.field(location) });
        }
    }

    /// Records a finding whose text shows the new value.
    pub(super) fn report(
        &mut self,
        location: &Location<'_>,
        violation: Violation<'_, '_>,
        what: impl FnOnce(&str) -> String,
    ) {
        self.report_change(location, violation, |_, new| what(new));
    }

    /// Records a finding whose text shows the old and the new value.
    pub(super) fn report_change(
        &mut self,
        location: &Location<'_>,
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
        let redacted = self.redacted(location);
        let show = |value: &Value<'_>| if redacted { REDACTED.into() } else { shown(value, SHOWN_IN_FINDING) };
        let (old, new) = (show(old), show(new));
        let what = what(&cut(&old, SHOWN_IN_MESSAGE), &cut(&new, SHOWN_IN_MESSAGE));
        let finding = Finding { reason, class, field: self.policy.field(location), old, new, what };
        self.judgement.findings.push(finding);
    }

    /// A value as a message about this location shows it.
    pub(super) fn name(&self, location: &Location<'_>, value: &Value<'_>) -> String {
        if self.redacted(location) { REDACTED.into() } else { shown(value, SHOWN_IN_MESSAGE) }
    }
}

impl Policy {
    /// How findings and waivers name a location.
    fn field(&self, location: &Location<'_>) -> String {
        cut(&location.shown(&self.redact), SHOWN_IN_FINDING).into_owned()
    }
}
