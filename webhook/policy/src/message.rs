//! The words of a refusal: what happened, what to do, and what it means if that does not help.

use crate::verdict::{Class, Finding, Judgement};

impl Class {
    /// What to do about it.
    fn advice(self) -> &'static str {
        match self {
            Class::Stale => "read the object again and decide again",
            Class::Invalid => "this can never be legal, because no older state of the object explains it",
        }
    }

    /// What it means if that does not help.
    fn otherwise(self) -> &'static str {
        match self {
            Class::Stale => "if a fresh read leads to the same write, the policy is at fault",
            Class::Invalid => "if the controller is right, correct the policy",
        }
    }
}

impl Finding {
    /// What happened, what to do, and what it means if that does not help; complete together with the names of field
    /// and policy.
    #[must_use]
    pub fn message(&self) -> String {
        self.advised(self.class, "")
    }

    /// The message of its cause in a refusal. It stands on its own: of a 422 kubectl prints field and message of each
    /// cause, and nothing else. `repeated`: the same stale write came too often.
    #[must_use]
    pub fn refusal(&self, policy: &str, refused_as: Class, repeated: bool) -> String {
        let note = if repeated { "; repeated too often without doing so" } else { "" };
        // A consequence of what is stale goes with it.
        let class = if refused_as == Class::Stale { Class::Stale } else { self.class };
        format!("refused by StatusPolicy {policy}: {}", self.advised(class, note))
    }

    /// The warning to whoever made a write that was allowed all the same.
    #[must_use]
    pub fn warning(&self, policy: &str) -> String {
        format!("{}: would be refused by StatusPolicy {policy}: {}", self.field, self.message())
    }

    fn advised(&self, class: Class, note: &str) -> String {
        format!("{}; {}{note}; {}", self.what, class.advice(), class.otherwise())
    }
}

impl Judgement {
    /// A text for people: what was refused, why, what to do, and what it means if that does not help. `object` and
    /// `policy` are their names.
    #[must_use]
    pub fn summary(&self, object: &str, policy: &str) -> String {
        let grounds: Vec<String> =
            self.findings.iter().map(|finding| format!("{} {}", finding.field, finding.what)).collect();
        let grounds = grounds.join(", ");
        let more = if self.more > 0 { format!(" (and {} more)", self.more) } else { String::new() };
        match self.verdict.class() {
            Some(Class::Stale) => format!(
                "stale status write to {object} refused: {grounds}{more}. It would be legal on an older state of the \
                 object: read it again and decide again. If a fresh read leads to the same write, the policy is at \
                 fault: StatusPolicy {policy}."
            ),
            Some(Class::Invalid) => format!(
                "status write to {object} refused: {grounds}{more}. This can never be legal, because no older state of \
                 the object explains it. If the controller is right, correct the policy: StatusPolicy {policy}."
            ),
            None => format!("status write to {object} allowed"),
        }
    }
}
