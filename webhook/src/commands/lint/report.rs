//! How problems of policies are printed.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use statusguard_policy::{Problem, Severity};

use crate::args::LintFormat;
use crate::document::{self, Position};
use crate::output::{self, counted};

/// What lint found.
#[derive(Default, Serialize)]
pub struct LintReport {
    /// Documents that were compiled.
    pub policies: usize,
    problems: Vec<LintLine>,
}

/// One problem.
#[derive(Serialize)]
pub struct LintLine {
    file: String,
    /// Which document of the file, from 1, when it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<usize>,
    #[serde(serialize_with = "severity")]
    severity: Severity,
    path: String,
    message: String,
    hint: String,
}

fn severity<S: serde::Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(word(*severity))
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

impl LintLine {
    /// A problem of a document.
    pub fn new(file: &Path, document: Option<usize>, position: Option<Position>, problem: &Problem) -> Self {
        let Problem { severity, path, message, hint, of_key: _ } = problem.clone();
        let (line, column) = (position.map(|at| at.line), position.map(|at| at.column));
        Self { file: file.display().to_string(), document, line, column, severity, path, message, hint }
    }

    /// A problem of a whole file or folder.
    pub fn of_file(file: &Path, path: &str, error: &document::Error) -> Self {
        let (message, hint) = error.parts();
        Self::new(file, None, error.position(), &Problem::new(Severity::Error, path, message, hint))
    }

    /// The file, as far as known with line and column.
    fn place(&self) -> String {
        let place = [self.line, self.column].into_iter().flatten().map(|number| format!(":{number}"));
        [self.file.clone()].into_iter().chain(place).collect()
    }

    /// As a workflow command of GitHub Actions.
    fn annotation(&self) -> String {
        let file = self.file.strip_prefix("./").unwrap_or(&self.file);
        let mut properties = format!("file={}", property(file));
        for (name, number) in [("line", self.line), ("col", self.column)] {
            // Writing to a string does not fail.
            let _ = number.map(|number| write!(properties, ",{name}={number}"));
        }
        let title = if self.path.is_empty() { "StatusPolicy" } else { &self.path };
        let message = data(&format!("{}\n{}", self.message, self.hint));
        format!("::{} {properties},title={}::{message}\n", word(self.severity), property(title))
    }
}

/// Escapes the message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes the value of a workflow command's property.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

impl LintReport {
    /// Adds a problem.
    pub fn add(&mut self, line: LintLine) {
        self.problems.push(line);
    }

    /// How many problems are this severe.
    pub fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|line| line.severity == severity).count()
    }

    /// Prints all problems.
    pub fn print(&self, format: LintFormat) -> anyhow::Result<()> {
        let shown: String = match format {
            LintFormat::Json => return output::print_json(self),
            LintFormat::Table => self.problems.iter().map(ToString::to_string).collect(),
            LintFormat::Github => self.problems.iter().map(LintLine::annotation).collect(),
        };
        let policies = counted(self.policies, "policy", "policies");
        let errors = counted(self.count(Severity::Error), "error", "errors");
        let warnings = counted(self.count(Severity::Warning), "warning", "warnings");
        output::print(&format!("{shown}{policies}, {errors}, {warnings}\n"))
    }
}

/// As the table shows it.
impl std::fmt::Display for LintLine {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let style = if self.severity == Severity::Error { output::FAIL } else { output::WARN };
        let severity = output::painted(style, word(self.severity));
        let path = if self.path.is_empty() { String::new() } else { format!("{}: ", self.path) };
        writeln!(out, "{}: {severity}: {path}{}\n    {}", self.place(), self.message, self.hint)
    }
}
