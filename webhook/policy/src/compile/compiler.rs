//! What all parts of compiling share: the problems found so far, and paths.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::phase_names::PhaseNames;
use super::schema::Schema;
use crate::budget::Budget;
use crate::path::Path;
use crate::problem::{Problem, Severity};

/// Errors and warnings that are listed, each; a document with more is corrected in several rounds.
const MAX_PROBLEMS: usize = 256;

/// Steps of compiling the graphs of a policy.
const MAX_STEPS: u64 = 1 << 28;

pub(super) struct Compiler<'c> {
    pub(super) problems: Vec<Problem>,
    /// How many errors and warnings there are, also of those that are not listed.
    errors: usize,
    warnings: usize,
    pub(super) budget: Budget<'static>,
    /// Steps of the search for phases among which every write is allowed.
    pub(super) searched: Cell<usize>,
    /// Where the document could not be read. That is reported; what only follows from it is not.
    pub(super) unread: BTreeSet<String>,
    /// How many rules have resets.
    pub(super) resets: usize,
    /// The phases of the root's machines, which `resets` name.
    pub(super) root: Arc<PhaseNames>,
    /// What the CRD says of the status, if it is at hand.
    pub(super) status: Schema<'c>,
    /// Whether this is the guard's policy for its own kind.
    pub(super) own: bool,
}

/// What rules speak of: the status, or the entry of a collection.
#[derive(Clone, Copy)]
pub(super) struct RuleScope<'c> {
    pub(super) paths: PathScope,
    /// Whether the entry may go and come back.
    pub(super) returns: bool,
    pub(super) schema: Schema<'c>,
}

impl RuleScope<'_> {
    /// A path as a policy writes it.
    pub(super) fn shown(self, names: &[impl AsRef<str>]) -> String {
        let root = if self.paths == PathScope::Root { ".status" } else { "" };
        let names: String = names.iter().map(|name| format!(".{}", name.as_ref())).collect();
        if root.is_empty() && names.is_empty() { ".".into() } else { format!("{root}{names}") }
    }

    /// As [`RuleScope::shown`]; nothing of a path that cannot be read.
    pub(super) fn shown_path(self, path: Option<&Path>) -> String {
        path.map(|path| self.shown(path.names())).unwrap_or_default()
    }
}

/// Whether paths are relative to an item.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum PathScope {
    Root,
    Item,
}

impl PathScope {
    /// Reads a path.
    pub(super) fn parse(self, text: &str) -> Result<Path, &'static str> {
        match self {
            PathScope::Root => Path::parse_status(text),
            PathScope::Item => Path::parse(text, true),
        }
    }
}

impl<'c> Compiler<'c> {
    pub(super) fn new() -> Self {
        let budget = Budget::new(MAX_STEPS, &|| false);
        Self {
            problems: Vec::new(),
            errors: 0,
            warnings: 0,
            budget,
            searched: Cell::new(0),
            unread: BTreeSet::new(),
            resets: 0,
            root: Arc::default(),
            status: Schema::Open,
            own: false,
        }
    }

    /// The scope of rules for the whole status, and of paths that are always of the whole object.
    pub(super) fn root_scope(&self) -> RuleScope<'c> {
        RuleScope { paths: PathScope::Root, returns: false, schema: self.status }
    }

    fn report(&mut self, problem: Problem) {
        if self.unread(&problem.path) {
            return;
        }
        let count = match problem.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
        };
        *count += 1;
        if *count <= MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    /// All problems, errors first, with a note on those that are not listed.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems;
        for (severity, count) in [(Severity::Error, self.errors), (Severity::Warning, self.warnings)] {
            if count > MAX_PROBLEMS {
                let message = format!("{} more are not listed", count - MAX_PROBLEMS);
                let hint = "correct those that are listed first";
                problems.push(Problem::new(severity, "spec", message, hint));
            }
        }
        problems.sort_by_key(|problem| problem.severity);
        problems
    }

    /// Whether one more error would be listed.
    pub(super) fn lists_errors(&self) -> bool {
        self.errors < MAX_PROBLEMS
    }

    pub(super) fn error(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Problem::new(Severity::Error, path, message, hint));
    }

    /// An error in the name of a member, not in its value.
    pub(super) fn key_error(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Problem { of_key: true, ..Problem::new(Severity::Error, path, message, hint) });
    }

    pub(super) fn warning(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Problem::new(Severity::Warning, path, message, hint));
    }

    /// Reads a path, and reports one that is not a path or that the CRD's schema cannot hold.
    pub(super) fn path(&mut self, text: &str, scope: RuleScope<'c>, at: &str) -> Option<Path> {
        let parsed = scope.paths.parse(text).map_err(|reason| self.error(at, format!("bad path `{text}`"), reason));
        let path = parsed.ok()?;
        self.held(scope, &path, at);
        Some(path)
    }

    /// Whether a place, or something around it, could not be read.
    pub(super) fn unread(&self, path: &str) -> bool {
        let ends = path.bytes().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'[')).map(|(end, _)| end);
        !self.unread.is_empty() && ends.chain([path.len()]).any(|end| self.unread.contains(&path[..end]))
    }

    /// Whether a place, or something around it or inside, could not be read.
    pub(super) fn unread_below(&self, path: &str) -> bool {
        let below = |sign: char| {
            let start = format!("{path}{sign}");
            self.unread.range(start.clone()..).next().is_some_and(|unread| unread.starts_with(&start))
        };
        self.unread(path) || below('.') || below('[')
    }

    /// Whether phases or edges of the machine at a path could not be read.
    pub(super) fn unread_machine(&self, at: &str) -> bool {
        let parts = ["states", "initial", "transitions", "final", "skip"];
        self.unread(at) || parts.iter().any(|part| self.unread_below(&format!("{at}.{part}")))
    }
}
