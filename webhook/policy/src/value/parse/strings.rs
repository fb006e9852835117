//! Strings: eight bytes at a time up to what means something, then escape by escape.

use super::{ParseError, Parser};
use crate::value::string::Text;

/// What a text of its own takes beside its bytes: two allocations and their pointers.
const OWN_TEXT: usize = 48;

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
#[inline]
pub(in crate::value) fn plain_length(bytes: &[u8]) -> usize {
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

impl<'a> Parser<'a, '_> {
    /// The string here, if nothing in it is escaped and it ends.
    #[inline]
    pub(super) fn plain_string(&mut self) -> Option<&'a str> {
        let start = self.at + 1;
        let end = start + plain_length(&self.bytes[start..]);
        if self.bytes.get(end) != Some(&b'"') {
            return None;
        }
        self.at = end + 1;
        self.text.get(start..end)
    }

    /// Any other one.
    pub(super) fn string(&mut self) -> Result<Text<'a>, ParseError> {
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
    fn escaped(&mut self, start: usize) -> Result<Text<'a>, ParseError> {
        let mut text = String::from(&self.text[start..self.at]);
        let mut plain = self.at;
        loop {
            match self.peek() {
                Some(b'"') => {
                    text.push_str(&self.text[plain..self.at]);
                    self.at += 1;
                    self.counted(self.budget.take(OWN_TEXT + text.len()))?;
                    return Ok(text.into());
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
