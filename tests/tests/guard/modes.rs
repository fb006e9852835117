//! What a policy's mode, its exempt writers and an object's deletion make of a refusal, and how it is counted.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use statusguard_tests::{Scope, User};

use crate::common::{Guarded, POLICY_NAME, Setup};
use crate::object::{ApiResponse, causes, judged_version, merge_patch, pending, refusal, sending, sent, status_of};

impl Guarded<'_> {
    /// Merge-patches a status as `user` and returns the whole answer. What follows is judged on what it wrote.
    async fn answer(&self, user: User, name: &str, status: &Value) -> ApiResponse {
        let patch = json!({ "status": status });
        let answer = merge_patch(&self.plane.client(user), &self.namespace, name, &patch).await;
        if answer.code.is_success() {
            self.settle(&serde_json::from_value(answer.body.clone()).unwrap()).await;
        }
        answer
    }

    /// Puts another value at a field of the policy's spec and waits until it is in force.
    pub async fn set(&self, field: &str, value: Value) {
        let policy = std::fs::read(self.site.policies.join("policy.json")).unwrap();
        let mut policy: Value = serde_json::from_slice(&policy).unwrap();
        assert_ne!(policy["spec"][field], value, "a change");
        policy["spec"][field] = value;
        self.change_policy(|file| replace(file, &policy.to_string())).await;
    }

    /// Lets `user` read and write the statuses here.
    pub async fn admit(&self, user: &User) {
        let rule = PolicyRule {
            api_groups: Some(vec!["kubernaut.ai".to_owned()]),
            resources: Some(vec!["notificationrequests/status".to_owned()]),
            verbs: vec!["get".to_owned(), "patch".to_owned()],
            ..PolicyRule::default()
        };
        self.plane.grant(user, Scope::Namespace(&self.namespace), vec![rule]).await.unwrap();
    }
}

/// Replaces a file in one step: the guard never reads half of it.
pub fn replace(file: &std::path::Path, text: &str) {
    let next = file.with_extension("next");
    std::fs::write(&next, text).unwrap();
    std::fs::rename(next, file).unwrap();
}

/// One warning for each of these fields, as the client's header carries it.
fn assert_warns(answer: &ApiResponse, fields: &[&str]) {
    assert_eq!(answer.code.as_u16(), 200, "{:?}", answer.body);
    let warned: BTreeSet<&str> = answer
        .warnings
        .iter()
        .map(|warning| warning.strip_prefix("299 - \"").unwrap().split(':').next().unwrap())
        .collect();
    assert_eq!(warned, fields.iter().copied().collect(), "{:?}", answer.warnings);
    let says = format!(": would be refused by StatusPolicy {POLICY_NAME}: ");
    assert!(answer.warnings.iter().all(|warning| warning.contains(&says)), "{:?}", answer.warnings);
}

const STALE_FIELDS: [&str; 2] = ["status.totalAttempts", "status.deliveryAttempts"];

#[tokio::test]
async fn a_mode_decides_what_becomes_of_a_stale_write() {
    let guarded = Setup::new().start().await;
    let states = [pending(), sending(1), sending(2)];
    for (mode, code, outcome) in
        [("Warn", 200, "Warned"), ("Audit", 200, "Audited"), ("Off", 200, "Allowed"), ("Enforce", 409, "Denied")]
    {
        let name = mode.to_lowercase();
        guarded.object(&name, &states).await;
        guarded.set("mode", json!(mode)).await;
        let before = guarded.guard.outcomes(outcome).await;
        let answer = guarded.answer(User::Admin, &name, &sending(1)).await;
        assert_eq!(answer.code.as_u16(), code, "{mode}: {:?}", answer.body);
        assert_eq!(guarded.guard.outcomes(outcome).await, before + 1, "{mode}");
        match mode {
            "Warn" => assert_warns(&answer, &STALE_FIELDS),
            _ => assert_eq!(answer.warnings, [""; 0], "{mode}"),
        }
        let stored = status_of(&guarded.api().get(&name).await.unwrap());
        assert_eq!(stored["totalAttempts"], if code == 200 { 1 } else { 2 }, "{mode}");
        let recorded: Vec<_> = guarded.guard.recorded(&name).iter().map(|refusal| refusal.outcome).collect();
        assert_eq!(recorded, if mode == "Off" { vec![] } else { vec![outcome] }, "{mode}");
    }

    // A write that is never legal is named by its class in every mode.
    guarded.set("mode", json!("Warn")).await;
    guarded.object("illegal", &[pending()]).await;
    assert_warns(&guarded.answer(User::Admin, "illegal", &sent(0)).await, &["status.phase"]);

    let count = async |labels: &[(&str, &str)]| {
        let labels = [&[("policy", POLICY_NAME)], labels].concat();
        guarded.guard.metric("statusguard_admission_requests_total", &labels).await
    };
    assert_eq!(count(&[("outcome", "Denied"), ("class", "Stale")]).await, 1.0);
    assert_eq!(count(&[("outcome", "Warned"), ("class", "Stale")]).await, 1.0);
    assert_eq!(count(&[("outcome", "Warned"), ("class", "Invalid")]).await, 1.0);
    assert_eq!(count(&[("outcome", "Audited"), ("class", "Stale")]).await, 1.0);
    assert_eq!(count(&[("outcome", "Denied"), ("class", "Invalid")]).await, 0.0);
    let findings = async |reason| guarded.guard.metric("statusguard_findings_total", &[("reason", reason)]).await;
    assert_eq!(findings("CounterRegression").await, 3.0);
    assert_eq!(findings("HistoryTruncated").await, 3.0);
    assert_eq!(findings("PhaseSkipped").await, 1.0);
    let timed = guarded.guard.metric("statusguard_admission_duration_seconds_count", &[("policy", POLICY_NAME)]).await;
    assert_eq!(timed, guarded.guard.calls().await as f64);
}

