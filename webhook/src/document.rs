//! YAML and JSON files, read without rounding a number.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use granit_parser::{Event, Parser, ScalarStyle};
use statusguard_policy::{Text, Value};

/// Nodes that one file may unfold to; keeps aliases from growing without end.
const MAX_NODES: usize = 4_000_000;

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system said no.
    #[error("cannot read {}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// Neither YAML nor JSON.
    #[error("{}: {reason}", file.display())]
    Parse {
        /// The file.
        file: PathBuf,
        /// What is wrong, with line and column.
        reason: String,
    },
    /// A document that is something else than what was asked for.
    #[error("{}: {reason}; {hint}", file.display())]
    Unfit {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the path in the document.
        reason: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    /// What is wrong, without the file's name, and what to do.
    #[must_use]
    pub fn parts(&self) -> (String, String) {
        match self {
            Self::Read { source, .. } => (format!("cannot be read: {source}"), "name a file that is there".into()),
            Self::Parse { reason, .. } => (reason.clone(), "write YAML or JSON".into()),
            Self::Unfit { reason, hint, .. } => (reason.clone(), hint.clone()),
        }
    }

    /// An [`Error::Unfit`].
    pub fn unfit(file: &Path, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Unfit { file: file.into(), reason: reason.into(), hint: hint.into() }
    }
}

/// All documents of a file that are not empty; `-` is standard input. A file that is one JSON text is read as JSON.
///
/// # Errors
/// [`Error::Read`] and [`Error::Parse`].
pub fn read(file: &Path) -> Result<Vec<Value<'static>>, Error> {
    let content = if file == Path::new("-") {
        let mut content = Vec::new();
        std::io::stdin().read_to_end(&mut content).map(|_| content)
    } else {
        std::fs::read(file)
    };
    documents(file, &content.map_err(|source| Error::Read { file: file.into(), source })?)
}

/// As [`read`], of a file whose content was read already.
///
/// # Errors
/// [`Error::Parse`].
pub fn documents(file: &Path, content: &[u8]) -> Result<Vec<Value<'static>>, Error> {
    let parsed = match std::str::from_utf8(content) {
        Ok(text) => parse(text),
        Err(error) => Err(format!("the text is not UTF-8 at byte {}", error.valid_up_to())),
    };
    parsed.map_err(|reason| Error::Parse { file: file.into(), reason })
}

/// The only document of a file.
///
/// # Errors
/// As [`read`], and [`Error::Unfit`] when there is not exactly one.
pub fn read_one(file: &Path) -> Result<Value<'static>, Error> {
    one(file, read(file)?)
}

/// The only one of a file's documents.
///
/// # Errors
/// [`Error::Unfit`] when there is not exactly one.
pub fn one(file: &Path, mut documents: Vec<Value<'static>>) -> Result<Value<'static>, Error> {
    match (documents.pop(), documents.len()) {
        (Some(document), 0) => Ok(document),
        (None, _) => Err(Error::unfit(file, "the file is empty", "it should hold one document")),
        (Some(_), others) => {
            Err(Error::unfit(file, format!("the file holds {} documents", others + 1), "it should hold one"))
        }
    }
}

/// The only document of a file, which is to be one Kubernetes object.
///
/// # Errors
/// As [`read_one`], and [`Error::Unfit`] when it is something else.
pub fn read_object(file: &Path) -> Result<Value<'static>, Error> {
    let document = read_one(file)?;
    match not_an_object(&document) {
        None => Ok(document),
        Some((reason, hint)) => Err(Error::unfit(file, reason, hint)),
    }
}

/// What keeps a value from being one Kubernetes object, and a hint. Judged as one it would have no
/// status, and so nothing that could be lost.
pub fn not_an_object(value: &Value<'_>) -> Option<(&'static str, &'static str)> {
    let Value::Object(_) = value else {
        return Some(("not an object", "give one Kubernetes object, as `kubectl get KIND NAME -o yaml` prints it"));
    };
    match (value.get("kind"), value.get("items")) {
        (Value::String(kind), Value::List(_)) if kind.ends_with("List") => {
            Some(("a list of objects", "name one object: `kubectl get KIND NAME -o yaml`"))
        }
        _ => None,
    }
}

