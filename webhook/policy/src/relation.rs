//! Relations between small integers, one row of bits per node.

use crate::budget::{Budget, Unfinished};

/// A square relation over nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Relation {
    nodes: usize,
    /// Words of one row.
    words: usize,
    bits: Vec<u64>,
}

impl Relation {
    pub(crate) fn new(nodes: usize) -> Self {
        let words = nodes.div_ceil(64);
        Self { nodes, words, bits: vec![0; words * nodes] }
    }

    pub(crate) fn has(&self, from: usize, to: usize) -> bool {
        self.row(from)[to / 64] >> (to % 64) & 1 == 1
    }

    pub(crate) fn add(&mut self, from: usize, to: usize) {
        self.bits[from * self.words + to / 64] |= 1 << (to % 64);
    }

    pub(crate) fn row(&self, from: usize) -> &[u64] {
        &self.bits[from * self.words..(from + 1) * self.words]
    }

    fn add_row(&mut self, from: usize, more: &[u64]) {
        let row = &mut self.bits[from * self.words..(from + 1) * self.words];
        row.iter_mut().zip(more).for_each(|(word, more)| *word |= more);
    }

    /// The nodes that `from` is related to.
    pub(crate) fn targets(&self, from: usize) -> Targets<'_> {
        Targets { row: self.row(from), word: 0, rest: self.row(from).first().copied().unwrap_or_default() }
    }

    /// The same pairs the other way round.
    pub(crate) fn transposed(&self) -> Self {
        let mut transposed = Self::new(self.nodes);
        for from in 0..self.nodes {
            self.targets(from).for_each(|to| transposed.add(to, from));
        }
        transposed
    }

    /// With every pair that is joined by a path whose inner nodes are all in `inner`.
    ///
    /// Strongly connected components come first: all nodes of one have the same row, and a component's row is complete
    /// once those of the components that it leads to are.
    pub(crate) fn closed(&self, inner: &[bool], budget: &Budget<'_>) -> Result<Self, Unfinished> {
        let mut closed = Self::new(self.nodes);
        for component in self.components(inner, budget)? {
            let Some(&first) = component.first() else { continue };
            let mut beyond = vec![0; self.words];
            for &node in &component {
                closed.add_row(first, self.row(node));
                for target in self.targets(node).filter(|target| inner[*target] && !component_has(&component, *target))
                {
                    // What is reached beyond a target is reached from every node that reaches the target.
                    if beyond[target / 64] >> (target % 64) & 1 == 0 {
                        budget.spend(self.words)?;
                        beyond.iter_mut().zip(closed.row(target)).for_each(|(word, more)| *word |= more);
                    }
                }
            }
            closed.add_row(first, &beyond);
            budget.spend(self.words * component.len())?;
            let row = closed.row(first).to_vec();
            component[1..].iter().for_each(|node| closed.add_row(*node, &row));
        }
        Ok(closed)
    }

    /// The strongly connected components of the pairs that lead to a node of `inner`, each sorted and after all that it
    /// leads to (Tarjan).
    fn components(&self, inner: &[bool], budget: &Budget<'_>) -> Result<Vec<Vec<usize>>, Unfinished> {
        const NEW: usize = usize::MAX;
        const DONE: usize = usize::MAX - 1;
        // When a node was first met; the earliest open node that it leads to, as far as it is known.
        let (mut met, mut low, mut count) = (vec![NEW; self.nodes], vec![0; self.nodes], 0);
        let (mut components, mut open) = (Vec::new(), Vec::new());
        for root in 0..self.nodes {
            if met[root] != NEW {
                continue;
            }
            let mut path = vec![(root, self.targets(root))];
            (met[root], low[root]) = (count, count);
            count += 1;
            open.push(root);
            while let Some((node, targets)) = path.last_mut() {
                budget.spend(1)?;
                let node = *node;
                match targets.find(|target| inner[*target]) {
                    Some(target) if met[target] == NEW => {
                        (met[target], low[target]) = (count, count);
                        count += 1;
                        open.push(target);
                        path.push((target, self.targets(target)));
                    }
                    // A node that is done is in another component.
                    Some(target) if met[target] != DONE => low[node] = low[node].min(met[target]),
                    Some(_) => {}
                    None => {
                        path.pop();
                        if let Some((before, _)) = path.last() {
                            low[*before] = low[*before].min(low[node]);
                        }
                        if low[node] == met[node] {
                            let start = open.iter().rposition(|other| *other == node).unwrap_or_default();
                            let mut component = open.split_off(start);
                            component.iter().for_each(|node| met[*node] = DONE);
                            component.sort_unstable();
                            components.push(component);
                        }
                    }
                }
            }
        }
        Ok(components)
    }
}

