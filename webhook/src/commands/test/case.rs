//! One case of a policy test file.

use std::collections::BTreeSet;

use statusguard_policy::{Judgement, Object, Operation, Value, Verdict};

use crate::document;

/// One case as it was written.
pub(super) struct TestCase {
    pub(super) name: String,
    pub(super) operation: Operation,
    pub(super) old: Object<'static>,
    pub(super) new: Object<'static>,
    pub(super) expect: String,
    reasons: Option<BTreeSet<String>>,
}

/// What is wrong, and what to do.
type Wrong = (String, String);

fn wrong(reason: impl Into<String>, hint: impl Into<String>) -> Wrong {
    (reason.into(), hint.into())
}

const KEYS: [&str; 10] =
    ["name", "oldStatus", "newStatus", "old", "new", "generation", "deleting", "operation", "expect", "reasons"];

impl TestCase {
    /// Reads a case.
    pub(super) fn read(case: &Value<'static>) -> Result<Self, Wrong> {
        let Value::Object(members) = case else {
            return Err(wrong("not an object", "give name, statuses and `expect`"));
        };
        if let Some((key, _)) = members.iter().find(|(key, _)| !KEYS.contains(&key.as_ref())) {
            return Err(wrong(format!("unknown key `{key}`"), format!("the keys are {}", KEYS.join(", "))));
        }
        let has = |key: &str| members.iter().any(|(member, _)| member == key);
        let name = match case.get("name") {
            Value::String(name) => name.to_string(),
            Value::Null => return Err(wrong("`name` is missing", "name the case")),
            _ => return Err(wrong("`name` is not a string", "name the case, in quotes if it looks like a number")),
        };
        let object = |whole: &str, status: &str| {
            match (has(whole), has(status)) {
                (true, true) => return Err(wrong(format!("both `{whole}` and `{status}`"), "give one of them")),
                (false, false) => {
                    return Err(wrong(format!("`{status}` is missing"), "write `null` if there is no status"));
                }
                _ => {}
            }
            let object = if has(whole) {
                match (case.get(whole), document::not_an_object(case.get(whole))) {
                    (Value::Null, _) | (_, None) => Object::of(case.get(whole)),
                    (_, Some((reason, hint))) => return Err(wrong(format!("`{whole}` is {reason}"), hint)),
                }
            } else {
                Object { status: case.get(status).clone(), ..Object::default() }
            };
            Ok(object)
        };
        let mut old = object("old", "oldStatus")?;
        let mut new = object("new", "newStatus")?;
        // Every stored object has a generation; where one of the two says it, it is that of both.
        let said =
            [case.get("generation"), &new.generation, &old.generation].into_iter().find(|said| **said != Value::Null);
        let generation = said.cloned().unwrap_or_else(|| Value::Number("1".into()));
        for object in [&mut old, &mut new] {
            if *case.get("generation") != Value::Null || object.generation == Value::Null {
                object.generation = generation.clone();
            }
        }
        match case.get("deleting") {
            Value::Bool(deleting) => new.deleting = *deleting,
            Value::Null => {}
            _ => return Err(wrong("`deleting` is not a boolean", "say true or false")),
        }
        let operation = match case.get("operation") {
            Value::Null => Operation::Update,
            Value::String(text) => {
                text.parse().map_err(|error| wrong(format!("`operation`: {error}"), "omit it for UPDATE"))?
            }
            _ => return Err(wrong("`operation` is not a string", "omit it for UPDATE")),
        };
        let expect = match case.get("expect") {
            Value::String(text) if ["Allow", "Repair", "Stale", "Invalid"].contains(&text.as_ref()) => text.to_string(),
            _ => return Err(wrong("`expect` is missing or unknown", "say Allow, Repair, Stale or Invalid")),
        };
        let reasons = match case.get("reasons") {
            Value::Null => None,
            Value::List(items) => Some(
                items
                    .iter()
                    .map(|item| match item {
                        Value::String(text) => Ok(text.to_string()),
                        _ => Err(wrong(
                            "`reasons` holds something else than names",
                            "list reasons of findings and waivers",
                        )),
                    })
                    .collect::<Result<_, _>>()?,
            ),
            _ => return Err(wrong("`reasons` is not a list", "list reasons of findings and waivers")),
        };
        Ok(Self { name, operation, old, new, expect, reasons })
    }

    /// Expected and got, when they differ.
    pub(super) fn judged(&self, judgement: &Judgement) -> Option<(String, String)> {
        let verdict = if judgement.softened { Verdict::Allow } else { judgement.verdict }.as_str();
        let got: BTreeSet<String> = judgement.reasons.iter().map(ToString::to_string).collect();
        let same_reasons = self.reasons.as_ref().is_none_or(|reasons| *reasons == got);
        if verdict == self.expect && same_reasons {
            return None;
        }
        let show = |verdict: &str, reasons: Option<&BTreeSet<String>>| match reasons {
            None => verdict.to_owned(),
            Some(reasons) => format!("{verdict} {:?}", reasons.iter().collect::<Vec<_>>()),
        };
        Some((show(&self.expect, self.reasons.as_ref()), show(verdict, Some(&got))))
    }
}
