//! YAML scalars, which no reader of YAML 1.1 or 1.2 takes for anything but the text.

use std::fmt::Write as _;

/// Whether the language has paths with this name.
pub fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A text on one line, quoted where that is needed.
pub fn scalar(text: &str) -> String {
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let plain = text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.split('.').all(is_plain);
    if plain && !is_word { text.to_owned() } else { quoted(text) }
}

/// A path on one line. `.5` and `.inf` are numbers in YAML.
pub fn path(path: &str) -> String {
    let name = path.trim_start_matches('.');
    let is_number = ["inf", "nan"].iter().any(|word| name.eq_ignore_ascii_case(word));
    let plain = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_') && !is_number;
    if plain { path.to_owned() } else { quoted(path) }
}

/// Texts as a list on one line.
pub fn list<'t>(texts: impl IntoIterator<Item = &'t String>) -> String {
    texts.into_iter().map(|text| scalar(text)).collect::<Vec<_>>().join(", ")
}

/// A text in double quotes, without a character that ends a line or that YAML does not allow.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        // Writing to a `String` cannot fail.
        let _ = match character {
            '"' | '\\' => write!(quoted, "\\{character}"),
            '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                write!(quoted, "\\u{:04x}", u32::from(character))
            }
            character if character.is_control() => write!(quoted, "\\u{:04x}", u32::from(character)),
            character => write!(quoted, "{character}"),
        };
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_quoted_where_yaml_would_read_something_else() {
        for (text, expected) in [
            ("Done", "Done"),
            ("a.b-c", "a.b-c"),
            ("True", "\"True\""),
            ("no", "\"no\""),
            ("1", "\"1\""),
            ("1e3", "\"1e3\""),
            ("", "\"\""),
            ("*", "\"*\""),
            ("a: b", "\"a: b\""),
            ("a\"\\\n\u{85}\u{2028}é", "\"a\\\"\\\\\\u000a\\u0085\\u2028é\""),
        ] {
            assert_eq!(scalar(text), expected);
            assert_eq!(crate::document::parse(expected).unwrap()[0].to_string(), serde_json::json!(text).to_string());
        }
        for (text, expected) in [(".a.5", ".a.5"), (".5", "\".5\""), (".inf", "\".inf\""), (".NaN", "\".NaN\"")] {
            assert_eq!(path(text), expected);
            assert_eq!(crate::document::parse(expected).unwrap()[0].to_string(), serde_json::json!(text).to_string());
        }
    }
}
