//! What a case says about the answer, the stored object and the record of its write.

use std::collections::BTreeSet;

use serde_json::Value;
use statusguard::Refusal;

use crate::cases::Expect;
use crate::server::ApiResponse;
use crate::stage::Trial;

/// What is known after a write.
pub struct Observed<'a> {
    pub answer: &'a ApiResponse,
    /// The object as it was stored before and after.
    pub before: &'a Value,
    pub after: &'a Value,
    /// What the guard recorded about the object, oldest first.
    pub recorded: &'a [Refusal],
}

impl Trial<'_> {
    /// Whether the write went as the case says; if not, how.
    pub fn check(&self, observed: &Observed<'_>) -> Result<(), String> {
        let Observed { answer, before, after, recorded } = *observed;
        let outcome = match self.case.expect {
            Expect::Stale => {
                self.check_refused(answer, 409, "Conflict")?;
                Some("Denied")
            }
            Expect::Invalid => {
                self.check_refused(answer, 422, "Invalid")?;
                Some("Denied")
            }
            Expect::Repair => Some("Repaired"),
            Expect::Allow if self.case.deleting => Some("Warned"),
            Expect::Allow => None,
        };
        if self.case.refused() {
            same("the object", before, after)?;
        } else {
            same("the code", &200, &answer.code)?;
            same("the status", &self.case.new_status, &after["status"])?;
            // What a writer may not do to other objects it is told about one that goes.
            let warned = answer.warnings.iter().any(|warning| warning.contains("status."));
            same("a warning", &self.case.deleting, &warned)?;
            if !self.case.deleting {
                same("warnings", &Vec::new(), &answer.warnings)?;
            }
        }
        let outcomes: BTreeSet<_> = recorded.iter().map(|record| record.outcome).collect();
        same("recorded outcomes", &outcome.into_iter().collect(), &outcomes)?;
        if let (Some(record), Some(reasons)) = (recorded.last(), &self.case.reasons) {
            let findings = record.findings.iter().map(|finding| finding.reason.as_str());
            let waivers = record.waivers.iter().map(|waiver| waiver.reason.as_str());
            let found = findings.chain(waivers).map(str::to_owned).collect();
            same("recorded reasons", reasons, &found)?;
            same("the recorded user", &"admin", &record.user.as_str())?;
        }
        Ok(())
    }

    fn check_refused(&self, answer: &ApiResponse, code: u16, reason: &str) -> Result<(), String> {
        same("code and reason", &(code, reason), &(answer.code, answer.reason()))?;
        let begin = format!("admission webhook \"{}.statusguard.dev\" denied the request: ", self.kind.policy());
        same(
            "the beginning of the message",
            &begin.as_str(),
            &answer.message().get(..begin.len()).unwrap_or_default(),
        )?;
        let details = &answer.body["details"];
        same("the object's name", &self.name().as_str(), &details["name"].as_str().unwrap_or_default())?;
        same("the object's kind", &self.kind.kind, &details["kind"].as_str().unwrap_or_default())?;
        let reasons = self.case.reasons.as_ref().ok_or("a refused case names its reasons")?;
        let mut causes = answer.causes();
        if code == 409 {
            let first = (!causes.is_empty()).then(|| causes.remove(0));
            same("the first cause", &Some(("JudgedVersion", "metadata.resourceVersion")), &first)?;
        }
        let found = causes.iter().map(|(reason, _)| (*reason).to_owned()).collect();
        same("the reasons of the causes", reasons, &found)?;
        let fields = causes.iter().all(|(_, field)| field.starts_with("status."));
        same("every cause names a field of the status", &true, &fields)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, expected: &T, found: &T) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}
