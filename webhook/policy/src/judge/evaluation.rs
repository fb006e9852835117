//! One write while it is judged: what every rule may look at, and where findings and waivers are recorded.

use super::lists::MAX_STEPS;
use super::object::Object;
use crate::magnitude::advanced;
use crate::path::Location;
use crate::rules::{Policy, Resets};
use crate::shown::{cut, shown};
use crate::value::Value;
use crate::verdict::{Class, Finding, Judgement, Reason, Verdict, Waiver};

/// How many findings and waivers a judgement lists; further ones are only counted.
pub const MAX_FINDINGS: usize = 32;

/// Characters of a value that a message shows.
pub(super) const SHOWN_IN_MESSAGE: usize = 80;
/// Bytes of a value that a finding keeps.
const SHOWN_IN_FINDING: usize = 1024;
/// Replaces values that a policy redacts.
pub(super) const REDACTED: &str = "[redacted]";

/// One write while it is judged.
pub(super) struct Evaluation<'v> {
    policy: &'v Policy,
    pub(super) old: &'v Object<'v>,
    pub(super) new: &'v Object<'v>,
    /// The root's phases as nodes, for `resets.from` and `resets.to`.
    old_phase: Option<usize>,
    new_phase: Option<usize>,
    judgement: Judgement,
    /// What is left of [`MAX_STEPS`].
    pub(super) steps: usize,
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
    pub(super) fn new(policy: &'v Policy, old: &'v Object<'v>, new: &'v Object<'v>) -> Self {
        let phase = |object: &Object<'_>| {
            let rule = policy.rules.phase.as_ref()?;
            rule.graph.node(&rule.graph.read(rule.path.of(&object.status)).reading)
        };
        Self {
            policy,
            old,
            new,
            old_phase: phase(old),
            new_phase: phase(new),
            judgement: Judgement::allow(),
            steps: MAX_STEPS,
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

    /// R4: whether a rule does not compare with the old value.
    pub(super) fn resets_apply(&self, resets: &Resets) -> bool {
        let named = |phase: Option<usize>, names: &[usize]| phase.is_some_and(|phase| names.contains(&phase));
        named(self.old_phase, &resets.from)
            || named(self.new_phase, &resets.to)
            || resets.with.iter().any(|path| advanced(path.of(&self.old.status), path.of(&self.new.status)))
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
