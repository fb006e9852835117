//! Phase machines with every edge spelled out, for drawings and explanations.

use crate::rules::{Policy, Rules};

/// One phase machine of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Where the phase is, e.g. `.status.phase`, or `.status.nodes[].phase` inside a collection.
    pub path: String,
    /// The types of the conditions that the phase is read from; none where it is a string.
    pub conditions: Vec<String>,
    /// All known phases, in the order in which the policy names them.
    pub phases: Vec<String>,
    /// Phases that are left only by a transition that names them.
    pub final_phases: Vec<String>,
    /// Edges by name; `""` stands for no phase, `"*"` for every unknown name.
    pub edges: Vec<(String, String)>,
}

impl Machine {
    /// What tells it from the others of its policy: its path, and the conditions that it reads.
    #[must_use]
    pub fn title(&self) -> String {
        let each = if self.path.contains("[]") { "each " } else { "" };
        let types =
            if self.conditions.is_empty() { String::new() } else { format!(" ({})", self.conditions.join(", ")) };
        format!("{each}{}{types}", self.path)
    }
}

impl Policy {
    /// The phase machines: the root's first, then those inside collections.
    #[must_use]
    pub fn machines(&self) -> Vec<Machine> {
        let mut machines = Vec::new();
        collect(&self.rules, ".status", &mut machines);
        machines
    }
}

fn collect(rules: &Rules, at: &str, machines: &mut Vec<Machine>) {
    let below = |path: &crate::path::Path| match path.names().is_empty() {
        true => at.to_owned(),
        false => format!("{at}.{path}"),
    };
    for rule in &rules.phases {
        let graph = &rule.graph;
        let phases: Vec<String> = graph.names().iter().map(ToString::to_string).collect();
        let name = |node: usize| match phases.get(node) {
            Some(name) => name.clone(),
            None if node == graph.empty() => String::new(),
            None => "*".into(),
        };
        let nodes = || std::iter::once(graph.empty()).chain(0..graph.empty());
        let edges = nodes().flat_map(|from| nodes().map(move |to| (from, to)));
        let edges = edges.filter(|(from, to)| from != to && graph.edge(*from, *to));
        machines.push(Machine {
            path: below(&rule.path),
            conditions: graph.condition_types(),
            final_phases: (0..phases.len()).filter(|phase| graph.is_final(*phase)).map(name).collect(),
            edges: edges.map(|(from, to)| (name(from), name(to))).collect(),
            phases: phases.clone(),
        });
    }
    for rule in &rules.collections {
        if let Some(each) = &rule.each {
            collect(each, &format!("{}[]", below(&rule.path)), machines);
        }
    }
}
