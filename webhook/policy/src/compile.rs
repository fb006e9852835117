//! From a `StatusPolicy` document to its compiled form, with every problem named at once.

mod phase;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

use crate::graph::Graph;
use crate::path::Path;
use crate::rules::{CollectionRule, EqualRule, MonotoneRule, Policy, Resets, Rules, SetOnceRule, Term, is_core};
use crate::spec::{self, Keep, Order, StatusPolicySpec};

/// How bad a problem of a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy does not compile.
    Error,
    /// It compiles, but probably does not say what its author meant.
    Warning,
}

/// One problem of a policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it keeps the policy from compiling.
    pub severity: Severity,
    /// Where in the document, e.g. `spec.phase.transitions[0].from`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(out, "{severity}: {}: {}; {}", self.path, self.message, self.hint)
    }
}

impl Policy {
    /// Compiles a whole document: `apiVersion`, `kind`, `metadata.name` and `spec`.
    ///
    /// # Errors
    /// All problems of the document, warnings included, when at least one of them is an error.
    pub fn compile(document: &Json) -> Result<Self, Vec<Problem>> {
        Self::compile_for(document, None)
    }

    /// Like [`Policy::compile`], with the OpenAPI schema of the resource's object at
    /// hand, so that an order written out for a map is seen.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_for(document: &Json, schema: Option<&Json>) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler { problems: Vec::new(), unread: Vec::new(), root: None };
        compiler.header(document);
        let spec = compiler.spec(document);
        let policy = spec.map(|spec| compiler.policy(document, spec, schema.unwrap_or(&NOTHING)));
        let Compiler { mut problems, .. } = compiler;
        problems.sort_by_key(|problem| problem.severity);
        match policy {
            Some(mut policy) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
                policy.warnings = problems;
                Ok(policy)
            }
            _ => Err(problems),
        }
    }
}

/// The schema of what no schema speaks of.
static NOTHING: Json = Json::Null;

struct Compiler {
    problems: Vec<Problem>,
    /// Where the document could not be read. That is reported; what only follows from it is not.
    unread: Vec<String>,
    /// The root's graph, which `resets` name the phases of.
    root: Option<Graph>,
}

/// Whether paths are relative to an item.
#[derive(Clone, Copy, PartialEq)]
enum Scope {
    Root,
    Item,
}

impl Compiler {
    fn report(
        &mut self,
        severity: Severity,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let path = path.into();
        if !self.unread(&path) {
            self.problems.push(Problem { severity, path, message: message.into(), hint: hint.into() });
        }
    }

