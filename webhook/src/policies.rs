//! Policies from files.

use std::path::{Path, PathBuf};

use statusguard_policy::{Policy, Problem};

use crate::document;

/// A policy document that was compiled, or not.
#[derive(Debug)]
pub struct Loaded {
    /// The file it came from.
    pub file: PathBuf,
    /// The policy with its warnings, or all problems.
    pub result: Result<Policy, Vec<Problem>>,
}

/// Reads and compiles every document of a file.
///
/// # Errors
/// When the file cannot be read or parsed.
pub fn load(file: &Path, schema: Option<&serde_json::Value>) -> Result<Vec<Loaded>, document::Error> {
    let mut loaded = Vec::new();
    for document in document::read(file)? {
        let json = document::json(&document)
            .map_err(|error| document::Error::unfit(file, error.to_string(), "write a StatusPolicy"))?;
        loaded.push(Loaded { file: file.into(), result: Policy::compile_for(&json, schema) });
    }
    if loaded.is_empty() {
        return Err(document::Error::unfit(file, "the file is empty", "write a StatusPolicy"));
    }
    Ok(loaded)
}

/// The only policy of a file.
///
/// # Errors
/// As [`load`], and when there is not exactly one or it does not compile.
pub fn load_one(file: &Path) -> Result<Policy, document::Error> {
    let mut loaded = load(file, None)?;
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
