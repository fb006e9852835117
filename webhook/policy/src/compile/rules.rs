//! Rules: paths resolved, phases found by their names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compiler::{Compiler, PathScope, RuleScope};
use super::phase_names::PhaseNames;
use super::schema::SchemaType;
use crate::path::Path;
use crate::rules::{CollectionRule, EqualRule, MonotoneRule, PhaseOf, Required, Resets, Rules, SetOnceRule, Term};
use crate::spec::{self, Keep, Order};

impl<'c> Compiler<'c> {
    /// Compiles the rules of a scope.
    pub(super) fn rules(&mut self, set: &spec::RuleSet, at: &str, scope: RuleScope<'c>) -> Rules {
        let (phases, names) = self.phases(set, at, scope);
        self.duplicates(at, "monotone", set.monotone.iter().map(|rule| rule.path.as_str()));
        self.duplicates(at, "setOnce", set.set_once.iter().map(|rule| rule.path.as_str()));
        self.duplicates(at, "collections", set.collections.iter().map(|rule| rule.path.as_str()));
        let mut rules = Rules { phases, ..Rules::default() };
        for (index, rule) in set.monotone.iter().enumerate() {
            rules.monotone.extend(self.monotone(rule, &format!("{at}.monotone[{index}]"), scope));
        }
        for (index, rule) in set.set_once.iter().enumerate() {
            rules.set_once.extend(self.set_once(rule, (at, index), scope, &names));
        }
        for (index, rule) in set.collections.iter().enumerate() {
            let at = format!("{at}.collections[{index}]");
            rules.collections.extend(self.collection(rule, &at, scope));
        }
        for (index, rule) in set.equal.iter().enumerate() {
            let compiled = self.equal(rule, &format!("{at}.equal[{index}]"), scope, &rules.collections);
            rules.equal.extend(compiled);
        }
        rules
    }

