//! The result of judging one write: verdict, findings and waivers.

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

/// A verb that the API server does not send.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not an operation; expected CREATE, UPDATE, DELETE or CONNECT")]
pub struct UnknownOperation(String);

/// Which state of the object explains a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Class {
    /// An older one: the write is answered with `409 Conflict`.
    Stale,
    /// None: the write is answered with `422 Unprocessable Entity`, reason `Invalid`.
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
}

/// Which rule a write violates, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Reason {
    /// A value of the wrong type.
    Malformed,
    /// The phase went back to an earlier one.
    PhaseRegression,
    /// No transition leads there.
    PhaseSkipped,
    /// A phase that the policy does not know.
    PhaseUnknown,
    /// Conditions that name several phases.
    PhaseAmbiguous,
    /// A counter or time decreased.
    CounterRegression,
    /// A counter is above its bound.
    AboveBound,
    /// A field changed that may be set only once.
    SetOnceChanged,
    /// A field is not set in a phase that requires it.
    FieldMissing,
    /// Entries are missing.
    HistoryTruncated,
    /// Entries changed.
    HistoryRewritten,
    /// An entry occurs more than once.
    HistoryDuplicate,
    /// Two sums differ that should be equal.
    CountMismatch,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Malformed,
        Self::PhaseRegression,
        Self::PhaseSkipped,
        Self::PhaseUnknown,
        Self::PhaseAmbiguous,
        Self::CounterRegression,
        Self::AboveBound,
        Self::SetOnceChanged,
        Self::FieldMissing,
        Self::HistoryTruncated,
        Self::HistoryRewritten,
        Self::HistoryDuplicate,
        Self::CountMismatch,
    ];

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

    /// Whether such a finding follows from another change. A consequence does not make a write Invalid that another
    /// finding makes Stale.
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
    /// Which state of the object explains it.
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

/// A violation that is not held against a write, because the old status already violated the rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Waiver {
    /// The reason that its finding would have had.
    pub reason: Reason,
    /// Where.
    pub field: String,
}

/// The verdict of the rules on one write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Verdict {
    /// No rule is violated.
    Allow,
    /// Allowed: only rules are violated that the old status already violated.
    Repair,
    /// An older state of the object explains the write.
    Stale,
    /// No state of the object explains the write.
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

/// The verdict on one write, with its findings and waivers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict of the rules, before mode, exemptions and R11 are applied.
    pub verdict: Verdict,
    /// Violated rules, the first [`crate::MAX_FINDINGS`] of them.
    pub findings: Vec<Finding>,
    /// The number of further findings.
    pub more: usize,
    /// Waived violations, at most as many.
    pub waivers: Vec<Waiver>,
    /// The reasons of all findings and waivers, including those that are not listed; each once, in any order.
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

    /// The class of the refusal; `None` when the write is allowed.
    #[must_use]
    pub fn refusal(&self) -> Option<Class> {
        if self.softened { None } else { self.verdict.class() }
    }
}
