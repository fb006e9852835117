//! Reads JSON text (RFC 8259) into values.
//!
//! The new status of a write mostly repeats the old one. A text can therefore be parsed beside a value that was parsed
//! before: a list or object that has the same bytes at the same place in both is not parsed again.

use std::borrow::Cow;

use super::data::{Member, Value};

/// Deepest nesting that is parsed; real objects are nested less than a tenth as deep.
pub const MAX_DEPTH: usize = 512;

/// Initial capacity for members and items.
const USUAL_MEMBERS: usize = 8;

/// Deepest level at which containers are compared with those of the other value. Each level that
/// differs compares its bytes again, so this bounds the work.
const SHARED_DEPTH: usize = 8;

/// Why bytes are not a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at byte {offset}")]
pub struct ParseError {
    /// What was wrong there.
    pub reason: &'static str,
    /// Where, counted from the first byte.
    pub offset: usize,
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

/// Bytes up to the first quote, backslash or control character, or to the end.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(Ok(chunk)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) {
        let special = special(u64::from_le_bytes(chunk));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        at += 1;
    }
    at
}

impl<'a> Value<'a> {
    /// Parses one JSON text (RFC 8259) of at most [`MAX_DEPTH`] levels.
    ///
    /// # Errors
    /// When the bytes are not UTF-8, not JSON, nested too deep, or followed by anything but white space.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        parse(bytes, &Value::Null)
    }

    /// Like [`Value::parse`], for a text that mostly repeats the text of `like`: lists and objects with the same bytes at
    /// the same place are not parsed again but shared.
    ///
    /// # Errors
    /// As of [`Value::parse`].
    pub fn parse_like(bytes: &'a [u8], like: &Self) -> Result<Self, ParseError> {
        parse(bytes, like)
    }
}

/// Reads a whole text; what it has in common with `like` is shared.
fn parse<'a>(bytes: &'a [u8], like: &Value<'a>) -> Result<Value<'a>, ParseError> {
    let text =
        std::str::from_utf8(bytes).map_err(|error| ParseError { reason: "not UTF-8", offset: error.valid_up_to() })?;
    let mut parser = Parser { text, bytes, at: 0 };
    let mut value = Value::Null;
    parser.value(0, like, &mut value)?;
    parser.space();
    if parser.at < bytes.len() {
        return Err(parser.error("unexpected characters after the value"));
    }
    Ok(value)
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

    /// Reads one value to where it stays: values are four words long, and moving them took longer than reading them.
    fn value(&mut self, depth: usize, like: &Value<'a>, to: &mut Value<'a>) -> Result<(), ParseError> {
        self.space();
        *to = match self.peek() {
            Some(b'{' | b'[') if depth <= SHARED_DEPTH && self.repeats(like) => like.clone(),
            Some(b'{') => self.object(depth, like)?,
            Some(b'[') => self.list(depth, like)?,
            Some(b'"') => match self.plain_string() {
                Some(text) => Value::String(Cow::Borrowed(text)),
                None => Value::String(self.string()?),
            },
            Some(b'-' | b'0'..=b'9') => Value::Number(Cow::Borrowed(self.number()?)),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(_) => return Err(self.error("expected a value")),
            None => return Err(self.error("unexpected end")),
        };
        Ok(())
    }

    fn word(&mut self, word: &'static str, value: Value<'a>) -> Result<Value<'a>, ParseError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else {
            Err(self.error("expected a value"))
        }
    }

    /// Steps over a container that has the same bytes as another one: no container is the beginning
    /// of a longer one.
    fn repeats(&mut self, like: &Value<'a>) -> bool {
        let raw = like.raw();
        let same = !raw.is_empty() && self.bytes[self.at..].starts_with(raw);
        if same {
            self.at += raw.len();
        }
        same
    }

    fn object(&mut self, depth: usize, like: &Value<'a>) -> Result<Value<'a>, ParseError> {
        let start = self.at;
        self.open(depth)?;
        if self.closes(b'}') {
            return Ok(Value::object(Vec::new()));
        }
        let others: &[Member<'a>] = match like {
            Value::Object(others) if depth < SHARED_DEPTH => others,
            _ => &[],
        };
        let mut next = 0;
        let mut members: Vec<Member<'a>> = Vec::with_capacity(USUAL_MEMBERS);
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a member name"));
            }
            match self.plain_string() {
                Some(text) => members.push((Cow::Borrowed(text), Value::Null)),
                None => members.push((self.string()?, Value::Null)),
            }
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.at += 1;
            if let Some((key, value)) = members.last_mut() {
                // Both are mostly sorted, so that the next member is the one.
                let ahead = others.get(next..next + 2).unwrap_or(others.get(next..).unwrap_or_default());
                let other = ahead.iter().position(|(name, _)| name == key).map(|skipped| next + skipped);
                next = other.map_or(next, |other| other + 1);
                self.value(depth + 1, other.map_or(&Value::Null, |other| &others[other].1), value)?;
            }
            if self.ends(b'}')? {
                return Ok(Value::object_from(fitted(members), &self.bytes[start..self.at]));
            }
        }
    }

    fn list(&mut self, depth: usize, like: &Value<'a>) -> Result<Value<'a>, ParseError> {
        let start = self.at;
        self.open(depth)?;
        if self.closes(b']') {
            return Ok(Value::list(Vec::new()));
        }
        let others: &[Value<'a>] = match like {
            Value::List(others) if depth < SHARED_DEPTH => others,
            _ => &[],
        };
        // The items from here on were not met again yet.
        let mut next = 0;
        let mut items = Vec::with_capacity(others.len().max(USUAL_MEMBERS));
        loop {
            self.space();
            let candidates = [next, next + 1, items.len()];
            match candidates.into_iter().find(|at| others.get(*at).is_some_and(|other| self.repeats(other))) {
                Some(at) => {
                    items.push(others[at].clone());
                    next = at + 1;
                }
                None => {
                    let other = others.get(items.len()).unwrap_or(&Value::Null);
                    items.push(Value::Null);
                    if let Some(item) = items.last_mut() {
                        self.value(depth + 1, other, item)?;
                    }
                }
            }
            if self.ends(b']')? {
                return Ok(Value::list_from(fitted(items), &self.bytes[start..self.at]));
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

    /// The string here, if nothing in it is escaped and it ends.
    fn plain_string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let end = start + plain_length(&self.bytes[start..]);
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Any other one.
    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        self.at += 1;
        let start = self.at;
        self.at += plain_length(&self.bytes[start..]);
        match self.peek() {
            Some(b'\\') => self.escaped(start),
            Some(_) => Err(self.error("control character in a string")),
            None => Err(self.error("unexpected end in a string")),
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

/// Gives back unused capacity: a text of many small containers would otherwise take a hundred times its size.
fn fitted<T>(mut parts: Vec<T>) -> Vec<T> {
    if parts.len() <= parts.capacity() / 4 {
        parts.shrink_to_fit();
    }
    parts
}
