//! JSON values as the policy language reads them: numbers keep their text, nothing is rounded.
//!
//! A value borrows from the bytes it was parsed from. Object members are kept
//! sorted by key, so that the order in which they were written cannot matter;
//! of duplicate keys the last one wins, as in the API server.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use crate::number::Decimal;
use crate::time::Instant;

/// Deepest nesting that is read; the API server's own CRD schemas stay far below.
pub const MAX_DEPTH: usize = 512;

/// One JSON value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value<'a> {
    /// `null`, and what is absent.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as its JSON text.
    Number(Cow<'a, str>),
    /// A string, unescaped.
    String(Cow<'a, str>),
    /// An array.
    List(Vec<Value<'a>>),
    /// An object: members sorted by key, keys unique.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Room that is made for members and items before they are counted.
const USUAL_MEMBERS: usize = 8;

/// The value of everything that is absent.
pub(crate) static ABSENT: Value<'static> = Value::Null;

/// Why bytes are not a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct ParseError {
    /// What was wrong there.
    pub reason: &'static str,
    /// Where, counted from the first byte.
    pub offset: usize,
}

impl<'a> Value<'a> {
    /// Parses one JSON text (RFC 8259) of at most [`MAX_DEPTH`] levels.
    ///
    /// # Errors
    /// When the bytes are not UTF-8, not JSON, nested too deep, or followed by anything but white space.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let text = std::str::from_utf8(bytes)
            .map_err(|error| ParseError { reason: "not UTF-8", offset: error.valid_up_to() })?;
        let mut parser = Parser { text, bytes, at: 0 };
        let value = parser.value(0)?;
        parser.space();
        if parser.at < bytes.len() {
            return Err(parser.error("something follows the value"));
        }
        Ok(value)
    }

    /// Builds an object from members in any order; of equal keys the last one wins.
    #[must_use]
    pub fn object(mut members: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        if !members.is_sorted_by(|a, b| a.0 < b.0) {
            members.sort_by(|a, b| a.0.cmp(&b.0));
            members.reverse();
            members.dedup_by(|later, first| later.0 == first.0);
            members.reverse();
        }
        Value::Object(members)
    }

    /// The member `key`, or the absent value; also when this is no object.
    #[must_use]
    pub fn get(&self, key: &str) -> &Value<'a> {
        match self {
            Value::Object(members) => {
                members.binary_search_by(|(name, _)| name.as_ref().cmp(key)).map_or(&ABSENT, |index| &members[index].1)
            }
            _ => &ABSENT,
        }
    }

    /// Whether this counts as not set: `null`, `""`, zero, `false`, `[]`, `{}` and objects of only such.
    #[must_use]
    pub fn is_unset(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Bool(value) => !value,
            Value::Number(text) => Decimal::of_json(text).is_zero(),
            Value::String(text) => text.is_empty(),
            Value::List(items) => items.is_empty(),
            Value::Object(members) => members.iter().all(|(_, value)| value.is_unset()),
        }
    }

    /// Whether a policy takes the two for the same value.
    #[must_use]
    pub fn same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Object(a), Value::Object(b)) => members_same(a, b),
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::String(a), Value::String(b)) => a == b || times_same(a, b),
            (Value::Number(a), Value::Number(b)) => a == b || Decimal::of_json(a) == Decimal::of_json(b),
            (Value::Bool(a), Value::Bool(b)) => a == b,
            _ => self.is_unset() && other.is_unset(),
        }
    }

    /// The same value with nothing borrowed.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Value::Null => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(text) => Value::Number(text.into_owned().into()),
            Value::String(text) => Value::String(text.into_owned().into()),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => Value::Object(
                members.into_iter().map(|(key, value)| (key.into_owned().into(), value.into_owned())).collect(),
            ),
        }
    }
}

/// `same` over the union of the members of two objects.
fn members_same(a: &[(Cow<'_, str>, Value<'_>)], b: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let (mut i, mut j) = (0, 0);
    loop {
        match (a.get(i), b.get(j)) {
            (None, None) => return true,
            (Some((ka, va)), Some((kb, vb))) if ka == kb => {
                if !va.same(vb) {
                    return false;
                }
                i += 1;
                j += 1;
            }
            (Some((ka, va)), other) if other.is_none_or(|(kb, _)| ka < kb) => {
                if !va.is_unset() {
                    return false;
                }
                i += 1;
            }
            (_, Some((_, vb))) => {
                if !vb.is_unset() {
                    return false;
                }
                j += 1;
            }
            (Some(_), None) => return false,
        }
    }
}

fn times_same(a: &str, b: &str) -> bool {
    match (Instant::parse(a), Instant::parse(b)) {
        (Some(a), Some(b)) => a.same(&b),
        _ => false,
    }
}

/// Writes compact JSON.
impl fmt::Display for Value<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => out.write_str("null"),
            Value::Bool(value) => write!(out, "{value}"),
            Value::Number(text) => out.write_str(text),
            Value::String(text) => quoted(text, out),
            Value::List(items) => {
                out.write_char('[')?;
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    write!(out, "{item}")?;
                }
                out.write_char(']')
            }
            Value::Object(members) => {
                out.write_char('{')?;
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.write_char(',')?;
                    }
                    quoted(key, out)?;
                    write!(out, ":{value}")?;
                }
                out.write_char('}')
            }
        }
    }
}

