//! `statusguard policy explain`: a policy in plain sentences.

use statusguard_policy::spec::{Collection, FailurePolicy, Keep, Mode, Order, Phase, Resets, RuleSet};
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
    Sentences { machines: &spec.phases, text: &mut text }.rules(&spec.rules(), 0);
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

/// Sentences about rules, one a line.
struct Sentences<'s> {
    /// The root's machines, which resets name the phases of.
    machines: &'s [Phase],
    text: &'s mut String,
}

impl Sentences<'_> {
    fn say(&mut self, depth: usize, sentence: &str) {
        self.text.push_str(&format!("{}- {sentence}\n", "  ".repeat(depth)));
    }

    fn rules(&mut self, set: &RuleSet, depth: usize) {
        for (index, machine) in set.phases.iter().enumerate() {
            self.machine(machine, index == 0, depth);
        }
        for rule in &set.monotone {
            let zero = if rule.to_zero { ", but may return to zero" } else { "" };
            // R4: a reset drops the comparison with the old value, and nothing else.
            let bound = rule.at_most.as_ref().map(|bound| format!("; it never passes `{bound}`")).unwrap_or_default();
            let except = self.except(rule.resets.as_ref(), depth);
            self.say(depth, &format!("{} never falls{zero}{except}{bound}.", place(&rule.path)));
        }
        for rule in &set.set_once {
            let required = match &*rule.required_in {
                [] => String::new(),
                phases => format!("; it must be set in {}", or(phases)),
            };
            let except = self.except(rule.resets.as_ref(), depth);
            let path = place(&rule.path);
            self.say(depth, &format!("{path}, once set, neither changes nor goes{except}{required}."));
        }
        for rule in &set.equal {
            self.say(depth, &format!("{} equals {}.", sum(&rule.left), sum(&rule.right)));
        }
        for rule in &set.collections {
            self.collection(rule, depth);
        }
    }

    /// A machine: where it is, and below that what it may do.
    fn machine(&mut self, phase: &Phase, first: bool, depth: usize) {
        let path = place(&phase.path);
        let begin = if first { "The phase is" } else { "Beside it, a phase is" };
        let place = match phase.states.is_empty() {
            true => format!("{begin} {path}."),
            false => {
                let states = phase.states.iter().map(|(name, condition)| format!("{name} ({condition})"));
                format!("{begin} read from the conditions in {path}: {}.", and(&states.collect::<Vec<_>>()))
            }
        };
        self.say(depth, &place);
        let depth = depth + 1;
        let any_target = phase.transitions.iter().any(|edge| edge.to.iter().any(|name| name == "*"));
        self.say(
            depth,
            &match &phase.initial {
                Some(initial) => format!("It begins as {}.", or(initial)),
                None if any_target => "It may begin as any phase.".into(),
                None => "It may begin as any of the phases named here.".into(),
            },
        );
        for edge in &phase.transitions {
            let (from, to) = (or(&names(&edge.from, true)), or(&names(&edge.to, false)));
            self.say(depth, &format!("From {from} it may go to {to}."));
        }
        if !phase.final_phases.is_empty() {
            let (names, is, them) = (&phase.final_phases, is(&phase.final_phases), them(&phase.final_phases));
            self.say(depth, &format!("{} {is} left only by an edge that names {them}.", and(names)));
        }
        if phase.skip.iter().any(|name| name == "*") {
            self.say(depth, "Every phase may be passed without being written.");
        } else if !phase.skip.is_empty() {
            self.say(depth, &format!("{} may be passed without being written.", and(&phase.skip)));
        }
        // Inside entries this is a deeper level than that of the rules.
        if let Some(when) = self.when(phase.resets.as_ref(), depth - 1) {
            self.say(depth, &format!("In a write where {when}, it may begin again."));
        }
    }

    fn collection(&mut self, rule: &Collection, depth: usize) {
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
        let key = match &*rule.key {
            [] => String::new(),
            key => format!(" (entries are told apart by {})", and(&ticked(key))),
        };
        let content = match &rule.each {
            None => "; an entry's content never changes.",
            Some(each) if each.is_empty() => "; the content of entries is free.",
            Some(_) => "; for each entry:",
        };
        self.say(depth, &format!("{path}{key}: {kept}{content}"));
        if let Some(each) = &rule.each {
            self.rules(each, depth + 1);
        }
        if let Some(when) = self.when(rule.resets.as_ref(), depth) {
            self.say(depth, &format!("In a write where {when}, {path} may be replaced."));
        }
    }

    /// When a rule of this depth drops its comparison with the old value.
    fn when(&self, resets: Option<&Resets>, depth: usize) -> Option<String> {
        let Resets { from, to, with, within } = resets?;
        let mut when = self.phases("old", from.as_deref().unwrap_or_default(), depth);
        when.extend(self.phases("new", to.as_deref().unwrap_or_default(), depth));
        when.extend(with.as_ref().map(|with| format!("{} advances", or(&ticked(with)))));
        when.extend(within.as_ref().map(|within| format!("the entry's {} advances", or(&ticked(within)))));
        (!when.is_empty()).then(|| or(&when))
    }

    /// `the old phase is A or B`, for each machine that the names speak of. Where there is more than one machine, or the
    /// rule is inside an entry, it is said which is meant.
    fn phases(&self, which: &str, named: &[String], depth: usize) -> Vec<String> {
        let of = |name: &String| {
            let knows = |machine: &Phase| name.is_empty() || knows(machine, name);
            self.machines.iter().position(knows).unwrap_or_default()
        };
        let said = self.machines.iter().enumerate().filter_map(|(index, machine)| {
            let own: Vec<String> = named.iter().filter(|name| of(name) == index).cloned().collect();
            let place = match (self.machines.len(), depth) {
                (1, 0) => String::new(),
                _ => format!(" in {}", place(&machine.path)),
            };
            (!own.is_empty()).then(|| format!("the {which} phase{place} is {}", or(&names(&own, false))))
        });
        said.collect()
    }

    fn except(&self, resets: Option<&Resets>, depth: usize) -> String {
        self.when(resets, depth).map(|when| format!(", except in a write where {when}")).unwrap_or_default()
    }
}

/// Whether a machine names a phase.
fn knows(machine: &Phase, name: &String) -> bool {
    machine.initial.as_ref().is_some_and(|initial| initial.contains(name))
        || machine.transitions.iter().any(|edge| edge.from.contains(name) || edge.to.contains(name))
        || machine.final_phases.contains(name)
        || machine.states.contains_key(name)
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
