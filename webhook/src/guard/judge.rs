//! The judge behind the edge: finds the policy, asks it, and turns the verdict into an outcome.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use statusguard_edge::{
    CallContext, Cause, Decision, Denial, Judge, Labels, Review, ReviewAnswer, ReviewObject, ReviewOperation,
};
use statusguard_policy::spec::Mode;
use statusguard_policy::{Budget, Class, Judgement, Object, Operation, Policy, Unfinished, Value, Verdict};

use super::damping::Damping;
use super::refusals::Refusal;
use super::store::{ActivePolicy, PolicyStore};

/// What happened to a write, and what the client gets to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Allowed,
    Repaired,
    Bypassed,
    Warned,
    Audited,
    Denied,
}

impl Outcome {
    fn as_str(self) -> &'static str {
        match self {
            Outcome::Allowed => "Allowed",
            Outcome::Repaired => "Repaired",
            Outcome::Bypassed => "Bypassed",
            Outcome::Warned => "Warned",
            Outcome::Audited => "Audited",
            Outcome::Denied => "Denied",
        }
    }
}

/// Steps of one judgement. The most expensive inputs of the policy crate's tests take 36 steps a byte, so that a review of
/// 8 MiB stays far below.
const MAX_STEPS: u64 = 1 << 31;

/// Judges reviews by the policies in force.
pub struct PolicyJudge {
    store: Arc<PolicyStore>,
    damping: Damping,
}

impl PolicyJudge {
    pub fn new(store: Arc<PolicyStore>, repeat_limit: u32) -> Self {
        Self { store, damping: Damping::new(repeat_limit) }
    }

    /// What becomes of a judged write.
    fn outcome(policy: &Policy, judgement: &Judgement, review: &Review<'_>) -> Outcome {
        match judgement.verdict {
            Verdict::Allow => Outcome::Allowed,
            Verdict::Repair => Outcome::Repaired,
            Verdict::Stale | Verdict::Invalid if is_exempt(policy, review) => Outcome::Bypassed,
            Verdict::Stale | Verdict::Invalid => match policy.spec().mode {
                Mode::Audit => Outcome::Audited,
                Mode::Warn => Outcome::Warned,
                Mode::Enforce if judgement.softened => Outcome::Warned,
                Mode::Enforce => Outcome::Denied,
                Mode::Off => Outcome::Allowed,
            },
        }
    }

    fn denial(&self, review: &Review<'_>, status: &Value<'_>, judgement: &Judgement, class: Class) -> Denial {
        let subject = review.subject();
        let uid = subject.and_then(|object| object.metadata.uid.as_deref()).unwrap_or_default();
        let manager = review.field_manager.as_deref().unwrap_or_default();
        let exceeded = || self.damping.exceeded(uid, &review.user, manager, judgement, status, Instant::now());
        let damped = class == Class::Stale && !review.dry_run && exceeded();
        let answered = if damped { Class::Invalid } else { class };
        let mut message = judgement.summary(&object_name(review));
        if damped {
            message.push_str(" The same write was repeated too often without reading the object again, so it is answered as invalid.");
        }
        // Of a 422 kubectl prints the causes alone.
        let note = if damped { "; repeated too often without doing so" } else { "" };
        let causes = judgement.findings.iter().map(|finding| Cause {
            reason: Cow::Borrowed(finding.reason.as_str()),
            message: finding.message() + note,
            field: finding.field.clone(),
        });
        Denial { code: answered.code(), reason: answered.status_reason(), message, causes: causes.collect() }
    }
}

impl Judge for PolicyJudge {
    type Record = Refusal;

    fn judge(&self, call: &CallContext<'_>, review: &Review<'_>) -> ReviewAnswer<Refusal> {
        let Some(entry) = self.store.get(call.resource.group, call.resource.resource) else {
            let mut answer = ReviewAnswer::new(Decision::Allow, labels("", Outcome::Allowed, None));
            answer.unknown_policy = true;
            return answer;
        };
        let ActivePolicy { policy, name, .. } = &*entry;
        let allowed = || ReviewAnswer::new(Decision::Allow, labels(name, Outcome::Allowed, None));
        if policy.spec().mode == Mode::Off || policy.unconfirmed_core() || review.status_unchanged() {
            return allowed();
        }
        let operation = match review.operation {
            ReviewOperation::Create => Operation::Create,
            ReviewOperation::Update => Operation::Update,
            ReviewOperation::Delete => Operation::Delete,
            ReviewOperation::Connect => Operation::Connect,
        };
        let (Some(old), Some(new)) = (&review.old_object, &review.object) else { return allowed() };
        let stop = || call.is_over();
        let budget = Budget::new(MAX_STEPS, &stop).within(call.memory as u64);
        let judged = || {
            let old = parse(&budget, old, &Object::default())?;
            let new = parse(&budget, new, &old)?;
            let judgement = policy.judge(operation, &old, &new, &budget)?;
            Ok((new, judgement))
        };
        let judged: Result<_, Unfinished> = judged();
        let (new, judgement) = match judged {
            Ok(judged) => judged,
            Err(unfinished) => {
                let message = format!("{}: {unfinished} (StatusPolicy {name})", object_name(review));
                let decision = Decision::Fail { cause: unfinished.category(), message };
                return ReviewAnswer::new(decision, labels(name, Outcome::Allowed, None));
            }
        };
        let outcome = Self::outcome(policy, &judgement, review);
        let class = judgement.verdict.class();
        let decision = match (outcome, class) {
            (Outcome::Denied, Some(class)) => Decision::Deny(self.denial(review, &new.status, &judgement, class)),
            _ => Decision::Allow,
        };
        let mut answer = ReviewAnswer::new(decision, labels(name, outcome, class));
        answer.findings = judgement.findings.iter().map(|finding| Cow::Borrowed(finding.reason.as_str())).collect();
        if outcome == Outcome::Warned {
            answer.warnings = judgement.findings.iter().map(|f| format!("{}: {}", f.field, f.message())).collect();
        }
        if outcome != Outcome::Allowed {
            answer.annotations = vec![annotation(review, outcome, &judgement)];
            if !review.dry_run {
                answer.record = Some(refusal(name, outcome, call, review, judgement));
            }
        }
        answer
    }
}

