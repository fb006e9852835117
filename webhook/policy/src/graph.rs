//! The compiled phase machine: names become small integers, legality and reachability rows of bits.
//!
//! Nodes are the known phases `0..n`, then one node that stands for every
//! unknown name (all unknown names have the same edges), then the empty phase.

use std::collections::HashMap;

use crate::budget::{Budget, Unfinished};
use crate::relation::Relation;
use crate::shown::cut;
use crate::value::Value;

/// What a phase path reads as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reading<'v> {
    /// Unset, or none of the states.
    Empty,
    /// One of the known phases.
    Known(usize),
    /// A name that the policy does not know.
    Unknown(&'v str),
    /// Neither a string nor, with `states`, a list.
    Malformed,
    /// Several states, and not exactly one of them is entered from each of the others. Sorted.
    Ambiguous(Vec<usize>),
}

/// A reading, and with `states` all that were seen. Sorted.
#[derive(Clone, Debug)]
pub(crate) struct Read<'v> {
    pub(crate) reading: Reading<'v>,
    pub(crate) seen: Vec<usize>,
}

/// The phase machine of one rule set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    names: Vec<Box<str>>,
    nodes: HashMap<Box<str>, usize>,
    /// Type, status, phase; not empty when the phase is read from conditions.
    states: States,
    edges: Relation,
    /// Transposed: from where one write may lead to a phase.
    legal_from: Relation,
    /// Transposed: from where any number of writes may lead to a phase.
    reached_from: Relation,
    /// Whether an edge leads to any name.
    any_target: bool,
    final_phases: Vec<bool>,
}

/// The phase of each condition, by its type and status.
pub(crate) type States = HashMap<Box<str>, HashMap<Box<str>, usize>>;

/// What a graph is built from; the names are all known and differ.
pub(crate) struct Parts<'s> {
    pub(crate) names: Vec<Box<str>>,
    pub(crate) states: States,
    pub(crate) initial: Option<&'s [String]>,
    pub(crate) transitions: &'s [crate::spec::Transition],
    pub(crate) final_phases: &'s [String],
    pub(crate) skip: &'s [String],
    pub(crate) restarts: bool,
}

impl Graph {
    pub(crate) fn new(parts: Parts<'_>, budget: &Budget<'_>) -> Result<Self, Unfinished> {
        let Parts { names, states, initial, transitions, final_phases, skip, restarts } = parts;
        let count = names.len();
        let (other, empty) = (count, count + 1);
        let nodes = count + 2;
        let by_name: HashMap<Box<str>, usize> = names.iter().cloned().zip(0..).collect();
        let index = |name: &str| by_name.get(name).copied();
        let mut is_final = vec![false; nodes];
        final_phases.iter().filter_map(|name| index(name)).for_each(|phase| is_final[phase] = true);
        let any_target = transitions.iter().any(|edge| edge.to.iter().any(|name| name == "*"));

        let mut edges = Relation::new(nodes);
        for transition in transitions {
            let sources = transition.from.iter().flat_map(|name| match name.as_str() {
                "*" => (0..=other).filter(|node| !is_final[*node]).collect(),
                "" => vec![empty],
                name => index(name).into_iter().collect(),
            });
            for source in sources {
                budget.spend(transition.to.len())?;
                for target in &transition.to {
                    match target.as_str() {
                        "*" => {
                            budget.spend(nodes)?;
                            (0..=other).for_each(|node| edges.add(source, node));
                        }
                        "" => edges.add(source, empty),
                        name => index(name).into_iter().for_each(|node| edges.add(source, node)),
                    }
                }
            }
        }
        match initial {
            Some(initial) => initial.iter().filter_map(|name| index(name)).for_each(|node| edges.add(empty, node)),
            None => (0..count + usize::from(any_target)).for_each(|node| edges.add(empty, node)),
        }

        let skip_all = skip.iter().any(|name| name == "*");
        let mut skipped = vec![false; nodes];
        skipped[..count].fill(skip_all);
        skip.iter().filter_map(|name| index(name)).for_each(|phase| skipped[phase] = true);
        let legal_from = edges.closed(&skipped, budget)?.transposed();

        let mut steps = edges.clone();
        if restarts {
            budget.spend(nodes * nodes)?;
            for node in 0..nodes {
                steps.add(node, empty);
                edges.targets(empty).filter(|target| *target <= other).for_each(|target| steps.add(node, target));
            }
        }
        let reached_from = steps.closed(&vec![true; nodes], budget)?.transposed();
        let nodes = by_name;
        Ok(Self { names, nodes, states, edges, legal_from, reached_from, any_target, final_phases: is_final })
    }

    fn other(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn empty(&self) -> usize {
        self.names.len() + 1
    }

    /// The types of the conditions that the phase is read from, sorted.
    pub(crate) fn condition_types(&self) -> Vec<String> {
        let mut types: Vec<String> = self.states.keys().map(ToString::to_string).collect();
        types.sort_unstable();
        types
    }

    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.nodes.get(name).copied()
    }

