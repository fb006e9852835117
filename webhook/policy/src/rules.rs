//! The compiled form of a policy: paths resolved, phases as small integers.

use std::sync::Arc;

use crate::graph::Graph;
use crate::path::Path;
use crate::problem::Problem;
use crate::spec::{Keep, Mode, Order, StatusPolicySpec};

/// A compiled policy.
#[derive(Clone, Debug)]
pub struct Policy {
    pub(crate) name: String,
    pub(crate) spec: StatusPolicySpec,
    pub(crate) warnings: Vec<Problem>,
    pub(crate) redact: Vec<Path>,
    /// How many rules have resets; the ids of these are the numbers below.
    pub(crate) resets: usize,
    pub(crate) rules: Rules,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) phases: Vec<PhaseRule>,
    pub(crate) monotone: Vec<MonotoneRule>,
    pub(crate) set_once: Vec<SetOnceRule>,
    pub(crate) collections: Vec<CollectionRule>,
    pub(crate) equal: Vec<EqualRule>,
}

impl Rules {
    /// How many rules there are, without those of entries.
    pub(crate) fn count(&self) -> usize {
        let Self { phases, monotone, set_once, collections, equal } = self;
        phases.len() + monotone.len() + set_once.len() + collections.len() + equal.len()
    }
}

#[derive(Clone, Debug)]
pub(crate) struct PhaseRule {
    pub(crate) path: Path,
    pub(crate) graph: Arc<Graph>,
    pub(crate) resets: Resets,
}

#[derive(Clone, Debug)]
pub(crate) struct MonotoneRule {
    pub(crate) path: Path,
    pub(crate) to_zero: bool,
    pub(crate) bounded: bool,
    pub(crate) resets: Resets,
}

#[derive(Clone, Debug)]
pub(crate) struct SetOnceRule {
    pub(crate) path: Path,
    /// The machines that `requiredIn` names, each with its phases.
    pub(crate) required_in: Vec<Required>,
    pub(crate) resets: Resets,
}

#[derive(Clone, Debug)]
pub(crate) struct CollectionRule {
    pub(crate) path: Path,
    pub(crate) key: Vec<Box<str>>,
    pub(crate) order: Order,
    pub(crate) keep: Keep,
    pub(crate) each: Option<Rules>,
    pub(crate) resets: Resets,
}

#[derive(Clone, Debug)]
pub(crate) struct EqualRule {
    pub(crate) left: Vec<Term>,
    pub(crate) right: Vec<Term>,
    /// Whether an older state may have had less on the left, and on the right (R9).
    pub(crate) left_lags: bool,
    pub(crate) right_lags: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Term {
    Number(Path),
    Length(Path),
}

/// The phases of one machine that require a field.
#[derive(Clone, Debug)]
pub(crate) struct Required {
    /// The machine's place in the rule set.
    pub(crate) machine: usize,
    /// Nodes of its graph, sorted.
    pub(crate) phases: Vec<usize>,
}

/// A phase of one of the machines that stand side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PhaseOf {
    /// The machine's place in the rule set.
    pub(crate) machine: usize,
    /// The phase as a node of its graph.
    pub(crate) node: usize,
}

/// When a rule does not compare with the old value. Phases are those of the root's machines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resets {
    /// `None` if the rule has none: there is nothing to look up.
    pub(crate) id: Option<usize>,
    pub(crate) from: Vec<PhaseOf>,
    pub(crate) to: Vec<PhaseOf>,
    pub(crate) with: Vec<Path>,
    /// Witnesses of the entry that is judged.
    pub(crate) within: Vec<Path>,
    /// Whether what the rule judges may have begun anew since an older state: the rule has resets, or it is inside an
    /// entry that may go and come back (R8.6).
    pub(crate) restarts: bool,
}

impl Policy {
    /// `metadata.name`: `<resource>.<group>`, or `<resource>` for the core group.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The document's spec with all defaults filled in.
    #[must_use]
    pub fn spec(&self) -> &StatusPolicySpec {
        &self.spec
    }

    /// The warnings of the document.
    #[must_use]
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The mode for objects of a namespace, which is `""` for cluster-scoped ones: of the longest entry of `modeIn` that
    /// matches, else `mode`.
    #[must_use]
    pub fn mode_in(&self, namespace: &str) -> Mode {
        let spec = &self.spec;
        if let Some(mode) = spec.mode_in.get(namespace) {
            return *mode;
        }
        let prefixes = spec.mode_in.iter().filter_map(|(name, mode)| Some((name.strip_suffix('*')?, mode)));
        let matching = prefixes.filter(|(prefix, _)| namespace.starts_with(prefix));
        matching.max_by_key(|(prefix, _)| prefix.len()).map_or(spec.mode, |(_, mode)| *mode)
    }

    /// Whether a writer is never refused. Its groups are asked for only where some are exempt.
    pub fn is_exempt(&self, user: &str, groups: impl FnOnce() -> Vec<String>) -> bool {
        self.spec.exempt.as_ref().is_some_and(|exempt| {
            exempt.users.iter().any(|name| name == user)
                || (!exempt.groups.is_empty() && groups().iter().any(|group| exempt.groups.contains(group)))
        })
    }

    /// Whether the target is one of Kubernetes' own kinds and `core: true` is missing: the tools judge such a policy, but
    /// it is not enforced in a cluster.
    #[must_use]
    pub fn unconfirmed_core(&self) -> bool {
        is_core(&self.spec.target.group) && !self.spec.target.core
    }
}

/// The groups that kube-apiserver itself serves (Kubernetes 1.33 to 1.36). Others below `k8s.io`, such as
/// `gateway.networking.k8s.io`, are defined by CRDs.
const CORE_GROUPS: [&str; 23] = [
    "",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
    "storagemigration.k8s.io",
];

/// Whether this is one of Kubernetes' own groups.
#[must_use]
pub fn is_core(group: &str) -> bool {
    CORE_GROUPS.contains(&group)
}
