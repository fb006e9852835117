//! What Rust sources define and use, read line by line: they are formatted by rustfmt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The Rust files below `folder`, without what was built there and without folders that `skip` names.
pub fn rust_files(folder: &Path, skip: impl Fn(&Path) -> bool + Copy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if !skip(&path) && !path.ends_with("target") {
                found.extend(rust_files(&path, skip));
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// Names of the structs, enums, unions, traits and type aliases of a file. Associated types are not among them.
pub fn defined_types(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for line in text.lines() {
        let mut words = line.trim_start().split(' ').skip_while(|word| word.starts_with("pub") || *word == "unsafe");
        let defines = match words.next() {
            Some("struct" | "enum" | "union" | "trait") => true,
            // An alias inside of a block is an associated type.
            Some("type") => !line.starts_with(' '),
            _ => false,
        };
        let Some(name) = words.next().filter(|_| defines) else { continue };
        let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
        if name.starts_with(|c: char| c.is_ascii_uppercase()) {
            names.push(name.to_owned());
        }
    }
    names
}

/// The modules of one crate: path (`judge::phase`, empty for the root) → text without tests and comments.
pub struct Modules(BTreeMap<String, String>);

impl Modules {
    /// Reads a crate's `src`.
    pub fn read(src: &Path) -> Self {
        let texts = rust_files(src, |_| false).into_iter().map(|file| {
            let path = file.strip_prefix(src).unwrap().with_extension("");
            let parts = path.iter().map(|part| part.to_str().unwrap());
            let parts: Vec<&str> = parts.filter(|part| !["lib", "mod"].contains(part)).collect();
            (parts.join("::"), fs::read_to_string(&file).unwrap())
        });
        Self::from_texts(texts.collect::<Vec<_>>().iter().map(|(path, text)| (path.as_str(), text.as_str())))
    }

    /// From texts by module path. Modules that are declared under `#[cfg(test)]` are left out, with all below them.
    pub fn from_texts<'a>(texts: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests = Vec::new();
        for (path, text) in texts {
            let code: String = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"))
                .map(|line| format!("{line}\n"))
                .collect();
            let mut parts = code.split("#[cfg(test)]\n");
            let mut kept = parts.next().unwrap_or_default().to_owned();
            for part in parts {
                let (item, rest) = part.split_once('\n').unwrap_or((part, ""));
                match item.trim_start_matches("pub(crate) ").strip_prefix("mod ").map(|rest| rest.split_once(';')) {
                    // In a file of its own.
                    Some(Some((name, _))) => tests.push(join(path, name)),
                    // To the end of its block, which rustfmt puts at the same indentation.
                    _ => {
                        let rest = rest.split_once("\n}\n").map_or("", |(_, rest)| rest);
                        kept.push_str(rest);
                        continue;
                    }
                }
                kept.push_str(rest);
            }
            modules.insert(path.to_owned(), kept);
        }
        modules.retain(|path, _| !tests.iter().any(|test| path == test || path.starts_with(&format!("{test}::"))));
        Self(modules)
    }

    /// Module → the modules it uses, by paths that begin with `crate` or `super` and by `use child::…`. What the root
    /// re-exports counts as a use of the module that defines it; the root itself is nobody's dependency.
    pub fn uses(&self) -> BTreeMap<String, BTreeSet<String>> {
        let exported = self.exported_by_root();
        let mut uses = BTreeMap::new();
        for (module, text) in &self.0 {
            let mut used = BTreeSet::new();
            for path in paths(text) {
                let full = absolute(module, &path);
                let target = match self.longest_module(&full) {
                    "" => exported.get(full.split("::").next().unwrap()).map_or("", String::as_str),
                    found => found,
                };
                if !target.is_empty() && target != module {
                    used.insert(target.to_owned());
                }
            }
            if !module.is_empty() {
                uses.insert(module.clone(), used);
            }
        }
        uses
    }

    /// Name → the module that the root re-exports it from.
    fn exported_by_root(&self) -> BTreeMap<String, String> {
        let text = self.0.get("").map_or("", String::as_str);
        let paths = statements(text, "pub use ").into_iter().flat_map(|tree| expand(&tree));
        let exported = paths.filter_map(|path| {
            let (module, name) = path.rsplit_once("::")?;
            Some((name.to_owned(), self.longest_module(module).to_owned()))
        });
        exported.collect()
    }

    /// The module that `path` leads into; the root's empty path if none.
    fn longest_module<'a>(&'a self, path: &str) -> &'a str {
        let mut path = path;
        loop {
            if let Some((found, _)) = self.0.get_key_value(path) {
                return found;
            }
            path = path.rsplit_once("::").map_or("", |(front, _)| front);
        }
    }
}

/// All paths of `text` that may lead to another module of the crate.
fn paths(text: &str) -> Vec<String> {
    let mut found: Vec<String> = statements(text, "use ").iter().flat_map(|tree| expand(tree)).collect();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            if before.is_none_or(|c| !c.is_alphanumeric() && !"_:$".contains(c)) {
                let path: String =
                    text[at..].chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
                found.push(path.trim_end_matches(':').to_owned());
            }
        }
    }
    found
}

/// The rest of every statement that begins a line with `keyword`, up to its semicolon.
fn statements(text: &str, keyword: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(keyword) {
        let line_start = rest[..at].rfind('\n').map_or(0, |newline| newline + 1);
        let is_first = rest[line_start..at].trim().is_empty();
        let (statement, after) = rest[at + keyword.len()..].split_once(';').unwrap_or_default();
        if is_first {
            found.push(statement.split_whitespace().collect());
        }
        rest = if is_first { after } else { &rest[at + keyword.len()..] };
    }
    found
}

/// `a::{B, c::{D, E}}` → `a::B`, `a::c::D`, `a::c::E`.
fn expand(tree: &str) -> Vec<String> {
    let Some((front, inner)) = tree.split_once('{') else { return vec![tree.to_owned()] };
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.extend(expand(&inner[start..at]).into_iter().map(|path| format!("{front}{path}")));
                start = at + 1;
            }
            _ => {}
        }
    }
    found
}

/// `path`, written in `module`, from the root. What begins with another crate's name is taken for a child of `module`,
/// which no module then has.
fn absolute(module: &str, path: &str) -> String {
    let (first, rest) = path.split_once("::").unwrap_or((path, ""));
    match first {
        "crate" => rest.to_owned(),
        "self" => join(module, rest),
        "super" if rest.starts_with("super::") => absolute(parent(module), rest),
        "super" => join(parent(module), rest),
        _ => join(module, path),
    }
}

fn parent(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(parent, _)| parent)
}

fn join(module: &str, path: &str) -> String {
    if module.is_empty() { path.to_owned() } else { format!("{module}::{path}") }
}

/// Groups of modules that need each other.
pub fn circles(uses: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let reach = |from: &str| {
        let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
        while let Some(module) = open.pop() {
            for next in uses.get(module).into_iter().flatten() {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&str, BTreeSet<&str>> = uses.keys().map(|module| (module.as_str(), reach(module))).collect();
    let circle = |module: &str| -> Vec<String> {
        let both = reached[module].iter().filter(|other| reached.get(*other).is_some_and(|back| back.contains(module)));
        both.map(|other| (*other).to_owned()).collect()
    };
    let circles: BTreeSet<Vec<String>> = uses.keys().map(|module| circle(module)).filter(|c| c.len() > 1).collect();
    circles.into_iter().collect()
}
