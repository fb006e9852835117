//! The judge behind the edge: finds the policy, asks it, and turns the verdict into an outcome.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use statusguard_edge::{
    CallContext, Decision, EdgeMetrics, GroupResource, Judge, Labels, Review, ReviewAnswer, ReviewObject,
    ReviewOperation, Unjudged, shown,
};
use statusguard_policy::spec::Mode;
use statusguard_policy::{Budget, Class, Judgement, Object, Operation, Policy, Reason, Unfinished, Value, Verdict};

use tokio::sync::watch;

use super::damping::{Damping, RefusedWrite};
use super::denial::Refused;
use super::fit;
use super::outcome::{self, Outcome};
use super::own_policy::{CANARY_MANAGER, OWN_POLICY};
use super::policy_file::ActivePolicy;
use super::policy_wait::PolicyWait;
use super::refusal_log;
use super::refusals::Refusal;
use super::store::PolicyStore;

/// Steps of one judgement. The most expensive inputs of the policy crate's tests take 36 steps a byte, so that a review of
/// 8 MiB stays far below. Each further machine on one list adds 4 steps for each byte of it.
const MAX_STEPS: u64 = 1 << 31;

/// Judges reviews by the policies in force.
pub struct PolicyJudge {
    store: Arc<PolicyStore>,
    damping: Damping,
    wait: Option<PolicyWait>,
    arrived: watch::Sender<HashSet<String>>,
}

impl PolicyJudge {
    /// Shows the counters of a policy before anything was counted.
    pub fn expect(metrics: &EdgeMetrics, policy: &'static str) {
        let (clean, broken) = (
            [Outcome::Allowed, Outcome::Repaired],
            [Outcome::Bypassed, Outcome::Warned, Outcome::Audited, Outcome::Denied],
        );
        let with = |class: &'static str| broken.into_iter().map(move |outcome| (outcome.as_str(), class));
        let clean = clean.into_iter().map(|outcome| (outcome.as_str(), ""));
        let outcomes = clean.chain([Class::Stale, Class::Invalid].into_iter().flat_map(|class| with(class.as_str())));
        metrics.expect(policy, outcomes, Reason::ALL.map(Reason::as_str), Unfinished::CATEGORIES);
    }

    /// Policies that are not known yet are waited for, if anything can tell of them. `arrived` is told the policies of
    /// which a call arrived.
    pub fn new(
        store: Arc<PolicyStore>,
        repeat_limit: u32,
        wait: Option<PolicyWait>,
        arrived: watch::Sender<HashSet<String>>,
    ) -> Self {
        Self { store, damping: Damping::new(repeat_limit), wait, arrived }
    }

    /// Notes a stale write; whether it was repeated too often, so that it is answered as invalid.
    fn repeated(&self, review: &Review<'_>, status: &Value<'_>, judgement: &Judgement) -> bool {
        if judgement.verdict != Verdict::Stale || review.dry_run {
            return false;
        }
        let metadata = review.subject().map(|object| &object.metadata);
        let write = RefusedWrite {
            uid: metadata.and_then(|metadata| metadata.uid.as_deref()).unwrap_or_default(),
            version: metadata.and_then(|metadata| metadata.resource_version.as_deref()).unwrap_or_default(),
            user: &review.user,
            manager: review.field_manager.as_deref().unwrap_or_default(),
            findings: &judgement.findings,
            status,
        };
        self.damping.exceeded(&write, Instant::now())
    }
}

impl Judge for PolicyJudge {
    type Record = Refusal;

    async fn wait_ready(&self, resource: GroupResource<'_>) {
        if let Some(wait) = &self.wait {
            wait.wait(&self.store, resource).await;
        }
    }

