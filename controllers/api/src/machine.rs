//! Phase machines as data: what may follow what, and where a machine ends.

use std::fmt::Display;

/// The phases of one kind and the edges between them.
///
/// The same table stands in the kind's guard policy; a test of the manifests holds one against the other. A phase that
/// is not set yet is written `""` and is not a phase of the machine.
pub trait PhaseMachine: Clone + Display + PartialEq + Sized + 'static {
    /// Where the phase stands in an object.
    const PATH: &'static str;
    /// Every phase of this version.
    const PHASES: &'static [Self];
    /// The phases that may be written first.
    const INITIAL: &'static [Self];
    /// For each phase that can be left: what may follow it.
    const TRANSITIONS: &'static [(Self, &'static [Self])];
    /// The phases that are never left.
    const FINAL: &'static [Self];

    /// Whether the machine ends here. False for the phase of a newer version.
    #[must_use]
    fn is_final(&self) -> bool {
        Self::FINAL.contains(self)
    }

    /// The phases that may follow this one.
    #[must_use]
    fn successors(&self) -> &'static [Self] {
        Self::TRANSITIONS.iter().find(|(from, _)| from == self).map_or(&[], |(_, to)| to)
    }

    /// Every edge between two phases, as names.
    fn edges() -> impl Iterator<Item = (String, String)> {
        Self::TRANSITIONS.iter().flat_map(|(from, to)| to.iter().map(move |to| (from.to_string(), to.to_string())))
    }
}