#[tokio::test]
async fn exempt_writers_pass_and_are_recorded() {
    let guarded = Setup::new().spec("exempt", json!({ "users": ["alice"] })).start().await;
    let (alice, bob) = (User::Alice, User::Bob);
    guarded.admit(&alice).await;
    guarded.admit(&bob).await;
    guarded.object("restored", &[pending(), sending(1), sending(2)]).await;

    let answer = guarded.answer(bob.clone(), "restored", &sending(1)).await;
    assert_eq!((answer.code.as_u16(), answer.body["reason"].as_str()), (409, Some("Conflict")), "{:?}", answer.body);
    let answer = guarded.answer(alice, "restored", &sending(1)).await;
    assert_eq!((answer.code.as_u16(), answer.warnings), (200, vec![]), "{:?}", answer.body);

    // Both are members of one group.
    guarded.set("exempt", json!({ "groups": ["statusguard:testers"] })).await;
    let answer = guarded.answer(bob, "restored", &sending(0)).await;
    assert_eq!((answer.code.as_u16(), answer.warnings), (200, vec![]), "{:?}", answer.body);
    let recorded = guarded.guard.recorded("restored");
    let recorded: Vec<_> = recorded.iter().map(|refusal| (refusal.outcome, refusal.user.as_str())).collect();
    assert_eq!(recorded, [("Denied", "bob"), ("Bypassed", "alice"), ("Bypassed", "bob")]);
    assert_eq!(guarded.guard.outcomes("Bypassed").await, 2);

    // Exempt from nothing: a legal write is simply allowed.
    let answer = guarded.answer(User::Alice, "restored", &sending(1)).await;
    assert_eq!(answer.code.as_u16(), 200, "{:?}", answer.body);
    assert_eq!(guarded.guard.recorded("restored").len(), 3);
}

#[tokio::test]
async fn an_object_being_deleted_is_warned_about_never_held_up() {
    let guarded = Setup::new().start().await;
    guarded.object("going", &[pending(), sending(1), sending(2)]).await;
    let api = guarded.api();
    let finalizers = |list: Value| Patch::Merge(json!({ "metadata": { "finalizers": list } }));
    let plain = PatchParams::default();
    api.patch("going", &plain, &finalizers(json!(["example.org/held"]))).await.unwrap();
    let going = api.delete("going", &DeleteParams::default()).await.unwrap().left().unwrap();
    assert!(going.metadata.deletion_timestamp.is_some());
    guarded.settle(&going).await;

    let answer = guarded.answer(User::Admin, "going", &sending(1)).await;
    assert_warns(&answer, &STALE_FIELDS);
    assert_eq!(answer.body["status"]["totalAttempts"], 1);
    let recorded = guarded.guard.recorded("going");
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(recorded[0].outcome, "Warned");
    api.patch("going", &plain, &finalizers(Value::Null)).await.unwrap();
    assert_eq!(refusal(api.get("going").await).code, 404);
}