/// Writes `text` as a JSON string.
pub(crate) fn quoted(text: &str, out: &mut impl fmt::Write) -> fmt::Result {
    out.write_char('"')?;
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escape = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.write_str(&text[plain..at])?;
        plain = at + 1;
        match escape {
            "" => write!(out, "\\u{byte:04x}")?,
            escape => out.write_str(escape)?,
        }
    }
    out.write_str(&text[plain..])?;
    out.write_char('"')
}

/// Sets the high bit of the first byte that is a quote, a backslash or a control character
/// (and possibly of bytes after it).
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let equal = |byte: u8| {
        let difference = word ^ (ONES * u64::from(byte));
        difference.wrapping_sub(ONES) & !difference
    };
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (equal(b'"') | equal(b'\\') | control) & HIGH
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, reason: &'static str) -> ParseError {
        ParseError { reason, offset: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value<'a>, ParseError> {
        self.space();
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b'-' | b'0'..=b'9') => Ok(Value::Number(self.number()?.into())),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Null),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("unexpected end")),
        }
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, ParseError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.error("expected a value"))
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value<'a>, ParseError> {
        self.open(depth)?;
        if self.closes(b'}') {
            return Ok(Value::Object(Vec::new()));
        }
        let mut members = Vec::with_capacity(USUAL_MEMBERS);
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a member name"));
            }
            let key = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            members.push((key, value));
            if self.ends(b'}')? {
                return Ok(Value::object(members));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value<'a>, ParseError> {
        self.open(depth)?;
        if self.closes(b']') {
            return Ok(Value::List(Vec::new()));
        }
        let mut items = Vec::with_capacity(USUAL_MEMBERS);
        loop {
            items.push(self.value(depth + 1)?);
            if self.ends(b']')? {
                return Ok(Value::List(items));
            }
        }
    }

    fn open(&mut self, depth: usize) -> Result<(), ParseError> {
        if depth >= MAX_DEPTH {
            return Err(self.error("nested too deep"));
        }
        self.at += 1;
        Ok(())
    }

    /// Whether the collection that was just opened is empty.
    fn closes(&mut self, close: u8) -> bool {
        self.space();
        let empty = self.peek() == Some(close);
        if empty {
            self.at += 1;
        }
        empty
    }

    /// After an element: true at the closing bracket, false at a comma.
    fn ends(&mut self, close: u8) -> Result<bool, ParseError> {
        self.space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(self.error("expected `,` or the closing bracket")),
            None => Err(self.error("unexpected end")),
        }
    }

    fn number(&mut self) -> Result<&'a str, ParseError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { Err(self.error("expected a digit")) } else { Ok(()) }
    }

    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        self.at += 1;
        let start = self.at;
        self.plain();
        match self.peek() {
            Some(b'"') => {
                let text = &self.text[start..self.at];
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            Some(b'\\') => self.escaped(start),
            Some(_) => Err(self.error("control character in a string")),
            None => Err(self.error("unexpected end in a string")),
        }
    }

    /// Goes on to the next quote, backslash or control character, or to the end.
    fn plain(&mut self) {
        while let Some(Ok(chunk)) = self.bytes.get(self.at..self.at + 8).map(<[u8; 8]>::try_from) {
            let special = special(u64::from_le_bytes(chunk));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.peek().is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
            self.at += 1;
        }
    }

    /// The rest of a string that has an escape at the current place.
    fn escaped(&mut self, start: usize) -> Result<Cow<'a, str>, ParseError> {
        let mut text = String::from(&self.text[start..self.at]);
        let mut plain = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    text.push_str(&self.text[plain..self.at]);
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    text.push_str(&self.text[plain..self.at]);
                    self.at += 1;
                    text.push(self.escape()?);
                    plain = self.at;
                }
                Some(0..=0x1f) => return Err(self.error("control character in a string")),
                Some(_) => self.at += 1,
                None => return Err(self.error("unexpected end in a string")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let char = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.error("unknown escape")),
        };
        self.at += 1;
        Ok(char)
    }

    /// `XXXX`, or a surrogate pair; a lone surrogate reads as U+FFFD, as in Go.
    fn unicode(&mut self) -> Result<char, ParseError> {
        let first = self.hex()?;
        if (0xD800..0xDC00).contains(&first) && self.bytes[self.at..].starts_with(b"\\u") {
            let back = self.at;
            self.at += 2;
            let second = self.hex()?;
            if (0xDC00..0xE000).contains(&second) {
                let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
                return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.at = back;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, ParseError> {
        let digits = self.bytes.get(self.at..self.at + 4).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("expected four hexadecimal digits"))?;
        self.at += 4;
        Ok(code)
    }
}

/// Reads a value from any serde format. Integers of up to 128 bits are exact;
/// fractions take the shortest decimal of the double the format gave.
impl<'de> serde::Deserialize<'de> for Value<'static> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> serde::de::Visitor<'de> for Reader {
    type Value = Value<'static>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Value::Number(value.to_string().into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(value.to_string().into()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Self::Value, E> {
        Ok(Value::Number(value.to_string().into()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Self::Value, E> {
        Ok(Value::Number(value.to_string().into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Self::Value, E> {
        if value.is_finite() {
            Ok(Value::Number(value.to_string().into()))
        } else {
            Err(E::custom("a number that is not finite has no JSON form"))
        }
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::String(text.to_owned().into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(Value::String(text.into()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut object = Vec::new();
        while let Some((key, value)) = members.next_entry::<String, Value<'static>>()? {
            object.push((Cow::Owned(key), value));
        }
        Ok(Value::object(object))
    }
}
