//! `statusguard policy graph`: the phase machines of a policy, each in a frame of its own if there are several.

use std::fmt::Write as _;

use statusguard_policy::{Machine, Policy};

use crate::args::GraphFormat;

/// Draws every phase machine of a policy.
pub fn draw(policy: &Policy, format: GraphFormat) -> String {
    let machines = policy.machines();
    // Writing to a `String` cannot fail, so results of `writeln!` are dropped here.
    let mut text = String::new();
    if machines.is_empty() {
        let comment = match format {
            GraphFormat::Mermaid => "%%",
            GraphFormat::Dot => "//",
            GraphFormat::Text => "#",
        };
        let _ = writeln!(text, "{comment} {} has no phase rule", policy.name());
        return text;
    }
    let framed = machines.len() > 1;
    let drawn = machines.iter().enumerate().map(|(index, machine)| Drawn { machine, index, framed });
    match format {
        GraphFormat::Mermaid => {
            text.push_str("stateDiagram-v2\n");
            drawn.for_each(|drawn| drawn.mermaid(&mut text));
        }
        GraphFormat::Dot => {
            let _ = writeln!(text, "digraph {} {{\n    rankdir=LR;", quoted(policy.name()));
            drawn.for_each(|drawn| drawn.dot(&mut text));
            text.push_str("}\n");
        }
        GraphFormat::Text => {
            for (index, machine) in machines.iter().enumerate() {
                text.push_str(if index > 0 { "\n" } else { "" });
                plain(machine, &mut text);
            }
        }
    }
    text
}

/// A machine as a part of one drawing; its nodes are told from those of other machines by its number.
struct Drawn<'m> {
    machine: &'m Machine,
    index: usize,
    /// Whether there are others from which a frame sets it apart.
    framed: bool,
}

impl Drawn<'_> {
    fn id(&self, name: &str) -> String {
        let index = self.index;
        match (name, self.machine.phases.iter().position(|phase| phase == name)) {
            ("", _) => format!("m{index}none"),
            (_, Some(phase)) => format!("m{index}p{phase}"),
            (_, None) => format!("m{index}other"),
        }
    }

    /// Whether some edge leads to a node, or from it.
    fn has_edge(&self, node: &str) -> bool {
        self.leads_to(node) || self.machine.edges.iter().any(|(from, _)| from == node)
    }

    fn leads_to(&self, node: &str) -> bool {
        self.machine.edges.iter().any(|(_, to)| to == node)
    }

    /// A frame is a composite state.
    fn mermaid(&self, text: &mut String) {
        let Self { machine, index, framed } = self;
        let indent = if *framed { "        " } else { "    " };
        let title = printable(&machine.title()).replace('"', "'");
        match framed {
            true => text.push_str(&format!("    state \"{title}\" as m{index} {{\n")),
            false => text.push_str(&format!("    %% {title}\n")),
        }
        for phase in &machine.phases {
            let _ = writeln!(text, "{indent}state \"{}\" as {}", printable(phase).replace('"', "'"), self.id(phase));
        }
        if self.has_edge("*") {
            let _ = writeln!(text, "{indent}state \"any other\" as {}", self.id("*"));
        }
        // No phase is where each object begins. It is a state of its own where it can be entered again:
        // an edge to `[*]` would be an end.
        let returns = self.leads_to("");
        if returns {
            let _ = writeln!(text, "{indent}state \"(none)\" as {}\n{indent}[*] --> {}", self.id(""), self.id(""));
        }
        for (from, to) in &machine.edges {
            let from = if from.is_empty() && !returns { "[*]".into() } else { self.id(from) };
            let _ = writeln!(text, "{indent}{from} --> {}", self.id(to));
        }
        for phase in &machine.final_phases {
            let _ = writeln!(text, "{indent}{} --> [*]", self.id(phase));
        }
        if *framed {
            text.push_str("    }\n");
        }
    }

    fn dot(&self, text: &mut String) {
        let Self { machine, index, .. } = self;
        let _ = writeln!(text, "    subgraph cluster_m{index} {{\n        label={};", quoted(&machine.title()));
        let mut node = |name: &str, label: &str, shape: &str| {
            let _ = writeln!(text, "        {} [label={}, shape={shape}];", self.id(name), quoted(label));
        };
        match (self.leads_to(""), self.has_edge("")) {
            (true, _) => node("", "(none)", "box"),
            (false, true) => node("", "", "point"),
            (false, false) => {}
        }
        for phase in &machine.phases {
            node(phase, phase, if machine.final_phases.contains(phase) { "doublecircle" } else { "box" });
        }
        if self.has_edge("*") {
            node("*", "(any other)", "box");
        }
        for (from, to) in &machine.edges {
            let _ = writeln!(text, "        {} -> {};", self.id(from), self.id(to));
        }
        text.push_str("    }\n");
    }
}

/// A string of the dot language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
}

/// A name on one line.
fn printable(name: &str) -> String {
    name.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

fn plain(machine: &Machine, text: &mut String) {
    let _ = writeln!(text, "{}", machine.title());
    let show = |name: &str| match name {
        "" => "(none)".to_owned(),
        "*" => "(any other)".to_owned(),
        name => printable(name),
    };
    let mut sources = vec![String::new()];
    sources.extend(machine.phases.iter().cloned());
    sources.push("*".into());
    for source in sources {
        let targets: Vec<String> =
            machine.edges.iter().filter(|(from, _)| *from == source).map(|(_, to)| show(to)).collect();
        if !targets.is_empty() {
            let _ = writeln!(text, "  {} -> {}", show(&source), targets.join(", "));
        } else if machine.final_phases.contains(&source) {
            let _ = writeln!(text, "  {} is final", show(&source));
        }
    }
}
