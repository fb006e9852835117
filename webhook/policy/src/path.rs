//! Paths of the policy language, and the places that findings name.

use std::fmt;

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
pub(crate) enum Step<'a> {
    Path(&'a Path),
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

/// A place in the status, as a chain from the inside out: building it costs nothing
/// until a finding prints it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    parent: Option<&'a Place<'a>>,
    step: Step<'a>,
}

impl<'a> Place<'a> {
    pub(crate) fn then(&'a self, step: Step<'a>) -> Place<'a> {
        Place { parent: Some(self), step }
    }

    pub(crate) fn under(parent: Option<&'a Place<'a>>, path: &'a Path) -> Place<'a> {
        Place { parent, step: Step::Path(path) }
    }

    fn steps(&self) -> Vec<Step<'a>> {
        let mut steps = self.parent.map(Place::steps).unwrap_or_default();
        steps.push(self.step);
        steps
    }

    /// Whether this place lies at or below `path`, or `path` below it, as far as both are named.
    pub(crate) fn touches(&self, path: &Path) -> bool {
        let mut names = path.names().iter();
        for step in self.steps() {
            match step {
                Step::Path(path) => {
                    for name in path.names() {
                        match names.next() {
                            None => return true,
                            Some(other) if other != name => return false,
                            Some(_) => {}
                        }
                    }
                }
                Step::Name(name) | Step::Key(name) => match names.next() {
                    None => return true,
                    Some(other) if &**other != name => return false,
                    Some(_) => {}
                },
                Step::Index(_) => return true,
            }
        }
        true
    }
}

/// `status.deliveryAttempts[2].error`, `status.nodes["a"].phase`.
impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("status")?;
        for step in self.steps() {
            match step {
                Step::Path(path) if path.names().is_empty() => {}
                Step::Path(path) => write!(out, ".{path}")?,
                Step::Name(name) => write!(out, ".{name}")?,
                Step::Index(index) => write!(out, "[{index}]")?,
                Step::Key(key) => {
                    out.write_str("[")?;
                    crate::value::quoted(key, out)?;
                    out.write_str("]")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
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
        let root = Place::under(None, &list);
        let item = root.then(Step::Index(2));
        assert_eq!(item.then(Step::Path(&error)).to_string(), "status.deliveryAttempts[2].error");
        assert_eq!(root.then(Step::Key("a\"b")).to_string(), "status.deliveryAttempts[\"a\\\"b\"]");
        assert!(item.touches(&Path::parse_status(".status.deliveryAttempts.secret").unwrap()));
        assert!(!item.touches(&Path::parse_status(".status.other").unwrap()));
    }
}
