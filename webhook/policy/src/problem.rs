//! What is wrong with a policy document.

use std::fmt;

/// How bad a problem of a policy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The policy does not compile.
    Error,
    /// The policy compiles, but probably does not say what its author meant.
    Warning,
}

/// One problem of a policy document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it prevents the policy from compiling.
    pub severity: Severity,
    /// Where in the document, e.g. `spec.phases[0].transitions[0].from`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// How to correct it.
    pub hint: String,
    /// Whether the name of the member at `path` is wrong, and not its value.
    pub of_key: bool,
}

impl Problem {
    /// A problem of the value at a path.
    pub fn new(
        severity: Severity,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { severity, path: path.into(), message: message.into(), hint: hint.into(), of_key: false }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(out, "{severity}: {}: {}; {}", self.path, self.message, self.hint)
    }
}
