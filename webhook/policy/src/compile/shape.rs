//! Warnings about the shape of a graph.

use std::cell::Cell;

use super::compiler::{Compiler, PathScope};
use crate::graph::Graph;
use crate::relation::Relation;
use crate::spec;

impl Compiler<'_> {
    /// Warnings about the shape of a graph.
    ///
    /// `times_move` if a rule guards a time that changes with the phase.
    pub(super) fn shape(&mut self, graph: &Graph, machine: &spec::Phase, at: &str, scope: PathScope, times_move: bool) {
        let resets = machine.resets.as_ref();
        let any = resets.is_some_and(|r| r.to.is_some() || r.with.is_some() || r.within.is_some());
        let from = resets.and_then(|resets| resets.from.as_ref());
        // Names of another machine say nothing of these phases, and neither do those of the root inside `each`.
        let first = at == "spec.phases[0]";
        let own =
            |name: &String| scope == PathScope::Root && (graph.index(name).is_some() || (first && name.is_empty()));
        let foreign = from.is_some_and(|from| from.iter().any(|name| !own(name)));
        let count = graph.names().len();
        if count == 0 && !graph.any_target() {
            self.warning(
                at,
                "the machine names no phase, so every phase is refused",
                "name them in `initial`, `transitions` or `final`",
            );
        }
        for phase in 0..count {
            let name = &graph.names()[phase];
            if !graph.reachable(phase) {
                self.warning(at, format!("phase `{name}` cannot be reached"), "add an edge to it, or remove it");
            }
            let restarts = any || foreign || from.is_some_and(|from| from.iter().any(|other| **other == **name));
            if !graph.leaves(phase) && !graph.is_final(phase) && !restarts {
                self.warning(
                    at,
                    format!("no transition leaves phase `{name}`"),
                    "list it under `final`, or add the missing edge",
                );
            }
        }
        let kinds = kinds(graph, machine);
        self.held_at_once(graph, &kinds, at);
        if times_move {
            return;
        }
        let mut mutual = Relation::new(count);
        for phase in 0..count {
            let others = graph.mutual(phase).filter(|other| !apart(&kinds, graph, [phase, *other]));
            others.for_each(|other| mutual.add(phase, other));
        }
        let (sets, all) = mutual_sets(&mutual, count, &self.searched);
        for set in &sets {
            let names: Vec<&str> = set.iter().map(|member| &*graph.names()[*member]).collect();
            self.warning(
                at,
                format!(
                    "every write among {} is allowed, so a stale write among them is not detected",
                    names.join(", ")
                ),
                "add a rule for a counter or a time that changes with the phase",
            );
        }
        if !all {
            self.warning(
                at,
                "there are more such sets of phases than are listed here",
                "remove the edges that the controller does not need",
            );
        }
    }
}

impl Compiler<'_> {
    /// Warns of phases that are read from conditions of different types and that edges connect both ways: when both
    /// hold at once, neither is the later one.
    fn held_at_once(&mut self, graph: &Graph, kinds: &[Option<&str>], at: &str) {
        let count = kinds.len();
        let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| [a, b]));
        let together: Vec<[usize; 2]> = pairs.filter(|pair| apart(kinds, graph, *pair)).take(MAX_SETS + 1).collect();
        for [a, b] in together.iter().take(MAX_SETS) {
            let [a, b] = [a, b].map(|phase| &*graph.names()[*phase]);
            self.warning(
                format!("{at}.states"),
                format!("`{a}` and `{b}` are different conditions, and edges lead both ways: when both hold, the phase is ambiguous"),
                "if both may hold at once, make each condition type a machine of its own",
            );
        }
        if together.len() > MAX_SETS {
            self.warning(
                format!("{at}.states"),
                "there are more such pairs of conditions than are listed here",
                "make each condition type a machine of its own",
            );
        }
    }
}

/// The type of the condition that each phase is read from, if it is.
fn kinds<'m>(graph: &Graph, machine: &'m spec::Phase) -> Vec<Option<&'m str>> {
    let kind = |name: &str| Some(machine.states.get(name)?.split_once('=')?.0);
    graph.names().iter().map(|name| kind(name)).collect()
}

/// Whether edges lead both ways between two phases that are read from conditions of different types.
fn apart(kinds: &[Option<&str>], graph: &Graph, [a, b]: [usize; 2]) -> bool {
    let differ = matches!((kinds[a], kinds[b]), (Some(a), Some(b)) if a != b);
    differ && graph.edge(a, b) && graph.edge(b, a)
}

/// Sets that are named at most for one graph, and steps of the search in all graphs of a policy: there may be as many as
/// 3^(n/3) sets.
const MAX_SETS: usize = 16;
const MAX_STEPS: usize = 10_000_000;

/// All sets of two or more nodes that are mutual in pairs and to which no node can be added (Bron and
/// Kerbosch with a pivot), sorted; and whether these are all. Adds to `steps`.
fn mutual_sets(mutual: &Relation, count: usize, steps: &Cell<usize>) -> (Vec<Vec<usize>>, bool) {
    let mut sets = Vec::new();
    let with = |nodes: &[usize], node: usize| -> Vec<usize> {
        steps.set(steps.get() + nodes.len());
        nodes.iter().copied().filter(|other| mutual.has(node, *other)).collect()
    };
    // A set, the nodes that may still join it, and those that would but are done with.
    let nodes: Vec<usize> = (0..count).filter(|node| mutual.targets(*node).next().is_some()).collect();
    let mut open = vec![(Vec::new(), nodes, Vec::new())];
    let mut all = true;
    while let Some((mut set, mut joining, mut done)) = open.pop() {
        if steps.get() > MAX_STEPS {
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
            if mutual.has(pivot, node) {
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

    fn sets_of(count: usize, mutual: impl Fn(usize, usize) -> bool) -> (Vec<Vec<usize>>, bool) {
        let mut relation = Relation::new(count);
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b)));
        pairs.filter(|(a, b)| a != b && mutual(*a, *b)).for_each(|(a, b)| relation.add(a, b));
        mutual_sets(&relation, count, &Cell::new(0))
    }

    #[test]
    fn sets_may_overlap() {
        let sets = |pairs: &[(usize, usize)]| sets_of(6, |a, b| pairs.contains(&(a, b)) || pairs.contains(&(b, a)));
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
            assert_eq!(sets_of(5, mutual), (largest, true), "{graph:b}");
        }
    }

    #[test]
    fn the_search_is_bounded() {
        // Thirty triples whose members exclude each other: 3^30 sets.
        let (sets, all) = sets_of(90, |a, b| a / 3 != b / 3);
        assert_eq!((sets.len(), all), (MAX_SETS, false));
        // As many as are named are all.
        let pairs = sets_of(2 * MAX_SETS, |a, b| a / 2 == b / 2);
        assert_eq!((pairs.0.len(), pairs.1), (MAX_SETS, true));
        assert!(!sets_of(2 * MAX_SETS + 2, |a, b| a / 2 == b / 2).1);
        // Steps that were taken for other graphs count as well.
        let mut pair = Relation::new(2);
        pair.add(0, 1);
        pair.add(1, 0);
        let steps = Cell::new(0);
        assert_eq!(mutual_sets(&pair, 2, &steps), (vec![vec![0, 1]], true));
        steps.set(MAX_STEPS + steps.get());
        assert_eq!(mutual_sets(&pair, 2, &steps), (vec![], false));
        // One set of all is found at once.
        assert_eq!(sets_of(2000, |_, _| true), (vec![(0..2000).collect()], true));
    }
}
