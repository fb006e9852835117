//! `statusguard check`: one write, judged offline.

use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::value::RawValue;
use statusguard_policy::{Budget, Class, Judgement, Object, Operation, Policy, Value, Verdict, Waiver};

use crate::args::{CheckArgs, OutputFormat};
use crate::exit::Exit;
use crate::{document, output, policies};

use super::table::table;

/// Judges one write and prints the result.
pub fn run(check: &CheckArgs) -> anyhow::Result<Exit> {
    let CheckArgs { policy, old, new, review, output: form } = check;
    let policy = policies::load_one(policy)?;
    let (operation, old, new) = match (review, old, new) {
        (Some(review), _, _) => from_review(review)?,
        (None, Some(old), Some(new)) => (Operation::Update, document::read_object(old)?, document::read_object(new)?),
        _ => anyhow::bail!("name --old and --new, or --review"),
    };
    let judgement = policy.judge(operation, &Object::of(&old), &Object::of(&new), &Budget::unlimited())?;
    let report = CheckReport::new(&policy, &judgement);
    match form {
        OutputFormat::Json => output::print_json(&report)?,
        OutputFormat::Table => output::print(&report.table(&judgement, &new))?,
    }
    Ok(match judgement.refusal() {
        None => Exit::Success,
        Some(Class::Stale) => Exit::Stale,
        Some(Class::Invalid) => Exit::Invalid,
    })
}

/// The write that an AdmissionReview asks about.
fn from_review(file: &Path) -> anyhow::Result<(Operation, Value<'static>, Value<'static>)> {
    let review = document::read_one(file)?;
    let request = review.get("request");
    let Value::Object(_) = request else {
        return Err(document::Error::unfit(file, "`request` is missing", "give an AdmissionReview request").into());
    };
    let operation = match request.get("operation") {
        Value::String(text) => text.parse().with_context(|| format!("{}: request.operation", file.display()))?,
        _ => {
            return Err(document::Error::unfit(
                file,
                "`request.operation` is missing or no text",
                "give an AdmissionReview request",
            )
            .into());
        }
    };
    let has_old = operation == Operation::Update;
    let has_new = has_old || operation == Operation::Create;
    let object = |name: &str, needed: bool| {
        let reason = match (request.get(name), document::not_an_object(request.get(name))) {
            (object, None) => return Ok(object.clone()),
            (Value::Null, _) if !needed => return Ok(Value::Null),
            (Value::Null, _) => format!("`request.{name}` is missing"),
            (_, Some((reason, _))) => format!("`request.{name}` is {reason}"),
        };
        Err(document::Error::unfit(file, reason, "give the whole AdmissionReview; an UPDATE has both objects"))
    };
    Ok((operation, object("oldObject", has_old)?, object("object", has_new)?))
}

/// What `check -o json` prints.
#[derive(Serialize)]
pub struct CheckReport<'j> {
    policy: &'j str,
    outcome: &'static str,
    class: Option<Class>,
    code: Option<u16>,
    reason: Option<&'static str>,
    pub findings: Vec<FindingReport<'j>>,
    /// Findings that are not spelt out.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
    pub waivers: &'j [Waiver],
}

/// A finding with its message.
#[derive(Serialize)]
pub struct FindingReport<'j> {
    reason: &'static str,
    class: Class,
    field: &'j str,
    old: Box<RawValue>,
    new: Box<RawValue>,
    message: String,
}

impl<'j> CheckReport<'j> {
    pub fn new(policy: &'j Policy, judgement: &'j Judgement) -> Self {
        let class = judgement.verdict.class();
        let refusal = judgement.refusal();
        Self {
            policy: policy.name(),
            outcome: outcome(judgement),
            class,
            code: refusal.map(Class::code),
            reason: refusal.map(Class::status_reason),
            findings: judgement.findings.iter().map(FindingReport::new).collect(),
            more: judgement.more,
            waivers: &judgement.waivers,
        }
    }

    fn table(&self, judgement: &Judgement, new: &Value<'_>) -> String {
        let name = match (new.get("kind"), new.get("metadata").get("name")) {
            (Value::String(kind), Value::String(name)) => format!("{kind} {name}"),
            (_, Value::String(name)) => name.to_string(),
            _ => "the object".into(),
        };
        let mut text = match (self.class, self.code, self.reason) {
            (Some(class), Some(code), Some(reason)) => {
                format!("{} ({}, {code} {reason})\n", self.outcome, class.as_str())
            }
            (Some(class), ..) => format!("{} ({}; the object is being deleted)\n", self.outcome, class.as_str()),
            _ => format!("{}\n", self.outcome),
        };
        if self.class.is_some() {
            text.push_str(&format!("{}\n", judgement.summary(&name, self.policy)));
        }
        if !judgement.findings.is_empty() {
            let rows: Vec<Vec<String>> = judgement
                .findings
                .iter()
                .map(|f| {
                    vec![f.reason.to_string(), f.class.as_str().into(), f.field.clone(), f.old.clone(), f.new.clone()]
                })
                .collect();
            text.push_str(&format!("\n{}", table(&["FINDING", "CLASS", "FIELD", "OLD", "NEW"], &rows)));
        }
        if !judgement.waivers.is_empty() {
            let rows: Vec<Vec<String>> =
                judgement.waivers.iter().map(|w| vec![w.reason.to_string(), w.field.clone()]).collect();
            text.push_str(&format!("\n{}", table(&["WAIVED", "FIELD"], &rows)));
        }
        text
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl<'j> FindingReport<'j> {
    fn new(finding: &'j statusguard_policy::Finding) -> Self {
        Self {
            reason: finding.reason.as_str(),
            class: finding.class,
            field: &finding.field,
            old: raw(&finding.old),
            new: raw(&finding.new),
            message: finding.message(),
        }
    }
}

/// JSON text as it is; what is not JSON (cut, redacted, absent) as a string or null.
fn raw(text: &str) -> Box<RawValue> {
    let text = if text == "nothing" { "null" } else { text };
    let raw = RawValue::from_string(text.into()).or_else(|_| serde_json::value::to_raw_value(text));
    raw.unwrap_or_else(|_| RawValue::NULL.to_owned())
}

/// What would happen to the write under mode Enforce.
fn outcome(judgement: &Judgement) -> &'static str {
    match (judgement.verdict, judgement.softened) {
        (Verdict::Allow, _) => "Allowed",
        (Verdict::Repair, _) => "Repaired",
        (_, true) => "Warned",
        (_, false) => "Denied",
    }
}
