//! From the schema of a status to a draft: every field once.

use serde_json::Value as Json;

use super::draft::{Draft, DraftMachine, DraftRule};
use super::guess::{self, Guess};
use super::remark::{Remark, Unguarded};
use super::scalar::{is_plain, quoted};
use super::version::{CrdVersion, PrinterColumns};

/// What a first policy says of a version of a kind.
pub fn draft(crd: &CrdVersion) -> Draft {
    let survey = Survey { columns: &crd.columns };
    let status = Spot { rule: ".status".into(), whole: ".status".into(), level: 0 };
    let mut draft = survey.object(crd.status(), &status, &[]);
    if crd.keeps_unknown && !keeps_unknown(crd.status()) {
        draft.unguarded.push((Unguarded::Unlisted, status.whole));
    }
    draft
}

/// Where a value is.
pub(super) struct Spot {
    /// The path of its rule, which inside an entry starts there.
    pub rule: String,
    /// The path from `.status` on.
    pub whole: String,
    /// How many names and entries below `.status`.
    level: usize,
}

impl Spot {
    fn field(&self, name: &str) -> Self {
        let Self { rule, whole, level } = self;
        Self { rule: format!("{rule}.{name}"), whole: format!("{whole}.{name}"), level: level + 1 }
    }

    /// Of the entries of a list or map.
    pub fn entry(&self) -> Self {
        Self { rule: String::new(), whole: format!("{}[]", self.whole), level: self.level + 1 }
    }

    /// Whether it is a field of the status itself. The conventions of the Kubernetes API speak of these alone: what
    /// lies deeper may be a copy from another object, or be replaced together with what it lies in.
    pub fn is_top(&self) -> bool {
        self.level == 1
    }
}

/// Goes through a schema.
pub(super) struct Survey<'c> {
    columns: &'c PrinterColumns,
}

impl Survey<'_> {
    /// The fields of an object but for `except`.
    pub fn object(&self, schema: &Json, spot: &Spot, except: &[String]) -> Draft {
        let mut draft = Draft::default();
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            if !except.contains(name) {
                draft.merge(self.field(name, field, spot));
            }
        }
        if keeps_unknown(schema) {
            draft.unguarded.push((Unguarded::Unlisted, spot.whole.clone()));
        }
        draft
    }

    fn field(&self, name: &str, schema: &Json, parent: &Spot) -> Draft {
        if !is_plain(name) {
            return Draft::unguarded(Unguarded::Unnameable, format!("{}[{}]", parent.whole, quoted(name)));
        }
        let spot = parent.field(name);
        if guess::is_fixed(schema) {
            return Draft::unguarded(Unguarded::Fixed, spot.whole);
        }
        if has_properties(schema) {
            return self.nested(name, schema, &spot);
        }
        if schema["additionalProperties"].is_object() {
            return self.map(schema, &spot);
        }
        match schema["type"].as_str() {
            Some("array") => self.list(name, schema, &spot),
            Some("object") | None if schema["x-kubernetes-int-or-string"] != true => {
                Draft::unguarded(Unguarded::Opaque, spot.whole)
            }
            _ => self.leaf(name, schema, &spot),
        }
    }

    /// An object inside: with its parts if any of them is notable, else as a whole.
    fn nested(&self, name: &str, schema: &Json, spot: &Spot) -> Draft {
        let draft = self.object(schema, spot, &[]);
        match draft.is_notable() {
            true => draft,
            false if guess::is_reference(name) => {
                Draft { set_once: vec![DraftRule::off(&spot.rule, Remark::Reference)], ..Draft::default() }
            }
            false => Draft::unguarded(Unguarded::Object, spot.whole.clone()),
        }
    }

    fn leaf(&self, name: &str, schema: &Json, spot: &Spot) -> Draft {
        let mut draft = Draft::default();
        let path = &spot.rule;
        match guess::leaf(name, schema, self.columns.name(&spot.whole)) {
            Guess::Machine(names) => draft.machines.push(DraftMachine { path: path.clone(), names }),
            Guess::Generation => {
                let remark = if spot.is_top() { Remark::Generation } else { Remark::InnerGeneration };
                let rule = DraftRule::off(path, remark);
                draft.monotone.push(DraftRule { active: spot.is_top(), bounded: true, ..rule });
            }
            Guess::Counter => {
                let remark = if spot.is_top() { Remark::Counter } else { Remark::InnerCounter };
                let rule = DraftRule::off(path, remark);
                draft.monotone.push(DraftRule { active: spot.is_top(), to_zero: true, ..rule });
            }
            Guess::MaybeCounter => {
                draft.monotone.push(DraftRule { to_zero: true, ..DraftRule::off(path, Remark::MaybeCounter) });
            }
            Guess::Span => draft.set_once.push(DraftRule::off(path, Remark::Span)),
            Guess::Reference => draft.set_once.push(DraftRule::off(path, Remark::Reference)),
            Guess::Unguarded(reason) => draft.unguarded.push((reason, spot.whole.clone())),
        }
        draft
    }
}

/// Whether a schema names fields.
pub(super) fn has_properties(schema: &Json) -> bool {
    schema["properties"].as_object().is_some_and(|properties| !properties.is_empty())
}

/// Whether an object keeps fields that its schema does not list.
fn keeps_unknown(schema: &Json) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}
