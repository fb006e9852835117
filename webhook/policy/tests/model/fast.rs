//! The implementation under test, in the model's words.

use statusguard_policy::{Budget, Object, Operation, Policy, Value};

use super::judge::{Case, Class, Finding, Judgement, Verdict};
use super::value::Val;

/// Compiles a policy; the problems as one text where it does not.
pub(crate) fn compile(policy: &Val) -> Result<Policy, String> {
    let document = serde_json::from_str(&policy.json()).map_err(|e| e.to_string())?;
    Policy::compile(&document).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect();
        texts.join("; ")
    })
}

pub(crate) fn judge(policy: &Val, case: &Case<'_>) -> Result<Judgement, String> {
    judge_json(&compile(policy)?, case.operation, &case.old.json(), &case.new.json())
}

/// Judges whole objects as the bytes that a review carries.
pub(crate) fn judge_json(policy: &Policy, operation: &str, old: &str, new: &str) -> Result<Judgement, String> {
    let operation: Operation = operation.parse().map_err(|e| format!("{e}"))?;
    let old = Value::parse(old.as_bytes()).map_err(|e| format!("old: {e}"))?;
    let new = Value::parse_like(new.as_bytes(), &old).map_err(|e| format!("new: {e}"))?;
    let judgement = policy
        .judge(operation, &Object::of(&old), &Object::of(&new), &Budget::unlimited())
        .map_err(|e| e.to_string())?;
    Ok(Judgement {
        verdict: match judgement.verdict {
            statusguard_policy::Verdict::Allow => Verdict::Allow,
            statusguard_policy::Verdict::Repair => Verdict::Repair,
            statusguard_policy::Verdict::Stale => Verdict::Stale,
            statusguard_policy::Verdict::Invalid => Verdict::Invalid,
        },
        findings: judgement
            .findings
            .iter()
            .map(|f| Finding {
                reason: f.reason.as_str().to_owned(),
                class: match f.class {
                    statusguard_policy::Class::Stale => Class::Stale,
                    statusguard_policy::Class::Invalid => Class::Invalid,
                },
                field: f.field.clone(),
                consequence: f.reason.is_consequence(),
            })
            .collect(),
        waivers: judgement.waivers.iter().map(|w| (w.reason.as_str().to_owned(), w.field.clone())).collect(),
        softened: judgement.softened,
    })
}
