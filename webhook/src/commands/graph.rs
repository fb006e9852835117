//! `statusguard policy graph`: the phase machines as drawings.

use std::fmt::Write as _;

use statusguard_policy::{Machine, Policy};

use crate::args::GraphFormat;

/// Draws every phase machine of a policy.
pub fn draw(policy: &Policy, format: GraphFormat) -> String {
    let machines = policy.machines();
    let mut text = String::new();
    if machines.is_empty() {
        let comment = match format {
            GraphFormat::Mermaid => "%%",
            GraphFormat::Dot => "//",
            GraphFormat::Text => "#",
        };
        let _ = writeln!(text, "{comment} {} has no phase rule", policy.name());
    }
    for (index, machine) in machines.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        match format {
            GraphFormat::Mermaid => mermaid(machine, &mut text),
            GraphFormat::Dot => dot(policy.name(), machine, &mut text),
            GraphFormat::Text => plain(machine, &mut text),
        }
    }
    text
}

/// Writing to a `String` cannot fail, so results of `writeln!` are dropped here.
fn mermaid(machine: &Machine, text: &mut String) {
    let id = |name: &str| match name {
        "*" => "other".to_owned(),
        name => match machine.phases.iter().position(|phase| phase == name) {
            Some(index) => format!("p{index}"),
            None => "[*]".into(),
        },
    };
    let _ = writeln!(text, "stateDiagram-v2\n    %% {}", machine.path);
    for (index, phase) in machine.phases.iter().enumerate() {
        let _ = writeln!(text, "    state \"{}\" as p{index}", phase.replace('"', "'"));
    }
    if machine.edges.iter().any(|(from, to)| from == "*" || to == "*") {
        let _ = writeln!(text, "    state \"any other\" as other");
    }
    for (from, to) in &machine.edges {
        let _ = writeln!(text, "    {} --> {}", id(from), id(to));
    }
    for phase in &machine.final_phases {
        let _ = writeln!(text, "    {} --> [*]", id(phase));
    }
}

fn dot(policy: &str, machine: &Machine, text: &mut String) {
    let name = |name: &str| match name {
        "" => "\"(none)\"".to_owned(),
        "*" => "\"(any other)\"".to_owned(),
        name => format!("{name:?}"),
    };
    let _ = writeln!(text, "digraph {:?} {{\n    rankdir=LR;", format!("{policy} {}", machine.path));
    let _ = writeln!(text, "    \"(none)\" [shape=point];");
    for phase in &machine.phases {
        let shape = if machine.final_phases.contains(phase) { "doublecircle" } else { "box" };
        let _ = writeln!(text, "    {} [shape={shape}];", name(phase));
    }
    for (from, to) in &machine.edges {
        let _ = writeln!(text, "    {} -> {};", name(from), name(to));
    }
    text.push_str("}\n");
}

fn plain(machine: &Machine, text: &mut String) {
    let _ = writeln!(text, "{}", machine.path);
    let show = |name: &str| match name {
        "" => "(none)".to_owned(),
        "*" => "(any other)".to_owned(),
        name => name.to_owned(),
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
            let _ = writeln!(text, "  {source} is final");
        }
    }
}