#[tokio::test]
async fn an_object_that_is_broken_already_can_be_repaired_but_not_made_worse() {
    let guarded = Setup::new().spec("mode", json!("Off")).start().await;
    let mut broken = sending(2);
    broken["totalAttempts"] = json!(5);
    guarded.object("broken", &[pending(), broken]).await;
    guarded.set("mode", json!("Enforce")).await;
    let write = async |attempts: usize, total: usize| {
        let mut status = sending(attempts);
        status["totalAttempts"] = json!(total);
        guarded.answer(User::Admin, "broken", &status).await
    };

    let worse = write(2, 6).await;
    assert_eq!(worse.code.as_u16(), 422, "{:?}", worse.body);
    let status = serde_json::from_value(worse.body).unwrap();
    assert_eq!(causes(&status), [("CountMismatch", "status.deliveryAttempts")]);
    let better = write(3, 5).await;
    assert_eq!((better.code.as_u16(), better.warnings), (200, vec![]), "{:?}", better.body);
    assert_eq!(guarded.guard.outcomes("Repaired").await, 1);
    let recorded: Vec<_> = guarded.guard.recorded("broken").iter().map(|refusal| refusal.outcome).collect();
    assert_eq!(recorded, ["Denied", "Repaired"]);
}

/// Pace of the client that never reads: the limit counts repeats over five seconds at least.
const PACE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_client_that_never_reads_again_is_stopped() {
    let guarded = Setup::new().flag("--repeat-limit=3").start().await;
    guarded.admit(&User::Alice).await;
    guarded.object("damped", &[pending(), sending(1), sending(2)]).await;
    // kubectl's own name, so that it is one writer with the kubectl below.
    let params = PatchParams { field_manager: Some("kubectl-patch".to_owned()), ..PatchParams::default() };
    let api = guarded.api();
    let write =
        async |status: Value| api.patch_status("damped", &params, &Patch::Merge(json!({ "status": status }))).await;
    let begun = Instant::now();
    let mut conflicts = 0;
    let damped = loop {
        let status = refusal(write(sending(1)).await);
        if status.code != 409 {
            break status;
        }
        assert!(status.is_conflict());
        assert!(begun.elapsed() < Duration::from_secs(30), "still 409 after {conflicts} repeats");
        conflicts += 1;
        tokio::time::sleep(PACE).await;
    };
    assert!(begun.elapsed() >= Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(conflicts >= 3, "{conflicts}");
    assert_eq!((damped.code, damped.reason.as_str()), (422, "Invalid"));
    assert!(damped.is_invalid() && !damped.is_conflict());
    assert!(damped.message.contains("repeated too often without reading the object again"), "{damped:?}");
    let found = [("CounterRegression", "status.totalAttempts"), ("HistoryTruncated", "status.deliveryAttempts")];
    assert_eq!(causes(&damped), found);
    let stale = json!({ "status": sending(1) }).to_string();
    let (code, _, printed) =
        guarded.kubectl(&["patch", "notif", "damped", "--subresource=status", "--type=merge", "--patch", &stale]).await;
    assert_eq!(code, 1);
    assert!(printed.starts_with("The NotificationRequest \"damped\" is invalid: "), "{printed}");
    for part in [
        format!("* status.totalAttempts: refused by StatusPolicy {POLICY_NAME}: fell from 2 to 1; "),
        "read the object again and decide again; repeated too often without doing so; ".to_owned(),
    ] {
        assert!(printed.contains(&part), "{part}: {printed}");
    }
    assert!(!printed.contains("JudgedVersion") && judged_version(&damped).is_none(), "{printed}");

    // Only this writer and this write: others are told to read again, and succeed once they have.
    let other = guarded.answer(User::Alice, "damped", &sending(1)).await;
    assert_eq!((other.code.as_u16(), other.body["reason"].as_str()), (409, Some("Conflict")), "{:?}", other.body);
    let other = refusal(write(sending(0)).await);
    assert_eq!((other.code, other.reason.as_str()), (409, "Conflict"), "{other:?}");
    let newer = write(sending(3)).await.unwrap();
    assert_eq!(status_of(&newer)["totalAttempts"], 3);

    // The same content over a newer version, which its writer may have read: 409 once more.
    guarded.settle(&newer).await;
    let anew = refusal(write(sending(1)).await);
    assert_eq!((anew.code, anew.reason.as_str()), (409, "Conflict"), "{anew:?}");
}
