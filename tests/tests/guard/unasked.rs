//! Writes for which the API server does not call: nothing of the status changes, or it refuses them itself.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use statusguard_tests::User;

use crate::common::Setup;
use crate::object::{causes, pending, refusal, sending, status_of, with_status};

#[tokio::test]
async fn a_stale_put_is_refused_by_the_api_server_itself() {
    let guarded = Setup::new().start().await;
    let api = guarded.api();
    let old = guarded.object("put", &[pending(), sending(1)]).await;
    let new = guarded.write("put", &sending(2)).await;

    let (result, calls) = guarded.calls_of(api.replace_status("put", &PostParams::default(), &old)).await;
    let status = refusal(result);
    assert_eq!((status.code, status.reason.as_str(), calls), (409, "Conflict", 0), "{status:?}");
    assert!(status.message.contains("the object has been modified"), "{status:?}");
    assert_eq!(causes(&status), []);

    // A patch that carries its version is a stale PUT, too.
    let version = old.metadata.resource_version.as_ref();
    let versioned = Patch::Merge(json!({ "metadata": { "resourceVersion": version }, "status": sending(1) }));
    let (result, calls) = guarded.calls_of(api.patch_status("put", &PatchParams::default(), &versioned)).await;
    let status = refusal(result);
    assert_eq!((status.code, calls, causes(&status).len()), (409, 0, 0), "{status:?}");

    // A writer that only refreshes the version of old content is left to the guard.
    let refreshed = with_status(new, &sending(1));
    let (result, calls) = guarded.calls_of(api.replace_status("put", &PostParams::default(), &refreshed)).await;
    let status = refusal(result);
    assert_eq!((status.code, calls), (409, 1), "{status:?}");
    assert!(causes(&status).contains(&("CounterRegression", "status.totalAttempts")), "{status:?}");
}

#[tokio::test]
async fn an_unchanged_status_costs_no_call() {
    let guarded = Setup::new().start().await;
    let api = guarded.api();
    let object = guarded.object("same", &[pending(), sending(2)]).await;
    let plain = PatchParams::default();
    let apply = json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "NotificationRequest",
        "status": status_of(&object),
    });
    let label = Patch::Merge(json!({ "metadata": { "labels": { "team": "a" } } }));
    let (results, calls) = guarded
        .calls_of(async {
            [
                ("PUT", api.replace_status("same", &PostParams::default(), &object).await),
                ("merge patch", api.patch_status("same", &plain, &Patch::Merge(json!({ "status": sending(2) }))).await),
                ("empty patch", api.patch_status("same", &plain, &Patch::Merge(json!({}))).await),
                ("labels through /status", api.patch_status("same", &plain, &label).await),
                ("apply", api.patch_status("same", &PatchParams::apply("same").force(), &Patch::Apply(apply)).await),
                ("labels", api.patch("same", &plain, &label).await),
            ]
        })
        .await;
    for (way, result) in results {
        assert_eq!(result.unwrap_or_else(|error| panic!("{way}: {error}")).status, object.status, "{way}");
    }
    assert_eq!(calls, 0);
    let labelled = api.get("same").await.unwrap();
    assert_eq!(labelled.metadata.labels.unwrap()["team"], "a");

    // An object that never had a status.
    guarded.object("none", &[]).await;
    let (result, calls) = guarded.calls_of(api.patch("none", &plain, &label)).await;
    assert_eq!((result.unwrap().status, calls), (None, 0));
    let (result, calls) = guarded.calls_of(api.patch_status("none", &plain, &Patch::Merge(json!({})))).await;
    assert_eq!((result.unwrap().status, calls), (None, 0));
}

#[tokio::test]
async fn the_registered_webhook_is_the_designed_one() {
    let guarded = Setup::new().start().await;
    let configurations = Api::<ValidatingWebhookConfiguration>::all(guarded.plane.client(User::Admin));
    let stored = configurations.get(&guarded.namespace).await.unwrap();
    let stored = serde_json::to_value(&stored.webhooks.unwrap()[0]).unwrap();
    let part = |field: &str| stored[field].clone();
    assert_eq!(part("matchPolicy"), "Equivalent");
    assert_eq!(part("failurePolicy"), "Fail");
    assert_eq!(part("sideEffects"), "NoneOnDryRun");
    assert_eq!(part("timeoutSeconds"), 5);
    assert_eq!(part("admissionReviewVersions"), json!(["v1"]));
    let expressions: Vec<&Value> =
        stored["matchConditions"].as_array().unwrap().iter().map(|c| &c["expression"]).collect();
    assert_eq!(expressions, ["object.?status != oldObject.?status"]);
    let rule = &stored["rules"].as_array().unwrap()[..];
    assert_eq!(rule.len(), 1);
    assert_eq!(rule[0]["apiGroups"], json!(["kubernaut.ai"]));
    assert_eq!(rule[0]["apiVersions"], json!(["v1alpha1"]));
    assert_eq!(rule[0]["operations"], json!(["UPDATE"]));
    assert_eq!(rule[0]["resources"], json!(["notificationrequests/status"]));
    assert_eq!(rule[0]["scope"], "Namespaced");
    assert_eq!(stored["clientConfig"]["service"]["path"], "/admit/kubernaut.ai/notificationrequests");
    let home = &guarded.site.service.namespace;
    let excluded = &stored["namespaceSelector"]["matchExpressions"][0];
    let values = json!([home, "kube-system", "kube-node-lease"]);
    assert_eq!(excluded, &json!({ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": values }));
}