    pub(crate) fn any_target(&self) -> bool {
        self.any_target
    }

    pub(crate) fn is_final(&self, phase: usize) -> bool {
        self.final_phases[phase]
    }

    /// Whether any edge leads from `phase` to somewhere else.
    pub(crate) fn leaves(&self, phase: usize) -> bool {
        self.edges.targets(phase).any(|node| node != phase)
    }

    /// Whether there is a direct edge.
    pub(crate) fn edge(&self, from: usize, to: usize) -> bool {
        self.edges.has(from, to)
    }

    /// Whether edges lead from the empty phase to this one.
    pub(crate) fn reachable(&self, phase: usize) -> bool {
        self.reached_from.has(phase, self.empty())
    }

    /// The phases to and from which one write may lead from and to this one.
    pub(crate) fn mutual(&self, phase: usize) -> impl Iterator<Item = usize> {
        let phases = self.legal_from.targets(phase).take_while(|other| *other < self.names.len());
        phases.filter(move |other| *other != phase && self.legal_from.has(*other, phase))
    }

    /// Reads the phase from the value at its path.
    pub(crate) fn read<'v>(&self, value: &'v Value<'_>) -> Read<'v> {
        let reading = match value {
            value if value.is_unset() => Reading::Empty,
            Value::List(items) if !self.states.is_empty() => return self.read_states(items),
            Value::String(name) if self.states.is_empty() => match self.index(name) {
                Some(phase) => Reading::Known(phase),
                None => Reading::Unknown(name),
            },
            _ => Reading::Malformed,
        };
        Read { reading, seen: Vec::new() }
    }

    fn read_states<'v>(&self, items: &[Value<'_>]) -> Read<'v> {
        let state = |item: &Value<'_>| match (item.get("type"), item.get("status")) {
            (Value::String(kind), Value::String(status)) => self.states.get(&**kind)?.get(&**status).copied(),
            _ => None,
        };
        let mut seen: Vec<usize> = items.iter().filter_map(state).collect();
        seen.sort_unstable();
        seen.dedup();
        let reading = match seen.as_slice() {
            [] => Reading::Empty,
            [phase] => Reading::Known(*phase),
            several => {
                // The phases that are entered from each of the others.
                let mut entered = vec![u64::MAX; self.edges.row(0).len()];
                for from in several {
                    entered.iter_mut().zip(self.edges.row(*from)).enumerate().for_each(|(word, (bits, row))| {
                        let own = if from / 64 == word { 1 << (from % 64) } else { 0 };
                        *bits &= row | own;
                    });
                }
                let mut last = several.iter().filter(|phase| entered[**phase / 64] >> (**phase % 64) & 1 == 1);
                match (last.next(), last.next()) {
                    (Some(phase), None) => Reading::Known(*phase),
                    _ => Reading::Ambiguous(seen.clone()),
                }
            }
        };
        Read { reading, seen }
    }

    /// The node of a plain reading.
    pub(crate) fn node(&self, reading: &Reading<'_>) -> Option<usize> {
        match reading {
            Reading::Empty => Some(self.empty()),
            Reading::Known(phase) => Some(*phase),
            Reading::Unknown(_) => Some(self.other()),
            Reading::Malformed | Reading::Ambiguous(_) => None,
        }
    }

    /// Whether one write may lead from `from` to `to`, two different phases.
    pub(crate) fn legal(&self, from: usize, to: usize) -> bool {
        self.legal_from.has(to, from)
    }

    /// Whether some older phase of the object makes the write of `to` over `from` legal;
    /// the two are different phases.
    pub(crate) fn explained(&self, from: usize, to: usize) -> bool {
        if self.reached_from.has(from, to) {
            return true;
        }
        // Some other older phase, which is a known one or the empty one.
        let both = self.reached_from.row(from).iter().zip(self.legal_from.row(to)).enumerate();
        let excluded = |word: usize, node: usize| if node / 64 == word { 1_u64 << (node % 64) } else { 0 };
        both.into_iter().any(|(word, (reached, legal))| {
            reached & legal & !excluded(word, from) & !excluded(word, self.other()) != 0
        })
    }

    /// The text form of a reading.
    pub(crate) fn show(&self, reading: &Reading<'_>) -> String {
        match reading {
            Reading::Empty => "none".into(),
            Reading::Known(phase) => format!("{:?}", self.names[*phase]),
            // Cut here, where it is longer than any message shows it: escaped, a name takes several times its size.
            Reading::Unknown(name) => format!("{:?}", cut(name, 256)),
            Reading::Malformed => "a malformed value".into(),
            Reading::Ambiguous(phases) => {
                let names: Vec<String> = phases.iter().map(|phase| format!("{:?}", self.names[*phase])).collect();
                names.join(" and ")
            }
        }
    }
}
