//! The text of a draft.
//!
//! A rule that is switched off has a `#` before its first character; remarks have a space after theirs. So a policy
//! with each such `#` removed is YAML again. Where only a person can say what belongs there, it holds an empty list or
//! an empty name, which does not compile.

use std::fmt::Write as _;

use statusguard_policy::is_core;

use super::draft::{Draft, DraftCollection, DraftMachine, DraftRule};
use super::guess::is_final;
use super::remark::{Remark, Unguarded};
use super::scalar::{list, path, scalar};
use super::version::CrdVersion;

/// Characters of a line.
const WIDTH: usize = 118;

const HEADER: &str = "\
    written from the schema of its CRD. A schema says which fields exist, not what the controller guarantees: \
    compare every rule with what the controller does. Active rules follow the conventions of the Kubernetes API, \
    or a name that leaves little doubt. All others are switched off by a `#` without a space after it: remove \
    the `#` where the remark above them holds. Then run `statusguard policy lint` and write cases for \
    `statusguard policy test`.";
const CORE: &str = "\
    The group is one of Kubernetes' own: without this line the policy is not enforced in a cluster. Its \
    failurePolicy is always Ignore, so writes go through unguarded while the guard cannot be reached.";
const NO_SUBRESOURCE: &str = "\
    The CRD has no status subresource in this version: writes of the object itself are judged.";
const MODE: &str = "\
    Audit records what would be refused and refuses nothing. When the records hold nothing but lost updates, go \
    on with Warn and Enforce, namespace by namespace with `modeIn`.";
const ALL_OFF: &str = "No rule is active yet, since none is certain from the schema alone.";
const MACHINES: &str = "\
    The schema does not say which transitions there are. List those that the controller makes, under `initial` \
    where it begins, and under `final` what nothing follows, not even a retry; then switch the machine on. Until \
    then the field is not guarded.";
const UNGUARDED: &str = "Not guarded, besides the fields of the rules that are switched off:";

/// The text of a first policy.
pub fn write(crd: &CrdVersion, draft: &Draft) -> String {
    let mut lines = Lines::default();
    header(&mut lines, crd);
    if draft.is_off() {
        lines.section(2);
        lines.remark(2, ALL_OFF);
    }
    lines.rules(draft, 2, false);
    lines.unguarded(draft, &crd.columns.conditions);
    lines.text
}

fn header(lines: &mut Lines, crd: &CrdVersion) {
    let CrdVersion { group, resource, kind, version, subresource, .. } = crd;
    let name = if group.is_empty() { resource.clone() } else { format!("{resource}.{group}") };
    lines.remark(0, &format!("A first policy for {}, {HEADER}", scalar(kind)));
    lines.line(0, false, "apiVersion: statusguard.dev/v1alpha1");
    lines.line(0, false, "kind: StatusPolicy");
    lines.line(0, false, "metadata:");
    lines.line(2, false, &format!("name: {}", scalar(&name)));
    lines.line(0, false, "spec:");
    lines.line(2, false, "target:");
    for (field, value) in [("group", group), ("version", version), ("resource", resource)] {
        lines.line(4, false, &format!("{field}: {}", scalar(value)));
    }
    if *subresource {
        lines.line(4, false, "subresource: status");
    } else {
        lines.remark(4, NO_SUBRESOURCE);
        lines.line(4, false, "subresource: \"\"");
    }
    if is_core(group) {
        lines.remark(4, CORE);
        lines.line(4, false, "core: true");
    }
    lines.remark(2, MODE);
    lines.line(2, false, "mode: Audit");
}

