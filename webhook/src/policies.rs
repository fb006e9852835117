//! Policies from files.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use statusguard_policy::spec::{GROUP, KIND};
use statusguard_policy::{Policy, Problem, Value};

use crate::document;

/// A policy document that was compiled, or not.
#[derive(Debug)]
pub struct Loaded {
    /// The file it came from.
    pub file: PathBuf,
    /// The policy with its warnings, or all problems.
    pub result: Result<Policy, Vec<Problem>>,
}

/// What a file in a folder holds: policies, their tests and other things may lie side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// A StatusPolicy, by its kind or its group; or what cannot be read at all and so may be one.
    Policies,
    /// Policy tests: a document that names a policy, or has a case with a verdict to expect.
    Tests,
    /// Anything else.
    Other,
}

impl Content {
    /// Of one file.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        let Ok(documents) = document::read(file) else { return Self::Policies };
        let text = |document: &Value<'_>, key: &str| match document.get(key) {
            Value::String(text) => text.to_string(),
            _ => String::new(),
        };
        let is_policy = |document: &Value<'_>| {
            text(document, "kind") == KIND || text(document, "apiVersion").split('/').next() == Some(GROUP)
        };
        let is_test = |document: &Value<'_>| match document.get("cases") {
            _ if !text(document, "apiVersion").is_empty() => false,
            _ if *document.get("policy") != Value::Null => true,
            Value::List(cases) => cases.iter().any(|case| *case.get("expect") != Value::Null),
            _ => false,
        };
        if documents.iter().any(is_policy) {
            Self::Policies
        } else if documents.iter().any(is_test) {
            Self::Tests
        } else {
            Self::Other
        }
    }
}

/// Every document of a file, to be compiled.
///
/// # Errors
/// When the file cannot be read or parsed, or is empty.
pub fn documents(file: &Path) -> Result<Vec<Json>, document::Error> {
    let documents = document::read(file)?;
    if documents.is_empty() {
        return Err(document::Error::unfit(file, "the file is empty", "write a StatusPolicy"));
    }
    let unfit = |error: serde_json::Error| document::Error::unfit(file, error.to_string(), "write a StatusPolicy");
    documents.iter().map(|document| document::json(document).map_err(unfit)).collect()
}

/// Reads and compiles every document of a file.
///
/// # Errors
/// As [`documents`].
pub fn load(file: &Path) -> Result<Vec<Loaded>, document::Error> {
    let documents = documents(file)?;
    Ok(documents.iter().map(|json| Loaded { file: file.into(), result: Policy::compile(json) }).collect())
}

/// The only policy of a file.
///
/// # Errors
/// As [`load`], and when there is not exactly one or it does not compile.
pub fn load_one(file: &Path) -> Result<Policy, document::Error> {
    let mut loaded = load(file)?;
    if loaded.len() > 1 {
        let reason = format!("the file holds {} policies", loaded.len());
        return Err(document::Error::unfit(file, reason, "it should hold one"));
    }
    let problems = match loaded.pop().map(|loaded| loaded.result) {
        Some(Ok(policy)) => return Ok(policy),
        Some(Err(problems)) => problems,
        None => Vec::new(),
    };
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let reason = format!("the policy does not compile:{}", lines.concat());
    Err(document::Error::unfit(file, reason, "run `statusguard policy lint`"))
}
