//! An API server whose watch cache lags judges one request more than once; the client sees only the last verdict.

use kube::CustomResourceExt as _;
use kube::api::{Patch, PatchParams, PostParams};
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};
use statusguard_tests::{ControlPlane, Options, User};

use crate::common::{Guarded, Setup, WEBHOOK_NAME};
use crate::object::{attempt, causes, merge_patch, pending, refusal, sending, sending_with, status_of, with_status};

/// The API server that lags.
const LAGGING: usize = 1;

/// The annotations that this webhook left on the last audit event of a write to `name` at the lagging server.
fn annotations(plane: &ControlPlane, name: &str) -> serde_json::Map<String, Value> {
    let events = plane.audit_events(LAGGING).unwrap();
    let mut writes = events.iter().filter(|event| {
        event["objectRef"]["name"] == name && ["patch", "update"].iter().any(|verb| event["verb"] == *verb)
    });
    let event = writes.next_back().unwrap();
    let annotations = event["annotations"].as_object().cloned().unwrap_or_default();
    annotations.into_iter().filter(|(key, _)| key.starts_with(WEBHOOK_NAME)).collect()
}

fn version_key(object: &NotificationRequest) -> String {
    format!("{WEBHOOK_NAME}/version-{}", object.metadata.resource_version.as_deref().unwrap())
}

/// An object that the lagging server knows in another state than the world: as `known`, and as it is.
async fn split(
    guarded: &Guarded<'_>,
    name: &str,
    known: &[Value],
    now: &[Value],
) -> (NotificationRequest, NotificationRequest) {
    let known = guarded.object(name, known).await;
    guarded.plane.stale_proxy().unwrap().freeze();
    let mut is = known.clone();
    for status in now {
        let patch = Patch::Merge(json!({ "status": status }));
        is = guarded.api().patch_status(name, &PatchParams::default(), &patch).await.unwrap();
    }
    (known, is)
}

#[tokio::test]
async fn only_the_verdict_on_the_newest_version_counts() {
    let options = Options { stale_second: true, audit: true, ..Options::default() };
    let plane = ControlPlane::start(options).await.unwrap();
    plane.apply_crd(&NotificationRequest::crd()).await.unwrap();
    let guarded = Setup::new().start_on(&plane, async |address| address.port()).await;
    let lagging = guarded.plane.client_of(LAGGING, User::Admin);
    let proxy = plane.stale_proxy().unwrap();
    let patch = async |name: &str, status: Value| {
        guarded.calls_of(merge_patch(&lagging, &guarded.namespace, name, &json!({ "status": status }))).await
    };

    // Refused on the old version, legal on the new one: the client never hears of the refusal.
    let (known, is) = split(&guarded, "phantom", &[pending()], &[sending(1)]).await;
    let retrying = json!({ "phase": "Retrying" });
    let (answer, calls) = patch("phantom", retrying).await;
    proxy.thaw();
    assert_eq!((answer.code.as_u16(), calls), (200, 2), "{:?}", answer.body);
    assert_eq!(answer.warnings, [""; 0]);
    assert_eq!(answer.body["status"]["phase"], "Retrying");
    let recorded = guarded.guard.recorded("phantom");
    assert_eq!(recorded.len(), 1, "{recorded:?}");
    assert_eq!(recorded[0].outcome, "Denied");
    assert_eq!(Some(&recorded[0].resource_version), known.metadata.resource_version.as_ref());
    let left = annotations(&plane, "phantom");
    assert_eq!(left.keys().collect::<Vec<_>>(), [&version_key(&known)]);
    assert_eq!(left[&version_key(&known)], "Denied: PhaseSkipped status.phase");
    assert_ne!(known.metadata.resource_version, is.metadata.resource_version);

    // Legal on the old version, refused on the new one: the lost update this project is about.
    let (_, is) = split(&guarded, "lost", &[pending(), sending(1)], &[sending(2)]).await;
    let theirs = sending_with(vec![attempt("console", 1), attempt("slack", 1)]);
    let (answer, calls) = patch("lost", theirs).await;
    proxy.thaw();
    assert_eq!((answer.code.as_u16(), calls), (409, 2), "{:?}", answer.body);
    assert_eq!(answer.warnings, [""; 0]);
    let status = serde_json::from_value(answer.body).unwrap();
    assert_eq!(causes(&status), [("HistoryTruncated", "status.deliveryAttempts")]);
    let left = annotations(&plane, "lost");
    assert_eq!(left.keys().collect::<Vec<_>>(), [&version_key(&is)]);
    assert_eq!(left[&version_key(&is)], "Denied: HistoryTruncated status.deliveryAttempts");

    // Refused on both: one answer, and an annotation for each version.
    let (known, is) = split(&guarded, "both", &[pending(), sending(1), sending(2)], &[sending(3)]).await;
    let (answer, calls) = patch("both", sending(1)).await;
    proxy.thaw();
    assert_eq!((answer.code.as_u16(), calls), (409, 2), "{:?}", answer.body);
    let left = annotations(&plane, "both");
    let mut keys = [version_key(&known), version_key(&is)];
    keys.sort();
    assert_eq!(left.keys().collect::<Vec<_>>(), keys.iter().collect::<Vec<_>>());
    let recorded = guarded.guard.recorded("both");
    let judged: Vec<Option<&String>> = recorded.iter().map(|refusal| Some(&refusal.resource_version)).collect();
    assert_eq!(judged, [known.metadata.resource_version.as_ref(), is.metadata.resource_version.as_ref()]);

    // A PUT that is as stale as the server: the guard is asked, but the client gets the native conflict.
    let (known, _) = split(&guarded, "put", &[pending(), sending(1), sending(2)], &[sending(3)]).await;
    let (api, post, stale) = (guarded.api_of(LAGGING), PostParams::default(), with_status(known, &sending(1)));
    let (result, calls) = guarded.calls_of(api.replace_status("put", &post, &stale)).await;
    proxy.thaw();
    let status = refusal(result);
    assert_eq!((status.code, status.reason.as_str(), calls), (409, "Conflict", 1), "{status:?}");
    assert_eq!(causes(&status), []);
    assert!(status.message.contains("the object has been modified"), "{status:?}");
    assert_eq!(status_of(&guarded.api().get("put").await.unwrap())["totalAttempts"], 3);

    // Warnings of a call that did not count reach the client all the same: so a mode that refuses sends none,
    // and one that only warns may warn of a base that the client never wrote to.
    guarded.set("mode", json!("Warn")).await;
    let (known, _) = split(&guarded, "warned", &[pending()], &[sending(1)]).await;
    let (answer, calls) = patch("warned", json!({ "phase": "Retrying" })).await;
    proxy.thaw();
    assert_eq!((answer.code.as_u16(), calls), (200, 2), "{:?}", answer.body);
    assert_eq!(answer.warnings.len(), 1, "{:?}", answer.warnings);
    assert!(answer.warnings[0].starts_with("299 - \"status.phase: "), "{:?}", answer.warnings);
    assert!(answer.warnings[0].contains(": went from \\\"Pending\\\" to \\\"Retrying\\\""), "{:?}", answer.warnings);
    let left = annotations(&plane, "warned");
    assert_eq!(left.keys().collect::<Vec<_>>(), [&version_key(&known)]);
    assert_eq!(left[&version_key(&known)], "Warned: PhaseSkipped status.phase");
}
