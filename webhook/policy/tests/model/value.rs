//! JSON values as the model sees them: numbers keep their decimal text.

use std::collections::BTreeMap;

/// A JSON value; a number is the text it was written as.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Val {
    Null,
    Bool(bool),
    Num(String),
    Str(String),
    List(Vec<Val>),
    Map(BTreeMap<String, Val>),
}

/// What an absent member reads as.
pub(crate) const NULL: Val = Val::Null;

impl Val {
    /// Reads JSON, or the short form of the tables: names and plain words need no quotes,
    /// single quotes do for double ones.
    pub(crate) fn parse(text: &str) -> Val {
        let mut reader = Reader { chars: text.chars().collect(), at: 0 };
        let value = reader.value();
        reader.blank();
        assert_eq!(reader.at, reader.chars.len(), "text after the value: {text}");
        value
    }

    pub(crate) fn str(text: &str) -> Val {
        Val::Str(text.to_owned())
    }

    pub(crate) fn int(number: i64) -> Val {
        Val::Num(number.to_string())
    }

    pub(crate) fn strs<S: AsRef<str>>(texts: &[S]) -> Val {
        Val::List(texts.iter().map(|t| Val::str(t.as_ref())).collect())
    }

    pub(crate) fn map(members: Vec<(&str, Val)>) -> Val {
        Val::Map(members.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    /// The member of that name; `Null` where there is none or this is not an object.
    pub(crate) fn at(&self, name: &str) -> &Val {
        match self {
            Val::Map(members) => members.get(name).unwrap_or(&NULL),
            _ => &NULL,
        }
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        matches!(self, Val::Map(members) if members.contains_key(name))
    }

    pub(crate) fn set(&mut self, name: &str, value: Val) {
        if !matches!(self, Val::Map(_)) {
            *self = Val::Map(BTreeMap::new());
        }
        if let Val::Map(members) = self {
            members.insert(name.to_owned(), value);
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Val::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list; nothing for any other value.
    pub(crate) fn items(&self) -> &[Val] {
        match self {
            Val::List(items) => items,
            _ => &[],
        }
    }

    /// A list of strings as such; other items are left out.
    pub(crate) fn words(&self) -> Vec<String> {
        self.items().iter().filter_map(|v| v.as_str().map(str::to_owned)).collect()
    }

    /// JSON, members in the order of their names.
    pub(crate) fn json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, &mut |_| {});
        out
    }

    /// JSON with members in the order that `shuffle` leaves them in.
    pub(crate) fn write(&self, out: &mut String, shuffle: &mut impl FnMut(&mut Vec<&String>)) {
        match self {
            Val::Null => out.push_str("null"),
            Val::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Val::Num(text) => out.push_str(text),
            Val::Str(text) => quote(text, out),
            Val::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    item.write(out, shuffle);
                }
                out.push(']');
            }
            Val::Map(members) => {
                let mut names: Vec<&String> = members.keys().collect();
                shuffle(&mut names);
                out.push('{');
                for (i, name) in names.iter().enumerate() {
                    if i > 0 {
                        out.push(',');
                    }
                    quote(name, out);
                    out.push(':');
                    members[*name].write(out, shuffle);
                }
                out.push('}');
            }
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether the text is a number in JSON's grammar.
pub(crate) fn is_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((m, e)) => (m, Some(e)),
        None => (rest, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((w, f)) => (w, Some(f)),
        None => (mantissa, None),
    };
    let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)))
}

struct Reader {
    chars: Vec<char>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> char {
        self.chars.get(self.at).copied().unwrap_or('\0')
    }

    fn blank(&mut self) {
        while self.peek().is_whitespace() {
            self.at += 1;
        }
    }

    fn eat(&mut self, c: char) -> bool {
        self.blank();
        let found = self.peek() == c;
        self.at += usize::from(found);
        found
    }

    fn value(&mut self) -> Val {
        if self.eat('{') {
            let mut members = BTreeMap::new();
            while !self.eat('}') {
                let name = self.name();
                assert!(self.eat(':'), "no colon after {name} in {}", self.text());
                members.insert(name, self.value());
                self.comma('}');
            }
            return Val::Map(members);
        }
        if self.eat('[') {
            let mut items = Vec::new();
            while !self.eat(']') {
                items.push(self.value());
                self.comma(']');
            }
            return Val::List(items);
        }
        if let Some(text) = self.quoted() {
            return Val::Str(text);
        }
        let word = self.word(&[',', ']', '}']);
        match word.as_str() {
            "null" => Val::Null,
            "true" => Val::Bool(true),
            "false" => Val::Bool(false),
            w if is_number(w) => Val::Num(word),
            _ => Val::Str(word),
        }
    }

    fn comma(&mut self, end: char) {
        self.blank();
        assert!(self.eat(',') || self.peek() == end, "neither comma nor {end} at {} in {}", self.at, self.text());
    }

    fn name(&mut self) -> String {
        self.blank();
        self.quoted().unwrap_or_else(|| self.word(&[':']))
    }

    fn word(&mut self, ends: &[char]) -> String {
        let from = self.at;
        while self.at < self.chars.len() && !self.peek().is_whitespace() && !ends.contains(&self.peek()) {
            self.at += 1;
        }
        assert!(self.at > from, "a word is missing at {from} in {}", self.text());
        self.chars[from..self.at].iter().collect()
    }

    fn quoted(&mut self) -> Option<String> {
        let mark = self.peek();
        if mark != '"' && mark != '\'' {
            return None;
        }
        let mut text = String::new();
        self.at += 1;
        while self.peek() != mark {
            assert!(self.at < self.chars.len(), "an open string in {}", self.text());
            if self.peek() == '\\' {
                self.at += 1;
                match self.peek() {
                    'u' => {
                        let hex: String = self.chars[self.at + 1..self.at + 5].iter().collect();
                        let code = u32::from_str_radix(&hex, 16).expect("four hex digits");
                        text.push(char::from_u32(code).expect("no surrogates in tests"));
                        self.at += 4;
                    }
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    c => text.push(c),
                }
            } else {
                text.push(self.peek());
            }
            self.at += 1;
        }
        self.at += 1;
        Some(text)
    }

    fn text(&self) -> String {
        self.chars.iter().collect()
    }
}