#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    /// One line of YAML, switched off or not. Writing to a `String` cannot fail.
    fn line(&mut self, indent: usize, off: bool, line: &str) {
        let off = if off { "#" } else { "" };
        let _ = writeln!(self.text, "{:indent$}{off}{line}", "");
    }

    /// Sets the sections of the whole policy apart.
    fn section(&mut self, indent: usize) {
        if indent == 2 {
            self.text.push('\n');
        }
    }

    /// Prose as comments.
    fn remark(&mut self, indent: usize, prose: &str) {
        self.wrapped(indent, ["# "; 2], prose.split_whitespace());
    }

    /// Words on as many lines as they need; the prefix of the first line and that of the others are equally long.
    fn wrapped<'w>(&mut self, indent: usize, [first, next]: [&str; 2], words: impl Iterator<Item = &'w str>) {
        let mut prefix = first;
        let mut line = String::new();
        for word in words {
            if !line.is_empty() && indent + prefix.len() + line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(indent, false, &format!("{prefix}{line}"));
                prefix = next;
                line.clear();
            }
            line.push_str(if line.is_empty() { "" } else { " " });
            line.push_str(word);
        }
        self.line(indent, false, &format!("{prefix}{line}"));
    }

    /// The rules of a draft; with `off` all of them switched off.
    fn rules(&mut self, draft: &Draft, indent: usize, off: bool) {
        if !draft.machines.is_empty() {
            self.section(indent);
            self.remark(indent, MACHINES);
            self.line(indent, true, "phases:");
            draft.machines.iter().for_each(|machine| self.machine(machine, indent + 2));
        }
        self.fields("monotone", &draft.monotone, indent, off);
        self.fields("setOnce", &draft.set_once, indent, off);
        let mut rules: Vec<&DraftCollection> = draft.collections.iter().collect();
        rules.sort_by_key(|rule| (!rule.active, rule.remark));
        let all_off = off || rules.iter().all(|rule| !rule.active);
        let mut remark = None;
        for (index, rule) in rules.into_iter().enumerate() {
            if index == 0 {
                self.section(indent);
                self.line(indent, all_off, "collections:");
            }
            self.remark_once(&mut remark, rule.remark, indent + 2);
            self.collection(rule, indent + 2, off || !rule.active);
        }
    }

    fn machine(&mut self, machine: &DraftMachine, indent: usize) {
        let DraftMachine { path: at, names } = machine;
        if names.is_empty() {
            self.remark(indent, "The schema does not list the names.");
        }
        self.line(indent, true, &format!("- path: {}", path(at)));
        self.line(indent + 2, true, "initial: []");
        self.line(indent + 2, true, "transitions:");
        let (ends, open): (Vec<&String>, Vec<&String>) = names.iter().partition(|name| is_final(name));
        if open.is_empty() {
            self.line(indent + 4, true, "- { from: [], to: [] }");
        }
        for name in open {
            self.line(indent + 4, true, &format!("- {{ from: [{}], to: [] }}", scalar(name)));
        }
        if !ends.is_empty() {
            self.remark(indent + 2, "Final by their names alone:");
        }
        self.line(indent + 2, true, &format!("final: [{}]", list(ends)));
    }

    fn fields(&mut self, key: &str, rules: &[DraftRule], indent: usize, off: bool) {
        let mut rules: Vec<&DraftRule> = rules.iter().collect();
        rules.sort_by_key(|rule| (!rule.active, rule.remark));
        let all_off = off || rules.iter().all(|rule| !rule.active);
        let mut remark = None;
        for (index, rule) in rules.into_iter().enumerate() {
            if index == 0 {
                self.section(indent);
                self.line(indent, all_off, &format!("{key}:"));
            }
            self.remark_once(&mut remark, rule.remark, indent + 2);
            let to_zero = if rule.to_zero { ", toZero: true" } else { "" };
            let at_most = if rule.bounded { ", atMost: .metadata.generation" } else { "" };
            let line = format!("- {{ path: {}{to_zero}{at_most} }}", path(&rule.path));
            self.line(indent + 2, off || !rule.active, &line);
        }
    }

    fn collection(&mut self, rule: &DraftCollection, indent: usize, off: bool) {
        let DraftCollection { path: at, key, appended, each, remark, .. } = rule;
        self.line(indent, off, &format!("- path: {}", path(at)));
        match remark {
            Remark::KeyUnknown => self.line(indent + 2, off, "key: [\"\"]"),
            _ if key.is_empty() => {}
            _ => self.line(indent + 2, off, &format!("key: [{}]", list(key))),
        }
        self.line(indent + 2, off, if *appended { "order: Append" } else { "order: Any" });
        match each {
            None => {}
            // `each` with nothing but comments would be null.
            Some(each) if each.is_empty() => self.line(indent + 2, off, "each: {}"),
            Some(each) => {
                let empty = if off { "  # {} if none of the rules below is switched on" } else { "" };
                self.line(indent + 2, off, &format!("each:{empty}"));
                self.rules(each, indent + 4, off);
            }
        }
    }

    /// A remark above the first of the rules that share it.
    fn remark_once(&mut self, last: &mut Option<Remark>, remark: Remark, indent: usize) {
        if last.replace(remark) != Some(remark) {
            self.remark(indent, remark.text());
        }
    }

    /// The fields without a rule, by reason.
    fn unguarded(&mut self, draft: &Draft, columns: &[String]) {
        let mut reasons: Vec<Unguarded> = draft.unguarded.iter().map(|(reason, _)| *reason).collect();
        reasons.sort_unstable();
        reasons.dedup();
        if !reasons.is_empty() {
            self.section(2);
            self.remark(2, UNGUARDED);
        }
        for reason in reasons {
            let mut prose = reason.text().to_owned();
            if reason == Unguarded::ConditionStatus && !columns.is_empty() {
                let _ = write!(prose, " `kubectl get` shows: {}.", list(columns));
            }
            self.wrapped(2, ["# - ", "#   "], prose.split_whitespace());
            let paths = draft.unguarded.iter().filter(|(other, _)| *other == reason);
            let mut paths: Vec<String> = paths.map(|(_, path)| format!("{path},")).collect();
            if let Some(last) = paths.last_mut() {
                last.pop();
            }
            self.wrapped(2, ["#     "; 2], paths.iter().map(String::as_str));
        }
    }
}
