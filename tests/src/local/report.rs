//! The guard's records as lines for a person, as they come.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use statusguard::{Refusal, Refusals};

use super::console::Console;

/// How often the records are looked at.
const EVERY: Duration = Duration::from_millis(100);

/// Prints each record once.
pub struct Reporter {
    console: Console,
    refusals: Refusals,
    last: Option<RecordKey>,
}

/// What tells one record from another.
type RecordKey = (SystemTime, String, String, String);

impl Reporter {
    pub fn new(console: Console, refusals: Refusals) -> Self {
        Self { console, refusals, last: None }
    }

    /// Prints records until it is dropped.
    pub async fn follow(&mut self) -> Infallible {
        loop {
            self.report();
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Prints the records that were not printed yet.
    pub fn report(&mut self) {
        let records = self.refusals.list();
        let printed = self.last.as_ref().map(|last| records.iter().rposition(|record| key(record) == *last));
        if printed == Some(None) {
            self.console.say("(some writes are not shown: there were too many at once)");
        }
        for record in records.iter().skip(printed.flatten().map_or(0, |index| index + 1)) {
            self.console.say(shown(record));
        }
        if let Some(record) = records.last() {
            self.last = Some(key(record));
        }
    }
}

fn key(record: &Refusal) -> RecordKey {
    (record.time, record.uid.clone(), record.resource_version.clone(), record.user.clone())
}

/// `03:00:05Z Denied Stale  alice  notificationrequests.kubernaut.ai demo/n1`, and below it what was wrong.
fn shown(record: &Refusal) -> String {
    let Refusal { outcome, policy, namespace, name, user, .. } = record;
    let class = record.class.map(|class| format!(" {}", class.as_str())).unwrap_or_default();
    let object = if namespace.is_empty() { name.clone() } else { format!("{namespace}/{name}") };
    format!("{} {outcome}{class}  {user}  {policy} {object}\n          {}", clock(record.time), grounds(record))
}

fn grounds(record: &Refusal) -> String {
    let findings = record.findings.iter().map(|finding| format!("{} {}", finding.field, finding.what));
    let waivers =
        record.waivers.iter().map(|waiver| format!("{} is broken as before ({})", waiver.field, waiver.reason));
    let unjudged = Some(record.unjudged.clone()).filter(|reason| !reason.is_empty());
    let unjudged = unjudged.map(|reason| format!("not judged: {reason}"));
    findings.chain(waivers).chain(unjudged).collect::<Vec<_>>().join("; ")
}

/// The time of day, in UTC.
fn clock(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use statusguard_policy::spec::Mode;
    use statusguard_policy::{Class, Finding, Reason, Waiver};

    use super::*;

    fn refusal() -> Refusal {
        let finding = Finding {
            reason: Reason::CounterRegression,
            class: Class::Stale,
            field: "status.attempts".into(),
            old: "3".into(),
            new: "2".into(),
            what: "fell from 3 to 2".into(),
        };
        Refusal {
            time: UNIX_EPOCH + Duration::from_secs(86_400 + 3 * 3600 + 65),
            outcome: "Denied",
            class: Some(Class::Stale),
            code: Some(409),
            mode: Mode::Enforce,
            policy: "jobs.example.org",
            namespace: "demo".into(),
            name: "j1".into(),
            uid: "u".into(),
            resource_version: "7".into(),
            user: "alice".into(),
            field_manager: String::new(),
            trace_id: String::new(),
            findings: vec![finding],
            more: 0,
            waivers: Vec::new(),
            unjudged: String::new(),
        }
    }

    #[test]
    fn a_record_says_when_what_who_which_object_and_why() {
        let refused = refusal();
        assert_eq!(
            shown(&refused),
            "03:01:05Z Denied Stale  alice  jobs.example.org demo/j1\n          status.attempts fell from 3 to 2"
        );
        let waiver = Waiver { reason: Reason::Malformed, field: "status.phase".into() };
        let repaired = Refusal {
            outcome: "Repaired",
            class: None,
            namespace: String::new(),
            findings: Vec::new(),
            waivers: vec![waiver],
            ..refused
        };
        assert_eq!(
            shown(&repaired),
            "03:01:05Z Repaired  alice  jobs.example.org j1\n          status.phase is broken as before (Malformed)"
        );
        let unjudged = Refusal { waivers: Vec::new(), unjudged: "too long".into(), ..repaired };
        assert!(shown(&unjudged).ends_with("\n          not judged: too long"));
    }
}
