//! What a client sees of a refused write, by every way of writing.

use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::Status;
use kubernaut_api::NotificationRequest;
use serde_json::{Value, json};

use crate::common::{Guarded, POLICY_NAME, Setup, WEBHOOK_NAME};
use crate::object::{cause_at, causes, judged_version, named, pending, refusal, sending, sent, status_of, with_status};

/// Ways to write the status of an object.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// PUT with the newest resourceVersion.
    FreshPut,
    MergePatch,
    JsonPatch,
    Apply,
}

const WAYS: [Way; 4] = [Way::FreshPut, Way::MergePatch, Way::JsonPatch, Way::Apply];

impl Way {
    /// Writes all of `status`, as a writer does that decided on something older.
    async fn write(
        self,
        api: &Api<NotificationRequest>,
        name: &str,
        status: &Value,
    ) -> kube::Result<NotificationRequest> {
        let plain = PatchParams::default();
        match self {
            Self::FreshPut => {
                let object = with_status(api.get(name).await?, status);
                api.replace_status(name, &PostParams::default(), &object).await
            }
            Self::MergePatch => api.patch_status(name, &plain, &Patch::Merge(json!({ "status": status }))).await,
            Self::JsonPatch => {
                let patch = json!([{ "op": "replace", "path": "/status", "value": status }]);
                api.patch_status(name, &plain, &Patch::Json::<()>(serde_json::from_value(patch).unwrap())).await
            }
            Self::Apply => {
                let patch = json!({
                    "apiVersion": "kubernaut.ai/v1alpha1",
                    "kind": "NotificationRequest",
                    "metadata": { "name": name },
                    "status": status,
                });
                api.patch_status(name, &PatchParams::apply("stale-writer").force(), &Patch::Apply(patch)).await
            }
        }
    }
}

