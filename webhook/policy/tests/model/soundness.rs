//! Stale soundness: a write that was legal from an older state is never called Invalid.
//!
//! The generators keep to the provisos (see [`super::gen_state::Maker::junk`]): no entry of an
//! ordered list is made twice, and a window slides only by what is added. Beyond these the rules
//! themselves call some stale writes Invalid; [`excused`] names them one by one.

use super::compare::verdict;
use super::fast;
use super::gen_policy;
use super::graph::has_resets;
use super::history::{self, StaleWrite};
use super::judge::{Case, Class, Finding, Verdict, judge};
use super::runner::property;
use super::shrink::shrink;
use super::value::Val;

#[derive(Clone, Copy, PartialEq, Debug)]
enum How {
    WholeStatus,
    MergePatch,
}

#[test]
fn stale_writes_are_never_invalid() {
    property(6_000, 900, |choices| {
        let policy = gen_policy::policy(choices);
        let Some(write) = history::stale_write(&policy, choices) else { return Ok(()) };
        for how in [How::WholeStatus, How::MergePatch] {
            verdict(&policy, write.old(), &written(&write, how))?;
            if unsound(&policy, &write, how) {
                return Err(report(policy, write, how));
            }
        }
        Ok(())
    });
}

fn written(write: &StaleWrite, how: How) -> Val {
    match how {
        How::WholeStatus => write.whole(),
        How::MergePatch => write.merged(),
    }
}

/// Whether the write is Invalid by findings that nothing excuses.
fn unsound(policy: &Val, write: &StaleWrite, how: How) -> bool {
    let (old, new) = (write.old(), &written(write, how));
    let judgement = judge(policy, &Case { operation: "UPDATE", old, new });
    let counts = |f: &Finding| f.class == Class::Invalid && !excused(policy.at("spec"), f, how);
    judgement.verdict == Verdict::Invalid && judgement.findings.iter().any(counts)
}

/// What the rules call Invalid although an older state explains it.
fn excused(rules: &Val, finding: &Finding, how: How) -> bool {
    match finding.reason.as_str() {
        // Two writers gave an unset field two types. A schema holds a field to one.
        "Malformed" => true,
        // R9: a patch mixes terms of two states, and a length may have fallen.
        "CountMismatch" => how == How::MergePatch,
        // R8.6: an entry that went since, or was made anew, is judged as a new one.
        "PhaseSkipped" | "FieldMissing" => within_what_may_go(rules, &format!(".{}", finding.field)),
        _ => false,
    }
}

/// Whether the field is inside an entry of a collection whose entries may go.
fn within_what_may_go(rules: &Val, field: &str) -> bool {
    let Some((path, rest)) = field.split_once('[') else { return false };
    let below = rest.split_once(']').map_or("", |(_, below)| below);
    let path = if path.is_empty() { "." } else { path };
    let rule = rules.at("collections").items().iter().find(|rule| rule.at("path").as_str() == Some(path));
    rule.is_some_and(|rule| {
        let may_go = matches!(rule.at("keep"), Val::Num(_)) || has_resets(rule);
        may_go || within_what_may_go(rule.at("each"), below)
    })
}

/// The case, made small.
fn report(mut policy: Val, mut write: StaleWrite, how: How) -> String {
    let wrong = |policy: &Val, write: &StaleWrite| {
        fast::compile(policy).is_ok() && write.is_legal(policy) && unsound(policy, write, how)
    };
    loop {
        let before = policy.clone();
        [policy] = shrink([policy], |[policy]| wrong(policy, &write));
        for name in ["w", "free", "n", "m", "sub", "ref", "done", "at", "log", "nodes", "conditions", "phase", "unset"]
        {
            let less = write.without(&format!(".status.{name}"));
            if wrong(&policy, &less) {
                write = less;
            }
        }
        if policy == before {
            break;
        }
    }
    let (old, new) = (write.old(), &written(&write, how));
    let findings = judge(&policy, &Case { operation: "UPDATE", old, new }).findings;
    let states: Vec<String> = write.states[write.read..=write.over].iter().map(|s| s.at("status").json()).collect();
    format!(
        "{how:?}\npolicy {}\nread and then {}\nmeant {}\nwritten {}\n{findings:?}\n",
        policy.at("spec").json(),
        states.join("\n  "),
        write.meant.at("status").json(),
        new.at("status").json(),
    )
}
