//! What `certs status` says, for programs and for people.

use serde::Serialize;
use statusguard_certs::{
    AuthorityRecord, Bundle, CertificateInspection, InspectedEntry, PresentedCertificate, Role, UnixTime, Validity,
    rfc3339,
};

use super::reasons;
use super::replicas::GuardReplica;
use crate::commands::table::table;

/// All that `certs status` found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateReport {
    /// The rotation is stable, and every replica presents a certificate that the API server trusts.
    pub healthy: bool,
    /// Where the rotation is; nothing if Secret or configuration could not be read.
    pub phase: Option<&'static str>,
    /// The authorities of the Secret.
    pub authorities: Vec<AuthorityReport>,
    /// The guard's entries of the webhook configuration.
    pub entries: Vec<EntryReport>,
    /// The replicas that were asked.
    pub replicas: Vec<ReplicaReport>,
    /// What could not be read, or is missing.
    pub problems: Vec<String>,
    #[serde(skip)]
    pub(super) read_at: UnixTime,
}

/// One authority. Times are RFC 3339.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityReport {
    /// The SHA-256 of its certificate.
    pub id: String,
    /// `Next`, `Current` or `Retired`.
    pub role: &'static str,
    /// From when it holds.
    pub not_before: String,
    /// Until when.
    pub not_after: String,
    /// Of `Next`: when every bundle was seen to hold it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<String>,
    /// Of `Retired`: until when its leaves may last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaves_end: Option<String>,
    #[serde(skip)]
    validity: Validity,
}

/// One entry of the webhook configuration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryReport {
    /// Its name.
    pub name: String,
    /// Whether its bundle holds exactly the authorities of the Secret; nothing if these are not known.
    pub in_sync: Option<bool>,
    /// The authorities in its bundle; nothing if the API server cannot read that.
    pub authorities: Option<Vec<String>>,
}

/// What one replica presents.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplicaReport {
    /// Where it was asked.
    pub address: String,
    /// Its pod, if that is known.
    pub pod: Option<String>,
    /// The names in its certificate.
    pub names: Vec<String>,
    /// The authority of the Secret or of a bundle that signed it.
    pub issuer: Option<String>,
    /// Until when it holds, RFC 3339.
    pub not_after: Option<String>,
    /// Whether the bundle of every entry makes the API server trust it; nothing without entries or without a
    /// certificate.
    pub covered: Option<bool>,
    /// Why it is not covered, or was not seen.
    pub problem: Option<String>,
    #[serde(skip)]
    expires: Option<(UnixTime, UnixTime)>,
}

impl From<&AuthorityRecord> for AuthorityReport {
    fn from(record: &AuthorityRecord) -> Self {
        let (role, published_at, leaves_end) = match record.role {
            Role::Next { published_at } => ("Next", published_at, None),
            Role::Current => ("Current", None, None),
            Role::Retired { leaves_end } => ("Retired", None, leaves_end),
        };
        let validity = record.validity;
        Self {
            id: record.id.to_string(),
            role,
            not_before: rfc3339(validity.not_before),
            not_after: rfc3339(validity.not_after),
            published_at: published_at.map(rfc3339),
            leaves_end: leaves_end.map(rfc3339),
            validity,
        }
    }
}

impl EntryReport {
    pub(super) fn new(entry: &InspectedEntry, in_sync: Option<bool>) -> Self {
        let authorities = match entry.bundle.facts() {
            Bundle::Holds(held) => Some(held.keys().map(ToString::to_string).collect()),
            Bundle::Absent | Bundle::Unreadable => None,
        };
        Self { name: entry.name.clone(), in_sync, authorities }
    }
}

impl ReplicaReport {
    pub(super) fn new(
        replica: GuardReplica,
        presented: Result<PresentedCertificate, String>,
        seen: &CertificateInspection,
    ) -> Self {
        let GuardReplica { address, pod, ready: _ } = replica;
        let mut report = Self {
            address,
            pod,
            names: Vec::new(),
            issuer: None,
            not_after: None,
            covered: None,
            problem: None,
            expires: None,
        };
        match presented {
            Err(problem) => report.problem = Some(problem),
            Ok(PresentedCertificate { names, validity, issuer, uncovered }) => {
                let entries = seen.entries.iter().flatten().flatten().count();
                report.names = names;
                report.issuer = issuer.map(|id| id.to_string());
                report.not_after = Some(rfc3339(validity.not_after));
                report.covered = (entries > 0).then_some(uncovered.is_empty());
                let invalid = !validity.contains(seen.read_at);
                report.problem = reasons(&uncovered).or_else(|| invalid.then(|| "it is not valid now".to_owned()));
                report.expires = Some((seen.read_at, validity.not_after));
            }
        }
        report
    }

    /// A certificate was seen, and nothing is wrong with it.
    pub(super) fn healthy(&self) -> bool {
        self.problem.is_none() && self.covered != Some(false)
    }
}

