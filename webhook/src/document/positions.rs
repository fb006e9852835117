//! Where values stand in the text of a YAML or JSON file.
//!
//! Objects are read without positions; whoever has something to say of a value walks the text once more, and remembers
//! only the places that were asked for.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle};
use statusguard_policy::MAX_DEPTH;

use super::yaml::{Position, is_null};

/// A key that a mapping has twice.
#[derive(Debug, PartialEq, Eq)]
pub struct DuplicateKey {
    /// Which document of the text, from 0, without empty ones.
    pub document: usize,
    /// The path of the member.
    pub path: String,
    /// Where the key stands first.
    pub first: Position,
    /// Where it stands again.
    pub second: Position,
}

/// The positions of the values that were asked for.
#[derive(Debug, Default)]
pub struct SourceMap {
    /// By document and path: the position of the key, and that of the value unless it has members or items.
    places: HashMap<(usize, String), (Option<Position>, Position)>,
    /// Keys that stand twice in a mapping, in any document.
    pub duplicates: Vec<DuplicateKey>,
}

impl SourceMap {
    /// Finds values in a text, each named by its document and by its path, such as `spec.monotone[0].path`. What follows a
    /// mistake in the text is not found.
    #[must_use]
    pub fn new<'p>(text: &str, wanted: impl IntoIterator<Item = (usize, &'p str)>) -> Self {
        let wanted = wanted.into_iter().flat_map(|(document, path)| prefixes(path).map(move |path| (document, path)));
        let mut walk = PathSearch {
            parser: Parser::new_from_str(text),
            wanted: wanted.collect(),
            document: 0,
            path: String::new(),
            map: Self::default(),
        };
        // `None` only says where the walk ended.
        let _ = walk.stream();
        walk.map
    }

    /// The position of a value; of its key, if `of_key` or if the value has parts of its own. Of a path that leads to
    /// nothing the position of what is nearest around it.
    #[must_use]
    pub fn at(&self, document: usize, path: &str, of_key: bool) -> Option<Position> {
        let mut found = prefixes(path).filter_map(|prefix| {
            let (key, value) = self.places.get(&(document, prefix.to_owned()))?;
            Some(if of_key && prefix.len() == path.len() { key.unwrap_or(*value) } else { *value })
        });
        found.next()
    }
}

/// A path and all that is around it, from the inside out.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let ends = path.bytes().enumerate().rev().filter(|(_, byte)| matches!(byte, b'.' | b'[')).map(|(end, _)| end);
    let root = (!path.is_empty()).then_some(0);
    let mut seen_root = false;
    [path.len()].into_iter().chain(ends).chain(root).filter_map(move |end| {
        let again = end == 0 && std::mem::replace(&mut seen_root, end == 0);
        (!again).then_some(&path[..end])
    })
}

struct PathSearch<'t, 'p> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    wanted: HashSet<(usize, &'p str)>,
    document: usize,
    path: String,
    map: SourceMap,
}

impl<'t> PathSearch<'t, '_> {
    fn next(&mut self) -> Option<(Event<'t>, Position)> {
        loop {
            match self.parser.next_event()?.ok()? {
                (Event::Comment(..) | Event::Anchor(..), _) => {}
                (event, span) => return Some((event, span.start.into())),
            }
        }
    }

    fn stream(&mut self) -> Option<()> {
        loop {
            if let (Event::DocumentStart(..), _) = self.next()? {
                let (event, position) = self.next()?;
                let empty = match &event {
                    Event::Scalar(text, style, ..) => *style == ScalarStyle::Plain && is_null(text),
                    Event::DocumentEnd => true,
                    _ => false,
                };
                if !empty {
                    self.node(event, position, None, 0)?;
                    self.document += 1;
                }
            }
        }
    }

    /// Walks through a value whose first event was read.
    fn node(&mut self, event: Event<'t>, position: Position, key: Option<Position>, depth: usize) -> Option<()> {
        let parts = matches!(event, Event::SequenceStart(..) | Event::MappingStart(..));
        if self.wanted.contains(&(self.document, self.path.as_str())) {
            let shown = if parts { key.unwrap_or(position) } else { position };
            // Of a key that stands twice the first is kept.
            self.map.places.entry((self.document, self.path.clone())).or_insert((key, shown));
        }
        let length = self.path.len();
        match event {
            _ if depth > MAX_DEPTH => return None,
            Event::SequenceStart(..) => {
                for index in 0.. {
                    let (event, position) = self.next()?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    self.path.push_str(&format!("[{index}]"));
                    self.node(event, position, None, depth + 1)?;
                    self.path.truncate(length);
                }
            }
            Event::MappingStart(..) => self.mapping(depth)?,
            _ => {}
        }
        Some(())
    }

    fn mapping(&mut self, depth: usize) -> Option<()> {
        let length = self.path.len();
        let mut keys: HashMap<String, Position> = HashMap::new();
        loop {
            let (name, key) = match self.next()? {
                (Event::MappingEnd, _) => return Some(()),
                (Event::Scalar(text, ..), position) => (text.into_owned(), position),
                _ => return None,
            };
            self.path.push_str(if length > 0 { "." } else { "" });
            self.path.push_str(&name);
            if let Some(first) = keys.get(&name) {
                let (document, path) = (self.document, self.path.clone());
                self.map.duplicates.push(DuplicateKey { document, path, first: *first, second: key });
            } else {
                keys.insert(name, key);
            }
            let (event, position) = self.next()?;
            self.node(event, position, Some(key), depth + 1)?;
            self.path.truncate(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
spec:
  rules:
    - { path: .status.a, \"key\": [x, y] }
    - path: é .b
---
---
{\"a\": {\"b\": [1,
  2]}}
";

    #[test]
    fn values_are_found_by_their_paths() {
        let rows = [
            // Scalars by their own position, what has parts by that of its key.
            (0, "spec.rules[0].path", false, (4, 15)),
            (0, "spec.rules[0].path", true, (4, 9)),
            (0, "spec.rules[0].key", false, (4, 26)),
            (0, "spec.rules[0].key[1]", false, (4, 37)),
            (0, "spec.rules[1]", false, (5, 7)),
            (0, "spec", false, (2, 1)),
            (0, "", false, (2, 1)),
            // What is not there, by what is around it.
            (0, "spec.rules[1].key[3].x", false, (5, 7)),
            (0, "spec.rules[0].path.x", true, (4, 15)),
            (0, "metadata.name", true, (2, 1)),
            // Empty documents do not count.
            (1, "a.b[1]", false, (9, 3)),
            (1, "a", false, (8, 2)),
        ];
        let map = SourceMap::new(TEXT, rows.iter().map(|(document, path, ..)| (*document, *path)));
        for (document, path, of_key, (line, column)) in rows {
            assert_eq!(map.at(document, path, of_key), Some(Position { line, column }), "{document} {path}");
        }
        assert_eq!(map.at(2, "a", false), None);
        // Nothing else is kept.
        assert!(map.places.len() < 20, "{map:?}");
    }

    #[test]
    fn keys_that_stand_twice_are_found() {
        let map = SourceMap::new("{\"a\": 1, \"b\": {\"c\": 2, \"c\": 3},\n\"a\": 4}", [(0, "a")]);
        let at = |line, column| Position { line, column };
        let duplicate = |path: &str, first, second| DuplicateKey { document: 0, path: path.into(), first, second };
        assert_eq!(map.duplicates, [duplicate("b.c", at(1, 16), at(1, 24)), duplicate("a", at(1, 2), at(2, 1))]);
        assert_eq!(map.at(0, "a", true), Some(at(1, 2)));
    }
}
