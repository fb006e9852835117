//! `statusguard doctor`: looks at an installation as a whole, and says what is wrong with it and what to do.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, ListParams, PostParams};
use serde::{Serialize, Serializer};
use statusguard_certs::{CertificateInspection, RotationPhase, SecretContent};
use statusguard_policy::StatusPolicy;
use statusguard_policy::spec::FailurePolicy;

use super::certs::failure;
use super::certs::replicas::{self, GuardReplica};
use super::request::answer;
use super::table::table;
use crate::args::{DoctorArgs, ObjectArgs, OutputFormat};
use crate::cluster::canary::{self, CanaryFailure};
use crate::cluster::configuration::SUFFIX;
use crate::cluster::{ClusterConnection, places};
use crate::exit::Exit;
use crate::output;

const APPLY: &str = "apply the folder that you have installed again, such as kubectl apply -k manifests/rendered/guard";

/// All that was looked at.
#[derive(Debug, Serialize)]
pub struct DoctorReport {
    /// In the order in which one would look.
    pub findings: Vec<DoctorFinding>,
}

/// What was found in one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DoctorFinding {
    /// What was looked at: `configuration`, `policies`, `replicas`, `certificates`, `canary`, `rights` or `versions`.
    pub check: &'static str,
    /// How it is.
    pub status: FindingStatus,
    /// What there is.
    pub message: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cure: Option<String>,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingStatus {
    /// As it should be.
    Good,
    /// It works, and should be looked at.
    Warning,
    /// It does not work.
    Problem,
    /// It could not be looked at.
    Unknown,
}

impl FindingStatus {
    /// For tables and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
            Self::Unknown => "unknown",
        }
    }
}

impl Serialize for FindingStatus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl DoctorFinding {
    fn new(check: &'static str, status: FindingStatus, message: impl Into<String>, cure: Option<&str>) -> Self {
        Self { check, status, message: message.into(), cure: cure.map(str::to_owned) }
    }

    fn good(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, FindingStatus::Good, message, None)
    }

    fn problem(check: &'static str, message: impl Into<String>, cure: &str) -> Self {
        Self::new(check, FindingStatus::Problem, message, Some(cure))
    }

    fn warning(check: &'static str, message: impl Into<String>, cure: &str) -> Self {
        Self::new(check, FindingStatus::Warning, message, Some(cure))
    }

    fn unknown(check: &'static str, message: impl Into<String>) -> Self {
        Self::new(check, FindingStatus::Unknown, message, None)
    }
}

/// Prints what was found.
pub async fn run(args: &DoctorArgs) -> anyhow::Result<Exit> {
    let report = DoctorReport::gather(args).await?;
    match args.output {
        OutputFormat::Json => output::print_json(&report)?,
        OutputFormat::Table => output::print(&report.text())?,
    }
    Ok(if report.healthy() { Exit::Success } else { Exit::Failure })
}

impl DoctorReport {
    /// Looks at everything. What may not be read is `Unknown`.
    ///
    /// # Errors
    /// When there is no cluster to ask.
    pub async fn gather(args: &DoctorArgs) -> anyhow::Result<Self> {
        let DoctorArgs { cluster, objects, service, service_account, output: _ } = args;
        let ObjectArgs { configuration, authority_secret } = objects;
        let ClusterConnection { client, namespace } = cluster.connect().await?;
        let seen =
            statusguard_certs::inspect(client.clone(), places(&namespace, authority_secret, configuration)).await;
        let mut findings = vec![of_configuration(&seen, configuration)];
        let policies = answer("list", "statuspolicies", Api::all(client.clone()).list(&ListParams::default())).await;
        let policies = policies.map(|list: kube::core::ObjectList<StatusPolicy>| list.items);
        match &policies {
            Ok(policies) => findings.extend(of_policies(policies)),
            Err(error) => findings.push(DoctorFinding::unknown("policies", format!("{error:#}"))),
        }
        let policies = policies.unwrap_or_default();
        match replicas::of_service(&client, &namespace, service).await {
            Ok(replicas) => {
                let ready = replicas.iter().filter(|replica| replica.ready).count();
                findings.push(of_replicas(ready, &policies, &namespace));
                findings.extend(of_versions(&client, &namespace, &replicas).await);
            }
            Err(error) => findings.push(DoctorFinding::unknown("replicas", format!("{error:#}"))),
        }
        findings.extend(of_certificates(&seen));
        findings.push(of_canary(&client, &policies).await);
        findings.push(of_rights(&client, &namespace, service_account, objects).await);
        Ok(Self { findings })
    }

