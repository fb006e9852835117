//! `statusguard policy lint`: every problem of every policy.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;
use statusguard_policy::{Policy, Problem, Severity};

use crate::args::OutputFormat;
use crate::exit::Exit;
use crate::{document, output, policies};

use super::crd::Crds;

#[derive(Serialize)]
struct LintLine {
    file: String,
    /// Which document of the file, from 1, when it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<usize>,
    severity: &'static str,
    path: String,
    message: String,
    hint: String,
}

impl LintLine {
    fn new(file: &Path, document: Option<usize>, problem: &Problem) -> Self {
        Self {
            file: file.display().to_string(),
            document,
            severity: match problem.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            path: problem.path.clone(),
            message: problem.message.clone(),
            hint: problem.hint.clone(),
        }
    }

    /// An error of a whole file or folder.
    fn of_file(file: &Path, path: &str, (message, hint): (String, String)) -> Self {
        let (file, path) = (file.display().to_string(), path.into());
        Self { file, document: None, severity: "error", path, message, hint }
    }
}

/// Compiles all policies of all files and prints their problems.
pub fn run(names: &[PathBuf], crd: Option<&Path>, format: OutputFormat) -> anyhow::Result<Exit> {
    let crds = crd.map(Crds::read).transpose()?;
    let mut lines = Vec::new();
    let mut policies = 0;
    for name in names {
        let before = policies + lines.len();
        let files = document::files(name, true).unwrap_or_else(|error| {
            lines.push(LintLine::of_file(name, "(the folder)", error.parts()));
            Vec::new()
        });
        for file in files {
            let documents = document::read(&file);
            // A folder may hold tests beside the policies, and other things.
            if name.is_dir() && !is_policy_file(&file, policies::Content::of(&documents)) {
                continue;
            }
            let documents = match documents.and_then(|documents| policies::to_json(&file, &documents)) {
                Ok(documents) => documents,
                Err(error) => {
                    lines.push(LintLine::of_file(&file, "(the file)", error.parts()));
                    continue;
                }
            };
            policies += documents.len();
            for (index, document) in documents.iter().enumerate() {
                let number = (documents.len() > 1).then_some(index + 1);
                lines.extend(problems(document, crds.as_ref()).iter().map(|it| LintLine::new(&file, number, it)));
            }
        }
        if policies + lines.len() == before {
            let problem = ("no policy in it".into(), "name a folder with StatusPolicies".into());
            lines.push(LintLine::of_file(name, "(the folder)", problem));
        }
    }
    let errors = lines.iter().filter(|line| line.severity == "error").count();
    match format {
        OutputFormat::Json => {
            output::print_json(&serde_json::json!({ "policies": policies, "problems": lines }))?;
        }
        OutputFormat::Table => {
            let mut text = String::new();
            for LintLine { file, document, severity, path, message, hint } in &lines {
                let at = if path.is_empty() { String::new() } else { format!("{path}: ") };
                let document = document.map(|number| format!(" (document {number})")).unwrap_or_default();
                text.push_str(&format!("{file}{document}: {severity}: {at}{message}\n    {hint}\n"));
            }
            let policies = output::counted(policies, "policy", "policies");
            let warnings = output::counted(lines.len() - errors, "warning", "warnings");
            let errors = output::counted(errors, "error", "errors");
            output::print(&format!("{text}{policies}, {errors}, {warnings}\n"))?;
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
fn is_policy_file(file: &Path, content: policies::Content) -> bool {
    if content == policies::Content::Other {
        output::remark(&format!("{} does not hold a StatusPolicy; skipped", file.display()));
    }
    content == policies::Content::Policies
}
