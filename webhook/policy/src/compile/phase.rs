//! Phases: names, states and the graphs.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::compiler::{Compiler, PathScope, RuleScope};
use super::phase_names::PhaseNames;
use crate::graph::{Graph, Parts, States};
use crate::near::meant;
use crate::rules::{PhaseOf, PhaseRule};
use crate::spec::{self, Keep};

/// Names of phases that a hint lists.
const SHOWN_NAMES: usize = 12;

impl<'c> Compiler<'c> {
    /// Compiles the machines of a rule set: all graphs first, because the resets of one may name phases of another.
    pub(super) fn phases(
        &mut self,
        set: &spec::RuleSet,
        at: &str,
        scope: RuleScope<'c>,
    ) -> (Vec<PhaseRule>, Arc<PhaseNames>) {
        self.machines_apart(&set.phases, at);
        let machines = || set.phases.iter().enumerate().map(|(index, phase)| (phase, format!("{at}.phases[{index}]")));
        let graphs = machines().map(|(phase, at)| Arc::new(self.graph(phase, &at, scope.returns)));
        let graphs: Vec<Arc<Graph>> = graphs.collect();
        let unread = self.unread(&format!("{at}.phases")) || machines().any(|(_, at)| self.unread_machine(&at));
        let names = Arc::new(PhaseNames::new(&graphs, format!("{at}.phases"), unread));
        if scope.paths == PathScope::Root {
            self.root = Arc::clone(&names);
        }
        let mut rules = Vec::new();
        for ((phase, at), graph) in machines().zip(graphs) {
            let path = self.path(&phase.path, scope, &format!("{at}.path"));
            self.machine_fits(scope, phase, path.as_ref(), &at);
            let resets = self.resets(phase.resets.as_ref(), &format!("{at}.resets"), scope);
            if !self.unread_machine(&at) && !self.unread_below(&format!("{at}.resets")) {
                self.shape(&graph, phase, &at, scope.paths, times_move(set, phase));
            }
            // A bad path is reported; the other rules still name the phases.
            rules.push(PhaseRule { path: path.unwrap_or_default(), graph, resets });
        }
        (rules, names)
    }

    /// The phase that a name speaks of; it is reported if there is not exactly one.
    pub(super) fn named_phase(&mut self, name: &str, at: &str, names: &PhaseNames) -> Option<PhaseOf> {
        if name.is_empty() {
            return names.empty;
        }
        match names.phases.get(name) {
            Some(Some(phase)) => return Some(*phase),
            _ if names.unread => {}
            Some(None) => self.error(
                at,
                format!("more than one machine knows the phase `{name}`"),
                "name phases that one machine alone knows, or use `with`",
            ),
            None => {
                let all = || {
                    let known: Vec<&str> = names.known.iter().take(SHOWN_NAMES).map(|name| &**name).collect();
                    let more = if names.known.len() > known.len() { ", ..." } else { "" };
                    format!("name a phase of `{}`: {}{more}", names.at, known.join(", "))
                };
                // Looking for a near name takes time.
                let hint = match self.lists_errors() {
                    true => meant(name, names.known.iter().map(|name| &**name), all),
                    false => String::new(),
                };
                self.error(at, format!("no such phase `{name}`"), hint);
            }
        }
        None
    }

    /// Reports machines on one path, unless they read conditions of different types.
    fn machines_apart(&mut self, phases: &[spec::Phase], at: &str) {
        let (mut first, mut plain, mut read) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (index, phase) in phases.iter().enumerate() {
            let (path, has_states) = (phase.path.as_str(), !phase.states.is_empty());
            if self.unread_below(&format!("{at}.phases[{index}].states")) {
                continue;
            }
            let types = condition_types(phase);
            let other = if has_states { plain.get(path) } else { first.get(path) };
            let shared = types.iter().find_map(|kind| Some((*kind, *read.get(&(path, *kind))?)));
            if let Some(earlier) = other {
                self.error(
                    format!("{at}.phases[{index}].path"),
                    format!("`{path}` already has a machine, `phases[{earlier}]`"),
                    "merge the two, or give each its `states`",
                );
            } else if let Some((kind, earlier)) = shared {
                self.error(
                    format!("{at}.phases[{index}].states"),
                    format!("the condition `{kind}` is already read by `phases[{earlier}]`"),
                    "one machine for each condition type",
                );
            }
            first.entry(path).or_insert(index);
            if !has_states {
                plain.entry(path).or_insert(index);
            }
            types.into_iter().for_each(|kind| _ = read.entry((path, kind)).or_insert(index));
        }
    }

    fn graph(&mut self, phase: &spec::Phase, at: &str, returns: bool) -> Graph {
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
            if ["", "*"].contains(&name.as_str()) {
                self.key_error(format!("{at}.states.{name}"), not_a_name(name), "name phases one by one");
            }
        }
        self.not_empty(phase.initial.as_ref(), &format!("{at}.initial"), "omit it to allow every phase");
        for (index, transition) in phase.transitions.iter().enumerate() {
            let at = format!("{at}.transitions[{index}]");
            self.not_empty(Some(&transition.from), &format!("{at}.from"), "name a phase, \"*\" or \"\"");
            self.not_empty(Some(&transition.to), &format!("{at}.to"), "name a phase, \"*\" or \"\"");
        }
        let all_read = !self.unread_machine(at);
        for (index, name) in phase.skip.iter().enumerate() {
            if all_read && name != "*" && !known.contains_key(name.as_str()) {
                let hint =
                    meant(name, names.iter().map(|name| &**name), || "name a phase of the graph, or \"*\"".into());
                self.warning(format!("{at}.skip[{index}]"), format!("no such phase `{name}`"), hint);
            }
        }
        let states = self.states(phase, &known, at);
        let parts = Parts {
            names,
            states,
            initial: phase.initial.as_deref(),
            transitions: &phase.transitions,
            final_phases: &phase.final_phases,
            skip: &phase.skip,
            restarts: returns || phase.resets.as_ref().is_some_and(|resets| !resets.is_empty()),
        };
        Graph::new(parts, &self.budget).unwrap_or_else(|unfinished| {
            self.error(at, format!("compiling the graph: {unfinished}"), "use fewer phases and transitions");
            Graph::default()
        })
    }

    fn plain_name(&mut self, name: &str, at: &str) {
        if ["", "*"].contains(&name) {
            self.error(at, not_a_name(name), "name phases one by one");
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

fn not_a_name(name: &str) -> String {
    format!("`{name:?}` cannot be the name of a phase here")
}

/// The types of the conditions that a machine reads.
fn condition_types(phase: &spec::Phase) -> BTreeSet<&str> {
    phase.states.values().filter_map(|condition| condition.split_once('=')).map(|(kind, _)| kind).collect()
}

/// Whether a rule guards the time of a machine's last transition, which moves with its phase: beside the phase, or in its
/// condition.
fn times_move(set: &spec::RuleSet, phase: &spec::Phase) -> bool {
    let guards =
        |rules: &[spec::Monotone], path: &str| rules.iter().any(|rule| rule.path == path && rule.resets.is_none());
    if phase.states.is_empty() {
        let around = phase.path.rsplit_once('.').map_or("", |(around, _)| around);
        return guards(&set.monotone, &format!("{around}.lastTransitionTime"));
    }
    let stays = |rule: &&spec::Collection| {
        rule.path == phase.path && rule.key == ["type"] && rule.keep == Keep::All && rule.resets.is_none()
    };
    let mut each = set.collections.iter().filter(stays).filter_map(|rule| rule.each.as_ref());
    each.any(|each| guards(&each.monotone, ".lastTransitionTime"))
}
