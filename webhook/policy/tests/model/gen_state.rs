//! Random objects and small edits of them, led by the rules of a policy.

use std::collections::BTreeMap;

use super::choices::Choices;
use super::gen_value::{ODD, any, respell, set_path, spelled, time, zero};
use super::graph::{Graph, Machine, Reading, speaks_of};
use super::reading::{Magnitude, get, len, magnitude, sum, unset};
use super::value::Val;

/// How values are made.
pub(crate) struct Maker {
    /// Wrong types, unknown names and copies are wanted, too; without junk no entry of a list
    /// is made twice.
    pub(crate) junk: bool,
    /// Entries made so far.
    pub(crate) made: usize,
}

pub(crate) fn path_of(rule: &Val) -> String {
    rule.at("path").as_str().unwrap_or_default().to_owned()
}

/// Conditions that say several states at once, or fewer of them than there are now.
fn several(states: &BTreeMap<String, Val>, now: &Val, choices: &mut Choices) -> Val {
    let mut list = now.items().to_vec();
    if list.len() > 1 && choices.percent(50) {
        list.remove(choices.below(list.len()));
        return Val::List(list);
    }
    let pairs: Vec<(&str, &str)> = states.values().filter_map(|s| s.as_str()?.split_once('=')).collect();
    let chosen = choices.some(&pairs).into_iter();
    Val::List(
        chosen.map(|(kind, status)| Val::map(vec![("type", Val::str(kind)), ("status", Val::str(status))])).collect(),
    )
}

impl Maker {
    /// An object, from nothing by filling in what the rules look at.
    pub(crate) fn object(&mut self, policy: &Val, choices: &mut Choices) -> Val {
        let mut object =
            Val::parse("{apiVersion: example.org/v1, kind: Example, metadata: {name: x}, spec: {size: 1}}");
        self.generation(&mut object, choices);
        self.fill(policy.at("spec"), &mut object, choices);
        object
    }

    pub(crate) fn generation(&mut self, object: &mut Val, choices: &mut Choices) {
        let generation = match choices.below(12) {
            0 if self.junk => Val::Null,
            // Never negative: only the API server writes it, from 1 upwards.
            1 if self.junk => Val::parse(choices.word(&["abc", "'3'", "3.0", "2.5"])),
            n => Val::int(i64::try_from(n % 5 + 1).unwrap_or(1)),
        };
        set_path(object, ".metadata.generation", generation);
    }

    fn fill(&mut self, rules: &Val, item: &mut Val, choices: &mut Choices) {
        for kind in ["phases", "monotone", "setOnce", "collections"] {
            for rule in rules.at(kind).items() {
                if choices.percent(if kind == "setOnce" && self.junk { 40 } else { 75 }) {
                    self.rule(kind, rule, item, choices);
                    if kind == "collections" && choices.percent(60) {
                        self.rule(kind, rule, item, choices);
                    }
                }
            }
        }
        self.mend(rules, item, choices);
    }

    /// Some edits of what the rules look at.
    pub(crate) fn edit(&mut self, rules: &Val, item: &mut Val, choices: &mut Choices) {
        for _ in 0..=choices.below(3) {
            self.edit_once(rules, item, choices);
        }
        self.mend(rules, item, choices);
    }

    fn edit_once(&mut self, rules: &Val, item: &mut Val, choices: &mut Choices) {
        let mut candidates: Vec<(&str, &Val)> = Vec::new();
        for kind in ["phases", "phases", "monotone", "setOnce", "collections", "collections", "collections"] {
            candidates.extend(rules.at(kind).items().iter().map(|rule| (kind, rule)));
        }
        let root = item.has("metadata");
        let prefix = if root { ".status" } else { "" };
        match choices.below(16) {
            0 if root => set_path(item, ".status.w", Val::int(len(get(item, ".status.w")).try_into().unwrap_or(0))),
            1 | 2 if root => {
                let next = match magnitude(get(item, ".status.w")) {
                    Magnitude::Number(n) => n.as_small().unwrap_or(0) + 1,
                    _ => 1,
                };
                set_path(item, ".status.w", Val::int(next));
            }
            3 => {
                let value = any(choices, 2);
                set_path(item, &format!("{prefix}.free"), value);
            }
            4 if self.junk && choices.percent(40) => {
                let path = *choices.pick(&["sub", "log", "phase", "state", "n", "ref", "conditions"]);
                let value = any(choices, 2);
                set_path(item, &format!("{prefix}.{path}"), value);
            }
            5 if root && self.junk && choices.percent(30) => {
                item.set("status", zero(choices));
            }
            6 => {
                let path = if root { ".status" } else { "." };
                let value = respell(get(item, path), choices);
                set_path(item, path, value);
            }
            _ if candidates.is_empty() => {}
            _ => {
                let (kind, rule) = *choices.pick(&candidates);
                self.rule(kind, rule, item, choices);
            }
        }
    }