    fn error(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Error, path, message, hint);
    }

    fn warning(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Warning, path, message, hint);
    }

    fn header(&mut self, document: &Json) {
        let Json::Object(members) = document else {
            self.error("", "the document is no object", "write a StatusPolicy");
            return;
        };
        let expected = format!("{}/{}", spec::GROUP, spec::VERSION);
        if document["apiVersion"] != *expected {
            self.error("apiVersion", format!("expected `{expected}`"), "this is the only version of the language");
        }
        if document["kind"] != spec::KIND {
            self.error("kind", format!("expected `{}`", spec::KIND), "one policy per document");
        }
        for key in members.keys() {
            if !["apiVersion", "kind", "metadata", "spec", "status"].contains(&key.as_str()) {
                self.error(key, "unknown key", "remove it, or move it below `spec`");
            }
        }
    }

    fn policy(&mut self, document: &Json, spec: StatusPolicySpec, schema: &Json) -> Policy {
        let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        self.target(&name, &spec);
        let redact = spec.redact.iter().enumerate();
        let redact = redact.filter_map(|(index, path)| self.redact_path(path, index)).collect();
        let set = spec::RuleSet {
            phase: spec.phase.clone(),
            monotone: spec.monotone.clone(),
            set_once: spec.set_once.clone(),
            collections: spec.collections.clone(),
            equal: spec.equal.clone(),
        };
        let rules = self.rules(&set, "spec", Scope::Root, schema);
        // A rule that could not be compiled may be the one that guards a witness.
        let kinds = ["spec.monotone", "spec.setOnce", "spec.collections"];
        let compiled = rules.monotone.len() + rules.set_once.len() + rules.collections.len();
        let written = set.monotone.len() + set.set_once.len() + set.collections.len();
        if compiled == written && !kinds.iter().any(|kind| self.unread_below(kind)) {
            self.witnesses(&set, &rules);
        }
        Policy { name, spec, warnings: Vec::new(), redact, rules }
    }

    fn target(&mut self, name: &str, spec: &StatusPolicySpec) {
        let target = &spec.target;
        if target.group == spec::GROUP {
            self.error("spec.target.group", "the guard does not guard itself", "name another group");
        }
        for (field, value) in [("version", &target.version), ("resource", &target.resource)] {
            if !is_one_name(value) {
                self.error(
                    format!("spec.target.{field}"),
                    format!("`{value}` is no {field}"),
                    "name exactly one, in lower case",
                );
            }
        }
        if !["", "status"].contains(&target.subresource.as_str()) {
            self.error(
                "spec.target.subresource",
                format!("`{}` holds no status", target.subresource),
                "say `status`, or `\"\"` for a kind that keeps its status in the main resource",
            );
        }
        let (group, resource) = (!self.unread("spec.target.group"), is_one_name(&target.resource));
        let expected = match target.group.as_str() {
            "" => target.resource.clone(),
            group => format!("{}.{group}", target.resource),
        };
        if group && resource && name != expected {
            self.error(
                "metadata.name",
                format!("`{name}` does not match the target"),
                format!("call it `{expected}`, so that there is one policy per resource"),
            );
        }
        if group && is_core(&target.group) && !target.core {
            self.warning(
                "spec.target.core",
                "this is one of Kubernetes' own kinds: judged by check, lint and test, but not enforced in a cluster",
                "say `core: true` to enforce it (always with failurePolicy Ignore)",
            );
        }
    }

    fn redact_path(&mut self, text: &str, index: usize) -> Option<Path> {
        match Path::parse_status(text) {
            Ok(path) => Some(path),
            Err(reason) => {
                self.error(format!("spec.redact[{index}]"), format!("bad path `{text}`"), reason);
                None
            }
        }
    }

    fn path(&mut self, text: &str, scope: Scope, at: &str) -> Option<Path> {
        let parsed = match scope {
            Scope::Root => Path::parse_status(text),
            Scope::Item => Path::parse(text, true),
        };
        parsed.map_err(|reason| self.error(at, format!("bad path `{text}`"), reason)).ok()
    }

    /// Compiles the rules of the object or item that `schema` speaks of.
    fn rules(&mut self, set: &spec::RuleSet, at: &str, scope: Scope, schema: &Json) -> Rules {
        let phase = set.phase.as_ref().map(|phase| self.phase(phase, &format!("{at}.phase"), scope));
        self.duplicates(at, "monotone", set.monotone.iter().map(|rule| rule.path.as_str()));
        self.duplicates(at, "setOnce", set.set_once.iter().map(|rule| rule.path.as_str()));
        self.duplicates(at, "collections", set.collections.iter().map(|rule| rule.path.as_str()));
        let graph = phase.as_ref().map(|rule| rule.graph.clone());
        let mut rules = Rules { phase, ..Rules::default() };
        for (index, rule) in set.monotone.iter().enumerate() {
            rules.monotone.extend(self.monotone(rule, &format!("{at}.monotone[{index}]"), scope));
        }
        for (index, rule) in set.set_once.iter().enumerate() {
            rules.set_once.extend(self.set_once(rule, at, index, scope, graph.as_ref()));
        }
        for (index, rule) in set.collections.iter().enumerate() {
            rules.collections.extend(self.collection(rule, &format!("{at}.collections[{index}]"), scope, schema));
        }
        for (index, rule) in set.equal.iter().enumerate() {
            rules.equal.extend(self.equal(rule, &format!("{at}.equal[{index}]"), scope));
        }
        rules
    }

    fn duplicates<'p>(&mut self, at: &str, kind: &str, paths: impl Iterator<Item = &'p str>) {
        let mut first = BTreeMap::new();
        for (index, path) in paths.enumerate() {
            if let Some(earlier) = first.insert(path, index) {
                self.error(
                    format!("{at}.{kind}[{index}].path"),
                    format!("`{path}` has a rule of this kind already, `{kind}[{earlier}]`"),
                    "merge the two",
                );
            }
        }
    }

    fn not_empty(&mut self, list: Option<&Vec<String>>, at: &str, hint: &str) {
        if list.is_some_and(Vec::is_empty) {
            self.error(at, "empty list", hint);
        }
    }

    fn resets(&mut self, resets: Option<&spec::Resets>, at: &str) -> Resets {
        let Some(resets) = resets else { return Resets::default() };
        let phases = |compiler: &mut Self, names: Option<&Vec<String>>, at: String| {
            compiler.not_empty(names, &at, "omit it, or name a phase");
            let names = names.into_iter().flatten();
            names.filter_map(|name| compiler.root_phase(name, &at)).collect()
        };
        let from = phases(self, resets.from.as_ref(), format!("{at}.from"));
        let to = phases(self, resets.to.as_ref(), format!("{at}.to"));
        self.not_empty(resets.with.as_ref(), &format!("{at}.with"), "omit it, or name a witness");
        let mut with = Vec::new();
        for (index, text) in resets.with.iter().flatten().enumerate() {
            with.extend(self.path(text, Scope::Root, &format!("{at}.with[{index}]")));
        }
        Resets { from, to, with }
    }

    fn root_phase(&mut self, name: &str, at: &str) -> Option<usize> {
        if self.unread_phases("spec.phase") {
            return None;
        }
        let node = match (&self.root, name) {
            (None, _) => {
                self.error(at, "there is no `spec.phase` whose phases this could name", "add one, or use `with`");
                return None;
            }
            (Some(root), "") => Some(root.empty()),
            (Some(root), name) => root.index(name),
        };
        if node.is_none() {
            self.error(at, format!("no such phase `{name}`"), "name a phase of `spec.phase`, or \"\"");
        }
        node
    }

    fn monotone(&mut self, rule: &spec::Monotone, at: &str, scope: Scope) -> Option<MonotoneRule> {
        let path = self.path(&rule.path, scope, &format!("{at}.path"));
        let resets = self.resets(rule.resets.as_ref(), &format!("{at}.resets"));
        if let Some(bound) = rule.at_most.as_deref().filter(|bound| *bound != ".metadata.generation") {
            self.error(format!("{at}.atMost"), format!("`{bound}` is no bound"), "only `.metadata.generation` is");
        }
        Some(MonotoneRule { path: path?, to_zero: rule.to_zero, bounded: rule.at_most.is_some(), resets })
    }

    fn set_once(
        &mut self,
        rule: &spec::SetOnce,
        set: &str,
        index: usize,
        scope: Scope,
        graph: Option<&Graph>,
    ) -> Option<SetOnceRule> {
        let at = format!("{set}.setOnce[{index}]");
        let path = self.path(&rule.path, scope, &format!("{at}.path"));
        let resets = self.resets(rule.resets.as_ref(), &format!("{at}.resets"));
        let mut required_in = Vec::new();
        let phases = if self.unread_phases(&format!("{set}.phase")) { &[] } else { rule.required_in.as_slice() };
        for (index, name) in phases.iter().enumerate() {
            let at = format!("{at}.requiredIn[{index}]");
            match graph {
                None => self.error(at, "this rule set has no `phase`", "add one, or remove `requiredIn`"),
                Some(graph) => match graph.index(name) {
                    Some(phase) => required_in.push(phase),
                    None => self.error(at, format!("no such phase `{name}`"), "name a phase of the same rule set"),
                },
            }
        }
        Some(SetOnceRule { path: path?, required_in, resets })
    }

    fn collection(&mut self, rule: &spec::Collection, at: &str, scope: Scope, schema: &Json) -> Option<CollectionRule> {
        let path = self.path(&rule.path, scope, &format!("{at}.path"));
        let schema = schema_at(schema, &rule.path);
        let is_map = schema["type"] == "object";
        let resets = self.resets(rule.resets.as_ref(), &format!("{at}.resets"));
        for (index, name) in rule.key.iter().enumerate() {
            let bare = !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
            if !bare {
                self.error(
                    format!("{at}.key[{index}]"),
                    format!("`{name}` is no member name"),
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
        if is_map && rule.order.is_some_and(|order| order != Order::Any) {
            self.error(format!("{at}.order"), "the CRD's schema calls this a map", "omit `order`: maps have none");
        }
        if rule.each.is_some() && rule.keep == Keep::Newest(0) {
            self.warning(
                format!("{at}.each"),
                "with `keep: 0` an entry may go and come back, so `each` can be got around",
                "keep the entries, or accept it",
            );
        }
        let entry = &schema[if is_map { "additionalProperties" } else { "items" }];
        let each = rule.each.as_ref().map(|set| self.rules(set, &format!("{at}.each"), Scope::Item, entry));
        let key = rule.key.iter().map(|name| name.as_str().into()).collect();
        Some(CollectionRule { path: path?, key, order, keep: rule.keep, each, resets })
    }

    fn equal(&mut self, rule: &spec::Equal, at: &str, scope: Scope) -> Option<EqualRule> {
        let mut side = |terms: &[String], name: &str| {
            let mut compiled = Vec::new();
            for (index, text) in terms.iter().enumerate() {
                compiled.extend(self.term(text, scope, &format!("{at}.{name}[{index}]")));
            }
            compiled
        };
        Some(EqualRule { left: side(&rule.left, "left"), right: side(&rule.right, "right") })
    }

    fn term(&mut self, text: &str, scope: Scope, at: &str) -> Option<Term> {
        match text.strip_prefix("len(").map(|rest| rest.strip_suffix(')')) {
            Some(Some(path)) => self.path(path, scope, at).map(Term::Length),
            Some(None) => {
                self.error(at, format!("`{text}` has no closing bracket"), "write `len(.status.list)`");
                None
            }
            None => self.path(text, scope, at).map(Term::Number),
        }
    }

    /// Warns of witnesses that no rule keeps from falling.
    fn witnesses(&mut self, set: &spec::RuleSet, rules: &Rules) {
        let guarded = |path: &str| {
            // A path that is none is reported as such.
            Path::parse_status(path).ok().is_none_or(|path| {
                let below = |rule: &Path| path.names().starts_with(rule.names());
                rules.monotone.iter().any(|rule| rule.path == path)
                    || rules.collections.iter().any(|rule| rule.path == path)
                    || rules.set_once.iter().any(|rule| below(&rule.path))
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
                "make it monotone or set once: a stale write could bring it back",
            );
        }
    }
}

/// Whether this can be a version or resource, and only one.
fn is_one_name(text: &str) -> bool {
    !text.is_empty() && !text.contains(['*', '/'])
}

/// The schema of the value at a path, null when there is none.
fn schema_at<'s>(schema: &'s Json, path: &str) -> &'s Json {
    path.split('.').filter(|name| !name.is_empty()).fold(schema, |schema, name| &schema["properties"][name])
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
