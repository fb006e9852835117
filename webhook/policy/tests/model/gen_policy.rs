//! Random policies that compile.

use super::choices::Choices;
use super::table::document;
use super::value::Val;

/// The phases of the machines that stand side by side.
const NAMES: [&[&str]; 3] = [&["A", "B", "C", "D", "E", "F"], &["G", "H", "I", "J"], &["K", "L", "M"]];
/// The conditions that these machines read, of other types each.
const STATES: [&[&str]; 3] = [
    &["Up=True", "Up=False", "Done=True", "Bad=True", "Bad=False", "Held=True"],
    &["Flag=True", "Flag=False", "Flag=Unknown", "Ready=True"],
    &["Full=True", "Full=False", "Late=True"],
];
pub(crate) const COUNTERS: [&str; 4] = ["n", "m", "sub.n", "at"];
pub(crate) const ONCE: [&str; 5] = ["done", "ref", "sub", "ref.name", "n"];
const LISTS: [&str; 4] = ["log", "nodes", "sub.list", "conditions"];
/// The witness of resets that no other rule guards.
pub(crate) const WITNESS: &str = ".status.w";

pub(crate) fn policy(choices: &mut Choices) -> Val {
    document(rule_set(choices, ".status", 0, &[]))
}

/// A rule set; `root` are the phases that `resets` may name inside `each`, none if there is no machine.
fn rule_set(choices: &mut Choices, prefix: &str, depth: usize, root: &[&str]) -> Val {
    let mut rules = Val::map(vec![]);
    let here = |path: &str| Val::Str(format!("{prefix}.{path}"));
    let in_each = depth > 0;
    let count = if choices.percent(if in_each { 50 } else { 75 }) { 1 + choices.below(6) / 3 } else { 0 };
    let count = if count == 2 && choices.percent(30) { 3 } else { count };
    let mut graphs: Vec<Val> = Vec::new();
    let mut names: Vec<&str> = Vec::new();
    for machine in 0..count {
        let own = &NAMES[machine][..2 + choices.below(NAMES[machine].len() - 1)];
        graphs.push(graph(choices, machine, own, &graphs, here));
        names.extend(own);
    }
    let root = if in_each { root } else { &*names };
    for graph in &mut graphs {
        if choices.percent(30) {
            graph.set("resets", resets(choices, root, in_each));
        }
    }
    if !graphs.is_empty() {
        rules.set("phases", Val::List(graphs));
    }
    let item = |choices: &mut Choices, path: &str| {
        if in_each && choices.percent(8) { Val::str(".") } else { Val::Str(format!("{prefix}.{path}")) }
    };
    let mut monotone = Vec::new();
    for path in distinct(choices, &COUNTERS, 2) {
        let mut rule = Val::map(vec![("path", item(choices, path))]);
        if choices.percent(30) {
            rule.set("toZero", Val::Bool(true));
        }
        if choices.percent(30) {
            rule.set("atMost", Val::str(".metadata.generation"));
        }
        finish(choices, &mut rule, (root, in_each), &mut monotone);
    }
    let mut once = Vec::new();
    for path in distinct(choices, &ONCE, 2) {
        let mut rule = Val::map(vec![("path", item(choices, path))]);
        if !names.is_empty() && choices.percent(70) {
            rule.set("requiredIn", Val::strs(&choices.some(&names)));
        }
        finish(choices, &mut rule, (root, in_each), &mut once);
    }
    let mut collections = Vec::new();
    for path in distinct(choices, &LISTS, if depth < 2 { 2 } else { 0 }) {
        let path = item(choices, path);
        let mut rule = collection(choices, path, depth, root);
        finish(choices, &mut rule, (root, in_each), &mut collections);
    }
    let mut equal = Vec::new();
    if choices.percent(30) {
        let mut terms: Vec<String> = ["n", "m", "sub.n"].iter().map(|p| format!("{prefix}.{p}")).collect();
        let lengths = collections.iter().filter_map(|c| c.at("path").as_str().map(|p| format!("len({p})")));
        terms.extend(lengths);
        terms.push(format!("len({prefix}.free)"));
        choices.shuffle(&mut terms);
        let right = 1 + choices.below(2);
        equal.push(Val::map(vec![("left", Val::strs(&terms[..1])), ("right", Val::strs(&terms[1..=right]))]));
    }
    for (name, list) in [("monotone", monotone), ("setOnce", once), ("collections", collections), ("equal", equal)] {
        if !list.is_empty() {
            rules.set(name, Val::List(list));
        }
    }
    rules
}

/// Adds resets now and then, and the rule unless another of its kind has the path.
fn finish(choices: &mut Choices, rule: &mut Val, (root, in_each): (&[&str], bool), rules: &mut Vec<Val>) {
    if choices.percent(30) {
        rule.set("resets", resets(choices, root, in_each));
    }
    if !rules.iter().any(|r| r.at("path") == rule.at("path")) {
        rules.push(rule.clone());
    }
}

