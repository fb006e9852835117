//! `statusguard policy lint`: every problem of every policy.

use std::path::{Path, PathBuf};

use serde::Serialize;
use statusguard_policy::{Problem, Severity};

use crate::args::Output;
use crate::{Exit, document, policies};

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
    let schema = crd.map(super::init::schema_of).transpose()?;
    let mut lines = Vec::new();
    let mut policies = 0;
    for name in names {
        let before = policies + lines.len();
        for file in document::files(name, true)? {
            // A folder may hold tests beside the policies, and other things.
            if name.is_dir() && !is_policy_file(&file) {
                continue;
            }
            let loaded = match policies::load(&file, schema.as_ref()) {
                Ok(loaded) => loaded,
                Err(error) => {
                    let (message, cure) = error.parts();
                    let (file, path) = (file.display().to_string(), "(the file)".into());
                    lines.push(Line { file, severity: "error", path, message, cure });
                    continue;
                }
            };
            for policy in &loaded {
                policies += 1;
                let problems = match &policy.result {
                    Ok(policy) => policy.warnings(),
                    Err(problems) => problems,
                };
                lines.extend(problems.iter().map(|problem| Line::new(&file, problem)));
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

/// Whether a file of a folder is to be linted; what is neither a policy nor a test file is named.
fn is_policy_file(file: &Path) -> bool {
    let content = policies::Content::of(file);
    if content == policies::Content::Other {
        eprintln!("statusguard: {} holds no StatusPolicy; skipped", file.display());
    }
    content == policies::Content::Policies
}