/// Reads what is judged of an object; what it has in common with the other one is read once.
fn parse<'a>(budget: &Budget<'_>, object: &ReviewObject<'a>, like: &Object<'a>) -> Result<Object<'a>, Unfinished> {
    let metadata = &object.metadata;
    Object::of_parts_within(budget, like, object.status, metadata.generation, metadata.deletion_timestamp)
}

fn labels(policy: &'static str, outcome: Outcome, class: Option<Class>) -> Labels {
    Labels {
        policy: Cow::Borrowed(policy),
        outcome: Cow::Borrowed(outcome.as_str()),
        class: Cow::Borrowed(class.map_or("", Class::as_str)),
    }
}

fn is_exempt(policy: &Policy, review: &Review<'_>) -> bool {
    policy.spec().exempt.as_ref().is_some_and(|exempt| {
        exempt.users.iter().any(|user| **user == *review.user)
            || (!exempt.groups.is_empty() && review.groups().iter().any(|group| exempt.groups.contains(group)))
    })
}

/// `notificationrequests.kubernaut.ai web/n1`, as kubectl names objects.
fn object_name(review: &Review<'_>) -> String {
    let group = if review.resource.group.is_empty() { String::new() } else { format!(".{}", review.resource.group) };
    let namespace = if review.namespace.is_empty() { String::new() } else { format!("{}/", review.namespace) };
    format!("{}{group} {namespace}{}", review.resource.name, review.name)
}

/// The key carries the judged version: the API server may call again for the same request, and
/// the first value of a key wins.
fn annotation(review: &Review<'_>, outcome: Outcome, judgement: &Judgement) -> (String, String) {
    let version = review.subject().and_then(|object| object.metadata.resource_version.as_deref()).unwrap_or("unknown");
    let findings = judgement.findings.iter().map(|f| format!("{} {}", f.reason, f.field));
    let waivers = judgement.waivers.iter().map(|w| format!("waived {} {}", w.reason, w.field));
    let grounds: Vec<String> = findings.chain(waivers).collect();
    (format!("version-{version}"), format!("{}: {}", outcome.as_str(), grounds.join(", ")))
}

fn refusal(
    policy: &'static str,
    outcome: Outcome,
    call: &CallContext<'_>,
    review: &Review<'_>,
    judgement: Judgement,
) -> Refusal {
    let metadata = review.subject().map(|object| &object.metadata);
    let text = |field: Option<&Cow<'_, str>>| field.map(ToString::to_string).unwrap_or_default();
    Refusal {
        time: SystemTime::now(),
        outcome: outcome.as_str(),
        class: judgement.verdict.class(),
        policy,
        namespace: review.namespace.to_string(),
        name: review.name.to_string(),
        uid: text(metadata.and_then(|metadata| metadata.uid.as_ref())),
        resource_version: text(metadata.and_then(|metadata| metadata.resource_version.as_ref())),
        user: review.user.to_string(),
        field_manager: text(review.field_manager.as_ref()),
        trace_id: call.trace_id.unwrap_or_default().to_owned(),
        findings: judgement.findings,
        waivers: judgement.waivers,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use statusguard_edge::GroupResource;

    use super::*;

    const POLICY: &str = "apiVersion: statusguard.dev/v1alpha1\nkind: StatusPolicy\nmetadata: {name: jobs.example.org}\nspec:\n  target: {group: example.org, version: v1, resource: jobs}\n  monotone: [{path: .status.attempts}]\n";
    const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_record_says_what_was_refused_to_whom() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("jobs.yaml"), POLICY).unwrap();
        let judge = PolicyJudge::new(Arc::new(PolicyStore::open(folder.path().into()).unwrap()), 0);
        let object = |attempts: u32| {
            serde_json::json!({
                "metadata": { "name": "j1", "namespace": "web", "uid": "u-1", "resourceVersion": "7" },
                "status": { "attempts": attempts },
            })
        };
        let body = serde_json::json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "r-1", "operation": "UPDATE", "subResource": "status", "name": "j1", "namespace": "web",
                "kind": { "group": "example.org", "version": "v1", "kind": "Job" },
                "resource": { "group": "example.org", "version": "v1", "resource": "jobs" },
                "userInfo": { "username": "alice" }, "options": { "fieldManager": "worker" },
                "object": object(2), "oldObject": object(3),
            },
        })
        .to_string();
        let review = Review::read(body.as_bytes()).unwrap();
        let resource = GroupResource { group: "example.org", resource: "jobs" };
        let deadline = Instant::now() + Duration::from_secs(10);
        let call = CallContext::new(resource, Some(TRACE_ID), deadline);
        let record = judge.judge(&call, &review).record.unwrap();
        assert_eq!((record.outcome, record.class, record.policy), ("Denied", Some(Class::Stale), "jobs.example.org"));
        assert_eq!((&*record.namespace, &*record.name, &*record.uid), ("web", "j1", "u-1"));
        assert_eq!((&*record.resource_version, &*record.user, &*record.field_manager), ("7", "alice", "worker"));
        assert_eq!(record.trace_id, TRACE_ID);
        assert_eq!(record.findings[0].field, "status.attempts");
    }
}
