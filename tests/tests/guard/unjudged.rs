//! What the guard cannot read or judge is decided by the policy's mode: no writer fails that would not be refused.

use http::{Method, Request};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Client;
use kube::api::{Api, DynamicObject, ObjectMeta, PostParams};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use statusguard_policy::{Class, Policy};
use statusguard_tests::{User, unique};

use crate::common::{Guarded, Setup};
use crate::object::{merge_patch, pending, sending};

/// Every way in which a write may pass that would be refused otherwise, and the outcome that it then has.
const WAYS: [(&str, &str, &str); 5] = [
    ("Off", "nobody", "Allowed"),
    ("Audit", "nobody", "Audited"),
    ("Warn", "nobody", "Warned"),
    ("Enforce", "admin", "Bypassed"),
    ("Enforce", "nobody", "Denied"),
];

impl Guarded<'_> {
    /// Puts these values at fields of the policy's spec and waits until they are in force.
    async fn set_all(&self, fields: &Value) {
        let policy = std::fs::read(self.site.policies.join("policy.json")).unwrap();
        let mut policy: Value = serde_json::from_slice(&policy).unwrap();
        let before = policy.clone();
        for (field, value) in fields.as_object().unwrap() {
            policy["spec"][field] = value.clone();
        }
        if policy == before {
            return;
        }
        self.change_policy(|file| crate::modes::replace(file, &policy.to_string())).await;
    }

    fn target(&self) -> Value {
        let policy = std::fs::read(self.site.policies.join("policy.json")).unwrap();
        serde_json::from_slice::<Value>(&policy).unwrap()["spec"]["target"].clone()
    }

    async fn malformed(&self) -> f64 {
        self.guard.metric("statusguard_malformed_total", &[("cause", "target")]).await
    }
}

#[tokio::test]
async fn rules_that_do_not_fit_the_target_fail_only_writes_that_could_be_refused() {
    let guarded = Setup::new().start().await;
    let target = guarded.target();
    // The webhook stays as it was registered.
    for (field, value) in [("version", "v2"), ("subresource", "")] {
        let mut other = target.clone();
        other[field] = json!(value);
        for (index, (mode, exempt, outcome)) in WAYS.into_iter().enumerate() {
            let what = format!("{field} {mode} {exempt}");
            let name = format!("{field}-{index}");
            guarded.set_all(&json!({ "mode": "Enforce", "exempt": {}, "target": target })).await;
            guarded.object(&name, &[pending(), sending(1), sending(2)]).await;
            guarded.set_all(&json!({ "mode": mode, "exempt": { "users": [exempt] }, "target": other })).await;
            let (outcomes, malformed) = (guarded.guard.outcomes(outcome).await, guarded.malformed().await);

            // A legal write: it is not judged all the same.
            let patch = json!({ "status": sending(3) });
            let client = guarded.plane.client(User::Admin);
            let answer = merge_patch(&client, &guarded.namespace, &name, &patch).await;
            let stored = guarded.api().get(&name).await.unwrap().status.unwrap();
            let recorded = guarded.guard.recorded(&name);
            if outcome == "Denied" {
                // Under `Fail` the API server turns whatever is not a verdict into a 500.
                assert_eq!(answer.code.as_u16(), 500, "{what}: {}", answer.body);
                let message = answer.body["message"].as_str().unwrap();
                let part = "the webhook's rules and the policy's target do not fit: the review is of \
                            notificationrequests/status in kubernaut.ai/v1alpha1 ";
                assert!(message.contains(part) && message.contains("matchPolicy: Equivalent"), "{what}: {message}");
                assert_eq!((stored.total_attempts, recorded.len()), (Some(2), 0), "{what}");
                assert!(guarded.malformed().await > malformed, "{what}");
                continue;
            }
            assert_eq!((answer.code.as_u16(), stored.total_attempts), (200, Some(3)), "{what}: {}", answer.body);
            assert_eq!(guarded.guard.outcomes(outcome).await, outcomes + 1, "{what}");
            let warned = answer.warnings.iter().filter(|warning| warning.contains("not judged: ")).count();
            assert_eq!((warned, answer.warnings.len()), if outcome == "Warned" { (1, 1) } else { (0, 0) }, "{what}");
            let judged = f64::from(u8::from(outcome != "Allowed"));
            assert_eq!(guarded.malformed().await, malformed + judged, "{what}");
            let recorded: Vec<_> = recorded.iter().map(|record| (record.outcome, record.unjudged.is_empty())).collect();
            assert_eq!(recorded, if outcome == "Allowed" { vec![] } else { vec![(outcome, false)] }, "{what}");
        }
    }
}