    fn duplicates<'p>(&mut self, at: &str, kind: &str, paths: impl Iterator<Item = &'p str>) {
        let mut first = BTreeMap::new();
        for (index, path) in paths.enumerate() {
            if let Some(earlier) = first.insert(path, index) {
                self.error(
                    format!("{at}.{kind}[{index}].path"),
                    format!("`{path}` already has a rule of this kind, `{kind}[{earlier}]`"),
                    "merge the two",
                );
            }
        }
    }

    pub(super) fn not_empty(&mut self, list: Option<&Vec<String>>, at: &str, hint: &str) {
        if list.is_some_and(Vec::is_empty) {
            self.error(at, "empty list", hint);
        }
    }

    pub(super) fn resets(&mut self, resets: Option<&spec::Resets>, at: &str, scope: RuleScope<'c>) -> Resets {
        let Some(resets) = resets else {
            return Resets { restarts: scope.returns, ..Resets::default() };
        };
        let phases = |compiler: &mut Self, names: Option<&Vec<String>>, at: String| {
            compiler.not_empty(names, &at, "omit it, or name a phase");
            let names = names.into_iter().flatten().enumerate();
            names.filter_map(|(index, name)| compiler.root_phase(name, &format!("{at}[{index}]"))).collect()
        };
        let from: Vec<PhaseOf> = phases(self, resets.from.as_ref(), format!("{at}.from"));
        let to: Vec<PhaseOf> = phases(self, resets.to.as_ref(), format!("{at}.to"));
        let with = self.witness_paths(resets.with.as_ref(), &format!("{at}.with"), self.root_scope());
        let within = match (scope.paths, &resets.within) {
            (PathScope::Root, Some(_)) => {
                let hint = "name the witness under `with`: at the root there is no entry around the rule";
                self.error(format!("{at}.within"), "`within` is for rules inside `each`", hint);
                Vec::new()
            }
            (_, within) => self.witness_paths(within.as_ref(), &format!("{at}.within"), scope),
        };
        let id = self.resets;
        self.resets += 1;
        let restarts = scope.returns || !(from.is_empty() && to.is_empty() && with.is_empty() && within.is_empty());
        Resets { id: Some(id), from, to, with, within, restarts }
    }

    fn witness_paths(&mut self, paths: Option<&Vec<String>>, at: &str, scope: RuleScope<'c>) -> Vec<Path> {
        self.not_empty(paths, at, "omit it, or name a witness");
        let paths = paths.into_iter().flatten().enumerate();
        paths.filter_map(|(index, text)| self.path(text, scope, &format!("{at}[{index}]"))).collect()
    }

    fn root_phase(&mut self, name: &str, at: &str) -> Option<PhaseOf> {
        let root = Arc::clone(&self.root);
        if root.is_none() {
            self.error(at, "there is no machine in `spec.phases` to take a phase from", "add one, or use `with`");
            return None;
        }
        self.named_phase(name, at, &root)
    }

    fn monotone(&mut self, rule: &spec::Monotone, at: &str, scope: RuleScope<'c>) -> Option<MonotoneRule> {
        let path = self.path(&rule.path, scope, &format!("{at}.path"));
        self.monotone_fits(scope, path.as_ref(), &format!("{at}.path"));
        let resets = self.resets(rule.resets.as_ref(), &format!("{at}.resets"), scope);
        if let Some(bound) = rule.at_most.as_deref().filter(|bound| *bound != ".metadata.generation") {
            self.error(
                format!("{at}.atMost"),
                format!("`{bound}` is not a valid bound"),
                "only `.metadata.generation` is",
            );
        }
        Some(MonotoneRule { path: path?, to_zero: rule.to_zero, bounded: rule.at_most.is_some(), resets })
    }

    fn set_once(
        &mut self,
        rule: &spec::SetOnce,
        (set, index): (&str, usize),
        scope: RuleScope<'c>,
        names: &PhaseNames,
    ) -> Option<SetOnceRule> {
        let at = format!("{set}.setOnce[{index}]");
        let path = self.path(&rule.path, scope, &format!("{at}.path"));
        let resets = self.resets(rule.resets.as_ref(), &format!("{at}.resets"), scope);
        let mut required_in = Vec::new();
        for (index, name) in rule.required_in.iter().enumerate() {
            let at = format!("{at}.requiredIn[{index}]");
            if names.is_none() {
                self.error(at, "this rule set has no machine in `phases`", "add one, or remove `requiredIn`");
            } else if name.is_empty() {
                self.error(at, "`\"\"` cannot require a field", "name phases one by one");
            } else {
                required_in.extend(self.named_phase(name, &at, names));
            }
        }
        Some(SetOnceRule { path: path?, required_in: by_machine(required_in), resets })
    }

    fn collection(&mut self, rule: &spec::Collection, at: &str, scope: RuleScope<'c>) -> Option<CollectionRule> {
        let path = self.path(&rule.path, scope, &format!("{at}.path"));
        self.collection_fits(scope, rule, path.as_ref(), at);
        let schema = self.schema_at(scope, path.as_ref());
        let resets = self.resets(rule.resets.as_ref(), &format!("{at}.resets"), scope);
        for (index, name) in rule.key.iter().enumerate() {
            let bare = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !bare {
                self.error(
                    format!("{at}.key[{index}]"),
                    format!("`{name}` is not a member name"),
                    "write bare names, without a dot",
                );
            }
        }
        let order = rule.order.unwrap_or_default();
        if order == Order::Any && matches!(rule.keep, Keep::Newest(1..)) {
            self.error(
                format!("{at}.keep"),
                "with `order: Any` there are no newest entries",
                "say `keep: All` or `keep: 0`",
            );
        }
        if schema.kind() == SchemaType::Object && rule.order.is_some_and(|order| order != Order::Any) {
            self.error(
                format!("{at}.order"),
                "the CRD's schema calls this a map",
                "omit `order`: maps are not ordered",
            );
        }
        if rule.each.is_some() && rule.keep == Keep::Newest(0) {
            self.warning(
                format!("{at}.each"),
                "with `keep: 0` an entry may go and come back, so `each` can be bypassed",
                "set `keep` so that entries stay, or accept this",
            );
        }
        let returns = resets.restarts || rule.keep != Keep::All;
        let entry = RuleScope { paths: PathScope::Item, returns, schema: schema.entry() };
        let each = rule.each.as_ref().map(|set| self.rules(set, &format!("{at}.each"), entry));
        let key = rule.key.iter().map(|name| name.as_str().into()).collect();
        Some(CollectionRule { path: path?, key, order, keep: rule.keep, each, resets })
    }

    fn equal(
        &mut self,
        rule: &spec::Equal,
        at: &str,
        scope: RuleScope<'c>,
        collections: &[CollectionRule],
    ) -> Option<EqualRule> {
        let mut side = |terms: &[String], name: &str| {
            let mut compiled = Vec::new();
            for (index, text) in terms.iter().enumerate() {
                compiled.extend(self.term(text, scope, &format!("{at}.{name}[{index}]")));
            }
            compiled
        };
        let (left, right) = (side(&rule.left, "left"), side(&rule.right, "right"));
        let is_whole = |path: &Path| {
            let mut whole = collections.iter().filter(|rule| rule.keep == Keep::All && !rule.resets.restarts);
            whole.any(|rule| rule.path == *path)
        };
        let lags = |terms: &[Term]| {
            scope.returns || terms.iter().any(|term| matches!(term, Term::Number(_)) || !is_whole(term.path()))
        };
        let (left_lags, right_lags) = (lags(&left), lags(&right));
        Some(EqualRule { left, right, left_lags, right_lags })
    }

    fn term(&mut self, text: &str, scope: RuleScope<'c>, at: &str) -> Option<Term> {
        match text.strip_prefix("len(").map(|rest| rest.strip_suffix(')')) {
            Some(Some(path)) => {
                let path = self.path(path, scope, at)?;
                self.length_fits(scope, &path, at);
                Some(Term::Length(path))
            }
            Some(None) => {
                self.error(at, format!("`{text}` has no closing bracket"), "write `len(.status.list)`");
                None
            }
            None => {
                let path = self.path(text, scope, at)?;
                self.number_fits(scope, &path, at);
                Some(Term::Number(path))
            }
        }
    }
}

/// The machines of some phases, each with its own.
fn by_machine(phases: Vec<PhaseOf>) -> Vec<Required> {
    let mut machines: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for PhaseOf { machine, node } in phases {
        machines.entry(machine).or_default().insert(node);
    }
    let required =
        |(machine, phases): (usize, BTreeSet<usize>)| Required { machine, phases: phases.into_iter().collect() };
    machines.into_iter().map(required).collect()
}
