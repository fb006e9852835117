//! What `check` prints.

use serde::Serialize;
use serde_json::value::RawValue;
use statusguard_policy::spec::Mode;
use statusguard_policy::{Class, Judgement, Policy, Verdict, Waiver};

use super::write::Write;
use crate::commands::table::table;
use crate::guard::outcome::{Outcome, object_name};
use crate::output::{FAIL, PASS, WARN, painted};

/// What `check -o json` prints.
#[derive(Serialize)]
pub(super) struct CheckReport<'j> {
    policy: &'j str,
    /// As the guard's messages name it.
    object: String,
    verdict: Verdict,
    class: Option<Class>,
    /// What the client of a refused write is answered under mode Enforce.
    code: Option<u16>,
    reason: Option<&'static str>,
    /// The mode in the object's namespace, and what it makes of the write.
    mode: Mode,
    outcome: &'static str,
    /// Whether the writer that a review names is exempt.
    exempt: bool,
    findings: Vec<FindingReport<'j>>,
    /// Findings that are not spelt out.
    #[serde(skip_serializing_if = "is_zero")]
    more: usize,
    waivers: &'j [Waiver],
}

/// A finding with its message.
#[derive(Serialize)]
struct FindingReport<'j> {
    reason: &'static str,
    class: Class,
    field: &'j str,
    old: Box<RawValue>,
    new: Box<RawValue>,
    message: String,
}

impl<'j> CheckReport<'j> {
    pub(super) fn new(policy: &'j Policy, write: &Write, judgement: &'j Judgement) -> Self {
        let target = &policy.spec().target;
        let (namespace, name) = (write.namespace(), write.name());
        // Such a policy is not in force in any cluster.
        let mode = if policy.unconfirmed_core() { Mode::Off } else { policy.mode_in(&namespace) };
        let (user, groups) = write.writer();
        let exempt = policy.is_exempt(&user, || groups);
        let refusal = judgement.refusal();
        Self {
            policy: policy.name(),
            object: object_name((&target.group, &target.resource), &namespace, &name),
            verdict: judgement.verdict,
            class: judgement.verdict.class(),
            code: refusal.map(Class::code),
            reason: refusal.map(Class::status_reason),
            mode,
            outcome: Outcome::of(judgement, mode, exempt).as_str(),
            exempt,
            findings: judgement.findings.iter().map(FindingReport::new).collect(),
            more: judgement.more,
            waivers: &judgement.waivers,
        }
    }

    pub(super) fn table(&self, policy: &Policy, judgement: &Judgement) -> String {
        let answer = match (self.code, self.reason) {
            (Some(code), Some(reason)) => format!(": {code} {reason}"),
            _ => String::new(),
        };
        let colour = match self.outcome {
            "Allowed" | "Repaired" => PASS,
            "Denied" => FAIL,
            _ => WARN,
        };
        let because = self.because(policy, judgement);
        let mut text = format!(
            "Verdict   {}{answer}\nOutcome   {}{because}\n",
            self.verdict.as_str(),
            painted(colour, self.outcome)
        );
        if self.outcome == "Denied" {
            text.push_str(&format!("\n{}\n", judgement.summary(&self.object, self.policy)));
        } else if !judgement.findings.is_empty() {
            text.push('\n');
            judgement.findings.iter().for_each(|finding| text.push_str(&format!("{}\n", finding.warning(self.policy))));
        }
        if !judgement.findings.is_empty() {
            let rows = judgement.findings.iter().map(|f| {
                vec![f.reason.to_string(), f.class.as_str().into(), f.field.clone(), f.old.clone(), f.new.clone()]
            });
            let rows: Vec<Vec<String>> = rows.collect();
            text.push_str(&format!("\n{}", table(&["FINDING", "CLASS", "FIELD", "OLD", "NEW"], &rows)));
        }
        if !judgement.waivers.is_empty() {
            let rows: Vec<Vec<String>> =
                judgement.waivers.iter().map(|w| vec![w.reason.to_string(), w.field.clone()]).collect();
            text.push_str(&format!("\n{}", table(&["WAIVED", "FIELD"], &rows)));
        }
        text
    }

    /// Why the outcome is not what the verdict alone would make of the write.
    fn because(&self, policy: &Policy, judgement: &Judgement) -> String {
        if policy.unconfirmed_core() {
            return ": one of Kubernetes' own kinds, and without `core: true` no cluster enforces the policy".into();
        }
        match self.mode {
            Mode::Off => ": mode Off, nothing is judged".into(),
            _ if self.class.is_none() => String::new(),
            _ if self.exempt => ": the writer is exempt".into(),
            Mode::Enforce if judgement.softened => ": the object is being deleted, so the client is only warned".into(),
            Mode::Enforce => String::new(),
            Mode::Warn => ": mode Warn, the write is allowed and the client is warned".into(),
            Mode::Audit => ": mode Audit, the write is allowed and recorded".into(),
        }
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
