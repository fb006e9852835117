//! The implementation against the model, on one write.

use std::collections::BTreeSet;

use super::fast;
use super::judge::{Case, Judgement, Verdict, judge};
use super::shrink::shrink;
use super::value::Val;

type Reasons = BTreeSet<(String, String)>;

/// What the text fixes of a judgement: verdict, reasons with their classes, and the fields of
/// rules that look at one value.
#[derive(Debug, PartialEq)]
pub(crate) struct Fixed {
    verdict: String,
    softened: bool,
    findings: Reasons,
    waivers: BTreeSet<String>,
    fields: Reasons,
}

/// Where these are found is the rule's own path; that of the others is the writer's choice.
const AT_THE_PATH: [&str; 7] = [
    "PhaseRegression",
    "PhaseSkipped",
    "PhaseUnknown",
    "PhaseAmbiguous",
    "CounterRegression",
    "AboveBound",
    "Malformed",
];

pub(crate) fn fixed(judgement: &Judgement) -> Fixed {
    let findings = judgement.findings.iter().map(|f| (f.reason.clone(), f.field.clone()));
    let places = findings.chain(judgement.waivers.iter().cloned());
    Fixed {
        verdict: format!("{:?}", judgement.verdict),
        softened: judgement.softened,
        findings: judgement.findings.iter().map(|f| (f.reason.clone(), format!("{:?}", f.class))).collect(),
        waivers: judgement.waivers.iter().map(|(reason, _)| reason.clone()).collect(),
        fields: places.filter(|(reason, _)| AT_THE_PATH.contains(&reason.as_str())).collect(),
    }
}

/// What both say, if it differs.
pub(crate) fn difference(policy: &Val, case: &Case<'_>) -> Option<String> {
    let model = fixed(&judge(policy, case));
    match fast::judge(policy, case) {
        Ok(judgement) if fixed(&judgement) == model => None,
        Ok(judgement) => Some(format!("model {model:?}\nimplementation {:?}", fixed(&judgement))),
        Err(problem) => Some(format!("model {model:?}\nimplementation: {problem}")),
    }
}

/// A short report of a write that the two judge differently.
pub(crate) fn report(policy: &Val, operation: &str, old: &Val, new: &Val) -> String {
    let differs = |[policy, old, new]: &[Val; 3]| {
        let compiles = fast::compile(policy).is_ok();
        compiles && difference(policy, &Case { operation, old, new }).is_some()
    };
    let values = [policy.clone(), old.clone(), new.clone()];
    let [policy, old, new] = if differs(&values) { shrink(values, differs) } else { values };
    let both = difference(&policy, &Case { operation, old: &old, new: &new }).unwrap_or_default();
    format!("policy {}\nold {}\nnew {}\n{both}\n", policy.json(), old.json(), new.json())
}

/// The verdict of both on an update; a report where they differ.
pub(crate) fn verdict(policy: &Val, old: &Val, new: &Val) -> Result<Verdict, String> {
    let operation = "UPDATE";
    let case = Case { operation, old, new };
    match difference(policy, &case) {
        None => Ok(judge(policy, &case).verdict),
        Some(_) => Err(report(policy, operation, old, new)),
    }
}
