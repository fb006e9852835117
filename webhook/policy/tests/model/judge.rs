//! R1 to R10 as the text of the language has them, one function a rule, nothing prepared and nothing clever.

use std::collections::BTreeSet;

use super::decimal::Decimal;
use super::graph::{Graph, Machine, Reading, has_resets, speaks_of};
use super::lists;
use super::reading::{Magnitude, advanced, generation, get, magnitude, no_collection, same, sum, unset};
use super::value::{NULL, Val};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Stale,
    Invalid,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Allow,
    Repair,
    Stale,
    Invalid,
}

impl Verdict {
    pub(crate) fn allows(self) -> bool {
        matches!(self, Verdict::Allow | Verdict::Repair)
    }
}

/// One write: whole objects.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) operation: &'a str,
    pub(crate) old: &'a Val,
    pub(crate) new: &'a Val,
}

#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) reason: String,
    pub(crate) class: Class,
    pub(crate) field: String,
    pub(crate) consequence: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Judgement {
    pub(crate) verdict: Verdict,
    pub(crate) findings: Vec<Finding>,
    /// Reason and field.
    pub(crate) waivers: Vec<(String, String)>,
    /// R11: a refusal would be softened.
    pub(crate) softened: bool,
}

/// What is read from the whole objects also inside `each`.
pub(crate) struct Whole<'a> {
    old: &'a Val,
    new: &'a Val,
    machines: Vec<Machine>,
}

/// Findings and waivers as they come.
#[derive(Default)]
pub(crate) struct Found {
    findings: Vec<Finding>,
    waivers: Vec<(String, String)>,
}

impl Found {
    pub(crate) fn find(&mut self, reason: &str, class: Class, field: &str) {
        self.push(reason, class, field, false);
    }

    fn follow(&mut self, reason: &str, class: Class, field: &str) {
        self.push(reason, class, field, true);
    }

    fn push(&mut self, reason: &str, class: Class, field: &str, consequence: bool) {
        self.findings.push(Finding { reason: reason.to_owned(), class, field: field.to_owned(), consequence });
    }

    pub(crate) fn waive(&mut self, reason: &str, field: &str) {
        self.waivers.push((reason.to_owned(), field.to_owned()));
    }
}

pub(crate) fn judge(policy: &Val, case: &Case<'_>) -> Judgement {
    let rules = policy.at("spec");
    let mut found = Found::default();
    // R1, R2
    if case.operation == "UPDATE" && !same(case.old.at("status"), case.new.at("status")) {
        let whole = Whole { old: case.old, new: case.new, machines: Machine::all(rules, case.old, case.new) };
        rule_set(&whole, rules, false, case.old, case.new, "", &mut found);
    }
    let verdict = verdict(&found);
    Judgement {
        verdict,
        softened: !verdict.allows() && !unset(get(case.new, ".metadata.deletionTimestamp")),
        findings: found.findings,
        waivers: found.waivers,
    }
}

fn verdict(found: &Found) -> Verdict {
    let findings = &found.findings;
    if findings.is_empty() {
        return if found.waivers.is_empty() { Verdict::Allow } else { Verdict::Repair };
    }
    if findings.iter().any(|f| !f.consequence && f.class == Class::Invalid) {
        return Verdict::Invalid;
    }
    if findings.iter().any(|f| f.class == Class::Stale) {
        return Verdict::Stale;
    }
    Verdict::Invalid
}

/// The five rules of one rule set, on the whole objects or on an entry and its pair. An entry `returns` if it may have
/// gone and come back.
pub(crate) fn rule_set(
    whole: &Whole<'_>,
    rules: &Val,
    returns: bool,
    old: &Val,
    new: &Val,
    at: &str,
    found: &mut Found,
) {
    for rule in rules.at("phases").items() {
        phase(whole, rule, returns, old, new, at, found);
    }
    for rule in rules.at("monotone").items() {
        monotone(whole, rule, old, new, at, found);
    }
    for rule in rules.at("setOnce").items() {
        set_once(whole, rule, returns, &Machine::all(rules, old, new), (old, new), at, found);
    }
    for rule in rules.at("collections").items() {
        collection(whole, rule, returns, old, new, at, found);
    }
    for rule in rules.at("equal").items() {
        equal(rules, rule, returns, old, new, at, found);
    }
}

fn path_of(rule: &Val) -> &str {
    rule.at("path").as_str().expect("a rule has a path")
}

/// How a finding names the rule's path.
fn field(at: &str, rule: &Val) -> String {
    let path = path_of(rule);
    let path = if path == "." { "" } else { path };
    if at.is_empty() { path.trim_start_matches('.').to_owned() } else { format!("{at}{path}") }
}