    /// Whether nothing was found that does not work.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.status != FindingStatus::Problem)
    }

    /// A table, and what to do below it.
    #[must_use]
    pub fn text(&self) -> String {
        let rows = self.findings.iter().map(|DoctorFinding { check, status, message, .. }| {
            vec![(*check).to_owned(), status.name().to_owned(), message.clone()]
        });
        let mut text = table(&["CHECK", "STATUS", "MESSAGE"], &rows.collect::<Vec<_>>());
        let mut said = BTreeSet::new();
        for DoctorFinding { check, cure, .. } in &self.findings {
            if let Some(cure) = cure.as_ref().filter(|cure| said.insert((*check, (*cure).clone()))) {
                text.push_str(&format!("\n{check}: {cure}"));
            }
        }
        text.push_str(if said.is_empty() { "" } else { "\n" });
        text
    }
}

fn of_configuration(seen: &CertificateInspection, name: &str) -> DoctorFinding {
    const CHECK: &str = "configuration";
    match &seen.entries {
        Err(error) => DoctorFinding::unknown(CHECK, failure(error)),
        Ok(None) => {
            let message = format!("there is no ValidatingWebhookConfiguration {name}: nothing is guarded");
            DoctorFinding::problem(CHECK, message, APPLY)
        }
        Ok(Some(entries)) => {
            let own = entries.iter().filter(|entry| entry.name.ends_with(SUFFIX)).count();
            DoctorFinding::good(
                CHECK,
                format!("{name} has {}", output::counted(own, "entry of the guard", "entries of the guard")),
            )
        }
    }
}

/// One finding for each policy that is not enforced, or one for all.
fn of_policies(policies: &[StatusPolicy]) -> Vec<DoctorFinding> {
    const CHECK: &str = "policies";
    let mut findings = Vec::new();
    for policy in policies {
        let name = policy.metadata.name.as_deref().unwrap_or_default();
        let status = policy.status.clone().unwrap_or_default();
        let condition = |kind: &str| {
            let found = status.conditions.iter().find(|condition| condition["type"] == kind);
            let text = |key: &str| found.and_then(|found| found[key].as_str()).unwrap_or_default().to_owned();
            (text("status"), text("reason"), text("message"))
        };
        if status.observed_generation != policy.metadata.generation {
            let cure =
                "see whether a guard runs, and whether it may list and watch statuspolicies and patch their status";
            findings.push(DoctorFinding::problem(CHECK, format!("{name}: no guard has looked at this version"), cure));
            continue;
        }
        let (compiled, reason, message) = condition("Compiled");
        if compiled != "True" {
            let cure = "correct the policy; the last good version stays in force meanwhile";
            findings.push(DoctorFinding::problem(CHECK, format!("{name}: {reason}: {message}"), cure));
            continue;
        }
        let (enforced, reason, message) = condition("Enforced");
        match (enforced.as_str(), reason.as_str()) {
            ("True", _) | (_, "ModeOff") => {}
            (_, "WaitingForFirstCall") => {
                findings
                    .push(DoctorFinding::good(CHECK, format!("{name}: no status was written yet that it could judge")));
            }
            _ => {
                let cure = "the message says what is missing";
                findings.push(DoctorFinding::warning(CHECK, format!("{name}: {reason}: {message}"), cure));
            }
        }
    }
    if findings.iter().all(|finding| finding.status == FindingStatus::Good) {
        let all = match policies.len() {
            0 => "there are none: nothing is guarded but what a policy folder says".to_owned(),
            count => format!("{} in force", output::counted(count, "policy is", "policies are")),
        };
        findings.insert(0, DoctorFinding::good(CHECK, all));
    }
    findings
}