/// The files that a name stands for: itself, or those of a folder that end in `.yaml`, `.yml`
/// or `.json`, sorted; with `deep` also those of the folders inside, without links to folders.
///
/// # Errors
/// [`Error::Read`].
pub fn files(name: &Path, deep: bool) -> Result<Vec<PathBuf>, Error> {
    if !name.is_dir() {
        return Ok(vec![name.into()]);
    }
    let wrap = |source| Error::Read { file: name.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(name).map_err(wrap)? {
        let entry = entry.map_err(wrap)?;
        let path = entry.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            // A link may lead back up. Those of mounted ConfigMaps lead to files.
            if deep && !entry.file_type().map_err(wrap)?.is_symlink() {
                found.extend(files(&path, deep)?);
            }
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// All documents of a text that are not empty.
///
/// # Errors
/// What is wrong, with line and column.
pub fn parse(text: &str) -> Result<Vec<Value<'static>>, String> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = Value::parse(text.as_bytes())
    {
        return Ok(vec![value.into_owned()]);
    }
    let mut reader = YamlReader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, line: 1 };
    let mut documents = Vec::new();
    while let Some(event) = reader.next()? {
        match event {
            Event::StreamEnd => break,
            Event::DocumentStart(..) => {
                reader.anchors.clear();
                if let Some(event) = reader.next()? {
                    let document = reader.node(event, 0)?;
                    if document != Value::Null {
                        documents.push(document);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(documents)
}

/// The serde form of a value. Numbers beyond what serde_json holds are rounded: for policies,
/// not for status.
///
/// # Errors
/// Never for a value that was parsed.
pub fn json(value: &Value<'_>) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_str(&value.to_string())
}

struct YamlReader<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Value<'static>>,
    nodes: usize,
    line: usize,
}

impl<'t> YamlReader<'t> {
    fn next(&mut self) -> Result<Option<Event<'t>>, String> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..) | Event::Anchor(..), _))) => {}
                Some(Ok((event, span))) => {
                    self.line = span.start.line();
                    return Ok(Some(event));
                }
                Some(Err(error)) => return Err(error.to_string()),
            }
        }
    }

    fn must(&mut self) -> Result<Event<'t>, String> {
        self.next()?.ok_or_else(|| format!("unexpected end at line {}", self.line))
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Value<'static>, String> {
        self.nodes += 1;
        if depth > statusguard_policy::MAX_DEPTH {
            return Err(format!("nested too deep at line {}", self.line));
        }
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_only =
                    style != ScalarStyle::Plain || tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
                let value = if text_only { Value::String(text.into_owned().into()) } else { self.plain(&text)? };
                (value, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.must()? {
                        Event::SequenceEnd => break,
                        event => items.push(self.node(event, depth + 1)?),
                    }
                }
                (Value::list(items), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.mapping(depth)?, anchor),
            Event::Alias(anchor) => {
                let value = self.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| format!("an alias inside of itself at line {}", self.line))?;
                self.nodes += size(&value);
                (value, 0)
            }
            Event::UnresolvedAlias(name) => return Err(format!("unknown alias `{name}` at line {}", self.line)),
            Event::DocumentEnd => (Value::Null, 0),
            event => return Err(format!("unexpected {event:?} at line {}", self.line)),
        };
        if self.nodes > MAX_NODES {
            return Err(format!("more than {MAX_NODES} values at line {}", self.line));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: usize) -> Result<Value<'static>, String> {
        let mut members: Vec<(Text<'static>, Value<'static>)> = Vec::new();
        let mut merged: Vec<(Text<'static>, Value<'static>)> = Vec::new();
        loop {
            let (key, plain) = match self.must()? {
                Event::MappingEnd => break,
                Event::Scalar(text, style, _, _) => (text.into_owned(), style == ScalarStyle::Plain),
                _ => return Err(format!("a key that is not a string at line {}", self.line)),
            };
            let line = self.line;
            let event = self.must()?;
            let value = self.node(event, depth + 1)?;
            if key == "<<" && plain {
                let sources = match value {
                    Value::List(items) => items.to_vec(),
                    value => vec![value],
                };
                // Earlier sources win, and the mapping's own members win over all.
                for source in sources.into_iter().rev() {
                    let Value::Object(source) = source else {
                        return Err(format!("`<<` merges mappings, at line {line}"));
                    };
                    merged.extend_from_slice(&source);
                }
                continue;
            }
            if members.iter().any(|(other, _)| **other == *key) {
                return Err(format!("duplicate key `{key}` at line {line}"));
            }
            members.push((key.into(), value));
        }
        merged.extend(members);
        Ok(Value::object(merged))
    }

    /// A plain scalar by YAML 1.2's core schema.
    fn plain(&self, text: &str) -> Result<Value<'static>, String> {
        Ok(match text {
            "" | "~" | "null" | "Null" | "NULL" => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | "-.Inf" | "-.INF" => {
                return Err(format!("`{text}` has no JSON form, at line {}", self.line));
            }
            text => match number(text) {
                Some(number) => Value::Number(number.into()),
                None => Value::String(text.to_owned().into()),
            },
        })
    }
}