/// R4: whether the resets of a rule for this entry and its pair fire.
fn fires(whole: &Whole<'_>, rule: &Val, old: &Val, new: &Val) -> bool {
    let resets = rule.at("resets");
    let speaks = |name: &String| speaks_of(&whole.machines, name).expect("a machine knows the name");
    let by_old = resets.at("from").words().iter().any(|name| speaks(name).old.is(name));
    let by_new = resets.at("to").words().iter().any(|name| speaks(name).new.is(name));
    let rose = |path: &String, old: &Val, new: &Val| advanced(get(old, path), get(new, path));
    by_old
        || by_new
        || resets.at("with").words().iter().any(|path| rose(path, whole.old, whole.new))
        || resets.at("within").words().iter().any(|path| rose(path, old, new))
}

/// `Stale` if that holds, else `Invalid`.
pub(crate) fn stale_if(condition: bool) -> Class {
    if condition { Class::Stale } else { Class::Invalid }
}

// R5
fn phase(whole: &Whole<'_>, rule: &Val, returns: bool, old: &Val, new: &Val, at: &str, found: &mut Found) {
    let graph = Graph(rule, returns);
    let field = field(at, rule);
    let (p, absorbed) = graph.read(old);
    let (q, _) = graph.read(new);
    // R3, R5.1
    if p.same(&q) {
        return;
    }
    let q = match q {
        // R5.2
        Reading::Malformed => return found.find("Malformed", Class::Invalid, &field),
        // R5.3
        Reading::Ambiguous(q) => return ambiguous(&graph, &p, &absorbed, &q, &field, found),
        Reading::Plain(q) => q,
    };
    // R5.4
    let p = match p {
        Reading::Plain(p) if !graph.unknown(&p) || graph.any_target() => p,
        _ => return found.waive("PhaseUnknown", &field),
    };
    // R5.5
    if graph.legal(&p, &q) || (fires(whole, rule, old, new) && graph.legal("", &q)) {
        return;
    }
    // R5.6
    if graph.unknown(&q) && !graph.any_target() {
        return found.find("PhaseUnknown", Class::Invalid, &field);
    }
    // R5.7, R5.8
    if graph.explained(&p, &q) {
        found.find("PhaseRegression", Class::Stale, &field);
    } else {
        found.find("PhaseSkipped", Class::Invalid, &field);
    }
}

fn ambiguous(
    graph: &Graph<'_>,
    p: &Reading,
    absorbed: &BTreeSet<String>,
    q: &BTreeSet<String>,
    field: &str,
    found: &mut Found,
) {
    if matches!(p, Reading::Ambiguous(p) if q.is_subset(p)) {
        return found.waive("PhaseAmbiguous", field);
    }
    let mut stale = false;
    if let Reading::Plain(p) = p {
        let counted: Vec<&String> = q.iter().filter(|s| !absorbed.contains(*s)).collect();
        let others: Vec<&&String> = counted.iter().filter(|s| **s != p).collect();
        stale = counted.contains(&p) && others.len() == 1 && graph.explained(p, others[0]);
    }
    found.find("PhaseAmbiguous", stale_if(stale), field);
}

// R6
fn monotone(whole: &Whole<'_>, rule: &Val, old: &Val, new: &Val, at: &str, found: &mut Found) {
    let field = field(at, rule);
    let (old_value, new_value) = (get(old, path_of(rule)), get(new, path_of(rule)));
    if same(old_value, new_value) {
        return;
    }
    let (o, n) = (magnitude(old_value), magnitude(new_value));
    let reset = fires(whole, rule, old, new);
    let to_zero = *rule.at("toZero") == Val::Bool(true);
    let bounded = rule.has("atMost");
    if n.malformed() {
        return if o.malformed() {
            found.waive("Malformed", &field);
        } else {
            found.find("Malformed", Class::Invalid, &field);
        };
    }
    if o.malformed() {
        return found.waive("Malformed", &field);
    }
    let number_against_time =
        matches!((&o, &n), (Magnitude::Number(_), Magnitude::Time(_)) | (Magnitude::Time(_), Magnitude::Number(_)));
    if number_against_time && !reset {
        return found.find("Malformed", Class::Stale, &field);
    }
    let o_above = bounded && o.above(&generation(whole.old));
    if bounded && n.above(&generation(whole.new)) {
        return if o_above && n.compare(&o).is_some_and(|order| order.is_le()) {
            found.waive("AboveBound", &field);
        } else {
            found.find("AboveBound", Class::Invalid, &field);
        };
    }
    if reset || n.compare(&o).is_some_and(|order| order.is_ge()) || (to_zero && n.is_zero()) {
        return;
    }
    if o_above {
        found.waive("AboveBound", &field);
    } else {
        found.find("CounterRegression", Class::Stale, &field);
    }
}

