//! Witnesses that no rule keeps from falling.

use std::collections::HashSet;

use super::compiler::Compiler;
use crate::path::Path;
use crate::rules::Rules;
use crate::spec;

impl Compiler {
    /// Warns of witnesses that no rule keeps from falling.
    pub(super) fn witnesses(&mut self, set: &spec::RuleSet, rules: &Rules) {
        let exact = rules.monotone.iter().map(|rule| rule.path.names());
        let exact: HashSet<_> = exact.chain(rules.collections.iter().map(|rule| rule.path.names())).collect();
        let above: HashSet<_> = rules.set_once.iter().map(|rule| rule.path.names()).collect();
        let guarded = |path: &str| {
            // A path that cannot be read is reported as such.
            Path::parse_status(path).ok().is_none_or(|path| {
                let names = path.names();
                exact.contains(names) || (0..=names.len()).any(|length| above.contains(&names[..length]))
            })
        };
        let mut found = Vec::new();
        resets_of(set, "spec", &mut |at, resets| {
            for (index, path) in resets.with.iter().flatten().enumerate() {
                if !guarded(path) {
                    found.push((format!("{at}.with[{index}]"), path.clone()));
                }
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

/// Visits every `resets` of a rule set and of the sets inside.
fn resets_of(set: &spec::RuleSet, at: &str, visit: &mut impl FnMut(&str, &spec::Resets)) {
    let mut each = |at: String, resets: Option<&spec::Resets>| resets.into_iter().for_each(|resets| visit(&at, resets));
    each(format!("{at}.phase.resets"), set.phase.as_ref().and_then(|rule| rule.resets.as_ref()));
    for (index, rule) in set.monotone.iter().enumerate() {
        each(format!("{at}.monotone[{index}].resets"), rule.resets.as_ref());
    }
    for (index, rule) in set.set_once.iter().enumerate() {
        each(format!("{at}.setOnce[{index}].resets"), rule.resets.as_ref());
    }
    for (index, rule) in set.collections.iter().enumerate() {
        each(format!("{at}.collections[{index}].resets"), rule.resets.as_ref());
    }
    for (index, rule) in set.collections.iter().enumerate() {
        if let Some(inner) = &rule.each {
            resets_of(inner, &format!("{at}.collections[{index}].each"), visit);
        }
    }
}
