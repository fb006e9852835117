//! What the rules say about one write: findings, waivers and the verdict.

use std::fmt;

/// The verb of a write, as the API server names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new object; never judged.
    Create,
    /// A change of an object.
    Update,
    /// A deletion; never judged.
    Delete,
    /// A connection to a subresource; never judged.
    Connect,
}

impl std::str::FromStr for Operation {
    type Err = UnknownOperation;

    fn from_str(text: &str) -> Result<Self, UnknownOperation> {
        match text {
            "CREATE" => Ok(Self::Create),
            "UPDATE" => Ok(Self::Update),
            "DELETE" => Ok(Self::Delete),
            "CONNECT" => Ok(Self::Connect),
            _ => Err(UnknownOperation(text.into())),
        }
    }
}

/// A verb that no API server sends.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no operation; expected CREATE, UPDATE, DELETE or CONNECT")]
pub struct UnknownOperation(String);

/// How a finding can be explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Class {
    /// By an older state of the object: answered with `409 Conflict`.
    Stale,
    /// By no state: answered with `422 Unprocessable Entity`, reason `Invalid`.
    Invalid,
}

impl Class {
    /// The HTTP status code of a refusal.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Class::Stale => 409,
            Class::Invalid => 422,
        }
    }

    /// The reason of a refusal (`metav1.StatusReason`).
    #[must_use]
    pub fn status_reason(self) -> &'static str {
        match self {
            Class::Stale => "Conflict",
            Class::Invalid => "Invalid",
        }
    }

    /// Its name, as labels and records spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Class::Stale => "Stale",
            Class::Invalid => "Invalid",
        }
    }

    /// What the writer should do.
    fn advice(self) -> &'static str {
        match self {
            Class::Stale => "read the object again and decide again",
            Class::Invalid => "no older state of the object explains this, so it can never be legal",
        }
    }
}

/// Which rule a write breaks, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Reason {
    /// A value of the wrong type.
    Malformed,
    /// The phase went back.
    PhaseRegression,
    /// No transition leads there.
    PhaseSkipped,
    /// A phase that the policy does not know.
    PhaseUnknown,
    /// Conditions that name several phases.
    PhaseAmbiguous,
    /// A counter or time fell.
    CounterRegression,
    /// A counter passed its bound.
    AboveBound,
    /// A field changed that is set only once.
    SetOnceChanged,
    /// A field is not set in a phase that needs it.
    FieldMissing,
    /// Entries are gone.
    HistoryTruncated,
    /// Entries changed.
    HistoryRewritten,
    /// An entry is there more than once.
    HistoryDuplicate,
    /// Sums that should agree do not.
    CountMismatch,
}

impl Reason {
    /// Its name in causes, labels and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::Malformed => "Malformed",
            Reason::PhaseRegression => "PhaseRegression",
            Reason::PhaseSkipped => "PhaseSkipped",
            Reason::PhaseUnknown => "PhaseUnknown",
            Reason::PhaseAmbiguous => "PhaseAmbiguous",
            Reason::CounterRegression => "CounterRegression",
            Reason::AboveBound => "AboveBound",
            Reason::SetOnceChanged => "SetOnceChanged",
            Reason::FieldMissing => "FieldMissing",
            Reason::HistoryTruncated => "HistoryTruncated",
            Reason::HistoryRewritten => "HistoryRewritten",
            Reason::HistoryDuplicate => "HistoryDuplicate",
            Reason::CountMismatch => "CountMismatch",
        }
    }

    /// Whether this follows from another change, so that it does not make a write Invalid
    /// that is Stale by another finding.
    #[must_use]
    pub fn is_consequence(self) -> bool {
        matches!(self, Reason::FieldMissing | Reason::CountMismatch)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// One violated rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which rule, and how.
    pub reason: Reason,
    /// How it can be explained.
    pub class: Class,
    /// Where, e.g. `status.deliveryAttempts[2].error`; indices are of the new list.
    pub field: String,
    /// The old value as JSON, cut when long, `[redacted]` when the policy says so.
    pub old: String,
    /// The new value, likewise.
    pub new: String,
    /// What happened at the field.
    pub what: String,
}

impl Finding {
    /// What happened and what to do; stands on its own next to the field.
    #[must_use]
    pub fn message(&self) -> String {
        format!("{}; {}", self.what, self.class.advice())
    }
}

/// A rule not held against a write, because the old status broke it already.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Waiver {
    /// The reason that its finding would have had.
    pub reason: Reason,
    /// Where.
    pub field: String,
}

/// What the rules say about one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Verdict {
    /// Nothing is held against it.
    Allow,
    /// Allowed, though a rule stays broken as it was.
    Repair,
    /// Explained by an older base.
    Stale,
    /// Legal from no base.
    Invalid,
}

impl Verdict {
    /// Its name, as output and test files spell it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Allow => "Allow",
            Verdict::Repair => "Repair",
            Verdict::Stale => "Stale",
            Verdict::Invalid => "Invalid",
        }
    }

    /// The class of a verdict that refuses.
    #[must_use]
    pub fn class(self) -> Option<Class> {
        match self {
            Verdict::Stale => Some(Class::Stale),
            Verdict::Invalid => Some(Class::Invalid),
            Verdict::Allow | Verdict::Repair => None,
        }
    }
}

/// The verdict on one write, with its grounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What the rules say, before mode, exemptions and R11.
    pub verdict: Verdict,
    /// Violated rules, the first [`crate::MAX_FINDINGS`] of them.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub more: usize,
    /// Rules that were waived, bounded likewise.
    pub waivers: Vec<Waiver>,
    /// The reasons of all findings and waivers, also of those beyond the bound; each once, in no order.
    pub reasons: Vec<Reason>,
    /// Whether a refusal is softened to a warning, because the object is being deleted (R11).
    pub softened: bool,
}

impl Judgement {
    pub(crate) fn allow() -> Self {
        let (findings, waivers, reasons) = (Vec::new(), Vec::new(), Vec::new());
        Self { verdict: Verdict::Allow, findings, more: 0, waivers, reasons, softened: false }
    }

    /// Notes the reason of a finding or a waiver.
    pub(crate) fn note(&mut self, reason: Reason) {
        if !self.reasons.contains(&reason) {
            self.reasons.push(reason);
        }
    }

    /// The class of the refusal that the rules ask for; `None` when the write may pass.
    #[must_use]
    pub fn refusal(&self) -> Option<Class> {
        if self.softened { None } else { self.verdict.class() }
    }

    /// One sentence for a person: what was refused, why, and what to do.
    #[must_use]
    pub fn summary(&self, object: &str) -> String {
        let grounds: Vec<String> =
            self.findings.iter().map(|finding| format!("{} {}", finding.field, finding.what)).collect();
        let grounds = grounds.join(", ");
        let more = if self.more > 0 { format!(" (and {} more)", self.more) } else { String::new() };
        match self.verdict.class() {
            Some(Class::Stale) => format!(
                "stale status write to {object} refused: {grounds}{more}. It was decided on an older state of the object: read it again and decide again."
            ),
            Some(Class::Invalid) => format!(
                "status write to {object} refused: {grounds}{more}. No older state of the object explains this, so it can never be legal: the writer is wrong, or the policy is."
            ),
            None => format!("status write to {object} allowed"),
        }
    }
}
