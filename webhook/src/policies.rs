//! Policies from files.

use std::path::Path;

use serde_json::Value as Json;
use statusguard_policy::spec::{GROUP, KIND};
use statusguard_policy::{Policy, Value};

use crate::document;

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
    /// Of a file's documents. What cannot be read at all may be a policy.
    #[must_use]
    pub fn of(documents: &Result<Vec<Value<'static>>, document::Error>) -> Self {
        let Ok(documents) = documents else { return Self::Policies };
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

/// The documents of a file, to be compiled.
///
/// # Errors
/// When there is none.
pub fn to_json(file: &Path, documents: &[Value<'_>]) -> Result<Vec<Json>, document::Error> {
    if documents.is_empty() {
        return Err(document::Error::unfit(file, "the file is empty", "write a StatusPolicy"));
    }
    let unfit = |error: serde_json::Error| document::Error::unfit(file, error.to_string(), "write a StatusPolicy");
    documents.iter().map(|document| document::json(document).map_err(unfit)).collect()
}

/// The only policy of a file.
///
/// # Errors
/// When the file cannot be read or parsed, when there is not exactly one policy in it, or it does not compile.
pub fn load_one(file: &Path) -> Result<Policy, document::Error> {
    let documents = to_json(file, &document::read(file)?)?;
    let [document] = &*documents else {
        let reason = format!("the file holds {} policies", documents.len());
        return Err(document::Error::unfit(file, reason, "it should hold one"));
    };
    Policy::compile(document).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
        let reason = format!("the policy does not compile:{}", lines.concat());
        document::Error::unfit(file, reason, "run `statusguard policy lint`")
    })
}
