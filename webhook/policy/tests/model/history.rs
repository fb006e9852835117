//! Random legal histories of an object, and stale writes over their later states.

use super::choices::Choices;
use super::gen_state::Maker;
use super::gen_value::set_path;
use super::judge::{Case, Verdict, judge};
use super::value::Val;

/// A history, and a step that is legal from one of its states but is written over a later one.
pub(crate) struct StaleWrite {
    pub(crate) states: Vec<Val>,
    /// The state that the writer read.
    pub(crate) read: usize,
    /// The state that it writes over.
    pub(crate) over: usize,
    /// What it would have written over the state it read.
    pub(crate) meant: Val,
}

fn legal(policy: &Val, old: &Val, new: &Val) -> bool {
    let operation = "UPDATE";
    judge(policy, &Case { operation, old, new }).verdict == Verdict::Allow
}

/// A legal write other than none, if one is found.
fn step(policy: &Val, maker: &mut Maker, old: &Val, choices: &mut Choices) -> Option<Val> {
    (0..6).find_map(|_| {
        let mut new = old.clone();
        maker.edit(policy.at("spec"), &mut new, choices);
        let fits = new.at("status") != old.at("status") && legal(policy, old, &new);
        fits.then_some(new)
    })
}

/// From the empty status; entries are never made twice.
pub(crate) fn stale_write(policy: &Val, choices: &mut Choices) -> Option<StaleWrite> {
    let mut maker = Maker { junk: false, made: 0 };
    let mut generation = 1;
    let mut states =
        vec![Val::parse("{apiVersion: example.org/v1, kind: Example, metadata: {name: x, generation: 1}}")];
    for _ in 0..3 + choices.below(6) {
        let mut old = states[states.len() - 1].clone();
        if choices.percent(20) {
            generation += 1;
            set_path(&mut old, ".metadata.generation", Val::int(generation));
            states.push(old.clone());
        }
        states.extend(step(policy, &mut maker, &old, choices));
    }
    if states.len() < 2 {
        return None;
    }
    let over = 1 + choices.below(states.len() - 1);
    let read = choices.below(over);
    let meant = step(policy, &mut maker, &states[read].clone(), choices)?;
    Some(StaleWrite { states, read, over, meant })
}

impl StaleWrite {
    /// The state that is written over.
    pub(crate) fn old(&self) -> &Val {
        &self.states[self.over]
    }

    /// The later state with the whole status that was meant.
    pub(crate) fn whole(&self) -> Val {
        let mut new = self.states[self.over].clone();
        new.set("status", self.meant.at("status").clone());
        new
    }

    /// The later state with the merge patch that leads from what was read to what was meant.
    pub(crate) fn merged(&self) -> Val {
        let (read, meant) = (self.states[self.read].at("status"), self.meant.at("status"));
        let mut new = self.states[self.over].clone();
        let status = merge(new.at("status"), &patch(read, meant));
        new.set("status", status);
        new
    }

    /// The same history without what some path holds.
    pub(crate) fn without(&self, path: &str) -> StaleWrite {
        let clear = |object: &Val| {
            let mut object = object.clone();
            set_path(&mut object, path, Val::Null);
            object
        };
        StaleWrite { states: self.states.iter().map(clear).collect(), meant: clear(&self.meant), ..*self }
    }

    /// Whether every step is legal.
    pub(crate) fn is_legal(&self, policy: &Val) -> bool {
        self.states.windows(2).all(|pair| legal(policy, &pair[0], &pair[1]))
            && legal(policy, &self.states[self.read], &self.meant)
    }
}

/// The RFC 7396 patch from one value to another.
fn patch(from: &Val, to: &Val) -> Val {
    let (Val::Map(old), Val::Map(new)) = (from, to) else {
        return to.clone();
    };
    let mut patch = Val::map(vec![]);
    for name in old.keys().chain(new.keys()) {
        if old.get(name) != new.get(name) {
            patch.set(
                name,
                match (old.get(name), new.get(name)) {
                    (Some(before), Some(after)) => self::patch(before, after),
                    (None, Some(after)) => after.clone(),
                    _ => Val::Null,
                },
            );
        }
    }
    patch
}

/// RFC 7396.
fn merge(target: &Val, patch: &Val) -> Val {
    let Val::Map(changes) = patch else {
        return patch.clone();
    };
    let mut merged = if let Val::Map(_) = target { target.clone() } else { Val::map(vec![]) };
    for (name, change) in changes {
        if *change == Val::Null {
            if let Val::Map(members) = &mut merged {
                members.remove(name);
            }
        } else {
            let member = merge(merged.at(name), change);
            merged.set(name, member);
        }
    }
    merged
}
