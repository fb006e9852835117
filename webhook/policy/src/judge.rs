//! The verdict on one write: an old and a new object against the compiled rules (R1 to R11 in LANGUAGE.md).
//!
//! ```text
//! Policy::judge ──> judge_rules ──> phase, monotone, set_once, collection, equal ──> Evaluation
//!                       ^                                        │
//!                       └──────── each entry with its pair ──────┘
//! ```
//! Every rule is judged alone, with only its own inputs; the verdict comes last.

mod changes;
mod collection;
mod equal;
mod evaluation;
mod identity;
mod lists;
mod matrix;
mod monotone;
mod numbers;
mod object;
mod order;
mod phase;
mod set_once;

use changes::Changes;
use evaluation::{Evaluation, Violation};
use phase::Machines;

use crate::budget::{Budget, Unfinished};
use crate::path::{Location, Path};
use crate::rules::{EqualRule, Policy, Required, Rules};
use crate::value::Value;
use crate::verdict::{Class, Judgement, Operation, Reason};

pub use evaluation::MAX_FINDINGS;
pub use object::Object;

impl Policy {
    /// Judges one write. Pure: the same arguments give the same judgement, and nothing
    /// but `.status`, `.metadata.generation` and `.metadata.deletionTimestamp` matters.
    ///
    /// A new status that cannot be read is Invalid. If the old one cannot be read, every violation is waived.
    ///
    /// # Errors
    /// When the budget does not suffice; nothing is known of the write then.
    pub fn judge<'v>(
        &'v self,
        operation: Operation,
        old: &'v Object<'v>,
        new: &'v Object<'v>,
        budget: &'v Budget<'v>,
    ) -> Result<Judgement, Unfinished> {
        if operation != Operation::Update {
            return Ok(Judgement::allow());
        }
        let mut evaluation = Evaluation::new(self, old, new, budget);
        let root = Path::default();
        let status = Location::under(None, &root);
        match (&old.unreadable, &new.unreadable) {
            (None, None) => judge_rules(&mut evaluation, &self.rules, &old.status, &new.status, None)?,
            (Some(_), _) => evaluation.waive(&status, Reason::Malformed),
            (None, Some(error)) => {
                let (reason, class) = (Reason::Malformed, Class::Invalid);
                let violation = Violation { reason, class, old: &old.status, new: &new.status };
                evaluation.report(&status, violation, |_| format!("cannot be read: {error}"));
            }
        }
        Ok(evaluation.judgement())
    }
}

/// Judges one rule set: on the root, or on an entry of a collection and its pair. R3 is applied to all rules at once: a
/// rule is skipped when no member on its path changed.
fn judge_rules<'v>(
    evaluation: &mut Evaluation<'v>,
    rules: &Rules,
    old: &'v Value<'v>,
    new: &'v Value<'v>,
    parent: Option<&Location<'_>>,
) -> Result<(), Unfinished> {
    if old.ptr_eq(new) {
        return Ok(());
    }
    evaluation.spend(rules.count())?;
    evaluation.spend_on(old, new)?;
    let changes = Changes::between(old, new);
    let mut machines = Machines::new(&rules.phases, old, new);
    for (index, rule) in rules.phases.iter().enumerate().filter(|(_, rule)| changes.touch(&rule.path)) {
        let location = Location::under(parent, &rule.path);
        let reset = evaluation.resets_apply(&rule.resets, (old, new))?;
        let step = machines.step(index, evaluation)?;
        evaluation.phase(step, reset, (rule.path.of(old), rule.path.of(new)), &location);
    }
    for rule in rules.monotone.iter().filter(|rule| changes.touch(&rule.path)) {
        let location = Location::under(parent, &rule.path);
        let reset = evaluation.resets_apply(&rule.resets, (old, new))?;
        let (old, new) = (rule.path.of(old), rule.path.of(new));
        evaluation.spend_on(old, new)?;
        evaluation.monotone(rule, reset, (old, new), &location);
    }
    for rule in &rules.set_once {
        evaluation.spend(rule.required_in.len())?;
        let machine_touched = |required: &Required| changes.touch(&rules.phases[required.machine].path);
        if !changes.touch(&rule.path) && !rule.required_in.iter().any(machine_touched) {
            continue;
        }
        let location = Location::under(parent, &rule.path);
        let reset = evaluation.resets_apply(&rule.resets, (old, new))?;
        let (old, new) = (rule.path.of(old), rule.path.of(new));
        evaluation.spend_on(old, new)?;
        evaluation.set_once(reset, (old, new), &location);
        if !rule.required_in.is_empty() && new.is_unset() {
            let steps = machines.steps(&rule.required_in, evaluation)?;
            evaluation.required(rule, steps, (old, new), &location);
        }
    }
    for rule in rules.collections.iter().filter(|rule| changes.touch(&rule.path)) {
        let location = Location::under(parent, &rule.path);
        let reset = evaluation.resets_apply(&rule.resets, (old, new))?;
        let (old, new) = (rule.path.of(old), rule.path.of(new));
        let pairs = evaluation.collection(rule, reset, (old, new), &location)?;
        if let Some(each) = &rule.each {
            for pair in pairs.iter() {
                judge_rules(evaluation, each, pair.old, pair.new, Some(&location.then(pair.step)))?;
            }
        }
    }
    let changed = |rule: &&EqualRule| rule.left.iter().chain(&rule.right).any(|term| changes.touch(term.path()));
    for rule in rules.equal.iter().filter(changed) {
        for term in rule.left.iter().chain(&rule.right) {
            evaluation.spend_on(term.path().of(old), term.path().of(new))?;
        }
        evaluation.equal(rule, old, new, parent)?;
    }
    Ok(())
}
