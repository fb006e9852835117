//! YAML 1.2 (core schema) and JSON as values.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle};
use statusguard_policy::{Text, Value};

const WRITE_YAML: &str = "write YAML or JSON";

/// Nodes that one file may unfold to; keeps aliases from growing without end.
const MAX_NODES: usize = 4_000_000;

/// A line and a column of a text, both from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl From<Marker> for Position {
    fn from(marker: Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// Why a text is neither YAML nor JSON.
#[derive(Debug, thiserror::Error)]
#[error("{message}{}; {hint}", position.map(|at| format!(" at line {}, column {}", at.line, at.column)).unwrap_or_default())]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// How to correct it.
    pub hint: &'static str,
    /// Where.
    pub position: Option<Position>,
}

impl SyntaxError {
    pub(super) fn new(message: impl Into<String>, hint: &'static str, position: Option<Position>) -> Self {
        Self { message: message.into(), hint, position }
    }
}

/// All documents of a text that are not empty.
///
/// # Errors
/// What is wrong, with line and column.
pub fn parse(text: &str) -> Result<Vec<Value<'static>>, SyntaxError> {
    if text.trim_start().starts_with(['{', '['])
        && let Ok(value) = Value::parse(text.as_bytes())
    {
        return Ok(vec![value.into_owned()]);
    }
    let mut reader =
        YamlReader { parser: Parser::new_from_str(text), anchors: HashMap::new(), nodes: 0, position: None };
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

struct YamlReader<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Value<'static>>,
    nodes: usize,
    /// Where the last event begins.
    position: Option<Position>,
}

impl<'t> YamlReader<'t> {
    fn next(&mut self) -> Result<Option<Event<'t>>, SyntaxError> {
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..) | Event::Anchor(..), _))) => {}
                Some(Ok((event, span))) => {
                    self.position = Some(span.start.into());
                    return Ok(Some(event));
                }
                Some(Err(error)) => {
                    return Err(SyntaxError::new(error.info(), WRITE_YAML, Some((*error.marker()).into())));
                }
            }
        }
    }

    fn must(&mut self) -> Result<Event<'t>, SyntaxError> {
        self.next()?.ok_or_else(|| self.wrong("unexpected end"))
    }

    fn wrong(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(message, WRITE_YAML, self.position)
    }

    fn node(&mut self, event: Event<'t>, depth: usize) -> Result<Value<'static>, SyntaxError> {
        self.nodes += 1;
        if depth > statusguard_policy::MAX_DEPTH {
            return Err(self.wrong("nested too deep"));
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
                let value = value.ok_or_else(|| self.wrong("an alias inside of itself"))?;
                self.nodes += size(&value);
                (value, 0)
            }
            Event::UnresolvedAlias(name) => return Err(self.wrong(format!("unknown alias `{name}`"))),
            Event::DocumentEnd => (Value::Null, 0),
            event => return Err(self.wrong(format!("unexpected {event:?}"))),
        };
        if self.nodes > MAX_NODES {
            return Err(self.wrong(format!("more than {MAX_NODES} values")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn mapping(&mut self, depth: usize) -> Result<Value<'static>, SyntaxError> {
        let mut keys: HashMap<String, usize> = HashMap::new();
        let mut members: Vec<(Text<'static>, Value<'static>)> = Vec::new();
        let mut merged: Vec<(Text<'static>, Value<'static>)> = Vec::new();
        loop {
            let (key, plain) = match self.must()? {
                Event::MappingEnd => break,
                Event::Scalar(text, style, _, _) => (text.into_owned(), style == ScalarStyle::Plain),
                _ => return Err(self.wrong("a key that is not a string")),
            };
            let position = self.position;
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
                        return Err(SyntaxError::new("`<<` merges mappings", WRITE_YAML, position));
                    };
                    merged.extend_from_slice(&source);
                }
                continue;
            }
            let line = position.map_or(0, |at| at.line);
            if let Some(first) = keys.insert(key.clone(), line) {
                let message = format!("duplicate key `{key}`, which line {first} has already");
                return Err(SyntaxError::new(message, "remove one of the two", position));
            }
            members.push((key.into(), value));
        }
        merged.extend(members);
        Ok(Value::object(merged))
    }

    /// A plain scalar by YAML 1.2's core schema.
    fn plain(&self, text: &str) -> Result<Value<'static>, SyntaxError> {
        Ok(match text {
            text if is_null(text) => Value::Null,
            "true" | "True" | "TRUE" => Value::Bool(true),
            "false" | "False" | "FALSE" => Value::Bool(false),
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "-.inf" | "-.Inf" | "-.INF" => {
                return Err(self.wrong(format!("`{text}` has no JSON form")));
            }
            text => match number(text) {
                Some(number) => Value::Number(number.into()),
                None => Value::String(text.to_owned().into()),
            },
        })
    }
}

/// Whether a plain scalar is null.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
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
    fn what_is_wrong_has_a_position() {
        for (yaml, line, column, message) in [
            ("a: 1\nb: 1\n a: 2", 3, 3, "mapping values"),
            ("a: 1\nb: 1\na: 2", 3, 1, "duplicate key `a`, which line 1 has already"),
            ("a: [1", 1, 4, ""),
            ("a: *x", 1, 4, "unknown anchor"),
            ("b:\n- .nan", 2, 3, "`.nan` has no JSON form"),
            ("? [a]\n: 1", 1, 3, "a key that is not a string"),
            ("a: &x [*x]", 1, 8, "an alias inside of itself"),
            ("<<: 1", 1, 1, "`<<` merges mappings"),
        ] {
            let error = parse(yaml).unwrap_err();
            assert_eq!(error.position, Some(Position { line, column }), "{yaml}: {error}");
            assert!(error.message.contains(message), "{yaml}: {error}");
        }
        let said = parse("a: 1\na: 2").unwrap_err().to_string();
        assert_eq!(said, "duplicate key `a`, which line 1 has already at line 2, column 1; remove one of the two");
    }
}