/// Our 409: a conflict for every client, told from a version conflict by its causes.
fn assert_refused(status: &Status, code: u16, object: &NotificationRequest) {
    let reason = if code == 409 { "Conflict" } else { "Invalid" };
    assert_eq!((status.code, status.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!((status.is_conflict(), status.is_invalid()), (code == 409, code == 422), "{status:?}");
    let begins = format!("admission webhook \"{WEBHOOK_NAME}\" denied the request: ");
    assert!(status.message.starts_with(&begins), "{status:?}");
    let details = status.details.as_ref().unwrap();
    let metadata = &object.metadata;
    assert_eq!(Some(&details.name), metadata.name.as_ref());
    assert_eq!(Some(&details.uid), metadata.uid.as_ref());
    assert_eq!((details.group.as_str(), details.kind.as_str()), ("kubernaut.ai", "NotificationRequest"));
    // A conflict says which version to wait for.
    let version = judged_version(status);
    assert_eq!(version, metadata.resource_version.as_deref().filter(|_| code == 409), "{status:?}");
    let begins = format!("refused by StatusPolicy {POLICY_NAME}: ");
    let findings = &details.causes[usize::from(code == 409)..];
    assert!(!findings.is_empty(), "{status:?}");
    assert!(findings.iter().all(|cause| cause.message.starts_with(&begins)), "{status:?}");
}

/// The object is what it was, byte for byte.
async fn assert_untouched(guarded: &Guarded<'_>, object: &NotificationRequest) {
    let name = object.metadata.name.as_deref().unwrap();
    let stored = guarded.api().get(name).await.unwrap();
    assert_eq!(stored.metadata.resource_version, object.metadata.resource_version);
    assert_eq!(stored.status, object.status);
}

#[tokio::test]
async fn a_stale_write_is_a_conflict_by_every_way_of_writing() {
    let guarded = Setup::new().start().await;
    for way in WAYS {
        let name = format!("{way:?}").to_lowercase();
        let object = guarded.object(&name, &[pending(), sending(1), sending(2)]).await;
        let (result, calls) = guarded.calls_of(way.write(&guarded.api(), &name, &sending(1))).await;
        let status = refusal(result);
        assert_refused(&status, 409, &object);
        assert_eq!(calls, 1, "{way:?}");
        let expected = [("CounterRegression", "status.totalAttempts"), ("HistoryTruncated", "status.deliveryAttempts")];
        assert_eq!(causes(&status), expected, "{way:?}");
        let counter = cause_at(&status, "status.totalAttempts");
        assert!(counter.contains("2 to 1") && counter.contains("read the object again"), "{counter}");
        let history = cause_at(&status, "status.deliveryAttempts");
        assert!(history.contains("console") && history.contains('2'), "{history}");
        let says = format!("stale status write to {POLICY_NAME} {}/{name} refused", guarded.namespace);
        assert!(status.message.contains(&says), "{}", status.message);
        assert!(status.message.contains("read it again and decide again"), "{}", status.message);
        let ends =
            format!("If a fresh read leads to the same write, the policy is at fault: StatusPolicy {POLICY_NAME}.");
        assert!(status.message.ends_with(&ends), "{}", status.message);
        assert_untouched(&guarded, &object).await;

        let recorded = guarded.guard.recorded(&name);
        assert_eq!(recorded.len(), 1, "{recorded:?}");
        assert_eq!((recorded[0].outcome, recorded[0].user.as_str()), ("Denied", "admin"));
        assert_eq!(Some(&recorded[0].resource_version), object.metadata.resource_version.as_ref());
        assert_eq!(recorded[0].field_manager, if matches!(way, Way::Apply) { "stale-writer" } else { "" });

        // The remedy works: read again, decide again.
        let (result, calls) = guarded.calls_of(way.write(&guarded.api(), &name, &sending(3))).await;
        assert_eq!(status_of(&result.unwrap())["totalAttempts"], 3);
        assert_eq!(calls, 1, "{way:?}");
    }
}

#[tokio::test]
async fn a_skipped_phase_is_invalid_by_every_way_of_writing() {
    let guarded = Setup::new().start().await;
    for way in WAYS {
        let name = format!("{way:?}").to_lowercase();
        let object = guarded.object(&name, &[pending()]).await;
        let status = refusal(way.write(&guarded.api(), &name, &sent(0)).await);
        assert_refused(&status, 422, &object);
        assert_eq!(causes(&status), [("PhaseSkipped", "status.phase")], "{way:?}");
        let message = cause_at(&status, "status.phase");
        assert!(
            message.contains("from \"Pending\" to \"Sent\"") && message.contains("can never be legal"),
            "{message}"
        );
        assert_untouched(&guarded, &object).await;
    }
}

#[tokio::test]
async fn the_first_status_is_judged_as_well() {
    let guarded = Setup::new().start().await;
    for (way, index) in WAYS.into_iter().zip(0..) {
        let name = format!("first-{index}");
        let object = guarded.object(&name, &[]).await;
        let write = async |status: Value| match way {
            // There is nothing to replace yet.
            Way::JsonPatch => {
                let patch = json!([{ "op": "add", "path": "/status", "value": status }]);
                let patch = Patch::Json::<()>(serde_json::from_value(patch).unwrap());
                guarded.api().patch_status(&name, &PatchParams::default(), &patch).await
            }
            _ => way.write(&guarded.api(), &name, &status).await,
        };
        let status = refusal(write(sending(0)).await);
        assert_refused(&status, 422, &object);
        assert_eq!(causes(&status), [("PhaseSkipped", "status.phase")], "{way:?}");
        let (result, calls) = guarded.calls_of(write(pending())).await;
        assert_eq!(status_of(&result.unwrap())["phase"], "Pending");
        assert_eq!(calls, 1, "{way:?}");
    }
}

#[tokio::test]
async fn a_status_cannot_be_taken_away() {
    let guarded = Setup::new().start().await;
    let object = guarded.object("kept", &[pending(), sending(2)]).await;
    let api = guarded.api();
    let merge = Patch::Merge(json!({ "status": null }));
    let remove = json!([{ "op": "remove", "path": "/status" }]);
    let remove = Patch::Json::<()>(serde_json::from_value(remove).unwrap());
    let bare = NotificationRequest { status: None, ..object.clone() };
    let plain = PatchParams::default();
    for (way, result) in [
        ("merge patch null", api.patch_status("kept", &plain, &merge).await),
        ("JSON patch remove", api.patch_status("kept", &plain, &remove).await),
        ("PUT without status", api.replace_status("kept", &PostParams::default(), &bare).await),
        (
            "PUT of an empty status",
            api.replace_status("kept", &PostParams::default(), &with_status(bare.clone(), &json!({}))).await,
        ),
    ] {
        let status = refusal(result);
        assert_refused(&status, 409, &object);
        let found = causes(&status);
        for expected in [
            ("PhaseRegression", "status.phase"),
            ("CounterRegression", "status.totalAttempts"),
            ("SetOnceChanged", "status.queuedAt"),
            ("SetOnceChanged", "status.processingStartedAt"),
            ("HistoryTruncated", "status.deliveryAttempts"),
        ] {
            assert!(found.contains(&expected), "{way}: {found:?}");
        }
    }
    assert_untouched(&guarded, &object).await;
}

#[tokio::test]
async fn three_kinds_of_conflict_are_told_apart_by_their_causes() {
    let guarded = Setup::new().start().await;
    let api = guarded.api();
    let first = guarded.object("kinds", &[pending(), sending(1)]).await;
    let apply = |manager: &str, phase: &str| {
        let patch = json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "NotificationRequest",
            "status": { "phase": phase },
        });
        (PatchParams::apply(manager), Patch::Apply(patch))
    };
    guarded.write("kinds", &sending(2)).await;

    let version = refusal(api.replace_status("kinds", &PostParams::default(), &first).await);
    let (params, patch) = apply("other", "Retrying");
    let fields = refusal(api.patch_status("kinds", &params, &patch).await);
    let (params, patch) = apply("other", "Pending");
    let ours = refusal(api.patch_status("kinds", &params.force(), &patch).await);

    assert!([&version, &fields, &ours].iter().all(|status| status.is_conflict() && status.code == 409));
    assert_eq!(causes(&version), []);
    assert_eq!(causes(&fields), [("FieldManagerConflict", ".status.phase")]);
    assert_eq!(causes(&ours), [("PhaseRegression", "status.phase")]);
}

