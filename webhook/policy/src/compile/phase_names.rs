//! Which machine a name speaks of.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::graph::Graph;
use crate::rules::PhaseOf;

/// The phases of machines that stand side by side, by their names.
#[derive(Default)]
pub(super) struct PhaseNames {
    /// The phase that a name speaks of; none where several machines know it.
    pub(super) phases: HashMap<Box<str>, Option<PhaseOf>>,
    /// What `""` speaks of: no phase of the first machine.
    pub(super) empty: Option<PhaseOf>,
    /// Every name once, in the order of the machines.
    pub(super) known: Vec<Box<str>>,
    /// The place of the machines in the document.
    pub(super) at: String,
    /// Whether a machine could not be read as a whole; then nothing is said of names that are not known.
    pub(super) unread: bool,
}

impl PhaseNames {
    pub(super) fn new(graphs: &[Arc<Graph>], at: String, unread: bool) -> Self {
        let empty = graphs.first().map(|first| PhaseOf { machine: 0, node: first.empty() });
        let mut names = Self { empty, at, unread, ..Self::default() };
        for (machine, graph) in graphs.iter().enumerate() {
            for (node, name) in graph.names().iter().enumerate() {
                match names.phases.entry(name.clone()) {
                    Entry::Occupied(mut known) => {
                        known.insert(None);
                    }
                    Entry::Vacant(place) => {
                        place.insert(Some(PhaseOf { machine, node }));
                        names.known.push(name.clone());
                    }
                }
            }
        }
        names
    }

    /// Whether there is no machine, although all was read.
    pub(super) fn is_none(&self) -> bool {
        self.empty.is_none() && !self.unread
    }
}
