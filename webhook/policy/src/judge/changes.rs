//! Which members a write changes: most rules look at others and need not be asked (R3).

use std::cmp::Ordering;

use crate::path::Path;
use crate::value::Value;

/// Changed members that are told apart; when there are more, every rule is asked.
const MAX_CHANGES: usize = 8;

/// The members that differ between two values, as far as is cheap to know.
pub(crate) struct Changes<'v> {
    names: [&'v str; MAX_CHANGES],
    /// How many of these; more than there is room for: anything may have changed.
    count: usize,
}

impl<'v> Changes<'v> {
    pub(crate) fn between(old: &'v Value<'_>, new: &'v Value<'_>) -> Self {
        let mut changes = Self { names: [""; MAX_CHANGES], count: 0 };
        let (Value::Object(old), Value::Object(new)) = (old, new) else {
            return Self { count: MAX_CHANGES + 1, ..changes };
        };
        let (mut old, mut new) = (old.iter().peekable(), new.iter().peekable());
        while changes.count <= MAX_CHANGES {
            let order = match (old.peek(), new.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => break,
            };
            let before = if order.is_le() { old.next() } else { None };
            let after = if order.is_ge() { new.next() } else { None };
            match (before, after) {
                (Some((_, a)), Some((_, b))) if a == b => {}
                (Some((name, _)), _) | (None, Some((name, _))) => changes.add(name),
                (None, None) => {}
            }
        }
        changes
    }

    fn add(&mut self, name: &'v str) {
        if let Some(free) = self.names.get_mut(self.count) {
            *free = name;
        }
        self.count += 1;
    }

    /// Whether what is at a path may have changed.
    pub(crate) fn touch(&self, path: &Path) -> bool {
        match (path.names().first(), self.names.get(..self.count)) {
            (Some(first), Some(names)) => names.contains(&&**first),
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_touched_by_the_member_they_begin_with() {
        let value = |text: &'static str| Value::parse(text.as_bytes()).unwrap();
        let (old, new) = (value(r#"{"a":1,"b":{"x":1},"c":[1]}"#), value(r#"{"b":{"x":2},"c":[1],"d":null}"#));
        let touched = |old: &Value<'_>, new: &Value<'_>| {
            let changes = Changes::between(old, new);
            let touch = |name: &&str| changes.touch(&Path::parse(&format!(".{name}.y"), true).unwrap());
            assert!(changes.touch(&Path::default()), "the item itself");
            ["a", "b", "c", "d", "e"].into_iter().filter(touch).collect::<String>()
        };
        assert_eq!(touched(&old, &new), "abd");
        assert_eq!(touched(&old, &Value::Null), "abcde");
        assert_eq!(touched(&old, &value(r#"{"a":1,"b":{"x":1},"c":[1]}"#)), "");
        let many = value(r#"{"1":1,"2":1,"3":1,"4":1,"5":1,"6":1,"7":1,"8":1,"9":1}"#);
        assert_eq!(touched(&value("{}"), &many), "abcde");
        assert_eq!(touched(&value(r#"{"9":1}"#), &many), "");
    }
}