    /// A new value for what one rule looks at.
    fn rule(&mut self, kind: &str, rule: &Val, item: &mut Val, choices: &mut Choices) {
        let path = path_of(rule);
        let now = get(item, &path).clone();
        let value = if self.junk && choices.percent(4) {
            Val::parse(choices.word(&ODD))
        } else {
            match kind {
                "phases" => self.phase(rule, item, &now, choices),
                "monotone" => self.counter(&path, &now, choices),
                "setOnce" => self.once(&now, choices),
                _ => self.collection(rule, &path, &now, choices),
            }
        };
        set_path(item, &path, value);
    }

    fn phase(&mut self, rule: &Val, item: &Val, now: &Val, choices: &mut Choices) -> Val {
        let graph = Graph(rule, false);
        let mut names: Vec<String> = graph.known().into_iter().collect();
        names.push(String::new());
        if self.junk || graph.any_target() {
            names.push("Odd".to_owned());
        }
        let p = match graph.read(item).0 {
            Reading::Plain(p) => p,
            _ => String::new(),
        };
        let next: Vec<String> = names.iter().filter(|q| **q != p && graph.edge(&p, q)).cloned().collect();
        let name = if next.is_empty() || !choices.percent(70) { choices.pick(&names) } else { choices.pick(&next) };
        let Val::Map(states) = rule.at("states") else {
            return if name.is_empty() { zero(choices) } else { Val::str(name) };
        };
        let is_state = |c: &Val| {
            let pair = (c.at("type").as_str(), c.at("status").as_str());
            matches!(pair, (Some(t), Some(s)) if states.values().any(|v| *v == Val::Str(format!("{t}={s}"))))
        };
        if self.junk && choices.percent(25) {
            return several(states, now, choices);
        }
        let keep_old = choices.percent(40);
        let mut list: Vec<Val> = now.items().iter().filter(|c| keep_old || !is_state(c)).cloned().collect();
        if let Some((kind, status)) = states.get(name).and_then(Val::as_str).and_then(|s| s.split_once('=')) {
            self.made += 1;
            let mut condition = Val::map(vec![("type", Val::str(kind)), ("status", Val::str(status))]);
            if !self.junk {
                condition.set("id", Val::Str(format!("e{}", self.made)));
            }
            list.push(condition);
        }
        if self.junk && choices.percent(15) {
            list.push(Val::parse(choices.word(&[
                "{type: Up, status: true}",
                "{type: Odd, status: 'True'}",
                "Up=True",
                "{}",
            ])));
        }
        Val::List(list)
    }

    fn counter(&mut self, path: &str, now: &Val, choices: &mut Choices) -> Val {
        if path.ends_with("at") != (self.junk && choices.percent(8)) {
            return if choices.percent(15) { zero(choices) } else { time(choices) };
        }
        let size = match magnitude(now) {
            Magnitude::Number(n) => n.as_small().filter(|n| n.abs() < 1_000_000).unwrap_or(3),
            _ => 0,
        };
        match choices.below(12) {
            0 => zero(choices),
            1 if self.junk => Val::Str((size + 1).to_string()),
            2 if self.junk => Val::Str(format!("0{size}")),
            3 if self.junk => Val::parse(choices.word(&[
                "1e30",
                "1000000000000000000000000000001",
                "1.5",
                "1.25e0",
                "-1",
                "-2",
                "'0'",
            ])),
            4 => spelled(size, choices),
            5 => spelled(size - 1, choices),
            6 => spelled(i64::try_from(choices.below(5)).unwrap_or(0), choices),
            _ => spelled(size + 1, choices),
        }
    }

    fn once(&mut self, now: &Val, choices: &mut Choices) -> Val {
        match choices.below(6) {
            0 => respell(now, choices),
            1 | 2 if matches!(now, Val::Map(_)) => {
                let mut more = now.clone();
                let name = *choices.pick(&["a", "b", "name"]);
                more.set(name, any(choices, 1));
                more
            }
            _ => any(choices, 2),
        }
    }

    fn collection(&mut self, rule: &Val, path: &str, now: &Val, choices: &mut Choices) -> Val {
        let as_map = match now {
            Val::Map(_) if !unset(now) => true,
            Val::List(items) if !items.is_empty() => false,
            _ => path.ends_with("nodes"),
        };
        if as_map == (self.junk && choices.percent(3)) {
            self.list(rule, now, choices)
        } else {
            self.map(rule, now, choices)
        }
    }

