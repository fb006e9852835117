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
mod lists;
mod monotone;
mod object;
mod phase;
mod set_once;

use changes::Changes;
use evaluation::Evaluation;

use crate::path::Location;
use crate::rules::{EqualRule, Policy, Rules, SetOnceRule};
use crate::value::Value;
use crate::verdict::{Judgement, Operation};

pub use evaluation::MAX_FINDINGS;
pub use object::Object;

impl Policy {
    /// Judges one write. Pure: the same arguments give the same judgement, and nothing
    /// but `.status`, `.metadata.generation` and `.metadata.deletionTimestamp` matters.
    #[must_use]
    pub fn judge(&self, operation: Operation, old: &Object<'_>, new: &Object<'_>) -> Judgement {
        if operation != Operation::Update {
            return Judgement::allow();
        }
        let mut evaluation = Evaluation::new(self, old, new);
        judge_rules(&mut evaluation, &self.rules, &old.status, &new.status, None);
        evaluation.judgement()
    }
}

/// Judges one rule set: on the root, or on an entry of a collection and its pair. R3 is applied to all rules at once: a
/// rule is skipped when no member on its path changed.
fn judge_rules(
    evaluation: &mut Evaluation<'_>,
    rules: &Rules,
    old: &Value<'_>,
    new: &Value<'_>,
    parent: Option<&Location<'_>>,
) {
    if old.ptr_eq(new) {
        return;
    }
    let changes = Changes::between(old, new);
    let phases = rules.phase.as_ref().map(|rule| {
        let read = |value| rule.graph.read(rule.path.of(value));
        (rule, read(old), read(new))
    });
    let phase_changed = phases.as_ref().is_some_and(|(_, before, after)| before.reading != after.reading);
    if let Some((rule, before, after)) = &phases
        && changes.touch(&rule.path)
    {
        let location = Location::under(parent, &rule.path);
        evaluation.phase(rule, (before, after), rule.path.of(old), rule.path.of(new), &location);
    }
    for rule in rules.monotone.iter().filter(|rule| changes.touch(&rule.path)) {
        let location = Location::under(parent, &rule.path);
        evaluation.monotone(rule, rule.path.of(old), rule.path.of(new), &location);
    }
    let changed = |rule: &&SetOnceRule| changes.touch(&rule.path) || (phase_changed && !rule.required_in.is_empty());
    for rule in rules.set_once.iter().filter(changed) {
        let location = Location::under(parent, &rule.path);
        let phases = phases.as_ref().map(|(rule, before, after)| (*rule, before, after));
        evaluation.set_once(rule, rule.path.of(old), rule.path.of(new), phases, &location);
    }
    for rule in rules.collections.iter().filter(|rule| changes.touch(&rule.path)) {
        let location = Location::under(parent, &rule.path);
        let pairs = evaluation.collection(rule, rule.path.of(old), rule.path.of(new), &location);
        if let Some(each) = &rule.each {
            for pair in pairs {
                judge_rules(evaluation, each, pair.old, pair.new, Some(&location.then(pair.step)));
            }
        }
    }
    let changed = |rule: &&EqualRule| rule.left.iter().chain(&rule.right).any(|term| changes.touch(term.path()));
    for rule in rules.equal.iter().filter(changed) {
        evaluation.equal(rule, old, new, parent);
    }
}
