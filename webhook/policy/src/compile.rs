//! From a `StatusPolicy` document to its compiled form, with every problem named at once.

mod compiler;
mod crd;
#[cfg(test)]
mod crd_tests;
mod fits;
mod keys;
mod limits;
mod phase;
mod phase_names;
mod read;
mod rules;
mod schema;
mod shape;
mod target;
#[cfg(test)]
mod tests;
mod witness;

use serde_json::Value as Json;

use compiler::Compiler;

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

    /// Like [`Policy::compile`], with the CustomResourceDefinition (`apiextensions.k8s.io/v1`) of the target: what the
    /// target or a rule says of versions, subresources, fields, types, phases and list keys has to fit it.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_for(document: &Json, crd: Option<&Json>) -> Result<Self, Vec<Problem>> {
        Self::compile_with(Compiler::new(), document, crd)
    }

    /// Like [`Policy::compile`], for the guard's own kind, which no other policy may guard. The guard calls itself by it, to
    /// see that its refusals arrive.
    ///
    /// # Errors
    /// As [`Policy::compile`].
    pub fn compile_own(document: &Json) -> Result<Self, Vec<Problem>> {
        let mut compiler = Compiler::new();
        compiler.own = true;
        Self::compile_with(compiler, document, None)
    }

    fn compile_with<'c>(
        mut compiler: Compiler<'c>,
        document: &Json,
        crd: Option<&'c Json>,
    ) -> Result<Self, Vec<Problem>> {
        let policy = if compiler.may_be_policy(document) && compiler.document_fits(document) {
            compiler.header(document);
            let spec = compiler.spec(document);
            spec.and_then(|spec| policy(&mut compiler, document, spec, crd))
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

fn policy<'c>(
    compiler: &mut Compiler<'c>,
    document: &Json,
    spec: StatusPolicySpec,
    crd: Option<&'c Json>,
) -> Option<Policy> {
    let name = document["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    compiler.target(&name, &spec, crd);
    if let Some(crd) = crd {
        compiler.status = compiler.definition(&spec.target, crd);
    }
    let scope = compiler.root_scope();
    let redact = spec.redact.iter().enumerate();
    let redact =
        redact.filter_map(|(index, path)| compiler.path(path, scope, &format!("spec.redact[{index}]"))).collect();
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
    let rules = compiler.rules(&set, "spec", scope);
    // A rule that could not be compiled may be the one that guards a witness.
    let kinds = ["spec.monotone", "spec.setOnce", "spec.collections"];
    let compiled = rules.monotone.len() + rules.set_once.len() + rules.collections.len();
    let written = set.monotone.len() + set.set_once.len() + set.collections.len();
    if compiled == written && !kinds.iter().any(|kind| compiler.unread_below(kind)) {
        compiler.witnesses(&set);
    }
    Some(Policy { name, spec, warnings: Vec::new(), redact, resets: compiler.resets, rules })
}
