//! Phases: names, states, the graph and its shape.

use std::cell::Cell;

use super::{Compiler, Scope};
use crate::graph::{Graph, Parts};
use crate::rules::PhaseRule;
use crate::spec;

impl Compiler {
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

        for (list, names) in [("initial", phase.initial.as_deref().unwrap_or_default()), ("final", &phase.final_phases)]
        {
            for (index, name) in names.iter().enumerate() {
                self.plain_name(name, &format!("{at}.{list}[{index}]"));
            }
        }
        for name in phase.states.keys() {
            self.plain_name(name, &format!("{at}.states.{name}"));
        }
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
        if all_read && !self.unread_below(&format!("{at}.resets")) {
            self.shape(&graph, phase.resets.as_ref(), at, scope);
        }
        // A bad path is reported; the other rules still name the phases.
        PhaseRule { path: path.unwrap_or_default(), graph, resets }
    }

    fn plain_name(&mut self, name: &str, at: &str) {
        if ["", "*"].contains(&name) {
            self.error(at, format!("`{name:?}` is no phase here"), "name phases one by one");
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
    fn shape(&mut self, graph: &Graph, resets: Option<&spec::Resets>, at: &str, scope: Scope) {
        let any = resets.is_some_and(|resets| resets.to.is_some() || resets.with.is_some());
        let from = resets.and_then(|resets| resets.from.as_ref());
        let count = graph.names().len();
        for phase in 0..count {
            let name = &graph.names()[phase];
            if !graph.reachable(phase) {
                self.warning(at, format!("phase `{name}` is never reached"), "add an edge to it, or remove it");
            }
            // Inside `each` the phases of `from` are the root's: they say nothing of these.
            let restarts =
                any || from.is_some_and(|from| scope == Scope::Item || from.iter().any(|other| **other == **name));
            if !graph.leaves(phase) && !graph.is_final(phase) && !restarts {
                self.warning(
                    at,
                    format!("phase `{name}` has no way out"),
                    "list it under `final`, or add the edge that is missing",
                );
            }
        }
        let (sets, all) = mutual_sets(count, |a, b| graph.mutual(a, b));
        for set in &sets {
            let names: Vec<&str> = set.iter().map(|member| &*graph.names()[*member]).collect();
            self.warning(
                at,
                format!("among {} every write is allowed, so a stale one is not seen", names.join(", ")),
                "guard a counter or a time that moves with them",
            );
        }
        if !all {
            self.warning(at, "there are more such sets of phases than are named", "fewer edges guard more");
        }
    }
}

/// Sets that are named at most, and pairs that are looked at for it: there may be as many as 3^(n/3) sets.
const MAX_SETS: usize = 16;
const MAX_PAIRS: usize = 10_000_000;

/// All sets of two or more nodes that are mutual in pairs and to which no node can be added (Bron and
/// Kerbosch with a pivot), sorted; and whether these are all.
fn mutual_sets(count: usize, mutual: impl Fn(usize, usize) -> bool) -> (Vec<Vec<usize>>, bool) {
    let (mut sets, pairs) = (Vec::new(), Cell::new(0));
    let with = |nodes: &[usize], node: usize| -> Vec<usize> {
        pairs.set(pairs.get() + nodes.len());
        nodes.iter().copied().filter(|other| *other != node && mutual(*other, node)).collect()
    };
    // A set, the nodes that may still join it, and those that would but are done with.
    let mut open = vec![(Vec::new(), (0..count).collect::<Vec<_>>(), Vec::new())];
    let mut all = true;
    while let Some((mut set, mut joining, mut done)) = open.pop() {
        if pairs.get() > MAX_PAIRS {
            all = false;
            break;
        }
        if joining.is_empty() {
            if done.is_empty() && set.len() > 1 {
                if sets.len() == MAX_SETS {
                    all = false;
                    break;
                }
                set.sort_unstable();
                sets.push(set);
            }
            continue;
        }
        // Every further set holds the pivot or a node that is not mutual with it.
        let (mut pivot, mut most) = (joining[0], 0);
        for node in joining.iter().chain(&done) {
            let neighbours = with(&joining, *node).len();
            if neighbours > most {
                (pivot, most) = (*node, neighbours);
            }
            if most + 1 >= joining.len() {
                break;
            }
        }
        let mut next = Vec::new();
        for node in joining.clone() {
            if node != pivot && mutual(node, pivot) {
                continue;
            }
            let mut larger = set.clone();
            larger.push(node);
            next.push((larger, with(&joining, node), with(&done, node)));
            joining.retain(|other| *other != node);
            done.push(node);
        }
        open.extend(next.into_iter().rev());
    }
    sets.sort();
    (sets, all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_may_overlap() {
        let sets = |pairs: &[(usize, usize)]| mutual_sets(6, |a, b| pairs.contains(&(a, b)) || pairs.contains(&(b, a)));
        assert_eq!(sets(&[]), (vec![], true));
        assert_eq!(sets(&[(0, 1), (1, 2)]), (vec![vec![0, 1], vec![1, 2]], true));
        assert_eq!(
            sets(&[(0, 1), (1, 2), (0, 2), (2, 3), (4, 5)]),
            (vec![vec![0, 1, 2], vec![2, 3], vec![4, 5]], true)
        );
        let all: Vec<(usize, usize)> = (0..6).flat_map(|a| (0..6).map(move |b| (a, b))).collect();
        assert_eq!(sets(&all), (vec![(0..6).collect()], true));
    }

    #[test]
    fn all_sets_are_those_found_by_trying() {
        // Every graph over five nodes, one bit per pair.
        let pairs: Vec<(usize, usize)> = (0..5).flat_map(|a| (a + 1..5).map(move |b| (a, b))).collect();
        for graph in 0..1 << pairs.len() {
            let mutual = |a: usize, b: usize| {
                pairs.iter().position(|pair| *pair == (a.min(b), a.max(b))).is_some_and(|bit| graph >> bit & 1 == 1)
            };
            let is_set = |set: &[usize]| set.iter().all(|a| set.iter().all(|b| a == b || mutual(*a, *b)));
            let subsets =
                (0..1 << 5).map(|bits: usize| (0..5).filter(|node| bits >> node & 1 == 1).collect::<Vec<_>>());
            let sets: Vec<Vec<usize>> = subsets.filter(|set| set.len() > 1 && is_set(set)).collect();
            let within =
                |set: &[usize], other: &[usize]| set.len() < other.len() && set.iter().all(|n| other.contains(n));
            let mut largest: Vec<_> =
                sets.iter().filter(|set| !sets.iter().any(|other| within(set, other))).cloned().collect();
            largest.sort();
            assert_eq!(mutual_sets(5, mutual), (largest, true), "{graph:b}");
        }
    }

    #[test]
    fn the_search_is_bounded() {
        // Thirty triples whose members exclude each other: 3^30 sets.
        let (sets, all) = mutual_sets(90, |a, b| a / 3 != b / 3);
        assert_eq!((sets.len(), all), (MAX_SETS, false));
        // As many as are named are all.
        let pairs = mutual_sets(2 * MAX_SETS, |a, b| a / 2 == b / 2);
        assert_eq!((pairs.0.len(), pairs.1), (MAX_SETS, true));
        assert!(!mutual_sets(2 * MAX_SETS + 2, |a, b| a / 2 == b / 2).1);
        // One set of all is found at once.
        assert_eq!(mutual_sets(2000, |_, _| true), (vec![(0..2000).collect()], true));
    }
}
