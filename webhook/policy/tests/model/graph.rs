//! R5's graph: reading a phase, edges, `legal` and `explained`, searched name by name.

use std::collections::BTreeSet;

use super::reading::{get, same, unset};
use super::value::Val;

/// What a phase's path reads as.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reading {
    /// A phase, known or not; `""` for unset.
    Plain(String),
    Ambiguous(BTreeSet<String>),
    Malformed,
}

impl Reading {
    /// All malformed values are one.
    pub(crate) fn same(&self, other: &Reading) -> bool {
        match (self, other) {
            (Reading::Plain(p), Reading::Plain(q)) => same(&Val::str(p), &Val::str(q)),
            _ => self == other,
        }
    }

    pub(crate) fn is(&self, name: &str) -> bool {
        matches!(self, Reading::Plain(p) if p == name)
    }
}

/// Whether a rule's `resets` say anything.
pub(crate) fn has_resets(rule: &Val) -> bool {
    ["from", "to", "with", "within"].iter().any(|k| rule.at("resets").has(k))
}

/// A machine of a rule set, what it read before the write and what after.
pub(crate) struct Machine {
    known: BTreeSet<String>,
    pub(crate) old: Reading,
    pub(crate) new: Reading,
}

impl Machine {
    pub(crate) fn all(rules: &Val, old: &Val, new: &Val) -> Vec<Machine> {
        let graphs = rules.at("phases").items().iter().map(|rule| Graph(rule, false));
        graphs.map(|graph| Machine { known: graph.known(), old: graph.read(old).0, new: graph.read(new).0 }).collect()
    }
}

/// The machine that a name speaks of: the one that knows it, and `""` of the first.
pub(crate) fn speaks_of<'m>(machines: &'m [Machine], name: &str) -> Option<&'m Machine> {
    if name.is_empty() { machines.first() } else { machines.iter().find(|machine| machine.known.contains(name)) }
}

/// A machine's rule, and whether it counts as having `resets` because its entry may go and come back.
pub(crate) struct Graph<'a>(pub(crate) &'a Val, pub(crate) bool);

const ANY: &str = "*";
/// Stands for every unknown name; no generator makes it.
const UNKNOWN: &str = "\u{1}unknown";

impl Graph<'_> {
    fn edges(&self) -> impl Iterator<Item = (Vec<String>, Vec<String>)> + '_ {
        let transitions = self.0.at("transitions").items();
        transitions.iter().map(|t| (t.at("from").words(), t.at("to").words()))
    }

    fn is_final(&self, name: &str) -> bool {
        self.0.at("final").words().iter().any(|f| f == name)
    }

    pub(crate) fn known(&self) -> BTreeSet<String> {
        let mut known: BTreeSet<String> = self.0.at("initial").words().into_iter().collect();
        known.extend(self.edges().flat_map(|(from, to)| from.into_iter().chain(to)));
        known.extend(self.0.at("final").words());
        if let Val::Map(states) = self.0.at("states") {
            known.extend(states.keys().cloned());
        }
        known.remove(ANY);
        known.remove("");
        known
    }

    /// Whether some `to` says `"*"`.
    pub(crate) fn any_target(&self) -> bool {
        self.edges().any(|(_, to)| to.iter().any(|t| t == ANY))
    }

    pub(crate) fn unknown(&self, name: &str) -> bool {
        !name.is_empty() && !self.known().contains(name)
    }

    pub(crate) fn edge(&self, p: &str, q: &str) -> bool {
        let by_transition = self.edges().any(|(from, to)| {
            let leaves = from.iter().any(|f| f == p || (f == ANY && !p.is_empty() && !self.is_final(p)));
            let arrives = to.iter().any(|t| t == q || (t == ANY && !q.is_empty()));
            leaves && arrives
        });
        let by_start = p.is_empty()
            && !q.is_empty()
            && if self.0.has("initial") {
                self.0.at("initial").words().iter().any(|i| i == q)
            } else {
                self.known().contains(q) || self.any_target()
            };
        by_transition || by_start
    }

    pub(crate) fn legal(&self, p: &str, q: &str) -> bool {
        if p == q {
            return true;
        }
        let skip = self.0.at("skip").words();
        let inner: Vec<String> =
            self.known().into_iter().filter(|name| skip.iter().any(|s| s == ANY || s == name)).collect();
        let mut reached: Vec<String> = vec![p.to_owned()];
        let mut next = 0;
        while next < reached.len() {
            if self.edge(&reached[next], q) {
                return true;
            }
            for name in &inner {
                if !reached.contains(name) && self.edge(&reached[next], name) {
                    reached.push(name.clone());
                }
            }
            next += 1;
        }
        false
    }

    /// Whether some older phase explains a write of `q` over `p`.
    pub(crate) fn explained(&self, p: &str, q: &str) -> bool {
        let mut names = self.known();
        names.extend([String::new(), q.to_owned()]);
        let older = names.clone();
        names.insert(p.to_owned());
        if self.any_target() {
            names.insert(UNKNOWN.to_owned());
        }
        let step = |a: &str, b: &str| {
            let restart = (self.1 || has_resets(self.0)) && (b.is_empty() || self.edge("", b));
            self.edge(a, b) || restart
        };
        let reaches_p = |r: &str| {
            let mut reached: Vec<&str> = names.iter().map(String::as_str).filter(|b| step(r, b)).collect();
            let mut next = 0;
            while next < reached.len() {
                for b in &names {
                    if !reached.contains(&b.as_str()) && step(reached[next], b) {
                        reached.push(b);
                    }
                }
                next += 1;
            }
            reached.contains(&p)
        };
        older.iter().any(|r| r != p && reaches_p(r) && (r == q || self.legal(r, q)))
    }

    /// What the rule set's phase reads as, and the states that this reading absorbed.
    pub(crate) fn read(&self, item: &Val) -> (Reading, BTreeSet<String>) {
        let value = get(item, self.0.at("path").as_str().expect("a phase has a path"));
        let nothing = BTreeSet::new();
        if unset(value) {
            return (Reading::Plain(String::new()), nothing);
        }
        let Val::Map(states) = self.0.at("states") else {
            return match value {
                Val::Str(name) => (Reading::Plain(name.clone()), nothing),
                _ => (Reading::Malformed, nothing),
            };
        };
        let Val::List(conditions) = value else {
            return (Reading::Malformed, nothing);
        };
        let mut found = BTreeSet::new();
        for condition in conditions {
            if let (Some(kind), Some(status)) = (condition.at("type").as_str(), condition.at("status").as_str()) {
                let pair = Val::Str(format!("{kind}={status}"));
                found.extend(states.iter().filter(|(_, s)| **s == pair).map(|(name, _)| name.clone()));
            }
        }
        let ends: Vec<&String> =
            found.iter().filter(|end| found.iter().all(|other| other == *end || self.edge(other, end))).collect();
        match ends.as_slice() {
            [] if found.is_empty() => (Reading::Plain(String::new()), nothing),
            [end] => {
                let absorbed = found.iter().filter(|s| s != end).cloned().collect();
                (Reading::Plain((*end).clone()), absorbed)
            }
            _ => (Reading::Ambiguous(found), nothing),
        }
    }
}
