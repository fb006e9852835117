//! `statusguard policy explain`: a policy in plain sentences.

use statusguard_policy::spec::{FailurePolicy, Keep, Mode, Order, Phase, Resets, RuleSet};
use statusguard_policy::{Policy, StatusPolicySpec};

/// Says every rule in words, one line each.
pub fn explain(policy: &Policy) -> String {
    let spec = policy.spec();
    let mut lines = vec![head(policy)];
    if policy.unconfirmed_core() {
        lines.push("Not enforced in a cluster: this is one of Kubernetes' own kinds, and the policy does not say `core: true`.".into());
    } else {
        lines.extend(enforcement(spec));
    }
    if let Some(exempt) = &spec.exempt {
        let names: Vec<String> =
            exempt.users.iter().chain(exempt.groups.iter()).map(|name| format!("`{name}`")).collect();
        if !names.is_empty() {
            lines.push(format!("Writes of {} are never refused, but recorded.", and(&names)));
        }
    }
    if !spec.redact.is_empty() {
        lines.push(format!("The values of {} never leave the guard.", and(&ticked(&spec.redact))));
    }
    let mut text = lines.join("\n");
    text.push_str("\n\n");
    rules(&spec.rules(), 0, &mut text);
    text
}

/// What becomes of a write that breaks a rule, and of all writes without the guard.
fn enforcement(spec: &StatusPolicySpec) -> Vec<String> {
    if spec.mode == Mode::Off && spec.mode_in.values().all(|mode| *mode == Mode::Off) {
        return vec!["The policy is switched off: nothing is judged.".into()];
    }
    let broken = |mode| match mode {
        Mode::Enforce => {
            "a write that breaks a rule is refused: 409 Conflict when an older state of the object explains it, else 422 Invalid."
        }
        Mode::Warn => "a write that breaks a rule is allowed with a warning to the client, and recorded.",
        Mode::Audit => "a write that breaks a rule is allowed, and recorded.",
        Mode::Off => "nothing is judged.",
    };
    let named = spec.mode_in.iter().filter(|(name, _)| *name != "*");
    let mut lines: Vec<String> = named.map(|(name, mode)| format!("{}, {}", namespaces(name), broken(*mode))).collect();
    let everywhere = broken(spec.mode_in.get("*").copied().unwrap_or(spec.mode));
    lines.push(match lines.len() {
        0 => format!("{}{}", everywhere[..1].to_uppercase(), &everywhere[1..]),
        _ => format!("Everywhere else, {everywhere}"),
    });
    let unreached = match (spec.target.core, spec.failure_policy) {
        (true, _) => {
            "When the guard cannot be reached, writes go through unguarded, whatever `failurePolicy` says: that is what `core: true` means."
        }
        (false, FailurePolicy::Ignore) => "When the guard cannot be reached, writes go through unguarded.",
        (false, FailurePolicy::Fail) => "When the guard cannot be reached, status writes fail.",
    };
    lines.push(unreached.into());
    lines
}

/// Where an entry of `modeIn` holds.
fn namespaces(name: &str) -> String {
    match name.strip_suffix('*') {
        None if name.is_empty() => "For cluster-scoped objects".into(),
        None => format!("In the namespace `{name}`"),
        Some(beginning) => format!("In namespaces that begin with `{beginning}`"),
    }
}

fn head(policy: &Policy) -> String {
    let target = &policy.spec().target;
    let group = if target.group.is_empty() { "core" } else { &target.group };
    let place =
        if target.subresource.is_empty() { "the main resource".into() } else { format!("/{}", target.subresource) };
    format!(
        "{} guards the status of {} in {group}/{}, written through {place}.",
        policy.name(),
        target.resource,
        target.version
    )
}

fn line(sentence: &str, depth: usize, text: &mut String) {
    text.push_str(&format!("{}- {sentence}\n", "  ".repeat(depth)));
}

/// A machine: where it is, and below that what it may do.
fn phases(phase: &Phase, first: bool, depth: usize, text: &mut String) {
    let path = place(&phase.path);
    let begin = if first { "The phase is" } else { "Beside it, a phase is" };
    line(
        &match phase.states.is_empty() {
            true => format!("{begin} {path}."),
            false => {
                let states: Vec<String> =
                    phase.states.iter().map(|(name, condition)| format!("{name} ({condition})")).collect();
                format!("{begin} read from the conditions in {path}: {}.", and(&states))
            }
        },
        depth,
        text,
    );
    let mut say = |sentence: String| line(&sentence, depth + 1, text);
    say(match &phase.initial {
        Some(initial) => format!("It begins as {}.", or(initial)),
        None => "It may begin as any phase.".into(),
    });
    for transition in &phase.transitions {
        say(format!("From {} it may go to {}.", or(&names(&transition.from, true)), or(&names(&transition.to, false))));
    }
    if !phase.final_phases.is_empty() {
        say(format!(
            "{} {} left only by an edge that names {}.",
            and(&phase.final_phases),
            is(&phase.final_phases),
            them(&phase.final_phases)
        ));
    }
    if phase.skip.iter().any(|name| name == "*") {
        say("Every phase may be passed without being written.".into());
    } else if !phase.skip.is_empty() {
        say(format!("{} may be passed without being written.", and(&phase.skip)));
    }
    if let Some(when) = when(phase.resets.as_ref()) {
        say(format!("In a write where {when}, it may begin again."));
    }
}

