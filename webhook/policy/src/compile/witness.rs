//! Witnesses that no rule keeps from falling.

use std::collections::HashSet;

use super::compiler::{Compiler, PathScope};
use crate::path::Path;
use crate::spec;

impl Compiler<'_> {
    /// Warns of witnesses that no rule keeps from falling.
    pub(super) fn witnesses(&mut self, set: &spec::RuleSet) {
        let root = KeptPaths::by(set, PathScope::Root);
        let mut found = Vec::new();
        rule_sets(set, "spec", &mut |set, at| {
            let entry = KeptPaths::by(set, PathScope::Item);
            let in_entry = at != "spec";
            for (at, resets) in resets_of(set, at) {
                let with = resets.with.iter().flatten().enumerate().filter(|(_, path)| !root.holds(path));
                found.extend(with.map(|(index, path)| (format!("{at}.with[{index}]"), path.clone())));
                // At the root there is no entry: that is reported.
                let within = resets.within.iter().filter(|_| in_entry);
                let within = within.flatten().enumerate().filter(|(_, path)| !entry.holds(path));
                found.extend(within.map(|(index, path)| (format!("{at}.within[{index}]"), path.clone())));
            }
        });
        for (at, path) in found {
            self.warning(
                at,
                format!("no rule guards the witness `{path}`"),
                "add a `monotone` or `setOnce` rule for it: a stale write could restore an older value",
            );
        }
    }
}

/// What the rules of one set keep from falling.
struct KeptPaths {
    scope: PathScope,
    exact: HashSet<Path>,
    /// With everything below.
    above: Vec<Path>,
}

impl KeptPaths {
    fn by(set: &spec::RuleSet, scope: PathScope) -> Self {
        let read = |path: &String| scope.parse(path).ok();
        let exact = set.monotone.iter().map(|rule| &rule.path).chain(set.collections.iter().map(|rule| &rule.path));
        let above = set.set_once.iter().map(|rule| &rule.path);
        Self { scope, exact: exact.filter_map(read).collect(), above: above.filter_map(read).collect() }
    }

    fn holds(&self, path: &str) -> bool {
        // A path that cannot be read is reported as such.
        self.scope.parse(path).ok().is_none_or(|path| {
            self.exact.contains(&path) || self.above.iter().any(|above| path.names().starts_with(above.names()))
        })
    }
}

/// Visits a rule set and the sets inside.
fn rule_sets<'s>(set: &'s spec::RuleSet, at: &str, visit: &mut impl FnMut(&'s spec::RuleSet, &str)) {
    visit(set, at);
    for (index, rule) in set.collections.iter().enumerate() {
        if let Some(inner) = &rule.each {
            rule_sets(inner, &format!("{at}.collections[{index}].each"), visit);
        }
    }
}

/// The resets of a set's own rules, each with its place.
fn resets_of<'s>(set: &'s spec::RuleSet, at: &str) -> Vec<(String, &'s spec::Resets)> {
    let phases = set.phases.iter().map(|rule| &rule.resets).enumerate().map(|rule| ("phases", rule));
    let monotone = set.monotone.iter().map(|rule| &rule.resets).enumerate().map(|rule| ("monotone", rule));
    let set_once = set.set_once.iter().map(|rule| &rule.resets).enumerate().map(|rule| ("setOnce", rule));
    let collections = set.collections.iter().map(|rule| &rule.resets).enumerate().map(|rule| ("collections", rule));
    let all = phases.chain(monotone).chain(set_once).chain(collections);
    all.filter_map(|(kind, (index, resets))| Some((format!("{at}.{kind}[{index}].resets"), resets.as_ref()?))).collect()
}
