//! Stale soundness: a write that was legal from an older state is never called Invalid.
//!
//! The generators keep to the provisos (see [`super::gen_state::Maker::junk`]): no entry of an
//! ordered list is made twice, neither by one writer nor by two. One kind of write is excused beyond that: a merge patch
//! that adds to a list writes the sums of two states at once, so that the side of the list can be the smaller one.

use super::compare::verdict;
use super::fast;
use super::gen_policy;
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
    let excused = |f: &Finding| how == How::MergePatch && f.reason == "CountMismatch";
    judgement.verdict == Verdict::Invalid && judgement.findings.iter().any(|f| f.class == Class::Invalid && !excused(f))
}

/// The case, made small.
fn report(mut policy: Val, mut write: StaleWrite, how: How) -> String {
    let wrong = |policy: &Val, write: &StaleWrite| {
        fast::compile(policy).is_ok() && write.is_legal(policy) && unsound(policy, write, how)
    };
    loop {
        let before = policy.clone();
        [policy] = shrink([policy], |[policy]| wrong(policy, &write));
        for name in
            ["w", "free", "n", "m", "sub", "ref", "done", "at", "log", "nodes", "conditions", "phase", "state", "unset"]
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
