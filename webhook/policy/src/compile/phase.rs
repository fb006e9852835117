//! Phases: names, states, the graph and its shape.

use super::{Compiler, Scope};
use crate::graph::{Graph, Parts};
use crate::rules::{PhaseRule, Resets};
use crate::spec;

impl Compiler<'_> {
    pub(super) fn phase(&mut self, phase: &spec::Phase, at: &str, scope: Scope) -> PhaseRule {
        let path = self.path(&phase.path, scope, &format!("{at}.path"));
        let mut names: Vec<Box<str>> = Vec::new();
        let mut know = |name: &str| {
            if !["", "*"].contains(&name) && !names.iter().any(|known| **known == *name) {
                names.push(name.into());
            }
        };
        phase.initial.iter().flatten().for_each(|name| know(name));
        for transition in &phase.transitions {
            transition.from.iter().chain(&transition.to).for_each(|name| know(name));
        }
        phase.final_phases.iter().for_each(|name| know(name));
        phase.states.keys().for_each(|name| know(name));

        self.plain_names(phase.initial.iter().flatten(), &format!("{at}.initial"));
        self.plain_names(phase.final_phases.iter(), &format!("{at}.final"));
        self.plain_names(phase.states.keys(), &format!("{at}.states"));
        self.not_empty(phase.initial.as_ref(), &format!("{at}.initial"), "omit it to allow any");
        for (index, transition) in phase.transitions.iter().enumerate() {
            let at = format!("{at}.transitions[{index}]");
            self.not_empty(Some(&transition.from), &format!("{at}.from"), "name a phase, \"*\" or \"\"");
            self.not_empty(Some(&transition.to), &format!("{at}.to"), "name a phase, \"*\" or \"\"");
        }
        let all_read = !self.unread_phases(at);
        for (index, name) in phase.skip.iter().enumerate() {
            if all_read && name != "*" && !names.iter().any(|known| **known == **name) {
                self.warning(
                    format!("{at}.skip[{index}]"),
                    format!("no such phase `{name}`"),
                    "name a phase of the graph, or \"*\"",
                );
            }
        }
        let states = self.states(phase, &names, at);
        let restarts = phase
            .resets
            .as_ref()
            .is_some_and(|resets| resets.from.is_some() || resets.to.is_some() || resets.with.is_some());
        let graph = Graph::new(Parts {
            names,
            states,
            initial: phase.initial.as_deref(),
            transitions: &phase.transitions,
            final_phases: &phase.final_phases,
            skip: &phase.skip,
            restarts,
        });
        if scope == Scope::Root {
            self.root = Some(graph.clone());
        }
        let resets = self.resets(phase.resets.as_ref(), &format!("{at}.resets"));
        if all_read {
            self.shape(&graph, &resets, at);
        }
        // A bad path is reported; the other rules still name the phases.
        PhaseRule { path: path.unwrap_or_default(), graph, resets }
    }

    fn plain_names<'n>(&mut self, names: impl Iterator<Item = &'n String>, at: &str) {
        for name in names {
            if ["", "*"].contains(&name.as_str()) {
                self.error(at, format!("`{name:?}` is no phase here"), "name phases one by one");
            }
        }
    }

    fn states(&mut self, phase: &spec::Phase, names: &[Box<str>], at: &str) -> Vec<(Box<str>, Box<str>, usize)> {
        let mut states: Vec<(Box<str>, Box<str>, usize)> = Vec::new();
        for (name, condition) in &phase.states {
            let at = format!("{at}.states.{name}");
            let Some((kind, status)) =
                condition.split_once('=').filter(|(kind, status)| !kind.is_empty() && !status.is_empty())
            else {
                self.error(at, format!("`{condition}` is no condition"), "write `Type=Status`, e.g. `Ready=True`");
                continue;
            };
            if let Some((_, _, other)) = states.iter().find(|(t, s, _)| **t == *kind && **s == *status) {
                let message = format!("`{condition}` is state `{}` already", names[*other]);
                self.error(at, message, "one state per condition");
                continue;
            }
            let index = names.iter().position(|known| **known == **name).unwrap_or_default();
            states.push((kind.into(), status.into(), index));
        }
        states
    }

    /// Warnings about the shape of a graph.
    fn shape(&mut self, graph: &Graph, resets: &Resets, at: &str) {
        let count = graph.names().len();
        for phase in 0..count {
            let name = &graph.names()[phase];
            if !graph.reachable(phase) {
                self.warning(at, format!("phase `{name}` is never reached"), "add an edge to it, or remove it");
            }
            let restarts = !resets.to.is_empty() || !resets.with.is_empty() || resets.from.contains(&phase);
            if !graph.leaves(phase) && !graph.is_final(phase) && !restarts {
                self.warning(
                    at,
                    format!("phase `{name}` has no way out"),
                    "list it under `final`, or add the edge that is missing",
                );
            }
        }
        let mut grouped = vec![false; count];
        for first in 0..count {
            if grouped[first] {
                continue;
            }
            let mut group = vec![first];
            for other in first + 1..count {
                if group.iter().all(|member| graph.mutual(*member, other)) {
                    group.push(other);
                }
            }
            if group.len() > 1 {
                group.iter().for_each(|member| grouped[*member] = true);
                let names: Vec<&str> = group.iter().map(|member| &*graph.names()[*member]).collect();
                self.warning(
                    at,
                    format!("among {} every write is allowed, so a stale one is not seen", names.join(", ")),
                    "guard a counter or a time that moves with them",
                );
            }
        }
    }
}