#[tokio::test]
async fn a_user_with_a_long_name_is_judged_like_any_other() {
    let name = |end: &str| "long-name-".repeat(500) + end;
    let guarded = Setup::new().spec("exempt", json!({ "users": [name("exempt")] })).start().await;
    guarded.object("long", &[pending(), sending(1), sending(2)]).await;
    for (mode, end, code, outcome) in [
        ("Enforce", "other", 409, "Denied"),
        ("Enforce", "exempt", 200, "Bypassed"),
        ("Warn", "other", 200, "Warned"),
        ("Audit", "other", 200, "Audited"),
        ("Off", "other", 200, "Allowed"),
    ] {
        guarded.set_all(&json!({ "mode": mode })).await;
        guarded.write("long", &sending(3)).await;
        let user = User::Named(name(end));
        guarded.admit(&user).await;
        let before = guarded.guard.outcomes(outcome).await;
        let patch = json!({ "status": sending(1) });
        let answer = merge_patch(&guarded.plane.client(user), &guarded.namespace, "long", &patch).await;
        assert_eq!(answer.code.as_u16(), code, "{mode} {end}: {}", answer.body);
        assert_eq!(guarded.guard.outcomes(outcome).await, before + 1, "{mode} {end}");
        if outcome != "Allowed" {
            let record = guarded.guard.recorded("long").pop().unwrap();
            let cut = format!("{}…", &name(end)[..statusguard_edge::LONGEST_SHOWN]);
            assert_eq!((record.outcome, &record.user), (outcome, &cut));
        }
    }
    assert_eq!(guarded.guard.metric("statusguard_malformed_total", &[]).await, 0.0);
}

/// Lists in lists, so deep that the guard cannot read a status that holds them.
fn too_deep() -> Value {
    (0..600).fold(json!(1), |inner, _| json!([inner]))
}

/// Merge-patches the status of a `Thing`: code and text of the answer, which may be too deep to be parsed here, too.
async fn patch_thing(client: &Client, path: &str, status: Value) -> (u16, String) {
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(format!("{path}/status"))
        .header("Content-Type", "application/merge-patch+json")
        .header("Accept", "application/json")
        .body(Body::from(json!({ "status": status }).to_string().into_bytes()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    (code, String::from_utf8(response.into_body().collect_bytes().await.unwrap().to_vec()).unwrap())
}

#[tokio::test]
async fn a_status_that_is_nested_too_deep_is_refused_if_it_is_new_and_waived_if_it_is_stored() {
    let guarded = Setup::new().start().await;
    let plane = guarded.plane;
    let group = format!("{}.statusguard.dev", unique("deep"));
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("things.{group}") },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": { "plural": "things", "singular": "thing", "kind": "Thing" },
            "versions": [{
                "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": { "type": "object", "properties": {
                    "status": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
                } } },
            }],
        },
    });
    plane.apply_crd(&serde_json::from_value(crd).unwrap()).await.unwrap();
    let policy = |mode: &str, exempt: &str| {
        json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": format!("things.{group}") },
            "spec": {
                "target": { "group": group, "version": "v1", "resource": "things" },
                "mode": mode, "failurePolicy": "Fail", "exempt": { "users": [exempt] },
                "monotone": [{ "path": ".status.n" }],
            },
        })
    };
    let put_policy = async |mode: &str, exempt: &str| {
        let text = policy(mode, exempt).to_string();
        guarded.change_policy(|file| crate::modes::replace(&file.with_file_name("things.json"), &text)).await;
    };
    // A first mode that no case begins with: a policy that is the same would not be read again.
    put_policy("Enforce", "somebody").await;
    let compiled = Policy::compile(&policy("Enforce", "somebody")).unwrap();
    let webhook = guarded.entry(&compiled);
    let configuration = ValidatingWebhookConfiguration {
        metadata: ObjectMeta { name: Some(group.clone()), ..ObjectMeta::default() },
        webhooks: Some(vec![webhook]),
    };
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk(&group, "v1", "Thing"));
    let api = Api::<DynamicObject>::namespaced_with(plane.client(User::Admin), &guarded.namespace, &kind);
    api.create(&PostParams::default(), &DynamicObject::new("thing", &kind)).await.unwrap();
    let path = format!("/apis/{group}/v1/namespaces/{}/things/thing", guarded.namespace);
    let client = plane.client(User::Admin);
    let mut n = 0;
    let is_asked = async || {
        n += 1;
        let before = guarded.guard.calls().await;
        let (code, text) = patch_thing(&client, &path, json!({ "n": n })).await;
        anyhow::ensure!(code == 200, "{code} {text}");
        Ok(guarded.guard.calls().await > before)
    };
    plane.register_webhook(&guarded.site.service, configuration, is_asked).await.unwrap();

    for (mode, exempt, outcome) in WAYS {
        put_policy(mode, exempt).await;
        let (code, text) = patch_thing(&client, &path, json!({ "deep": too_deep() })).await;
        let recorded = guarded.guard.recorded("thing");
        if outcome == "Denied" {
            assert_eq!(code, 422, "{mode}: {text}");
            let status: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(status["reason"], "Invalid", "{text}");
            let cause = &status["details"]["causes"][0];
            assert_eq!((&cause["reason"], &cause["field"]), (&json!("Malformed"), &json!("status")), "{text}");
        } else {
            assert_eq!(code, 200, "{mode} {exempt}: {text}");
        }
        if outcome != "Allowed" {
            let record = recorded.last().unwrap();
            assert_eq!((record.outcome, record.class), (outcome, Some(Class::Invalid)), "{mode} {exempt}");
        }
        if code == 200 {
            // Whoever mends it is never refused, not even where the counter falls by it.
            put_policy("Enforce", &format!("nobody after {mode} {exempt}")).await;
            let (code, text) = patch_thing(&client, &path, json!({ "deep": null, "n": 1 })).await;
            assert_eq!(code, 200, "{mode} {exempt}: {text}");
            assert_eq!(guarded.guard.recorded("thing").last().unwrap().outcome, "Repaired", "{mode} {exempt}");
        }
    }
    assert_eq!(guarded.guard.metric("statusguard_shed_total", &[]).await, 0.0);
}
