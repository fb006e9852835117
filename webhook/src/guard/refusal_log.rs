//! The log line of a write that breaks a rule. It says what the client is told, so that who starts from the log can
//! tell a stale write from a wrong policy: each field with what happened to it, and the version that was judged.

use std::fmt;

use serde::Serialize;
use statusguard_policy::{Class, Finding};

use super::refusals::Refusal;

/// The field of the line that holds the findings.
pub const FINDINGS: &str = "findings";

/// Bytes of the texts of the findings that one line shows; the first is always shown. The texts of one have
/// at most a few KiB.
const LOGGED_BYTES: usize = 4096;

/// Writes the line. The findings' texts are within the policy's `redact`.
pub fn log(refusal: &Refusal, dry_run: bool) {
    let findings = LoggedFindings(first_findings(&refusal.findings));
    let more = refusal.findings.len() - findings.0.len() + refusal.more;
    let denied = refusal.code.is_some();
    tracing::info!(
        target: "statusguard::refusals",
        policy = refusal.policy,
        mode = ?refusal.mode,
        outcome = refusal.outcome,
        class = refusal.class.map(Class::as_str),
        code = refusal.code,
        namespace = refusal.namespace,
        name = refusal.name,
        resource_version = refusal.resource_version,
        user = refusal.user,
        field_manager = refusal.field_manager,
        dry_run,
        trace_id = Some(&*refusal.trace_id).filter(|id| !id.is_empty()),
        ?findings,
        more,
        "{}",
        if denied { "status write refused" } else { "status write allowed although it breaks rules" }
    );
}

/// Those that fit in a line.
fn first_findings(findings: &[Finding]) -> &[Finding] {
    let mut room = LOGGED_BYTES;
    let fitting = findings.iter().take_while(|finding| {
        let bytes: usize = [&finding.field, &finding.what, &finding.old, &finding.new].map(String::len).iter().sum();
        let fits = bytes <= room;
        room = room.saturating_sub(bytes);
        fits
    });
    let count = fitting.count().max(1).min(findings.len());
    &findings[..count]
}

/// Findings as the log shows them: by `{:?}` for people, by `{:#?}` as a JSON list.
struct LoggedFindings<'f>(&'f [Finding]);

/// One finding for programs. Values are JSON texts, so that a field of the log never changes its type.
#[derive(Serialize)]
struct LoggedFinding<'f> {
    reason: &'static str,
    class: &'static str,
    field: &'f str,
    old: &'f str,
    new: &'f str,
    what: &'f str,
}

impl fmt::Debug for LoggedFindings<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if out.alternate() {
            let list: Vec<_> = self.0.iter().map(LoggedFinding::new).collect();
            return out.write_str(&serde_json::to_string(&list).map_err(|_| fmt::Error)?);
        }
        out.write_str("[")?;
        for (at, finding) in self.0.iter().enumerate() {
            let Finding { field, what, reason, class, .. } = finding;
            let gap = if at > 0 { "; " } else { "" };
            // A name in a field may hold anything; a line stays a line.
            let text = format!("{gap}{field} {what} ({reason}, {})", class.as_str());
            let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
            out.write_str(&line)?;
        }
        out.write_str("]")
    }
}

impl<'f> LoggedFinding<'f> {
    fn new(finding: &'f Finding) -> Self {
        let Finding { reason, class, field, old, new, what } = finding;
        Self { reason: reason.as_str(), class: class.as_str(), field, old, new, what }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use statusguard_policy::Reason;

    use super::*;

    fn finding(field: &str, what: &str) -> Finding {
        Finding {
            reason: Reason::CounterRegression,
            class: Class::Stale,
            field: field.to_owned(),
            old: "3".to_owned(),
            new: "2".to_owned(),
            what: what.to_owned(),
        }
    }

    #[test]
    fn findings_are_a_text_and_a_json_list() {
        let findings = [finding("status.n", "fell from 3 to 2"), finding("status.m[a\nb]", "lost entry \"x\"")];
        let logged = LoggedFindings(&findings);
        assert_eq!(
            format!("{logged:?}"),
            "[status.n fell from 3 to 2 (CounterRegression, Stale); \
             status.m[a b] lost entry \"x\" (CounterRegression, Stale)]"
        );
        let list: serde_json::Value = serde_json::from_str(&format!("{logged:#?}")).unwrap();
        let entry = |field: &str, what: &str| {
            json!({
                "reason": "CounterRegression", "class": "Stale", "field": field, "old": "3", "new": "2", "what": what,
            })
        };
        let expected = [entry("status.n", "fell from 3 to 2"), entry("status.m[a\nb]", "lost entry \"x\"")];
        assert_eq!(list, json!(expected));
    }

    #[test]
    fn a_line_shows_as_many_findings_as_fit() {
        // With the field's name and both values 1,000 bytes.
        let long = finding("status", &"x".repeat(992));
        let many = vec![long; 32];
        assert_eq!(first_findings(&many).len(), 4);
        assert_eq!(first_findings(&many[..3]).len(), 3);
        assert_eq!(first_findings(&[]).len(), 0);
        let huge = [finding("status", &"x".repeat(LOGGED_BYTES)), finding("status", "")];
        assert_eq!(first_findings(&huge).len(), 1, "the first is shown whatever its length");
    }
}
