//! Texts of a review as records, log lines and replies show them: cut, because a review may hold texts of any length.

use std::borrow::Cow;

/// Bytes that are shown of one text. Names of objects have 253 at most, uids 36; a user's name may have any length.
pub const LONGEST_SHOWN: usize = 1024;

/// A name, user or uid, cut after [`LONGEST_SHOWN`] bytes. What is compared or counted is never the cut text.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    cut(text, LONGEST_SHOWN)
}

/// A text of at most `limit` bytes, or its beginning and an ellipsis.
pub(crate) fn cut(text: &str, limit: usize) -> Cow<'_, str> {
    if text.len() <= limit {
        return Cow::Borrowed(text);
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    Cow::Owned(format!("{}…", &text[..end]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        for (text, limit, expected) in
            [("", 0, ""), ("abc", 3, "abc"), ("abcd", 3, "abc…"), ("aéé", 3, "aé…"), ("aéé", 4, "aé…"), ("é", 1, "…")]
        {
            assert_eq!(cut(text, limit), expected, "{text} {limit}");
        }
        assert!(matches!(shown(&"x".repeat(LONGEST_SHOWN)), Cow::Borrowed(_)));
        assert_eq!(shown(&"x".repeat(LONGEST_SHOWN + 1)), "x".repeat(LONGEST_SHOWN) + "…");
    }
}