fn rules(set: &RuleSet, depth: usize, text: &mut String) {
    for (index, machine) in set.phases.iter().enumerate() {
        phases(machine, index == 0, depth, text);
    }
    let mut say = |sentence: String| line(&sentence, depth, text);
    for rule in &set.monotone {
        let mut sentence = format!("{} never falls", place(&rule.path));
        if rule.to_zero {
            sentence.push_str(", but may return to zero");
        }
        sentence.push_str(&except(rule.resets.as_ref()));
        // R4: a reset drops the comparison with the old value, and nothing else.
        if let Some(bound) = &rule.at_most {
            sentence.push_str(&format!("; it never passes `{bound}`"));
        }
        say(format!("{sentence}."));
    }
    for rule in &set.set_once {
        let mut sentence = format!("{}, once set, neither changes nor goes", place(&rule.path));
        sentence.push_str(&except(rule.resets.as_ref()));
        if !rule.required_in.is_empty() {
            sentence.push_str(&format!("; it must be set in {}", or(&rule.required_in)));
        }
        say(format!("{sentence}."));
    }
    for rule in &set.equal {
        say(format!("{} equals {}.", sum(&rule.left), sum(&rule.right)));
    }
    for rule in &set.collections {
        let mut say = |sentence: String| line(&sentence, depth, text);
        let path = place(&rule.path);
        let kept = match (rule.keep, rule.order.unwrap_or_default()) {
            (Keep::Newest(0), _) => "its entries may come and go".into(),
            (Keep::All, Order::Any) => "no entry goes".into(),
            (Keep::All, Order::Append) => "a list only grows at its end; of a map no entry goes".into(),
            (Keep::All, Order::Prepend) => "a list only grows at its beginning; of a map no entry goes".into(),
            (Keep::Newest(count), order) => {
                let end = if order == Order::Prepend { "beginning" } else { "end" };
                format!("it grows at its {end} and keeps at least its {count} newest entries")
            }
        };
        let key = if rule.key.is_empty() {
            String::new()
        } else {
            format!(" (entries are told apart by {})", and(&ticked(&rule.key)))
        };
        let content = match &rule.each {
            None => "; an entry's content never changes".into(),
            Some(each) if each.is_empty() => "; the content of entries is free".into(),
            Some(_) => String::from("; for each entry:"),
        };
        say(format!("{path}{key}: {kept}{content}{}", if content.ends_with(':') { "" } else { "." }));
        if let Some(each) = &rule.each {
            rules(each, depth + 1, text);
        }
        if let Some(when) = when(rule.resets.as_ref()) {
            line(&format!("In a write where {when}, {path} may be replaced."), depth, text);
        }
    }
}

/// When a rule drops its comparison with the old value.
fn when(resets: Option<&Resets>) -> Option<String> {
    let Resets { from, to, with, within } = resets?;
    let mut when = Vec::new();
    if let Some(from) = from {
        when.push(format!("the old phase is {}", or(&names(from, false))));
    }
    if let Some(to) = to {
        when.push(format!("the new phase is {}", or(&names(to, false))));
    }
    if let Some(with) = with {
        when.push(format!("{} advances", or(&ticked(with))));
    }
    if let Some(within) = within {
        when.push(format!("the entry's {} advances", or(&ticked(within))));
    }
    (!when.is_empty()).then(|| or(&when))
}

fn except(resets: Option<&Resets>) -> String {
    when(resets).map(|when| format!(", except in a write where {when}")).unwrap_or_default()
}

fn place(path: &str) -> String {
    if path == "." { "the entry itself".into() } else { format!("`{path}`") }
}

fn names(names: &[String], source: bool) -> Vec<String> {
    let word = |name: &String| match (name.as_str(), source) {
        ("*", true) => "any phase that is not final".into(),
        ("*", false) => "any phase".into(),
        ("", _) => "no phase".into(),
        (name, _) => name.to_owned(),
    };
    names.iter().map(word).collect()
}

fn sum(terms: &[String]) -> String {
    let term = |term: &String| match term.strip_prefix("len(").and_then(|rest| rest.strip_suffix(')')) {
        Some(path) => format!("the number of entries of `{path}`"),
        None => format!("`{term}`"),
    };
    if terms.is_empty() { "zero".into() } else { terms.iter().map(term).collect::<Vec<_>>().join(" plus ") }
}

fn ticked(items: &[String]) -> Vec<String> {
    items.iter().map(|item| format!("`{item}`")).collect()
}

fn and(items: &[String]) -> String {
    joined(items, "and")
}

fn or(items: &[String]) -> String {
    joined(items, "or")
}

fn joined(items: &[String], word: &str) -> String {
    match items {
        [] => "nothing".into(),
        [item] => item.clone(),
        [items @ .., last] => format!("{} {word} {last}", items.join(", ")),
    }
}

fn is(items: &[String]) -> &'static str {
    if items.len() == 1 { "is" } else { "are" }
}

fn them(items: &[String]) -> &'static str {
    if items.len() == 1 { "it" } else { "them" }
}
