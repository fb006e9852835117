//! What becomes of a write.

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