fn component_has(component: &[usize], node: usize) -> bool {
    component.binary_search(&node).is_ok()
}

/// The bits that are set in a row.
pub(crate) struct Targets<'r> {
    row: &'r [u64],
    word: usize,
    rest: u64,
}

impl Iterator for Targets<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        while self.rest == 0 {
            self.word += 1;
            self.rest = *self.row.get(self.word)?;
        }
        let bit = self.rest.trailing_zeros() as usize;
        self.rest &= self.rest - 1;
        Some(self.word * 64 + bit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Warshall does it.
    fn tried(relation: &Relation, inner: &[bool]) -> Relation {
        let mut closed = relation.clone();
        for through in (0..relation.nodes).filter(|node| inner[*node]) {
            for from in 0..relation.nodes {
                if closed.has(from, through) {
                    let row = closed.row(through).to_vec();
                    closed.add_row(from, &row);
                }
            }
        }
        closed
    }

    #[test]
    fn every_small_relation_is_closed_as_by_trying() {
        for pairs in 0..1_u32 << 9 {
            let mut relation = Relation::new(3);
            (0..9).filter(|pair| pairs >> pair & 1 == 1).for_each(|pair| relation.add(pair / 3, pair % 3));
            for bits in 0..8 {
                let inner: Vec<bool> = (0..3).map(|node| bits >> node & 1 == 1).collect();
                let closed = relation.closed(&inner, &Budget::unlimited()).unwrap();
                assert_eq!(closed, tried(&relation, &inner), "{pairs:b} {bits:b}");
            }
        }
    }

    #[test]
    fn large_relations_are_closed_as_by_trying() {
        // Numbers without a pattern, but the same on every run.
        let mut state = 1_u64;
        let mut random = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).unwrap() % limit
        };
        for round in 0..200 {
            let nodes = 1 + random(130);
            let mut relation = Relation::new(nodes);
            for _ in 0..random(3 * nodes) {
                relation.add(random(nodes), random(nodes));
            }
            let inner: Vec<bool> = (0..nodes).map(|_| round % 2 == 0 || random(3) > 0).collect();
            let closed = relation.closed(&inner, &Budget::unlimited()).unwrap();
            assert_eq!(closed, tried(&relation, &inner));
            let transposed = relation.transposed();
            assert!((0..nodes).all(|a| (0..nodes).all(|b| relation.has(a, b) == transposed.has(b, a))));
        }
    }

    #[test]
    fn a_chain_takes_steps_for_its_edges_only() {
        let steps = |nodes: usize| {
            let mut relation = Relation::new(nodes);
            (1..nodes).for_each(|node| relation.add(node - 1, node));
            let budget = Budget::unlimited();
            let closed = relation.closed(&vec![true; nodes], &budget).unwrap();
            assert!(closed.has(0, nodes - 1) && !closed.has(nodes - 1, 0));
            budget.spent()
        };
        // Per edge a row of words, which is what the result has.
        assert!(steps(2000) < 5 * steps(1000), "{} {}", steps(1000), steps(2000));
    }
}