fn of_replicas(ready: usize, policies: &[StatusPolicy], namespace: &str) -> DoctorFinding {
    const CHECK: &str = "replicas";
    let fails = policies.iter().filter(|policy| policy.spec.failure_policy == FailurePolicy::Fail).count();
    let count = output::counted(ready, "replica is", "replicas are");
    match (ready, fails) {
        (0, _) => {
            let cure = format!("kubectl -n {namespace} get pods,events; /readyz of a pod names what is missing");
            DoctorFinding::problem(CHECK, "no replica is ready", &cure)
        }
        (1, 1..) => {
            let fails = output::counted(fails, "policy says", "policies say");
            let message = format!("{count} ready, and {fails} failurePolicy: Fail: writes fail when it goes");
            DoctorFinding::warning(CHECK, message, "run two replicas or more, or say Ignore")
        }
        _ => DoctorFinding::good(CHECK, format!("{count} ready")),
    }
}

async fn of_versions(client: &Client, namespace: &str, replicas: &[GuardReplica]) -> Option<DoctorFinding> {
    const CHECK: &str = "versions";
    let own = env!("CARGO_PKG_VERSION");
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let mut images = BTreeSet::new();
    for name in replicas.iter().filter_map(|replica| replica.pod.as_deref()) {
        match answer("get", &format!("pod {namespace}/{name}"), pods.get(name)).await {
            Ok(pod) => images.extend(guard_image(pod)),
            Err(error) => return Some(DoctorFinding::unknown(CHECK, format!("{error:#}"))),
        }
    }
    if images.is_empty() {
        return None;
    }
    let tags: Option<Vec<&str>> = images.iter().map(|image| tag(image)).collect();
    let shown = images.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    Some(match tags {
        None => DoctorFinding::unknown(CHECK, format!("the image has no version in its name: {shown}")),
        Some(tags) if tags.iter().all(|tag| tag.trim_start_matches('v') == own) => {
            DoctorFinding::good(CHECK, format!("all replicas are of version {own}, as this command is"))
        }
        Some(_) => {
            let message = format!("this command is of version {own}; replicas run {shown}");
            let cure = "use the command of the same release, or wait for the end of the rollout";
            DoctorFinding::warning(CHECK, message, cure)
        }
    })
}

/// Of a pod's containers, that of the guard is named so, or alone.
fn guard_image(pod: Pod) -> Option<String> {
    let mut containers = pod.spec?.containers;
    let at = containers.iter().position(|container| container.name == "guard");
    let alone = (containers.len() == 1).then_some(0);
    containers.swap_remove(at.or(alone)?).image
}

/// The tag of an image's name; a registry may have a port, and a digest may follow.
fn tag(image: &str) -> Option<&str> {
    let name = image.split('@').next()?;
    Some(name.rsplit('/').next()?.split_once(':')?.1)
}

fn of_certificates(seen: &CertificateInspection) -> Vec<DoctorFinding> {
    const CHECK: &str = "certificates";
    let mut findings = Vec::new();
    let entries = seen.entries.iter().flatten().flatten();
    let outdated: Vec<&str> =
        entries.filter(|entry| seen.in_sync(entry) == Some(false)).map(|entry| entry.name.as_str()).collect();
    match &seen.secret {
        Err(error) => findings.push(DoctorFinding::unknown(CHECK, failure(error))),
        Ok(SecretContent::Absent) => {
            let message = "the guard has no authority of its own: its certificates come from files (--tls-cert), or no guard \
                           has made one yet";
            findings.push(DoctorFinding::unknown(CHECK, message));
        }
        Ok(SecretContent::Unusable(unusable)) => {
            let message = format!("the Secret of the authority cannot be used ({})", unusable.category());
            findings.push(DoctorFinding::problem(
                CHECK,
                message,
                "delete it: a guard makes another one, and no call fails",
            ));
        }
        Ok(SecretContent::Readable(_)) => {
            let phase = seen.phase();
            let name = phase.map_or("unknown", RotationPhase::name);
            findings.push(match phase {
                Some(RotationPhase::Healing) => {
                    let cure = "see the log of a guard for lines that begin with `certificates:`";
                    DoctorFinding::problem(CHECK, format!("the rotation is in phase {name}"), cure)
                }
                _ => DoctorFinding::good(CHECK, format!("the rotation is in phase {name}")),
            });
        }
    }
    if !outdated.is_empty() {
        let message = format!("the caBundle does not hold what it should: {}", outdated.join(", "));
        let cure = "a guard mends that within a second; if it stays, see its rights and its log";
        findings.push(DoctorFinding::problem(CHECK, message, cure));
    }
    findings
}