fn distinct<'a>(choices: &mut Choices, from: &[&'a str], most: usize) -> Vec<&'a str> {
    let mut chosen: Vec<&str> = Vec::new();
    for _ in 0..choices.below(most + 1) {
        let path = *choices.pick(from);
        if !chosen.contains(&path) {
            chosen.push(path);
        }
    }
    chosen
}

/// A machine beside `others`.
fn graph(choices: &mut Choices, machine: usize, names: &[&str], others: &[Val], here: impl Fn(&str) -> Val) -> Val {
    let by_states = choices.percent(if machine == 0 { 30 } else { 50 });
    let free = |path: &&str| others.iter().all(|other| *other.at("path") != here(path));
    let paths: Vec<&str> = ["phase", "phase", "sub.phase", "state"].into_iter().filter(free).collect();
    let path = if by_states { "conditions" } else { *choices.pick(&paths) };
    let mut phase = Val::map(vec![("path", here(path))]);
    if by_states {
        let mut states = Val::map(vec![]);
        for (name, state) in names.iter().zip(STATES[machine]) {
            if *name == names[0] || choices.percent(85) {
                states.set(name, Val::str(state));
            }
        }
        phase.set("states", states);
    }
    if choices.percent(70) {
        phase.set("initial", Val::strs(&if choices.percent(60) { vec![names[0]] } else { choices.some(names) }));
    }
    let mut transitions = Vec::new();
    let edge = |from: Val, to: Val| Val::map(vec![("from", from), ("to", to)]);
    if choices.percent(70) {
        for pair in names.windows(2) {
            if choices.percent(85) {
                transitions.push(edge(Val::strs(&pair[..1]), Val::strs(&pair[1..])));
            }
        }
    }
    for _ in 0..choices.below(4) {
        let end = |choices: &mut Choices| match choices.below(10) {
            0 => vec!["*"],
            1 => vec![""],
            2 => vec!["*", *choices.pick(names)],
            3 => vec!["", *choices.pick(names)],
            _ => choices.some(names),
        };
        let (from, to) = (end(choices), end(choices));
        transitions.push(edge(Val::strs(&from), Val::strs(&to)));
    }
    if !transitions.is_empty() {
        phase.set("transitions", Val::List(transitions));
    }
    if choices.percent(60) {
        phase.set(
            "final",
            Val::strs(&if choices.percent(60) { vec![names[names.len() - 1]] } else { choices.some(names) }),
        );
    }
    match choices.below(5) {
        0 => phase.set("skip", Val::strs(&["*"])),
        1 | 2 => phase.set("skip", Val::strs(&choices.some(names))),
        _ => {}
    }
    // Every name is to be known, for resets and requiredIn name any of them.
    let known: Vec<&str> =
        phase.at("final").words().iter().filter_map(|f| names.iter().find(|n| *n == f).copied()).collect();
    let unnamed: Vec<&str> = names
        .iter()
        .copied()
        .filter(|n| !known.contains(n) && !super::graph::Graph(&phase, false).known().contains(*n))
        .collect();
    if !unnamed.is_empty() {
        let mut all = known;
        all.extend(unnamed);
        phase.set("final", Val::strs(&all));
    }
    phase
}

pub(crate) fn resets(choices: &mut Choices, root: &[&str], in_each: bool) -> Val {
    let mut resets = Val::map(vec![]);
    if !root.is_empty() {
        let mut named: Vec<&str> = root.to_vec();
        named.push("");
        if choices.percent(30) {
            resets.set("from", Val::strs(&choices.some(&named)));
        }
        if choices.percent(30) {
            resets.set("to", Val::strs(&choices.some(&named)));
        }
    }
    if in_each && choices.percent(50) {
        resets.set("within", Val::strs(&[*choices.pick(&[".n", ".m", ".at", ".log", ".", ".sub.n"])]));
    }
    if choices.percent(60) {
        resets
            .set("with", Val::strs(&[*choices.pick(&[WITNESS, WITNESS, ".status.n", ".status.log", ".status.sub.n"])]));
    }
    resets
}

fn collection(choices: &mut Choices, path: Val, depth: usize, root: &[&str]) -> Val {
    let mut rule = Val::map(vec![("path", path)]);
    if choices.percent(65) {
        rule.set("key", Val::strs(if choices.percent(30) { &["id", "t"][..] } else { &["id"][..] }));
    }
    let order = *choices.pick(&["", "Append", "Prepend", "Any"]);
    if !order.is_empty() {
        rule.set("order", Val::str(order));
    }
    match choices.below(6) {
        0 => rule.set("keep", Val::str("All")),
        1 => rule.set("keep", Val::int(0)),
        2 | 3 if order != "Any" => rule.set("keep", Val::int(i64::try_from(1 + choices.below(3)).unwrap_or(1))),
        _ => {}
    }
    if choices.percent(50) {
        let each = if choices.percent(25) { Val::map(vec![]) } else { rule_set(choices, "", depth + 1, root) };
        rule.set("each", each);
    }
    rule
}
