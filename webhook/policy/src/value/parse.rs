//! Reads JSON text (RFC 8259) into values.
//!
//! The new status of a write mostly repeats the old one. A text can therefore be parsed beside a value that was parsed
//! before: a list or object that has the same bytes at the same place in both is not parsed again.
//!
//! The parts of all lists and objects that are still open stand on two stacks, and move to where they stay when theirs is
//! closed: no list or object has room that it does not use.

mod strings;

use super::data::{Member, Value, all_unset, comes_before, sort};
use super::shared::SharedSlice;
use crate::budget::{Budget, Unfinished};

pub(super) use strings::plain_length;

/// Deepest nesting that is parsed; real objects are nested less than a tenth as deep.
pub const MAX_DEPTH: usize = 512;

/// Room for this many parts of open lists or objects is made at once: enough for most, and less than 1 KiB, up to which
/// allocators are at their best. Twice as much follows until there is room for
/// `MANY_PARTS`, then half as much again.
const USUAL_PARTS: usize = 24;
const MANY_PARTS: usize = 1 << 12;

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

impl<'a> Value<'a> {
    /// Parses one JSON text (RFC 8259) of at most [`MAX_DEPTH`] levels.
    ///
    /// # Errors
    /// When the bytes are not UTF-8, not JSON, nested too deep, or followed by anything but white space.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        parse(bytes, &Value::Null, &Budget::unlimited()).0
    }

    /// Like [`Value::parse`], for a text that mostly repeats the text of `like`: lists and objects with the same bytes at
    /// the same place are not parsed again but shared.
    ///
    /// # Errors
    /// As of [`Value::parse`].
    pub fn parse_like(bytes: &'a [u8], like: &Self) -> Result<Self, ParseError> {
        parse(bytes, like, &Budget::unlimited()).0
    }

    /// Like [`Value::parse_like`], in the memory of a budget.
    ///
    /// # Errors
    /// The outer one when the memory does not suffice, the inner one as of [`Value::parse`].
    pub(crate) fn parse_within(
        bytes: &'a [u8],
        like: &Self,
        budget: &Budget<'_>,
    ) -> Result<Result<Self, ParseError>, Unfinished> {
        match parse(bytes, like, budget) {
            (_, Some(unfinished)) => Err(unfinished),
            (parsed, None) => Ok(parsed),
        }
    }
}

/// Reads a whole text; what it has in common with `like` is shared. If memory did not suffice the second part says so.
fn parse<'a>(
    bytes: &'a [u8],
    like: &Value<'a>,
    budget: &Budget<'_>,
) -> (Result<Value<'a>, ParseError>, Option<Unfinished>) {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return (Err(ParseError { reason: "not UTF-8", offset: error.valid_up_to() }), None),
    };
    let (items, members) = (Vec::new(), Vec::new());
    let mut parser = Parser { text, bytes, at: 0, items, members, budget, unfinished: None };
    let parsed = parser.whole(like);
    budget.give_back(size_of_all(&parser.items) + size_of_all(&parser.members));
    (parsed, parser.unfinished)
}

/// Bytes that a vector takes, with what is free in it.
fn size_of_all<T>(parts: &Vec<T>) -> usize {
    parts.capacity() * size_of::<T>()
}

/// Pushes a part; when there is no room for it, more is made and counted.
#[inline]
fn push<T>(parts: &mut Vec<T>, part: T, budget: &Budget<'_>) -> Result<(), Unfinished> {
    if parts.len() == parts.capacity() {
        grow(parts, budget)?;
    }
    parts.push(part);
    Ok(())
}

#[cold]
fn grow<T>(parts: &mut Vec<T>, budget: &Budget<'_>) -> Result<(), Unfinished> {
    let capacity = parts.capacity();
    let more = if capacity < MANY_PARTS { capacity.max(USUAL_PARTS) } else { capacity / 2 };
    // While the parts move there is both the old and the new room.
    budget.take((capacity + more) * size_of::<T>())?;
    parts.reserve_exact(more);
    budget.give_back(capacity * size_of::<T>());
    Ok(())
}

struct Parser<'a, 'b> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// The items of all open lists, those of the innermost one last.
    items: Vec<Value<'a>>,
    /// The members of all open objects, likewise.
    members: Vec<Member<'a>>,
    budget: &'b Budget<'b>,
    /// Set when the memory of the budget did not suffice, whatever the error then says.
    unfinished: Option<Unfinished>,
}

