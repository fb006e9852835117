//! `statusguard policy lint`: every problem of every policy.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;
use statusguard_policy::{Policy, Problem, Severity};

use crate::args::Output;
use crate::{Exit, document, policies};

use super::crd::Crds;

#[derive(Serialize)]
struct Line {
    file: String,
    severity: &'static str,
    path: String,
    message: String,
    cure: String,
}

impl Line {
    fn new(file: &Path, problem: &Problem) -> Self {
        Self {
            file: file.display().to_string(),
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            path: problem.path.clone(),
            message: problem.message.clone(),
            cure: problem.cure.clone(),
        }
    }
}

/// Compiles all policies of all files and prints their problems.
pub fn run(names: &[PathBuf], crd: Option<&Path>, output: Output) -> anyhow::Result<Exit> {
    let crds = crd.map(Crds::read).transpose()?;
    let mut lines = Vec::new();
    let mut policies = 0;
    for name in names {
        let before = policies + lines.len();
        for file in document::files(name, true)? {
            // A folder may hold tests beside the policies, and other things.
            if name.is_dir() && !is_policy_file(&file) {
                continue;
            }
            let documents = match policies::documents(&file) {
                Ok(documents) => documents,
                Err(error) => {
                    let (message, cure) = error.parts();
                    let (file, path) = (file.display().to_string(), "(the file)".into());
                    lines.push(Line { file, severity: "error", path, message, cure });
                    continue;
                }
            };
            policies += documents.len();
            for document in &documents {
                lines.extend(problems(document, crds.as_ref()).iter().map(|problem| Line::new(&file, problem)));
            }
        }
        if policies + lines.len() == before {
            return Err(document::Error::unfit(name, "no policy in it", "name a folder with StatusPolicies").into());
        }
    }
    let errors = lines.iter().filter(|line| line.severity == "error").count();
    match output {
        Output::Json => {
            println!("{}", serde_json::to_string(&serde_json::json!({ "policies": policies, "problems": lines }))?)
        }
        Output::Table => {
            for Line { file, severity, path, message, cure } in &lines {
                let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
                println!("{file}: {severity}: {at}{message}\n    {cure}");
            }
            println!("{policies} policies, {errors} errors, {} warnings", lines.len() - errors);
        }
    }
    Ok(if errors > 0 { Exit::Failure } else { Exit::Success })
}

/// All problems of a policy, also those that only its CRD shows.
fn problems(document: &Json, crds: Option<&Crds>) -> Vec<Problem> {
    let (schema, unmatched) = match crds.map(|crds| crds.schema_of(document)) {
        None => (None, None),
        Some(Ok(schema)) => (Some(schema), None),
        Some(Err(problem)) => (None, Some(problem)),
    };
    let compiled = Policy::compile_for(document, schema);
    let mut problems = compiled.map_or_else(|problems| problems, |policy| policy.warnings().to_vec());
    problems.extend(unmatched);
    problems
}

/// Whether a file of a folder is to be linted; what is neither a policy nor a test file is named.
fn is_policy_file(file: &Path) -> bool {
    let content = policies::Content::of(file);
    if content == policies::Content::Other {
        eprintln!("statusguard: {} holds no StatusPolicy; skipped", file.display());
    }
    content == policies::Content::Policies
}
