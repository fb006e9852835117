//! `statusguard policy lint`: every problem of every policy, with its place in the file.

mod report;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use statusguard_policy::spec::KIND;
use statusguard_policy::{Policy, Problem, Severity};

use crate::args::LintArgs;
use crate::document::{self, DuplicateKey, SourceMap};
use crate::exit::Exit;
use crate::{output, policies};

use self::report::{LintLine, LintReport};
use super::crd::Crds;

/// Compiles all policies of all files and prints their problems.
pub fn run(args: &LintArgs) -> anyhow::Result<Exit> {
    let LintArgs { files, crd, strict, output } = args;
    let crds = if crd.is_empty() { None } else { Some(Crds::read_all(crd)?) };
    let mut lint = Lint { crds, report: LintReport::default(), names: HashMap::new(), seen: HashSet::new() };
    for name in files {
        lint.file_or_folder(name);
    }
    lint.report.print(*output)?;
    let failed = lint.report.count(Severity::Error) > 0 || (*strict && lint.report.count(Severity::Warning) > 0);
    Ok(if failed { Exit::Failure } else { Exit::Success })
}

struct Lint {
    crds: Option<Crds>,
    report: LintReport,
    /// Where each policy is, by its name.
    names: HashMap<String, String>,
    /// Files that were read, so that one which is named twice is not taken for two.
    seen: HashSet<PathBuf>,
}

impl Lint {
    fn file_or_folder(&mut self, name: &Path) {
        let mut found = false;
        let files = document::files(name, true).unwrap_or_else(|error| {
            self.report.add(LintLine::of_file(name, "(the folder)", &error));
            found = true;
            Vec::new()
        });
        for file in files {
            let again = file.canonicalize().is_ok_and(|file| !self.seen.insert(file));
            found |= again || self.file(&file, name.is_dir());
        }
        if !found {
            let error = document::Error::unfit(name, "no policy in it", "name a folder with StatusPolicies");
            self.report.add(LintLine::of_file(name, "(the folder)", &error));
        }
    }

    /// Whether there was something to lint. A folder may hold tests beside the policies, and other things.
    fn file(&mut self, file: &Path, of_folder: bool) -> bool {
        let content = document::content(file);
        let documents = content.as_ref().map(|content| document::documents(file, content));
        let (content, documents) = match (&content, documents) {
            (Ok(content), Ok(documents)) => (content, documents),
            (Err(error), _) | (_, Err(error)) => {
                self.report.add(LintLine::of_file(file, "(the file)", error));
                return true;
            }
        };
        if of_folder && !is_policy_file(file, policies::Content::of(&documents)) {
            return false;
        }
        match documents.and_then(|documents| policies::to_json(file, &documents)) {
            Ok(documents) => self.documents(file, document::text(file, content).unwrap_or_default(), &documents),
            Err(error) => self.report.add(LintLine::of_file(file, "(the file)", &error)),
        }
        true
    }

    fn documents(&mut self, file: &Path, text: &str, documents: &[Json]) {
        self.report.policies += documents.len();
        let found: Vec<Vec<Problem>> = documents.iter().map(|document| self.problems(document)).collect();
        let mut wanted: Vec<(usize, &str)> = Vec::new();
        for (index, problems) in found.iter().enumerate() {
            wanted.extend(problems.iter().map(|problem| (index, problem.path.as_str())).chain([(index, NAME)]));
        }
        let places = SourceMap::new(text, wanted);
        for (index, (document, mut problems)) in documents.iter().zip(found).enumerate() {
            let number = (documents.len() > 1).then_some(index + 1);
            // Of YAML such a file could not be read at all.
            for duplicate in places.duplicates.iter().filter(|duplicate| duplicate.document == index) {
                self.report.add(LintLine::new(file, number, Some(duplicate.second), &duplicate_key(duplicate)));
            }
            problems.extend(self.same_policy(file, document, &places, index));
            for problem in &problems {
                let position = places.at(index, &problem.path, problem.of_key);
                self.report.add(LintLine::new(file, number, position, problem));
            }
        }
    }

    /// All problems of a policy, also those that only its CRD shows.
    fn problems(&self, document: &Json) -> Vec<Problem> {
        let crd = self.crds.as_ref().filter(|_| document["kind"] == KIND).map(|crds| crds.of_target(document));
        let (crd, said) = crd.unwrap_or_default();
        let compiled = Policy::compile_for(document, crd);
        let mut problems = compiled.map_or_else(|problems| problems, |policy| policy.warnings().to_vec());
        problems.extend(said);
        problems
    }

    /// Remembers the name of a policy; a problem if another has it.
    fn same_policy(&mut self, file: &Path, document: &Json, places: &SourceMap, index: usize) -> Option<Problem> {
        let name = document["metadata"]["name"].as_str().filter(|_| document["kind"] == KIND)?;
        let position = places.at(index, NAME, false).map(|at| format!(":{}:{}", at.line, at.column));
        let place = format!("{}{}", file.display(), position.unwrap_or_default());
        let Some(first) = self.names.get(name) else {
            self.names.insert(name.into(), place);
            return None;
        };
        let message = format!("`{name}` is already the policy at {first}");
        Some(Problem::new(Severity::Error, NAME, message, "merge the two: there is one policy per resource"))
    }
}

/// Where the name of a policy is.
const NAME: &str = "metadata.name";

fn duplicate_key(duplicate: &DuplicateKey) -> Problem {
    let DuplicateKey { path, first, .. } = duplicate;
    let message = format!("duplicate key, which line {} has already", first.line);
    Problem::new(Severity::Error, path.as_str(), message, "remove one of the two")
}

/// Whether a file of a folder is to be linted; what is neither a policy nor a test file is named.
fn is_policy_file(file: &Path, content: policies::Content) -> bool {
    if content == policies::Content::Other {
        output::remark(&format!("{} does not hold a StatusPolicy; skipped", file.display()));
    }
    content == policies::Content::Policies
}
