//! Values as messages show them.

use std::borrow::Cow;
use std::fmt;

use crate::value::{self, Value};

/// JSON text of a value, cut to about `limit` bytes.
pub(crate) fn shown(value: &Value<'_>, limit: usize) -> String {
    if matches!(value, Value::Null) {
        return "nothing".into();
    }
    let room = value.raw().len().clamp(16, limit + '…'.len_utf8());
    let mut text = Bounded { text: String::with_capacity(room), limit };
    // The only error is that the limit was reached.
    let complete = value::write(value, &mut text).is_ok();
    let Bounded { mut text, .. } = text;
    if !complete {
        text.push('…');
    }
    text
}

/// A text that [`shown`] made, cut further.
pub(crate) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit { text.into() } else { format!("{}…", &text[..boundary(text, limit)]).into() }
}

/// The last place between characters at or before `limit`.
fn boundary(text: &str, limit: usize) -> usize {
    (0..=limit.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default()
}

/// Takes text up to a limit and refuses what is more.
struct Bounded {
    text: String,
    limit: usize,
}

impl fmt::Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.limit - self.text.len();
        let end = boundary(more, room);
        self.text.push_str(&more[..end]);
        if end == more.len() { Ok(()) } else { Err(fmt::Error) }
    }
}
