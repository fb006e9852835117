//! What becomes of a write.

use statusguard_policy::spec::Mode;
use statusguard_policy::{Judgement, Verdict};

/// What happened to a write, and what the client gets to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// No rule is broken, or nothing is judged.
    Allowed,
    /// Only rules are broken that the old status breaks already.
    Repaired,
    /// Allowed: the writer is exempt.
    Bypassed,
    /// Allowed with a warning.
    Warned,
    /// Allowed and recorded.
    Audited,
    /// Refused.
    Denied,
}

impl Outcome {
    /// The outcome of a write that was judged. `exempt`: its writer is never refused.
    pub fn of(judgement: &Judgement, mode: Mode, exempt: bool) -> Self {
        match judgement.verdict {
            _ if mode == Mode::Off => Outcome::Allowed,
            Verdict::Allow => Outcome::Allowed,
            Verdict::Repair => Outcome::Repaired,
            Verdict::Stale | Verdict::Invalid => Self::unless_legal(mode, exempt, judgement.softened),
        }
    }

    /// The outcome of a write that is not legal, or that cannot be judged. `softened`: its object is being deleted (R11).
    pub fn unless_legal(mode: Mode, exempt: bool, softened: bool) -> Self {
        match mode {
            Mode::Off => Outcome::Allowed,
            _ if exempt => Outcome::Bypassed,
            Mode::Audit => Outcome::Audited,
            Mode::Warn => Outcome::Warned,
            Mode::Enforce if softened => Outcome::Warned,
            Mode::Enforce => Outcome::Denied,
        }
    }

    /// Its name in labels, records and the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Allowed => "Allowed",
            Outcome::Repaired => "Repaired",
            Outcome::Bypassed => "Bypassed",
            Outcome::Warned => "Warned",
            Outcome::Audited => "Audited",
            Outcome::Denied => "Denied",
        }
    }
}

/// `notificationrequests.kubernaut.ai web/n1`, as kubectl names objects.
pub fn object_name((group, resource): (&str, &str), namespace: &str, name: &str) -> String {
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let namespace = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
    format!("{resource}{group} {namespace}{name}").trim_end().to_owned()
}