    fn judge(&self, call: &CallContext<'_>, review: &Review<'_>) -> ReviewAnswer<Refusal> {
        let Some(entry) = self.store.get(call.resource.group, call.resource.resource) else {
            let mut answer = ReviewAnswer::new(Decision::Allow, labels("", Outcome::Allowed, None));
            answer.unknown_policy = true;
            return answer;
        };
        let ActivePolicy { policy, name, .. } = &*entry;
        if entry.first_call() {
            self.arrived.send_if_modified(|arrived| arrived.insert((*name).to_owned()));
        }
        let allowed = || ReviewAnswer::new(Decision::Allow, labels(name, Outcome::Allowed, None));
        if policy.mode_in(&review.namespace) == Mode::Off || policy.unconfirmed_core() {
            return allowed();
        }
        // R1, before anything else: what other operations send has other shapes.
        if review.operation != ReviewOperation::Update {
            return allowed();
        }
        let unjudged = |problem: Unjudged| unjudged(&entry, problem, call, review);
        let malformed = |misfit: fit::Misfit| {
            let message = format!("{misfit} ({})", place(name, review));
            unjudged(Unjudged::Malformed { cause: misfit.category(), message })
        };
        let (old, new) = match fit::objects(review) {
            Ok(objects) => objects,
            Err(misfit) => return malformed(misfit),
        };
        // R2 holds whatever the shape: rules that match more than the target cost nobody a write that is none of the
        // policy's concern.
        if review.status_unchanged() {
            return allowed();
        }
        if let Err(misfit) = fit::target(&policy.spec().target, review) {
            return malformed(misfit);
        }
        let stop = || call.is_over();
        let budget = Budget::new(MAX_STEPS, &stop).within(call.memory as u64);
        let judged = || {
            let old = parse(&budget, old, &Object::default())?;
            let new = parse(&budget, new, &old)?;
            let judgement = policy.judge(Operation::Update, &old, &new, &budget)?;
            Ok((new, judgement))
        };
        let judged: Result<_, Unfinished> = judged();
        let (new, judgement) = match judged {
            Ok(judged) => judged,
            Err(unfinished) => {
                let message = format!("{unfinished} ({})", place(name, review));
                return unjudged(Unjudged::Unfinished { cause: unfinished.category(), message });
            }
        };
        let outcome = Outcome::of(&judgement, policy.mode_in(&review.namespace), is_exempt(policy, review));
        let class = judgement.verdict.class();
        let decision = match (outcome, class) {
            (Outcome::Denied, Some(class)) => {
                let repeated = self.repeated(review, &new.status, &judgement);
                let refused =
                    Refused { object: &object_name(review), policy: name, judgement: &judgement, class, repeated };
                Decision::Deny(refused.denial(judged_version(review)))
            }
            _ => Decision::Allow,
        };
        let mut answer = ReviewAnswer::new(decision, labels(name, outcome, class));
        answer.findings = judgement.findings.iter().map(|finding| Cow::Borrowed(finding.reason.as_str())).collect();
        if outcome == Outcome::Warned {
            answer.warnings = judgement.findings.iter().map(|finding| finding.warning(name)).collect();
        }
        if outcome != Outcome::Allowed {
            answer.annotations = vec![annotation(review, outcome, &grounds(&judgement))];
            let code = match &answer.decision {
                Decision::Deny(denial) => Some(denial.code),
                _ => None,
            };
            let record = refusal(&entry, outcome, call, review);
            let Judgement { findings, more, waivers, .. } = judgement;
            let record = Refusal { class, code, findings, more, waivers, ..record };
            let expected =
                review.dry_run && *name == OWN_POLICY && review.field_manager.as_deref() == Some(CANARY_MANAGER);
            if !record.findings.is_empty() && !expected {
                refusal_log::log(&record, review.dry_run);
            }
            answer.record = Some(record).filter(|_| !review.dry_run);
        }
        answer
    }
}