    fn entry(&mut self, rule: &Val, choices: &mut Choices) -> Val {
        self.made += 1;
        let id = if self.junk {
            Val::parse(choices.word(&[
                "a",
                "b",
                "c",
                "d",
                "1",
                "1.0",
                "'1'",
                "''",
                "2024-01-01T00:00:00.5Z",
                "2024-01-01T00:00:00Z",
            ]))
        } else {
            Val::Str(format!("e{}", self.made))
        };
        if !rule.has("key") && !rule.has("each") && choices.percent(60) {
            return id;
        }
        if self.junk && choices.percent(5) {
            return any(choices, 1);
        }
        let mut entry = Val::map(vec![]);
        self.fill(rule.at("each"), &mut entry, choices);
        // Without junk an entry is told from others by its id.
        if self.junk && !matches!(entry, Val::Map(_)) {
            return entry;
        }
        entry.set("id", id);
        if choices.percent(40) {
            entry.set("t", time(choices));
        }
        if choices.percent(40) {
            entry.set("x", any(choices, 1));
        }
        entry
    }

    fn edit_entry(&mut self, rule: &Val, entry: &mut Val, choices: &mut Choices) {
        match choices.below(6) {
            // Times that differ in fractions alone are the same to one that has none: without junk
            // frozen entries do not go such ways.
            0 if matches!(entry, Val::Map(_)) && (self.junk || rule.has("each")) => entry.set("x", any(choices, 1)),
            1 => *entry = respell(entry, choices),
            2 if self.junk => *entry = self.entry(rule, choices),
            _ => self.edit(rule.at("each"), entry, choices),
        }
    }

    fn map(&mut self, rule: &Val, now: &Val, choices: &mut Choices) -> Val {
        let mut map = if matches!(now, Val::Map(_)) { now.clone() } else { Val::map(vec![]) };
        let key = *choices.pick(&["k", "l", "m.n/o", "7"]);
        let mut entry = map.at(key).clone();
        match choices.below(7) {
            0 => {
                if let Val::Map(members) = &mut map {
                    members.remove(key);
                }
            }
            1 => map.set(key, zero(choices)),
            _ if unset(&entry) => map.set(key, self.entry(rule, choices)),
            _ => {
                self.edit_entry(rule, &mut entry, choices);
                map.set(key, entry);
            }
        }
        map
    }

    fn list(&mut self, rule: &Val, now: &Val, choices: &mut Choices) -> Val {
        let mut list: Vec<Val> = now.items().to_vec();
        let front = (*rule.at("order") == Val::str("Prepend")) != choices.percent(5);
        let at = |i: usize, len: usize| if front { i } else { len - 1 - i };
        let choice = if list.is_empty() { 0 } else { choices.below(16) };
        match choice {
            0..=5 => self.add(rule, &mut list, front, choices),
            // The newest go.
            6 => {
                let len = list.len();
                list.remove(at(0, len));
            }
            // The oldest go.
            7 | 8 => {
                for _ in 0..=choices.below(2.min(list.len())) {
                    let len = list.len();
                    list.remove(at(len - 1, len));
                }
                if !self.junk || choices.percent(70) {
                    self.add(rule, &mut list, front, choices);
                }
            }
            9 if self.junk || *rule.at("order") == Val::str("Any") => {
                list.remove(choices.below(list.len()));
            }
            10 => {
                let len = list.len();
                list.swap(choices.below(len), choices.below(len));
            }
            11 if self.junk => {
                let copy = choices.pick(&list).clone();
                list.insert(choices.below(list.len() + 1), copy);
            }
            12 if choices.percent(50) => list.clear(),
            13 => {
                let entry = self.entry(rule, choices);
                list.insert(choices.below(list.len() + 1), entry);
            }
            _ => {
                let index = choices.below(list.len());
                self.edit_entry(rule, &mut list[index], choices);
            }
        }
        Val::List(list)
    }

    fn add(&mut self, rule: &Val, list: &mut Vec<Val>, front: bool, choices: &mut Choices) {
        for _ in 0..=choices.below(2) {
            let entry = self.entry(rule, choices);
            list.insert(if front { 0 } else { list.len() }, entry);
        }
    }

    /// Mostly fills in what `requiredIn` and `equal` ask for.
    fn mend(&mut self, rules: &Val, item: &mut Val, choices: &mut Choices) {
        let machines = Machine::all(rules, item, item);
        let is = |name: &String| speaks_of(&machines, name).is_some_and(|machine| machine.new.is(name));
        for rule in rules.at("setOnce").items() {
            if rule.at("requiredIn").words().iter().any(is)
                && unset(get(item, &path_of(rule)))
                && choices.percent(if self.junk { 50 } else { 85 })
            {
                set_path(item, &path_of(rule), Val::str("set"));
            }
        }
        for rule in rules.at("equal").items() {
            let terms = |side: &str| rule.at(side).words();
            let plain = terms("left").into_iter().chain(terms("right")).find(|t| !t.starts_with("len("));
            let Some(plain) = plain.filter(|_| choices.percent(75)) else { continue };
            set_path(item, &plain, Val::Null);
            let gap = sum(item, rule.at("left")).gap(&sum(item, rule.at("right")));
            if let Some(number) = gap.as_small() {
                set_path(item, &plain, Val::int(number));
            }
        }
    }
}
