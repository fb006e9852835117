//! From a `StatusPolicy` document to its compiled form, with every problem named at once.

mod compiler;
mod limits;
mod phase;
mod read;
mod rules;
mod shape;
mod target;
#[cfg(test)]
mod tests;
mod witness;

use serde_json::Value as Json;

use compiler::{Compiler, PathScope};

use crate::path::Path;
use crate::problem::{Problem, Severity};
use crate::rules::Policy;
use crate::spec::StatusPolicySpec;

impl Policy {
    /// Compiles a whole document: `apiVersion`, `kind`, `metadata.name` and `spec`.
    ///
    /// # Errors
    /// All problems of the document, warnings included, when at least one of them is an error.
    pub fn compile(document: &Json) -> Result<Self, Vec<Problem>> {
        Self::compile_for(document, None)
    }

    /// Like [`Policy::compile`], with the OpenAPI schema of the resource: with it, an `order` that is written for a map
    /// is an error.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_for(document: &Json, schema: Option<&Json>) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler::new();
        let policy = if compiler.document_fits(document) {
            compiler.header(document);
            let spec = compiler.spec(document);
            spec.and_then(|spec| policy(&mut compiler, document, spec, schema.unwrap_or(&Json::Null)))
        } else {
            None
        };
        let problems = compiler.into_problems();
        match policy {
            Some(mut policy) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
                policy.warnings = problems;
                Ok(policy)
            }
            _ => Err(problems),
        }
    }
}

fn policy(compiler: &mut Compiler, document: &Json, spec: StatusPolicySpec, schema: &Json) -> Option<Policy> {
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    compiler.target(&name, &spec);
    let redact = spec.redact.iter().enumerate();
    let redact = redact.filter_map(|(index, path)| redact_path(compiler, path, index)).collect();
    let set = spec.rules();
    if !compiler.rules_fit(&set) {
        return None;
    }
    if set.is_empty() && compiler.problems.iter().all(|problem| problem.severity == Severity::Warning) {
        compiler.warning(
            "spec",
            "there is no rule, so every write is allowed",
            "add rules for what its controller guarantees, or remove the policy",
        );
    }
    let rules = compiler.rules(&set, "spec", PathScope::Root, false, schema);
    // A rule that could not be compiled may be the one that guards a witness.
    let kinds = ["spec.monotone", "spec.setOnce", "spec.collections"];
    let compiled = rules.monotone.len() + rules.set_once.len() + rules.collections.len();
    let written = set.monotone.len() + set.set_once.len() + set.collections.len();
    if compiled == written && !kinds.iter().any(|kind| compiler.unread_below(kind)) {
        compiler.witnesses(&set);
    }
    Some(Policy { name, spec, warnings: Vec::new(), redact, resets: compiler.resets, rules })
}

fn redact_path(compiler: &mut Compiler, text: &str, index: usize) -> Option<Path> {
    let parsed = Path::parse_status(text);
    parsed.map_err(|reason| compiler.error(format!("spec.redact[{index}]"), format!("bad path `{text}`"), reason)).ok()
}