impl<'a> Parser<'a, '_> {
    fn whole(&mut self, like: &Value<'a>) -> Result<Value<'a>, ParseError> {
        let mut value = Value::Null;
        self.value(0, like, &mut value)?;
        self.space();
        if self.at < self.bytes.len() {
            return Err(self.error("unexpected characters after the value"));
        }
        Ok(value)
    }

    /// Ends the parse if memory did not suffice.
    fn counted(&mut self, counted: Result<(), Unfinished>) -> Result<(), ParseError> {
        counted.map_err(|unfinished| {
            self.unfinished = Some(unfinished);
            self.error("takes too much memory")
        })
    }

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

    /// Reads one value.
    fn value(&mut self, depth: usize, like: &Value<'a>, to: &mut Value<'a>) -> Result<(), ParseError> {
        self.space();
        *to = match self.peek() {
            Some(b'{' | b'[') if depth <= SHARED_DEPTH && self.repeats(like) => like.clone(),
            Some(b'{') => self.object(depth, like)?,
            Some(b'[') => self.list(depth, like)?,
            Some(b'"') => match self.plain_string() {
                Some(text) => Value::String(text.into()),
                None => Value::String(self.string()?),
            },
            Some(b'-' | b'0'..=b'9') => Value::Number(self.number()?.into()),
            Some(b't') => self.word("true", Value::Bool(true))?,
            Some(b'f') => self.word("false", Value::Bool(false))?,
            Some(b'n') => self.word("null", Value::Null)?,
            Some(_) => return Err(self.error("expected a value")),
            None => return Err(self.error("unexpected end")),
        };
        Ok(())
    }

    /// Reads one value that is to be pushed to a stack. The most frequent ones are made in registers: read back from where
    /// they were just written, they took longer than their text.
    #[inline(always)]
    fn part(&mut self, depth: usize, like: &Value<'a>) -> Result<Value<'a>, ParseError> {
        self.space();
        match self.peek() {
            Some(b'"') => {
                if let Some(text) = self.plain_string() {
                    return Ok(Value::String(text.into()));
                }
            }
            Some(b'-' | b'0'..=b'9') => return Ok(Value::Number(self.number()?.into())),
            _ => {}
        }
        let mut value = Value::Null;
        self.value(depth, like, &mut value)?;
        Ok(value)
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
        let first = self.members.len();
        let (mut sorted, mut unset) = (true, true);
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.error("expected a member name"));
            }
            let key = match self.plain_string() {
                Some(text) => text.into(),
                None => self.string()?,
            };
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("expected `:`"));
            }
            self.at += 1;
            // Both are mostly sorted, so that the next member is the one.
            let ahead = others.get(next..next + 2).unwrap_or(others.get(next..).unwrap_or_default());
            let other = ahead.iter().position(|(name, _)| *name == key).map(|skipped| next + skipped);
            next = other.map_or(next, |other| other + 1);
            let value = self.part(depth + 1, other.map_or(&Value::Null, |other| &others[other].1))?;
            sorted = sorted && self.members[first..].last().is_none_or(|(before, _)| comes_before(before, &key));
            unset = unset && value.is_unset();
            let pushed = push(&mut self.members, (key, value), self.budget);
            self.counted(pushed)?;
            if self.ends(b'}')? {
                if !sorted {
                    let size = (self.members.len() - first) * size_of::<Member<'a>>();
                    self.counted(self.budget.take(size))?;
                    sort(&mut self.members, first);
                    self.budget.give_back(size);
                    // Of equal keys only one is left.
                    unset = all_unset(&self.members[first..]);
                }
                self.counted(self.budget.take(SharedSlice::<Member<'a>>::size_of(self.members.len() - first)))?;
                let raw = &self.bytes[start..self.at];
                let members = self.members[first..].iter_mut().map(std::mem::take);
                let object = Value::object_from(members, raw, unset);
                self.members.truncate(first);
                return Ok(object);
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
        let first = self.items.len();
        loop {
            self.space();
            let count = self.items.len() - first;
            let candidates = [next, next + 1, count];
            let item = match candidates.into_iter().find(|at| others.get(*at).is_some_and(|other| self.repeats(other)))
            {
                Some(at) => {
                    next = at + 1;
                    others[at].clone()
                }
                None => self.part(depth + 1, others.get(count).unwrap_or(&Value::Null))?,
            };
            let pushed = push(&mut self.items, item, self.budget);
            self.counted(pushed)?;
            if self.ends(b']')? {
                self.counted(self.budget.take(SharedSlice::<Value<'a>>::size_of(self.items.len() - first)))?;
                return Ok(Value::list_from(self.items.drain(first..), &self.bytes[start..self.at]));
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
}
