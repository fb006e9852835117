//! What a field most likely is, from its name, its type and the columns of `kubectl get`.

use serde_json::Value as Json;

use super::remark::Unguarded;
use super::scalar::is_plain;
use super::words::{self, any, ends, words};

/// What a field without parts is taken for.
#[derive(Debug, PartialEq, Eq)]
pub enum Guess {
    /// The state of a machine, with the names that the schema lists.
    Machine(Vec<String>),
    /// The generation that the controller has observed.
    Generation,
    /// A number that its name says to be incremented.
    Counter,
    /// A number that may be incremented or counted anew.
    MaybeCounter,
    /// The time of a start or an end.
    Span,
    /// A name, an id or the like.
    Reference,
    Unguarded(Unguarded),
}

/// What a field without parts is taken for; `column` is the name of the column that shows it.
pub fn leaf(name: &str, schema: &Json, column: Option<&str>) -> Guess {
    let words = words(name);
    if schema["x-kubernetes-int-or-string"] == true || schema["format"] == "int-or-string" {
        return Guess::Unguarded(Unguarded::NumberOrText);
    }
    match schema["type"].as_str() {
        Some("string") => string(&words, schema, column),
        Some("integer") => integer(&words),
        Some("number") => Guess::Unguarded(Unguarded::Number),
        Some("boolean") => Guess::Unguarded(Unguarded::Flag),
        _ => Guess::Unguarded(Unguarded::Opaque),
    }
}

fn string(name: &[String], schema: &Json, column: Option<&str>) -> Guess {
    let is_moving = is_moving(name);
    if schema["format"] == "date-time" {
        let is_span = any(name, words::SPANS) && !is_moving;
        return if is_span { Guess::Span } else { Guess::Unguarded(Unguarded::Time) };
    }
    let names: Vec<String> = enum_names(schema);
    let is_past = any(name, words::PAST);
    let is_text = ends(name, words::TEXTS);
    let is_shown =
        column.is_some_and(|column| !is_text && (names.len() > 1 || ends(&words::words(column), words::STATES)));
    if (ends(name, words::STATES) || is_shown) && !is_past {
        return Guess::Machine(names);
    }
    Guess::Unguarded(match () {
        () if is_text => Unguarded::Text,
        () if names.len() > 1 => Unguarded::Choice,
        () if ends(name, words::TIMES) && (name.len() > 1 || !ends(name, "at")) => Unguarded::TextTime,
        () if is_moving => Unguarded::MovingName,
        () if ends(name, words::REFERENCES) => return Guess::Reference,
        () => Unguarded::Other,
    })
}

fn integer(name: &[String]) -> Guess {
    if is_observed_generation(name) {
        return Guess::Generation;
    }
    let is_recounted = any(name, words::RECOUNTED);
    let is_counted = ends(name, words::COUNTS) && ends(&name[..name.len() - 1], words::INCREMENTED);
    match () {
        () if is_recounted => Guess::Unguarded(Unguarded::Number),
        () if is_counted || ends(name, words::COUNTERS) => Guess::Counter,
        () if ends(name, words::MAYBE_COUNTERS) => Guess::MaybeCounter,
        () => Guess::Unguarded(Unguarded::Number),
    }
}

/// Whether a name is `observedGeneration` in any case style.
pub fn is_observed_generation(name: &[String]) -> bool {
    name.concat() == "observedgeneration"
}

/// Whether a value follows something that changes, by its name.
fn is_moving(name: &[String]) -> bool {
    any(name, words::MOVING) || name.first().is_some_and(|word| word == "target")
}

/// Whether a whole object is a reference, by its name.
pub fn is_reference(name: &str) -> bool {
    let words = words(name);
    ends(&words, words::REFERENCES) && !ends(&words, "name") && !is_moving(&words)
}

/// Whether entries are added to the end of a list, by its name.
pub fn is_history(name: &str) -> bool {
    ends(&words(name), words::HISTORIES)
}

/// Whether a list is one of conditions.
pub fn is_conditions(name: &str, items: &Json) -> bool {
    let member = |name: &str| items["properties"][name]["type"] == "string";
    ends(&words(name), "conditions") && member("type") && member("status")
}

/// Whether a rule of the schema keeps a value as it is.
pub fn is_fixed(schema: &Json) -> bool {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    let texts = rules.filter_map(|rule| rule["rule"].as_str());
    let mut texts = texts.map(|text| text.split_whitespace().collect::<String>());
    texts.any(|text| text == "self==oldSelf" || text == "oldSelf==self")
}

/// Whether nothing follows a state, by its name.
pub fn is_final(name: &str) -> bool {
    words::is(&words(name).concat(), words::FINAL)
}

/// The members of an entry that most likely identify it.
pub fn key(items: &Json) -> Vec<String> {
    let properties = &items["properties"];
    let identifies = |name: &str| {
        let schema = &properties[name];
        let words = words(name);
        is_plain(name)
            && schema["type"] != "array"
            && schema["format"] != "date-time"
            && !["boolean", "number"].iter().any(|kind| schema["type"] == *kind)
            && !ends(&words, words::STATES)
            && !ends(&words, words::TEXTS)
    };
    let required = items["required"].as_array().into_iter().flatten().filter_map(Json::as_str);
    let required: Vec<String> = required.filter(|name| identifies(name)).map(str::to_owned).collect();
    if !required.is_empty() {
        return required;
    }
    let likely = words::IDENTITIES.split_whitespace().find(|name| !properties[*name].is_null());
    likely.map(str::to_owned).into_iter().collect()
}

fn enum_names(schema: &Json) -> Vec<String> {
    let names = schema["enum"].as_array().into_iter().flatten().filter_map(Json::as_str);
    // `*` stands for all names in a policy.
    names.filter(|name| !name.is_empty() && *name != "*").map(str::to_owned).collect()
}
