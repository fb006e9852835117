//! Walks the members of the few JSON objects that are read, and steps over all other values.

use std::borrow::Cow;

use crate::block::{container_end, string_end};
use crate::malformed::MalformedReason;

/// A place in a JSON text.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The members of one object, with the values of the object read before it to compare with.
///
/// A value that begins with a bracket or a quote ends where its own bytes say it ends: where the
/// text continues with the very bytes of a complete value, that value ends there, too. So equal
/// values are stepped over by comparing memory.
pub(crate) struct KnownValues<'a> {
    members: [(&'a [u8], &'a [u8]); KnownValues::ROOM],
    len: usize,
    next: usize,
}

impl<'a> KnownValues<'a> {
    /// Members beyond this many are not kept: they are scanned.
    const ROOM: usize = 24;

    pub(crate) fn new() -> Self {
        Self { members: [(&[], &[]); Self::ROOM], len: 0, next: 0 }
    }

    pub(crate) fn insert(&mut self, key: &'a [u8], value: &'a [u8]) {
        if let Some(slot) = self.members.get_mut(self.len) {
            *slot = (key, value);
            self.len += 1;
        }
    }

    /// The value seen under this key; keys come in the same order nearly always.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<&'a [u8]> {
        let members = self.members.get(..self.len)?;
        let index = if members.get(self.next).is_some_and(|(name, _)| *name == key) {
            self.next
        } else {
            members.iter().position(|(name, _)| *name == key)?
        };
        self.next = index + 1;
        members.get(index).map(|(_, value)| *value)
    }
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// The bytes from `start` to here.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    /// The first byte of the next token.
    pub(crate) fn peek(&mut self) -> Result<u8, MalformedReason> {
        loop {
            match self.bytes.get(self.at) {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                Some(byte) => return Ok(*byte),
                None => return Err(MalformedReason::Truncated),
            }
        }
    }

    /// Nothing but white space is left.
    pub(crate) fn finish(&mut self) -> Result<(), MalformedReason> {
        match self.peek() {
            Ok(_) => Err(MalformedReason::Trailing { at: self.at }),
            Err(_) => Ok(()),
        }
    }

    /// Steps into an object, if the next value is one.
    pub(crate) fn enter_object(&mut self) -> Result<bool, MalformedReason> {
        if self.peek()? != b'{' {
            return Ok(false);
        }
        self.at += 1;
        Ok(true)
    }

    /// The next key (raw, between the quotes) of the object stepped into; `None` after its end.
    /// `first` is true before the first key.
    pub(crate) fn key(&mut self, first: &mut bool) -> Result<Option<&'a [u8]>, MalformedReason> {
        match (self.peek()?, *first) {
            (b'}', _) => {
                self.at += 1;
                return Ok(None);
            }
            (b',', false) => {
                self.at += 1;
                self.peek()?;
            }
            (_, true) => *first = false,
            (_, false) => return Err(self.unexpected("a comma or the end of an object")),
        }
        if self.bytes.get(self.at) != Some(&b'"') {
            return Err(self.unexpected("a key"));
        }
        let start = self.at + 1;
        self.at = string_end(self.bytes, self.at).ok_or(MalformedReason::Truncated)?;
        let key = self.bytes.get(start..self.at - 1).unwrap_or_default();
        if self.peek()? != b':' {
            return Err(self.unexpected("a colon"));
        }
        self.at += 1;
        self.peek()?;
        Ok(Some(key))
    }

    /// Steps over the next value and returns its bytes.
    pub(crate) fn value(&mut self) -> Result<&'a [u8], MalformedReason> {
        let first = self.peek()?;
        let start = self.at;
        self.at = match first {
            b'{' | b'[' => container_end(self.bytes, start).ok_or(MalformedReason::Truncated)?,
            b'"' => string_end(self.bytes, start).ok_or(MalformedReason::Truncated)?,
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
                let rest = self.bytes.get(start..).unwrap_or_default();
                let word = |byte: &u8| byte.is_ascii_alphanumeric() || b"+-.".contains(byte);
                start + rest.iter().take_while(|byte| word(byte)).count()
            }
            _ => return Err(self.unexpected("a value")),
        };
        Ok(self.since(start))
    }

    /// As [`Cursor::value`], faster if the value has the bytes of the known one.
    pub(crate) fn value_like(&mut self, known: Option<&[u8]>) -> Result<&'a [u8], MalformedReason> {
        self.peek()?;
        let start = self.at;
        if known.is_some_and(|value| self.skip_if(value)) {
            return Ok(self.since(start));
        }
        self.value()
    }

    /// Steps over a value whose bytes are these, if they show where it ends. The cursor must be at
    /// the value.
    pub(crate) fn skip_if(&mut self, value: &[u8]) -> bool {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let same = matches!(value.first(), Some(b'{' | b'[' | b'"')) && rest.starts_with(value);
        if same {
            self.at += value.len();
        }
        same
    }

    fn unexpected(&self, expected: &'static str) -> MalformedReason {
        MalformedReason::Unexpected { at: self.at, expected }
    }
}

/// A key without its escapes.
pub(crate) fn plain_key(raw: &[u8]) -> Result<Cow<'_, [u8]>, MalformedReason> {
    if is_plain(raw) {
        return Ok(Cow::Borrowed(raw));
    }
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice::<String>(&quoted).map(|key| Cow::Owned(key.into_bytes())).map_err(|_| MalformedReason::Key)
}

/// The text of a JSON string; `None` for `null`.
pub(crate) fn text<'a>(field: &'static str, raw: &'a [u8]) -> Result<Option<Cow<'a, str>>, MalformedReason> {
    if raw == b"null" {
        return Ok(None);
    }
    let wrong = || MalformedReason::WrongType { field, expected: "a string" };
    let inner = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).ok_or_else(wrong)?;
    if is_plain(inner) {
        let plain = std::str::from_utf8(inner).map_err(|_| MalformedReason::Text { field })?;
        return Ok(Some(Cow::Borrowed(plain)));
    }
    serde_json::from_slice::<String>(raw)
        .map(|text| Some(Cow::Owned(text)))
        .map_err(|_| MalformedReason::Text { field })
}

/// Neither escapes nor control characters: the bytes of a string are its text. Looks at all bytes,
/// without an early end, because that is many at a time.
fn is_plain(inner: &[u8]) -> bool {
    !inner.iter().fold(false, |found, byte| found | (*byte == b'\\') | (*byte < b' '))
}
