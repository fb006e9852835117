//! What a first policy says: rules, active or switched off, and the fields without a rule.

use super::remark::{Remark, Unguarded};

/// The rules of an object or of an entry, and what of it has none.
#[derive(Default)]
pub struct Draft {
    /// Always switched off: a schema does not say what transitions there are.
    pub machines: Vec<DraftMachine>,
    pub monotone: Vec<DraftRule>,
    pub set_once: Vec<DraftRule>,
    pub collections: Vec<DraftCollection>,
    /// Whole paths, from `.status` on, with `[]` for the entries of lists and maps.
    pub unguarded: Vec<(Unguarded, String)>,
}

impl Draft {
    /// Of a field without a rule.
    pub fn unguarded(reason: Unguarded, path: impl Into<String>) -> Self {
        Self { unguarded: vec![(reason, path.into())], ..Self::default() }
    }

    pub fn merge(&mut self, other: Self) {
        let Self { machines, monotone, set_once, collections, unguarded } = other;
        self.machines.extend(machines);
        self.monotone.extend(monotone);
        self.set_once.extend(set_once);
        self.collections.extend(collections);
        self.unguarded.extend(unguarded);
    }

    /// Whether anything in an object is worth a line of its own: a state, a counter, a time that may stay, a
    /// collection, or something that the schema says too little of.
    pub fn is_notable(&self) -> bool {
        let rules = !self.machines.is_empty() || !self.monotone.is_empty() || !self.collections.is_empty();
        let reasons = [Unguarded::Opaque, Unguarded::Unlisted, Unguarded::Unnameable, Unguarded::Fixed];
        rules
            || self.set_once.iter().any(|rule| rule.remark == Remark::Span)
            || self.unguarded.iter().any(|(reason, _)| reasons.contains(reason))
    }

    /// Whether it has no rule, active or not.
    pub fn is_empty(&self) -> bool {
        let Self { machines, monotone, set_once, collections, unguarded: _ } = self;
        machines.is_empty() && monotone.is_empty() && set_once.is_empty() && collections.is_empty()
    }

    /// Whether it has no active rule.
    pub fn is_off(&self) -> bool {
        let rules = self.monotone.iter().chain(&self.set_once);
        rules.map(|rule| rule.active).chain(self.collections.iter().map(|rule| rule.active)).all(|active| !active)
    }
}

/// A machine without its transitions.
pub struct DraftMachine {
    pub path: String,
    /// The names that the schema lists.
    pub names: Vec<String>,
}

/// A `monotone` or `setOnce` rule.
pub struct DraftRule {
    pub path: String,
    pub active: bool,
    pub bounded: bool,
    pub to_zero: bool,
    pub remark: Remark,
}

impl DraftRule {
    /// A rule that is switched off.
    pub fn off(path: &str, remark: Remark) -> Self {
        Self { path: path.into(), active: false, bounded: false, to_zero: false, remark }
    }
}

/// A rule for a list or a map.
pub struct DraftCollection {
    pub path: String,
    pub active: bool,
    /// Empty for maps and where nothing is known.
    pub key: Vec<String>,
    pub appended: bool,
    /// `None` for entries that do not change.
    pub each: Option<Draft>,
    pub remark: Remark,
}