/// A stale write, as the guard makes it itself.
async fn of_canary(client: &Client, policies: &[StatusPolicy]) -> DoctorFinding {
    const CHECK: &str = "canary";
    let described = |policy: &&StatusPolicy| {
        policy.status.as_ref().is_some_and(|status| status.observed_generation.is_some_and(|generation| generation > 0))
    };
    let Some(policy) = policies.iter().find(described).and_then(|policy| policy.metadata.name.as_deref()) else {
        return DoctorFinding::unknown(CHECK, "there is no policy yet to which a stale write could be made");
    };
    match canary::write(client, policy).await {
        Some(Ok(())) => DoctorFinding::good(CHECK, "a stale write was refused by the guard"),
        Some(Err(CanaryFailure::Forbidden(message))) => DoctorFinding::unknown(CHECK, message),
        Some(Err(error)) => {
            DoctorFinding::problem(CHECK, format!("a stale write was not refused: {error}"), error.cure())
        }
        None => DoctorFinding::unknown(CHECK, "the policy has just gone"),
    }
}

/// Whether the guard's service account may do what the guard does.
async fn of_rights(client: &Client, namespace: &str, account: &str, objects: &ObjectArgs) -> DoctorFinding {
    const CHECK: &str = "rights";
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    let mut missing = Vec::new();
    for right in rights(namespace, objects) {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(user.clone()),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ]),
                resource_attributes: Some(right.clone()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        match answer("create", "subjectaccessreviews", reviews.create(&PostParams::default(), &review)).await {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => {}
            Ok(_) => missing.push(shown(&right)),
            Err(error) => return DoctorFinding::unknown(CHECK, format!("{error:#}")),
        }
    }
    match missing.as_slice() {
        [] => DoctorFinding::good(CHECK, format!("{user} may do what the guard does")),
        missing => DoctorFinding::problem(CHECK, format!("{user} may not {}", missing.join(", ")), APPLY),
    }
}

/// As a person says it.
fn shown(right: &ResourceAttributes) -> String {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    let with = |before: char, field: &Option<String>| field.as_ref().map(|field| format!("{before}{field}"));
    let [subresource, name] = [with('/', &right.subresource), with(' ', &right.name)].map(Option::unwrap_or_default);
    format!("{} {}{subresource}{name}", text(&right.verb), text(&right.resource))
}

