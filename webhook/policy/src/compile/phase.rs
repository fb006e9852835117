//! Phases: names, states and the graph.

use super::compiler::{Compiler, PathScope};
use crate::graph::{Graph, Parts};
use crate::rules::PhaseRule;
use crate::spec;

impl Compiler {
    pub(super) fn phase(&mut self, phase: &spec::Phase, at: &str, scope: PathScope) -> PhaseRule {
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

        for (list, names) in [("initial", phase.initial.as_deref().unwrap_or_default()), ("final", &phase.final_phases)]
        {
            for (index, name) in names.iter().enumerate() {
                self.plain_name(name, &format!("{at}.{list}[{index}]"));
            }
        }
        for name in phase.states.keys() {
            self.plain_name(name, &format!("{at}.states.{name}"));
        }
        self.not_empty(phase.initial.as_ref(), &format!("{at}.initial"), "omit it to allow every phase");
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
        if scope == PathScope::Root {
            self.root = Some(graph.clone());
        }
        let resets = self.resets(phase.resets.as_ref(), &format!("{at}.resets"));
        if all_read && !self.unread_below(&format!("{at}.resets")) {
            self.shape(&graph, phase.resets.as_ref(), at, scope);
        }
        // A bad path is reported; the other rules still name the phases.
        PhaseRule { path: path.unwrap_or_default(), graph, resets }
    }

    fn plain_name(&mut self, name: &str, at: &str) {
        if ["", "*"].contains(&name) {
            self.error(at, format!("`{name:?}` cannot be the name of a phase here"), "name phases one by one");
        }
    }

    fn states(&mut self, phase: &spec::Phase, names: &[Box<str>], at: &str) -> Vec<(Box<str>, Box<str>, usize)> {
        let mut states: Vec<(Box<str>, Box<str>, usize)> = Vec::new();
        for (name, condition) in &phase.states {
            let at = format!("{at}.states.{name}");
            let Some((kind, status)) =
                condition.split_once('=').filter(|(kind, status)| !kind.is_empty() && !status.is_empty())
            else {
                self.error(at, format!("`{condition}` is not a condition"), "write `Type=Status`, e.g. `Ready=True`");
                continue;
            };
            if let Some((_, _, other)) = states.iter().find(|(t, s, _)| **t == *kind && **s == *status) {
                let message = format!("`{condition}` is already state `{}`", names[*other]);
                self.error(at, message, "one state per condition");
                continue;
            }
            let index = names.iter().position(|known| **known == **name).unwrap_or_default();
            states.push((kind.into(), status.into(), index));
        }
        states
    }
}