// R7
fn set_once(
    whole: &Whole<'_>,
    rule: &Val,
    returns: bool,
    machines: &[Machine],
    (old, new): (&Val, &Val),
    at: &str,
    found: &mut Found,
) {
    let field = field(at, rule);
    let (o, n) = (get(old, path_of(rule)), get(new, path_of(rule)));
    let required = rule.at("requiredIn").words();
    let named: Vec<(&String, &Machine)> =
        required.iter().map(|name| (name, speaks_of(machines, name).expect("a machine knows the name"))).collect();
    if same(o, n) && named.iter().all(|(_, machine)| machine.old.same(&machine.new)) {
        return;
    }
    if !fires(whole, rule, old, new) && !keeps_leaves(o, n) {
        found.find("SetOnceChanged", Class::Stale, &field);
    }
    if named.iter().any(|(name, machine)| machine.new.is(name)) && unset(n) {
        if named.iter().any(|(name, machine)| machine.old.is(name)) && unset(o) {
            found.waive("FieldMissing", &field);
        } else {
            found.follow("FieldMissing", stale_if(returns || has_resets(rule)), &field);
        }
    }
}

/// Whether every set leaf of `o` is the same in `n`.
fn keeps_leaves(o: &Val, n: &Val) -> bool {
    if unset(o) {
        return true;
    }
    match o {
        Val::Map(members) => members.iter().all(|(name, leaf)| keeps_leaves(leaf, n.at(name))),
        _ => same(o, n),
    }
}

// R8
fn collection(whole: &Whole<'_>, rule: &Val, returns: bool, old: &Val, new: &Val, at: &str, found: &mut Found) {
    let field = field(at, rule);
    let (o, n) = (get(old, path_of(rule)), get(new, path_of(rule)));
    if same(o, n) {
        return;
    }
    if no_collection(n) {
        return if no_collection(o) {
            found.waive("Malformed", &field);
        } else {
            found.find("Malformed", Class::Invalid, &field);
        };
    }
    if no_collection(o) {
        return found.waive("Malformed", &field);
    }
    let maps = |v: &Val| !unset(v) && matches!(v, Val::Map(_));
    let lists = |v: &Val| !unset(v) && matches!(v, Val::List(_));
    if (maps(o) && lists(n)) || (lists(o) && maps(n)) {
        return found.find("Malformed", Class::Stale, &field);
    }
    let reset = fires(whole, rule, old, new);
    let restarts = returns || has_resets(rule);
    // R8.6
    let may_go = restarts || matches!(rule.at("keep"), Val::Num(_));
    if maps(o) || maps(n) {
        map(whole, rule, may_go, reset, (o, n), &field, found);
    } else {
        let pairs = lists::judge(rule, restarts, reset, o, n, &field, found);
        for (index, pair, entry) in pairs {
            let at = format!("{field}[{index}]");
            rule_set(whole, rule.at("each"), may_go, pair, entry, &at, found);
        }
    }
}

/// R8.2 and R8.6 for maps.
fn map(whole: &Whole<'_>, rule: &Val, may_go: bool, reset: bool, (o, n): (&Val, &Val), field: &str, found: &mut Found) {
    let (olds, news) = (set_members(o), set_members(n));
    for (key, entry) in olds {
        let now = n.at(key);
        if unset(now) {
            if !reset && *rule.at("keep") != Val::int(0) {
                found.find("HistoryTruncated", Class::Stale, field);
            }
        } else if !reset && !rule.has("each") && !same(entry, now) {
            found.find("HistoryRewritten", Class::Stale, &format!("{field}[\"{key}\"]"));
        }
    }
    for (key, entry) in news {
        let at = format!("{field}[\"{key}\"]");
        let pair = if unset(o.at(key)) { &NULL } else { o.at(key) };
        rule_set(whole, rule.at("each"), may_go, pair, entry, &at, found);
    }
}

/// The entries of a map, which are its set values.
fn set_members(value: &Val) -> Vec<(&String, &Val)> {
    match value {
        Val::Map(members) => members.iter().filter(|(_, entry)| !unset(entry)).collect(),
        _ => Vec::new(),
    }
}

// R9
fn equal(rules: &Val, rule: &Val, returns: bool, old: &Val, new: &Val, at: &str, found: &mut Found) {
    let sums = |root: &Val| (sum(root, rule.at("left")), sum(root, rule.at("right")));
    let ((old_left, old_right), (left, right)) = (sums(old), sums(new));
    let is = |a: &Decimal, b: &Decimal| a.compare(b).is_eq();
    if is(&left, &right) || (is(&left, &old_left) && is(&right, &old_right)) {
        return;
    }
    let (old_gap, gap) = (old_left.gap(&old_right), left.gap(&right));
    if !old_gap.is_zero() && gap.compare(&old_gap).is_le() {
        return found.waive("CountMismatch", at);
    }
    let smaller = if left.compare(&right).is_lt() { "left" } else { "right" };
    let whole = |path: &str| {
        let mut kept = rules.at("collections").items().iter();
        kept.any(|rule| path_of(rule) == path && !matches!(rule.at("keep"), Val::Num(_)) && !has_resets(rule))
    };
    let lags = |term: &String| match term.strip_prefix("len(") {
        Some(path) => !whole(path.trim_end_matches(')')),
        None => true,
    };
    found.follow("CountMismatch", stale_if(returns || rule.at(smaller).words().iter().any(lags)), at);
}