/// The answer to a write that cannot be judged.
fn unjudged(
    entry: &ActivePolicy,
    problem: Unjudged,
    call: &CallContext<'_>,
    review: &Review<'_>,
) -> ReviewAnswer<Refusal> {
    let ActivePolicy { policy, name, .. } = entry;
    // R11: the object may have to be written before its finalizers can go.
    let deleting = review.object.as_ref().is_some_and(|object| object.metadata.deletion_timestamp.is_some());
    // A call fails only where a write is denied.
    let outcome = Outcome::unless_legal(policy.mode_in(&review.namespace), is_exempt(policy, review), deleting);
    let labels = labels(name, outcome, None);
    if outcome == Outcome::Denied {
        return ReviewAnswer::new(Decision::Fail(problem), labels);
    }
    let (Unjudged::Malformed { message, .. } | Unjudged::Unfinished { message, .. }) = &problem;
    let ground = format!("not judged: {message}");
    let mut answer = ReviewAnswer::new(Decision::Allow, labels);
    answer.annotations = vec![annotation(review, outcome, &ground)];
    if outcome == Outcome::Warned {
        answer.warnings = vec![ground];
    }
    if !review.dry_run {
        answer.record = Some(Refusal { unjudged: message.clone(), ..refusal(entry, outcome, call, review) });
    }
    answer.decision = Decision::AllowUnjudged(problem);
    answer
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
    policy.is_exempt(&review.user, || review.groups())
}

/// As [`outcome::object_name`].
fn object_name(review: &Review<'_>) -> String {
    let [group, resource] = [&review.resource.group, &review.resource.name].map(|text| shown(text));
    let [namespace, name] = [&review.namespace, &review.name].map(|text| shown(text));
    outcome::object_name((&group, &resource), &namespace, &name)
}

/// The version of the object that the write was to replace.
fn judged_version<'r>(review: &'r Review<'_>) -> Option<Cow<'r, str>> {
    review.subject()?.metadata.resource_version.as_deref().map(shown)
}

/// What a write that cannot be judged is a write to, and by which policy.
fn place(policy: &str, review: &Review<'_>) -> String {
    format!("{}, StatusPolicy {policy}", object_name(review))
}

/// The rules for which a write is not simply allowed.
fn grounds(judgement: &Judgement) -> String {
    let findings = judgement.findings.iter().map(|f| format!("{} {}", f.reason, f.field));
    let waivers = judgement.waivers.iter().map(|w| format!("waived {} {}", w.reason, w.field));
    findings.chain(waivers).collect::<Vec<_>>().join(", ")
}

/// The key carries the judged version: the API server may call again for the same request, and
/// the first value of a key wins.
fn annotation(review: &Review<'_>, outcome: Outcome, grounds: &str) -> (String, String) {
    let version = judged_version(review).unwrap_or(Cow::Borrowed("unknown"));
    (format!("version-{version}"), format!("{}: {grounds}", outcome.as_str()))
}

/// The record of a write, without the grounds for it.
fn refusal(entry: &ActivePolicy, outcome: Outcome, call: &CallContext<'_>, review: &Review<'_>) -> Refusal {
    let metadata = review.subject().map(|object| &object.metadata);
    let text = |field: Option<&Cow<'_, str>>| field.map(|text| shown(text).into_owned()).unwrap_or_default();
    Refusal {
        time: SystemTime::now(),
        outcome: outcome.as_str(),
        class: None,
        code: None,
        mode: entry.policy.mode_in(&review.namespace),
        policy: entry.name,
        namespace: text(Some(&review.namespace)),
        name: text(Some(&review.name)),
        uid: text(metadata.and_then(|metadata| metadata.uid.as_ref())),
        resource_version: judged_version(review).unwrap_or_default().into_owned(),
        user: text(Some(&review.user)),
        field_manager: text(review.field_manager.as_ref()),
        trace_id: call.trace_id.unwrap_or_default().to_owned(),
        findings: Vec::new(),
        more: 0,
        waivers: Vec::new(),
        unjudged: String::new(),
    }
}

#[cfg(test)]
mod tests;
