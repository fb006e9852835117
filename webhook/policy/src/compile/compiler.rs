//! What all parts of compiling share: the problems found so far, and paths.

use crate::graph::Graph;
use crate::path::Path;
use crate::problem::{Problem, Severity};

#[derive(Default)]
pub(super) struct Compiler {
    pub(super) problems: Vec<Problem>,
    /// Where the document could not be read. That is reported; what only follows from it is not.
    pub(super) unread: Vec<String>,
    /// The root's graph, which `resets` name the phases of.
    pub(super) root: Option<Graph>,
}

/// Whether paths are relative to an item.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum PathScope {
    Root,
    Item,
}

impl Compiler {
    pub(super) fn report(
        &mut self,
        severity: Severity,
        path: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let path = path.into();
        if !self.unread(&path) {
            self.problems.push(Problem { severity, path, message: message.into(), hint: hint.into() });
        }
    }

    pub(super) fn error(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Error, path, message, hint);
    }

    pub(super) fn warning(&mut self, path: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) {
        self.report(Severity::Warning, path, message, hint);
    }

    pub(super) fn path(&mut self, text: &str, scope: PathScope, at: &str) -> Option<Path> {
        let parsed = match scope {
            PathScope::Root => Path::parse_status(text),
            PathScope::Item => Path::parse(text, true),
        };
        parsed.map_err(|reason| self.error(at, format!("bad path `{text}`"), reason)).ok()
    }

    /// Whether a place, or something around it, could not be read.
    pub(super) fn unread(&self, path: &str) -> bool {
        self.unread.iter().any(|unread| is_below(path, unread))
    }

    /// Whether a place, or something around it or inside, could not be read.
    pub(super) fn unread_below(&self, path: &str) -> bool {
        self.unread(path) || self.unread.iter().any(|unread| is_below(unread, path))
    }

    /// Whether phases or edges of the `phase` at a path could not be read.
    pub(super) fn unread_phases(&self, at: &str) -> bool {
        let parts = ["states", "initial", "transitions", "final", "skip"];
        self.unread(at) || parts.iter().any(|part| self.unread_below(&format!("{at}.{part}")))
    }
}

/// Whether a path is another one or lies below it.
fn is_below(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}