fn size(value: &Value<'_>) -> usize {
    match value {
        Value::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Value::Object(members) => 1 + members.iter().map(|(_, value)| size(value)).sum::<usize>(),
        _ => 1,
    }
}

/// The JSON text of a YAML number.
fn number(text: &str) -> Option<String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return u128::from_str_radix(digits, 16).ok().map(|number| number.to_string());
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return u128::from_str_radix(digits, 8).ok().map(|number| number.to_string());
    }
    let (sign, rest) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let mut number = String::from(sign);
    let whole = whole.trim_start_matches('0');
    number.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        number.push('.');
        number.push_str(fraction);
    }
    if let Some(exponent) = exponent {
        let bare = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if bare.is_empty() || !digits(bare) {
            return None;
        }
        number.push('e');
        number.push_str(exponent);
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_reads_as_json_without_rounding() {
        let rows = [
            ("a: 123456789012345678901234567890", r#"{"a":123456789012345678901234567890}"#),
            ("a: 0.10000000000000000000001", r#"{"a":0.10000000000000000000001}"#),
            ("a: +01.50", r#"{"a":1.50}"#),
            ("a: .5", r#"{"a":0.5}"#),
            ("a: 0x1F", r#"{"a":31}"#),
            ("a: '1'", r#"{"a":"1"}"#),
            ("a: !!str 1", r#"{"a":"1"}"#),
            ("a: 2024-01-01T00:00:00Z", r#"{"a":"2024-01-01T00:00:00Z"}"#),
            ("a: Off", r#"{"a":"Off"}"#),
            ("a: ~", r#"{"a":null}"#),
            ("a: True", r#"{"a":true}"#),
            ("a: &x {b: 1}\nc: *x", r#"{"a":{"b":1},"c":{"b":1}}"#),
            ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", r#"{"a":{"b":1,"c":2},"d":{"b":1,"c":3}}"#),
            ("a: |\n  x\n  y\n", "{\"a\":\"x\\ny\\n\"}"),
            ("{\"a\": [1, 2.0]}", r#"{"a":[1,2.0]}"#),
            ("-1e5", "-1e5"),
        ];
        for (yaml, json) in rows {
            let documents = parse(yaml).unwrap();
            assert_eq!(documents.len(), 1, "{yaml}");
            assert_eq!(documents[0].to_string(), json, "{yaml}");
        }
        assert_eq!(parse("---\na: 1\n---\n---\nb: 2\n").unwrap().len(), 2);
        assert_eq!(parse("# nothing\n").unwrap().len(), 0);
    }

    #[test]
    fn what_is_wrong_has_a_line() {
        for yaml in ["a: 1\na: 2", "a: [1", "a: *x", "a: .nan", "? [a]\n: 1", "a: &x [*x]"] {
            let error = parse(yaml).unwrap_err();
            assert!(error.contains("line"), "{yaml}: {error}");
        }
    }
}