/// As the tables of the documentation and the manifests have them.
fn rights(namespace: &str, objects: &ObjectArgs) -> Vec<ResourceAttributes> {
    let (secret, configuration) = (Some(&*objects.authority_secret), Some(&*objects.configuration));
    let right = |group: &str, resource: &str, name: Option<&str>, namespace: Option<&str>, verbs: &[&str]| {
        let (resource, subresource) = resource.split_once('/').map_or((resource, None), |(one, sub)| (one, Some(sub)));
        let right = ResourceAttributes {
            group: Some(group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: subresource.map(str::to_owned),
            name: name.map(str::to_owned),
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        };
        let with = |verb: &&str| ResourceAttributes { verb: Some((*verb).to_owned()), ..right.clone() };
        verbs.iter().map(with).collect::<Vec<_>>()
    };
    let configurations = "validatingwebhookconfigurations";
    [
        right("statusguard.dev", "statuspolicies", None, None, &["list", "watch"]),
        right("statusguard.dev", "statuspolicies/status", None, None, &["patch"]),
        right("apiextensions.k8s.io", "customresourcedefinitions", None, None, &["get", "list", "watch"]),
        right("admissionregistration.k8s.io", configurations, configuration, None, &["get", "list", "watch", "update"]),
        right("", "secrets", secret, Some(namespace), &["get", "list", "watch", "update"]),
        right("", "secrets", None, Some(namespace), &["create"]),
        right("events.k8s.io", "events", None, Some("default"), &["create"]),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn policy(failure_policy: &str, observed: i64, conditions: &Json) -> StatusPolicy {
        serde_json::from_value(json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": "jobs.example.org", "generation": 2 },
            "spec": {
                "target": { "group": "example.org", "version": "v1", "resource": "jobs" },
                "failurePolicy": failure_policy,
            },
            "status": { "observedGeneration": observed, "conditions": conditions },
        }))
        .unwrap()
    }

    fn conditions(compiled: &str, enforced: &str, reason: &str) -> Json {
        json!([
            { "type": "Compiled", "status": compiled, "reason": "Invalid", "message": "a typo" },
            { "type": "Enforced", "status": enforced, "reason": reason, "message": "a reason" },
        ])
    }

    #[test]
    fn policies_that_are_not_enforced_are_named() {
        use FindingStatus::{Good, Problem, Warning};
        for (observed, compiled, enforced, reason, status, message) in [
            (2, "True", "True", "Enforced", Good, "1 policy is in force"),
            (2, "True", "False", "ModeOff", Good, "1 policy is in force"),
            (1, "True", "True", "Enforced", Problem, "jobs.example.org: no guard has looked at this version"),
            (2, "False", "False", "NotCompiled", Problem, "jobs.example.org: Invalid: a typo"),
            (2, "True", "False", "NotInConfiguration", Warning, "jobs.example.org: NotInConfiguration: a reason"),
        ] {
            let found = of_policies(&[policy("Fail", observed, &conditions(compiled, enforced, reason))]);
            let [finding] = &*found else { panic!("one finding: {found:?}") };
            assert_eq!((finding.status, finding.message.as_str()), (status, message));
            assert_eq!(finding.cure.is_some(), status != Good);
        }
        let waiting = of_policies(&[policy("Fail", 2, &conditions("True", "Unknown", "WaitingForFirstCall"))]);
        assert_eq!(waiting.len(), 2, "{waiting:?}");
        assert!(of_policies(&[])[0].message.starts_with("there are none"));
    }

    #[test]
    fn one_replica_is_too_few_for_fail() {
        let of =
            |ready, failure_policy| of_replicas(ready, &[policy(failure_policy, 2, &json!([]))], "statusguard").status;
        assert_eq!(of(0, "Ignore"), FindingStatus::Problem);
        assert_eq!(of(1, "Ignore"), FindingStatus::Good);
        assert_eq!(of(1, "Fail"), FindingStatus::Warning);
        assert_eq!(of(2, "Fail"), FindingStatus::Good);
    }

    #[test]
    fn versions_are_read_from_tags() {
        for (image, expected) in [
            ("localhost/statusguard:0.1.0", Some("0.1.0")),
            ("registry.example.org:5000/statusguard", None),
            ("registry.example.org:5000/team/statusguard:v1@sha256:ab", Some("v1")),
            ("statusguard@sha256:ab", None),
        ] {
            assert_eq!(tag(image), expected, "{image}");
        }
        let pod =
            |containers: serde_json::Value| serde_json::from_value(json!({ "spec": { "containers": containers } }));
        let sidecar = json!({ "name": "proxy", "image": "proxy:2" });
        let image = guard_image(pod(json!([sidecar, { "name": "guard", "image": "statusguard:1" }])).unwrap());
        assert_eq!(image.as_deref(), Some("statusguard:1"));
        let image = guard_image(pod(json!([{ "name": "other", "image": "statusguard:1" }])).unwrap());
        assert_eq!(image.as_deref(), Some("statusguard:1"));
        assert_eq!(guard_image(pod(json!([sidecar, sidecar])).unwrap()), None);
    }
}
