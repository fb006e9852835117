//! Paths of the policy language, and the places that findings name.

use std::fmt::{self, Write as _};

use crate::value::{ABSENT, Value};

/// A compiled path: member names below a root. Empty for `.`, the item itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Path(Vec<Box<str>>);

impl Path {
    /// Parses `.name(.name)*`, names of `[A-Za-z0-9_-]`; `.` alone only `if item`.
    pub(crate) fn parse(text: &str, item: bool) -> Result<Self, &'static str> {
        if text == "." {
            return if item { Ok(Self::default()) } else { Err("`.` names an item; it is allowed inside `each` only") };
        }
        let names = text.strip_prefix('.').ok_or("a path starts with a dot")?;
        let names: Vec<Box<str>> = names.split('.').map(Box::from).collect();
        if names.iter().any(|name| name.is_empty()) {
            return Err("a path has a name after every dot");
        }
        if names
            .iter()
            .any(|name| !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'))
        {
            return Err("names are letters, digits, `_` and `-`: no indices, wildcards or escapes");
        }
        Ok(Self(names))
    }

    /// Parses a path from the root, which lies below `.status`; keeps what follows `.status`.
    pub(crate) fn parse_status(text: &str) -> Result<Self, &'static str> {
        let Self(mut names) = Self::parse(text, false)?;
        if names.len() < 2 || &*names[0] != "status" {
            return Err("a path at the root starts with `.status.`");
        }
        names.remove(0);
        Ok(Self(names))
    }

    /// The value at this path; what lies behind anything but an object is absent.
    pub(crate) fn of<'v, 'a>(&self, root: &'v Value<'a>) -> &'v Value<'a> {
        let mut value = root;
        for name in &self.0 {
            value = match value {
                Value::Object(_) => value.get(name),
                _ => return absent(),
            };
        }
        value
    }

    pub(crate) fn names(&self) -> &[Box<str>] {
        &self.0
    }
}

fn absent<'v, 'a>() -> &'v Value<'a> {
    &ABSENT
}

/// As it is written in a policy, without the leading dot.
impl fmt::Display for Path {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            write!(out, "{}{name}", if index > 0 { "." } else { "" })?;
        }
        Ok(())
    }
}

/// One step from a value to a part of it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LocationStep<'a> {
    Path(&'a Path),
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A place in the status, as a chain from the inside out: building it costs nothing
/// until a finding prints it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Location<'a> {
    parent: Option<&'a Location<'a>>,
    step: LocationStep<'a>,
}

impl<'a> Location<'a> {
    pub(crate) fn then(&'a self, step: LocationStep<'a>) -> Location<'a> {
        Location { parent: Some(self), step }
    }

    pub(crate) fn under(parent: Option<&'a Location<'a>>, path: &'a Path) -> Location<'a> {
        Location { parent, step: LocationStep::Path(path) }
    }

    /// Where `path` leads from what this place's own step starts at.
    pub(crate) fn beside(&self, path: &'a Path) -> Location<'a> {
        Location { parent: self.parent, step: LocationStep::Path(path) }
    }

    fn steps(&self) -> Vec<LocationStep<'a>> {
        let mut steps = self.parent.map(Location::steps).unwrap_or_default();
        steps.push(self.step);
        steps
    }

    /// Whether this place lies at or below `path`, or `path` below it, as far as both are named.
    pub(crate) fn touches(&self, path: &Path) -> bool {
        relation(&self.steps(), path) != Relation::Apart
    }

    /// As findings name it: `status.deliveryAttempts[2].error`, `status.nodes["a"].phase`. Ends where names would
    /// follow that are themselves part of what a path of `hidden` hides.
    pub(crate) fn shown(&self, hidden: &[Path]) -> String {
        let steps = self.steps();
        let mut text = String::from("status");
        for (index, step) in steps.iter().enumerate() {
            let content = matches!(step, LocationStep::Name(_) | LocationStep::Key(_));
            if content && hidden.iter().any(|path| relation(&steps[..index], path) == Relation::Within) {
                break;
            }
            // Writing to a string does not fail.
            let _ = match step {
                LocationStep::Path(path) if path.names().is_empty() => Ok(()),
                LocationStep::Path(path) => write!(text, ".{path}"),
                LocationStep::Name(name) => write!(text, ".{name}"),
                LocationStep::Index(index) => write!(text, "[{index}]"),
                LocationStep::Key(key) => {
                    write!(text, "[").and(crate::value::quoted(key, &mut text)).and(write!(text, "]"))
                }
            };
        }
        text
    }
}

/// Where a place lies, seen from a path.
#[derive(PartialEq)]
enum Relation {
    Apart,
    /// The path leads on from there.
    Above,
    /// At the path's end or below. Also all below an index, which no path can name, if the path leads there.
    Within,
}

fn relation(steps: &[LocationStep<'_>], path: &Path) -> Relation {
    let mut names = path.names().iter().map(|name| &**name);
    for step in steps {
        let walked: &mut dyn Iterator<Item = &str> = match step {
            LocationStep::Path(path) => &mut path.names().iter().map(|name| &**name),
            LocationStep::Name(name) | LocationStep::Key(name) => &mut std::iter::once(*name),
            LocationStep::Index(_) => return Relation::Within,
        };
        for name in walked {
            match names.next() {
                None => return Relation::Within,
                Some(other) if other != name => return Relation::Apart,
                Some(_) => {}
            }
        }
    }
    if names.next().is_none() { Relation::Within } else { Relation::Above }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_plain_names() {
        for bad in [
            "status.phase",
            ".status",
            ".status.",
            ".status..a",
            ".status.a[0]",
            ".status.*",
            ".",
            "",
            ".spec.a",
            ".status.a b",
        ] {
            assert!(Path::parse_status(bad).is_err(), "{bad}");
        }
        let path = Path::parse_status(".status.a_b.c-1").unwrap();
        assert_eq!(path.to_string(), "a_b.c-1");
        assert!(Path::parse(".", true).unwrap().names().is_empty());
    }

    #[test]
    fn places_print_as_findings_name_them() {
        let list = Path::parse_status(".status.deliveryAttempts").unwrap();
        let error = Path::parse(".error", true).unwrap();
        let root = Location::under(None, &list);
        let item = root.then(LocationStep::Index(2));
        assert_eq!(item.then(LocationStep::Path(&error)).shown(&[]), "status.deliveryAttempts[2].error");
        assert_eq!(root.then(LocationStep::Key("a\"b")).shown(&[]), "status.deliveryAttempts[\"a\\\"b\"]");
        assert!(item.touches(&Path::parse_status(".status.deliveryAttempts.secret").unwrap()));
        assert!(!item.touches(&Path::parse_status(".status.other").unwrap()));
    }

    #[test]
    fn names_below_a_hidden_path_are_hidden() {
        let nodes = Path::parse_status(".status.nodes").unwrap();
        let token = Path::parse(".token", true).unwrap();
        let root = Location::under(None, &nodes);
        let node = root.then(LocationStep::Key("a"));
        let token = node.then(LocationStep::Path(&token));
        let name = token.then(LocationStep::Name("secret"));
        for (hidden, expected) in [
            (".status.nodes", "status.nodes"),
            (".status.nodes.a", "status.nodes[\"a\"].token"),
            (".status.nodes.a.token", "status.nodes[\"a\"].token"),
            (".status.nodes.a.token.secret", "status.nodes[\"a\"].token.secret"),
            (".status.nodes.b", "status.nodes[\"a\"].token.secret"),
        ] {
            assert_eq!(name.shown(&[Path::parse_status(hidden).unwrap()]), expected, "{hidden}");
        }
    }
}
