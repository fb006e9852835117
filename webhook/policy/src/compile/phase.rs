//! Phases: names, states and the graph.

use std::collections::HashMap;
use std::sync::Arc;

use super::compiler::{Compiler, PathScope};
use crate::graph::{Graph, Parts, States};
use crate::rules::PhaseRule;
use crate::spec;

impl Compiler {
    pub(super) fn phase(&mut self, phase: &spec::Phase, at: &str, scope: PathScope, returns: bool) -> PhaseRule {
        let path = self.path(&phase.path, scope, &format!("{at}.path"));
        let (mut names, mut known): (Vec<Box<str>>, HashMap<&str, usize>) = Default::default();
        let mut know = |name| {
            if !["", "*"].contains(&name) && !known.contains_key(name) {
                known.insert(name, names.len());
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
            if all_read && name != "*" && !known.contains_key(name.as_str()) {
                self.warning(
                    format!("{at}.skip[{index}]"),
                    format!("no such phase `{name}`"),
                    "name a phase of the graph, or \"*\"",
                );
            }
        }
        let states = self.states(phase, &known, at);
        let has_resets = phase
            .resets
            .as_ref()
            .is_some_and(|resets| resets.from.is_some() || resets.to.is_some() || resets.with.is_some());
        let parts = Parts {
            names,
            states,
            initial: phase.initial.as_deref(),
            transitions: &phase.transitions,
            final_phases: &phase.final_phases,
            skip: &phase.skip,
            restarts: has_resets || returns,
        };
        let graph = Graph::new(parts, &self.budget).unwrap_or_else(|unfinished| {
            self.error(at, format!("compiling the graph: {unfinished}"), "use fewer phases and transitions");
            Graph::default()
        });
        let graph = Arc::new(graph);
        if scope == PathScope::Root {
            self.root = Some(Arc::clone(&graph));
        }
        let resets = self.resets(phase.resets.as_ref(), &format!("{at}.resets"), returns);
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

    fn states(&mut self, phase: &spec::Phase, known: &HashMap<&str, usize>, at: &str) -> States {
        let (mut states, mut first) = (States::new(), HashMap::new());
        for (name, condition) in &phase.states {
            let at = format!("{at}.states.{name}");
            let Some((kind, status)) =
                condition.split_once('=').filter(|(kind, status)| !kind.is_empty() && !status.is_empty())
            else {
                self.error(at, format!("`{condition}` is not a condition"), "write `Type=Status`, e.g. `Ready=True`");
                continue;
            };
            if let Some(other) = first.get(condition) {
                let message = format!("`{condition}` is already state `{other}`");
                self.error(at, message, "one state per condition");
                continue;
            }
            first.insert(condition, name);
            let index = known.get(name.as_str()).copied().unwrap_or_default();
            states.entry(kind.into()).or_default().insert(status.into(), index);
        }
        states
    }
}
