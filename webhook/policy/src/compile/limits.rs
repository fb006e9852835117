//! Limits of a policy, far above what any real kind needs: they keep a mistake from using up memory and time.
//!
//! They are the time limit of compiling, too: no clock decides whether a policy compiles, so that it compiles everywhere
//! or nowhere.

use std::collections::HashSet;

use serde_json::Value as Json;

use super::compiler::Compiler;
use crate::spec::{Phase, RuleSet};

/// Bytes of the document as JSON, about as much as the API server stores.
const MAX_DOCUMENT: usize = 1 << 20;
/// Rules of a policy, with those of entries.
const MAX_RULES: usize = 2048;
/// Phases of all machines of a policy.
const MAX_PHASES: usize = 2048;
/// Pairs of `from` and `to` of all machines of a policy.
const MAX_EDGES: usize = 1 << 18;

impl Compiler<'_> {
    /// Whether the document is not too large; else that is reported.
    pub(super) fn document_fits(&mut self, document: &Json) -> bool {
        let fits = size(document, MAX_DOCUMENT) <= MAX_DOCUMENT;
        if !fits {
            self.error(
                "",
                format!("the document is larger than {MAX_DOCUMENT} bytes"),
                "a policy has one kind; split it",
            );
        }
        fits
    }

    /// Whether the rules are not too many; else that is reported.
    pub(super) fn rules_fit(&mut self, set: &RuleSet) -> bool {
        let mut total = Counts::default();
        total.add(set);
        let limits = [
            ("rules", total.rules, MAX_RULES),
            ("phases", total.phases, MAX_PHASES),
            ("transitions from one phase to another", total.edges, MAX_EDGES),
        ];
        for (what, count, limit) in limits.iter().filter(|(_, count, limit)| count > limit) {
            self.error(
                "spec",
                format!("the policy has {count} {what}, more than {limit}"),
                "keep only what the kind needs",
            );
        }
        limits.iter().all(|(_, count, limit)| count <= limit)
    }
}

/// The size of a document as JSON, without the escapes of its strings. Counting ends soon after `limit`.
fn size(json: &Json, limit: usize) -> usize {
    let sum = |parts: &mut dyn Iterator<Item = (usize, &Json)>| {
        let mut sum = 2;
        for (key, part) in parts {
            sum += key + 1 + size(part, limit.saturating_sub(sum));
            if sum > limit {
                break;
            }
        }
        sum
    };
    match json {
        Json::Null | Json::Bool(_) | Json::Number(_) => 4,
        Json::String(text) => text.len() + 2,
        Json::Array(items) => sum(&mut items.iter().map(|item| (0, item))),
        Json::Object(members) => sum(&mut members.iter().map(|(key, value)| (key.len() + 3, value))),
    }
}

#[derive(Default)]
struct Counts {
    rules: usize,
    phases: usize,
    edges: usize,
}

impl Counts {
    fn add(&mut self, set: &RuleSet) {
        set.phases.iter().for_each(|phase| self.add_phase(phase));
        self.rules +=
            set.phases.len() + set.monotone.len() + set.set_once.len() + set.collections.len() + set.equal.len();
        set.collections.iter().filter_map(|rule| rule.each.as_ref()).for_each(|each| self.add(each));
    }

    fn add_phase(&mut self, phase: &Phase) {
        let edges = phase.transitions.iter().flat_map(|transition| transition.from.iter().chain(&transition.to));
        let named = phase.initial.iter().flatten().chain(&phase.final_phases).chain(phase.states.keys());
        let phases = edges.chain(named).collect::<HashSet<_>>().len();
        self.phases += phases;
        let all = |names: &[String]| if names.iter().any(|name| name == "*") { phases } else { 0 };
        let count = |names: &[String]| names.len().saturating_add(all(names));
        for transition in &phase.transitions {
            self.edges = self.edges.saturating_add(count(&transition.from).saturating_mul(count(&transition.to)));
        }
    }
}
