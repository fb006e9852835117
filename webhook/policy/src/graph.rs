//! The compiled phase machine: names become small integers, reachability a bit matrix.
//!
//! Nodes are the known phases `0..n`, then one node that stands for every
//! unknown name (all unknown names have the same edges), then the empty phase.

use crate::value::Value;

/// A square relation over nodes, one row of bits per node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Relation {
    words: usize,
    bits: Vec<u64>,
}

impl Relation {
    fn new(nodes: usize) -> Self {
        let words = nodes.div_ceil(64);
        Self { words, bits: vec![0; words * nodes] }
    }

    fn has(&self, from: usize, to: usize) -> bool {
        self.bits[from * self.words + to / 64] >> (to % 64) & 1 == 1
    }

    fn add(&mut self, from: usize, to: usize) {
        self.bits[from * self.words + to / 64] |= 1 << (to % 64);
    }

    /// Adds every pair that is joined through inner nodes of `inner` (Warshall).
    fn close(&mut self, inner: impl Iterator<Item = usize>) {
        let nodes = self.bits.len() / self.words;
        for through in inner {
            let row = self.bits[through * self.words..(through + 1) * self.words].to_vec();
            for from in 0..nodes {
                if self.has(from, through) {
                    let start = from * self.words;
                    self.bits[start..start + self.words].iter_mut().zip(&row).for_each(|(word, more)| *word |= more);
                }
            }
        }
    }
}

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
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    names: Vec<Box<str>>,
    /// `(type, status, phase)`; not empty when the phase is read from conditions.
    states: Vec<(Box<str>, Box<str>, usize)>,
    edges: Relation,
    legal: Relation,
    reach: Relation,
    /// Whether an edge leads to any name.
    any_target: bool,
    final_phases: Vec<bool>,
}

/// What a graph is built from; the names are all known.
pub(crate) struct Parts<'s> {
    pub(crate) names: Vec<Box<str>>,
    pub(crate) states: Vec<(Box<str>, Box<str>, usize)>,
    pub(crate) initial: Option<&'s [String]>,
    pub(crate) transitions: &'s [crate::spec::Transition],
    pub(crate) final_phases: &'s [String],
    pub(crate) skip: &'s [String],
    pub(crate) restarts: bool,
}

impl Graph {
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let Parts { names, states, initial, transitions, final_phases, skip, restarts } = parts;
        let count = names.len();
        let (other, empty) = (count, count + 1);
        let nodes = count + 2;
        let index = |name: &str| names.iter().position(|known| &**known == name);
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
                for target in &transition.to {
                    match target.as_str() {
                        "*" => (0..=other).for_each(|node| edges.add(source, node)),
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

        let mut legal = edges.clone();
        let skip_all = skip.iter().any(|name| name == "*");
        legal.close((0..count).filter(|node| skip_all || skip.iter().any(|name| **name == *names[*node])));

        let mut reach = edges.clone();
        if restarts {
            for node in 0..nodes {
                reach.add(node, empty);
                (0..=other).filter(|target| edges.has(empty, *target)).for_each(|target| reach.add(node, target));
            }
        }
        reach.close(0..nodes);
        Self { names, states, edges, legal, reach, any_target, final_phases: is_final }
    }

    fn other(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn empty(&self) -> usize {
        self.names.len() + 1
    }

    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.names
    }

    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| &**known == name)
    }

    pub(crate) fn any_target(&self) -> bool {
        self.any_target
    }

    pub(crate) fn is_final(&self, phase: usize) -> bool {
        self.final_phases[phase]
    }

    /// Whether any edge leads from `phase` to somewhere else.
    pub(crate) fn leaves(&self, phase: usize) -> bool {
        (0..=self.empty()).any(|node| node != phase && self.edges.has(phase, node))
    }

    /// Whether there is a direct edge.
    pub(crate) fn edge(&self, from: usize, to: usize) -> bool {
        self.edges.has(from, to)
    }

    /// Whether edges lead from the empty phase to this one.
    pub(crate) fn reachable(&self, phase: usize) -> bool {
        self.reach.has(self.empty(), phase)
    }

    /// Whether both ways between two different phases are legal.
    pub(crate) fn mutual(&self, a: usize, b: usize) -> bool {
        self.legal.has(a, b) && self.legal.has(b, a)
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
        let mut seen: Vec<usize> = Vec::new();
        for item in items {
            if let (Value::String(kind), Value::String(status)) = (item.get("type"), item.get("status"))
                && let Some((_, _, phase)) = self.states.iter().find(|(t, s, _)| **t == **kind && **s == **status)
                && !seen.contains(phase)
            {
                seen.push(*phase);
            }
        }
        seen.sort_unstable();
        let entered = |target: usize| seen.iter().all(|from| *from == target || self.edges.has(*from, target));
        let reading = match seen.as_slice() {
            [] => Reading::Empty,
            [phase] => Reading::Known(*phase),
            several => {
                let mut last = several.iter().copied().filter(|target| entered(*target));
                match (last.next(), last.next()) {
                    (Some(phase), None) => Reading::Known(phase),
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
        self.legal.has(from, to)
    }

    /// Whether some older phase of the object makes the write of `to` over `from` legal;
    /// the two are different phases.
    pub(crate) fn explained(&self, from: usize, to: usize) -> bool {
        if self.reach.has(to, from) {
            return true;
        }
        let known = (0..self.names.len()).chain([self.empty()]);
        known.into_iter().any(|older| older != from && self.reach.has(older, from) && self.legal.has(older, to))
    }

    /// The text form of a reading.
    pub(crate) fn show(&self, reading: &Reading<'_>) -> String {
        match reading {
            Reading::Empty => "none".into(),
            Reading::Known(phase) => format!("{:?}", self.names[*phase]),
            Reading::Unknown(name) => format!("{name:?}"),
            Reading::Malformed => "a malformed value".into(),
            Reading::Ambiguous(phases) => {
                let names: Vec<String> = phases.iter().map(|phase| format!("{:?}", self.names[*phase])).collect();
                names.join(" and ")
            }
        }
    }
}