impl CertificateReport {
    /// As tables, like those of kubectl.
    #[must_use]
    pub fn text(&self) -> String {
        let mut parts = vec![format!("Phase   {}\n", self.phase.unwrap_or("unknown"))];
        if !self.authorities.is_empty() {
            let row = |authority: &AuthorityReport| {
                let Validity { not_before, not_after } = authority.validity;
                let (age, left) = (span(not_before, self.read_at), span(self.read_at, not_after));
                vec![short(&authority.id), authority.role.to_owned(), left, age]
            };
            let rows: Vec<_> = self.authorities.iter().map(row).collect();
            parts.push(table(&["AUTHORITY", "ROLE", "EXPIRES IN", "AGE"], &rows));
        }
        if !self.entries.is_empty() {
            let row = |entry: &EntryReport| {
                let bundle = match &entry.authorities {
                    None => "unreadable".to_owned(),
                    Some(held) if held.is_empty() => "empty".to_owned(),
                    Some(held) => held.iter().map(|id| short(id)).collect::<Vec<_>>().join(","),
                };
                vec![entry.name.clone(), yes_or_no(entry.in_sync), bundle]
            };
            let rows: Vec<_> = self.entries.iter().map(row).collect();
            parts.push(table(&["ENTRY", "IN SYNC", "BUNDLE"], &rows));
        }
        if !self.replicas.is_empty() {
            let rows: Vec<_> = self.replicas.iter().map(ReplicaReport::row).collect();
            let heads = ["REPLICA", "ADDRESS", "AUTHORITY", "EXPIRES IN", "COVERED", "NAMES"];
            parts.push(table(&heads, &rows));
            let problems = self.replicas.iter().filter_map(|replica| Some((replica, replica.problem.as_ref()?)));
            let lines: String =
                problems.map(|(replica, problem)| format!("{}: {problem}\n", replica.address)).collect();
            parts.extend((!lines.is_empty()).then_some(lines));
        }
        parts.join("\n")
    }
}

impl ReplicaReport {
    fn row(&self) -> Vec<String> {
        let dash = || "-".to_owned();
        let issuer = match (&self.issuer, &self.not_after) {
            (Some(id), _) => short(id),
            (None, Some(_)) => "unknown".to_owned(),
            (None, None) => dash(),
        };
        vec![
            self.pod.clone().unwrap_or_else(dash),
            self.address.clone(),
            issuer,
            self.expires.map_or_else(dash, |(now, end)| span(now, end)),
            yes_or_no(self.covered),
            if self.names.is_empty() { dash() } else { self.names.join(",") },
        ]
    }
}

/// The first eight digits, as logs and metrics show them.
fn short(id: &str) -> String {
    id.chars().take(8).collect()
}

fn yes_or_no(answer: Option<bool>) -> String {
    match answer {
        Some(true) => "yes",
        Some(false) => "no",
        None => "-",
    }
    .to_owned()
}

/// The time between two times in the largest unit that leaves at least two of it, as kubectl shows ages.
fn span(from: UnixTime, to: UnixTime) -> String {
    match to.seconds().saturating_sub(from.seconds()) {
        seconds if seconds <= 0 => "over".to_owned(),
        seconds @ ..120 => format!("{seconds}s"),
        seconds @ ..7200 => format!("{}m", seconds / 60),
        seconds @ ..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_as_kubectl_shows_ages() {
        let time = UnixTime::from_seconds;
        let rows =
            [(-5, "over"), (0, "over"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_800, "2d")];
        for (seconds, expected) in rows {
            assert_eq!(span(time(1_000), time(1_000 + seconds)), expected);
        }
    }

    #[test]
    fn tables_show_what_is_known_and_leave_out_what_is_not() {
        let replica = |address: &str, covered: Option<bool>, problem: Option<&str>| ReplicaReport {
            address: address.to_owned(),
            pod: covered.map(|_| "statusguard-0".to_owned()),
            names: if covered.is_some() { vec!["a.b.svc".to_owned()] } else { Vec::new() },
            issuer: covered.map(|_| "1".repeat(64)),
            not_after: covered.map(|_| String::new()),
            covered,
            problem: problem.map(str::to_owned),
            expires: covered.map(|_| (UnixTime::from_seconds(0), UnixTime::from_seconds(600))),
        };
        let entry = |name: &str, in_sync, authorities| EntryReport { name: name.to_owned(), in_sync, authorities };
        let report = CertificateReport {
            healthy: false,
            phase: None,
            authorities: Vec::new(),
            entries: vec![
                entry("a", Some(false), Some(vec!["1".repeat(64), "2".repeat(64)])),
                entry("b", None, None),
                entry("c", None, Some(Vec::new())),
            ],
            replicas: vec![replica("10.0.0.1:8443", Some(true), None), replica("10.0.0.2:8443", None, Some("refused"))],
            problems: Vec::new(),
            read_at: UnixTime::from_seconds(0),
        };
        assert_eq!(
            report.text(),
            "\
Phase   unknown

ENTRY   IN SYNC   BUNDLE
a       no        11111111,22222222
b       -         unreadable
c       -         empty

REPLICA         ADDRESS         AUTHORITY   EXPIRES IN   COVERED   NAMES
statusguard-0   10.0.0.1:8443   11111111    10m          yes       a.b.svc
-               10.0.0.2:8443   -           -            -         -

10.0.0.2:8443: refused
"
        );
    }
}