#[tokio::test]
async fn kubectl_shows_what_was_refused_and_why() {
    let guarded = Setup::new().start().await;
    guarded.object("shown", &[pending(), sending(1), sending(2)]).await;
    let patch = |status: Value| json!({ "status": status }).to_string();
    let run = async |status: Value| {
        let patch = patch(status);
        guarded.kubectl(&["patch", "notif", "shown", "--subresource=status", "--type=merge", "--patch", &patch]).await
    };

    let (code, out, err) = run(sending(1)).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    let begins = format!(
        "Error from server (Conflict): admission webhook \"{WEBHOOK_NAME}\" denied the request: stale status write to "
    );
    assert!(err.starts_with(&begins), "{err}");
    for part in ["status.totalAttempts", "from 2 to 1", "status.deliveryAttempts", "read it again and decide again"] {
        assert!(err.contains(part), "{part}: {err}");
    }

    // Of a 422 kubectl prints the causes alone.
    guarded.object("early", &[pending()]).await;
    let skip = patch(sent(0));
    let (code, out, err) =
        guarded.kubectl(&["patch", "notif", "early", "--subresource=status", "--type=merge", "--patch", &skip]).await;
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert_eq!(
        err.trim_end(),
        format!(
            "The NotificationRequest \"early\" is invalid: status.phase: refused by StatusPolicy {POLICY_NAME}: went from \
             \"Pending\" to \"Sent\", and no transition leads there; this can never be legal, because no older state of \
             the object explains it; if the controller is right, correct the policy"
        )
    );

    let (code, out, err) = run(sending(3)).await;
    assert_eq!((code, out.trim(), err.as_str()), (0, "notificationrequest.kubernaut.ai/shown patched", ""));
}

#[tokio::test]
async fn a_dry_run_is_refused_alike_and_never_recorded() {
    let guarded = Setup::new().start().await;
    let object = guarded.object("dry", &[pending(), sending(1), sending(2)]).await;
    let dry = PatchParams { dry_run: true, ..PatchParams::default() };
    let merge = |status: Value| Patch::Merge(json!({ "status": status }));

    let (result, calls) = guarded.calls_of(guarded.api().patch_status("dry", &dry, &merge(sending(1)))).await;
    let tried = refusal(result);
    assert_refused(&tried, 409, &object);
    assert_eq!(calls, 1);
    let illegal = refusal(guarded.api().patch_status("dry", &dry, &merge(json!({ "observedGeneration": 9 }))).await);
    assert_refused(&illegal, 422, &object);
    assert_eq!(causes(&illegal), [("AboveBound", "status.observedGeneration")]);
    let (result, calls) = guarded.calls_of(guarded.api().patch_status("dry", &dry, &merge(sending(3)))).await;
    assert_eq!(status_of(&result.unwrap())["totalAttempts"], 3);
    assert_eq!(calls, 1);
    assert_untouched(&guarded, &object).await;
    assert_eq!(guarded.guard.recorded("dry").len(), 0);

    // The same write in earnest: the same answer, and a record.
    let earnest = refusal(guarded.api().patch_status("dry", &PatchParams::default(), &merge(sending(1))).await);
    assert_eq!(earnest, tried);
    assert_eq!(guarded.guard.recorded("dry").len(), 1);
}

#[tokio::test]
async fn an_object_made_with_a_status_has_none() {
    let guarded = Setup::new().start().await;
    let made = with_status(named("made"), &sent(2));
    let (made, calls) = guarded.calls_of(guarded.api().create(&PostParams::default(), &made)).await;
    assert_eq!((made.unwrap().status, calls), (None, 0));
}
