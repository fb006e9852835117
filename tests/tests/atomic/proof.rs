//! What proves that a lost PUT landed, where the API server changes values, and fields belong to nobody.

use std::sync::Arc;
use std::time::Duration;

use atomic_status::{Dynamic, Error, StatusWriter, UpdateOutcome};
use serde_json::{Value, json};
use statusguard_tests::{ControlPlane, Fault, Options, eventually};

use crate::own_kind::{OwnKind, version};
use crate::status_hook::StatusHook;

type Answer = Result<UpdateOutcome<Dynamic>, Error>;

/// Adds one to the number `attempts`; of two such updates both must count.
fn attempt(status: &mut Value) {
    status["attempts"] = (status["attempts"].as_i64().unwrap_or_default() + 1).into();
}

/// Sets a member of the status.
fn set(name: &'static str, value: impl Into<Value>) -> impl FnMut(&mut Value) + Send + 'static {
    let value = value.into();
    move |status| status[name] = value.clone()
}

/// Appends an entry to the list `log`.
fn append(entry: Value) -> impl FnMut(&mut Value) + Send + 'static {
    move |status| {
        if status["log"].is_null() {
            status["log"] = json!([]);
        }
        status["log"].as_array_mut().unwrap().push(entry.clone());
    }
}

/// A writer that has written `status.note`, so that parts of the status are its own, and the object after that.
async fn started(own: &OwnKind<'_>) -> (StatusWriter<Dynamic>, Dynamic) {
    let writer = own.builder().build().unwrap();
    let new = own.create().await;
    let outcome = writer.update(&new, set("note", "mine")).await.unwrap();
    (writer, Dynamic::clone(outcome.object()))
}

/// A PUT that never arrived is not taken for one that made this value.
#[track_caller]
fn is_not_acknowledged_for_nothing(answer: &Answer, status: &Value) {
    match answer {
        Ok(UpdateOutcome::Written { .. }) => assert_eq!(status["attempts"], 2, "acknowledged and never applied"),
        Err(Error::Unknown(_)) => assert_eq!(status["attempts"], 1),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_default_in_the_place_of_a_field_that_its_applier_gave_up_is_not_our_write() {
    let own = OwnKind::shared(json!({"note": {"type": "string"}, "attempts": {"type": "integer", "default": 1}})).await;
    let (writer, _) = started(&own).await;
    let object = own.apply("applier", json!({"attempts": 0})).await;
    let update = writer.update(&object, attempt);
    let gives_up = async || assert_eq!(own.apply("applier", json!({})).await.status_as_sent().unwrap()["attempts"], 1);
    let answer = own.lose(Fault::CutBeforeSending, update, gives_up).await;
    is_not_acknowledged_for_nothing(&answer, &own.status().await);
}

#[tokio::test]
async fn a_member_of_a_set_belongs_to_its_owner_however_it_is_escaped() {
    let members = ["<a>", "b&c", "d\u{2028}e", "\"f\\", "plain"];
    let set = json!({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}});
    let own = OwnKind::shared(json!({"note": {"type": "string"}, "members": set})).await;
    let (writer, mut object) = started(&own).await;
    for member in members {
        // By us, and lost: found.
        let ours = format!("{member} of ours");
        let add = move |status: &mut Value, member: &str| {
            let mut list = status["members"].as_array().cloned().unwrap_or_default();
            if !list.iter().any(|held| held == member) {
                list.push(member.into());
            }
            status["members"] = list.into();
        };
        let update = writer.update(&object, move |status| add(status, &ours));
        let answer: Answer = own.lose(Fault::CutAfterSending, update, async || ()).await;
        assert!(matches!(&answer, Ok(UpdateOutcome::Written { .. })), "{member}: {answer:?}");
        object = Dynamic::clone(answer.unwrap().object());
        // By somebody else, while ours never arrived: not ours.
        let mut list = object.status_as_sent().unwrap()["members"].as_array().unwrap().clone();
        list.push(member.into());
        let rival = async || drop(own.merge("rival", "v1", json!({"members": list})).await.unwrap());
        let update = writer.update(&object, move |status| add(status, member));
        let answer: Answer = own.lose(Fault::CutBeforeSending, update, rival).await;
        assert!(matches!(&answer, Ok(UpdateOutcome::Unchanged { .. })), "{member}: {answer:?}");
        object = Dynamic::clone(answer.unwrap().object());
    }
}

#[tokio::test]
async fn a_default_that_the_crd_has_gained_is_not_our_write() {
    let own = OwnKind::shared(json!({"note": {"type": "string"}, "attempts": {"type": "integer"}})).await;
    let (writer, object) = started(&own).await;
    let gains_a_default = async || {
        own.declare(&json!({"note": {"type": "string"}, "attempts": {"type": "integer", "default": 1}})).await;
        eventually("the default is in force", async || Ok(own.status().await["attempts"] == 1)).await.unwrap();
        own.touch().await;
    };
    let answer = own.lose(Fault::CutBeforeSending, writer.update(&object, attempt), gains_a_default).await;
    is_not_acknowledged_for_nothing(&answer, &own.status().await);
}

#[tokio::test]
async fn a_write_through_another_version_is_not_ours() {
    let plane = ControlPlane::shared().await;
    let renames = |_: &Value, status: &mut Value, wanted: &str| {
        let (from, to) = if wanted.ends_with("/v2") { ("attempts", "tries") } else { ("tries", "attempts") };
        let Some(members) = status.as_object_mut() else { return };
        if let Some(value) = members.remove(from) {
            members.insert(to.to_owned(), value);
        }
    };
    let hook = StatusHook::start(plane, renames).await;
    let status = |counter: &str| json!({"note": {"type": "string"}, counter: {"type": "integer"}});
    let versions = json!([version("v1", true, &status("attempts")), version("v2", false, &status("tries"))]);
    let own = OwnKind::on(plane, versions, hook.conversion()).await;
    let (writer, object) = started(&own).await;
    let rival = async || drop(own.merge("rival", "v2", json!({"tries": 1})).await.unwrap());
    let answer = own.lose(Fault::CutBeforeSending, writer.update(&object, attempt), rival).await;
    is_not_acknowledged_for_nothing(&answer, &own.status().await);
}

/// Kinds whose API server stores an identity in another form than it was sent: the properties of the status, the entry
/// that is sent, and what a webhook makes of it.
fn altered_identities() -> [(&'static str, Value, Value); 3] {
    let log = |entry: Value| json!({"note": {"type": "string"}, "log": {"type": "array", "items": entry}});
    let entry = |id: Value| json!({"type": "object", "properties": id});
    [
        ("pruned", log(entry(json!({"at": {"type": "string"}}))), json!({"id": "x", "at": "noon"})),
        ("rounded", log(entry(json!({"id": {"type": "number"}}))), json!({"id": 9_223_372_036_854_775_809_u64})),
        ("normalised", log(entry(json!({"id": {"type": "string"}}))), json!({"id": "MINE"})),
    ]
}

/// Makes the identities of a log lower-case.
fn lower_case(_: &Value, status: &mut Value, _: &str) {
    for entry in status["log"].as_array_mut().into_iter().flatten() {
        if let Some(id) = entry["id"].as_str().map(str::to_lowercase) {
            entry["id"] = id.into();
        }
    }
}

#[tokio::test]
async fn an_identity_that_the_api_server_changes_does_not_prove_that_a_write_is_absent() {
    let plane = ControlPlane::shared().await;
    let hook = StatusHook::start(plane, lower_case).await;
    for (how, status, entry) in altered_identities() {
        let own = OwnKind::shared(status).await;
        let new = own.create().await;
        if how == "normalised" {
            hook.mutate(&own, json!({"log": [{"id": "A"}]}), json!({"log": [{"id": "a"}]})).await;
        }
        let writer = own.builder().append_only("/log", "id").build().unwrap();
        let answer: Answer = own.lose(Fault::CutAfterSending, writer.update(&new, append(entry)), async || ()).await;
        assert!(matches!(answer, Ok(UpdateOutcome::Written { stored_as_sent: false, .. })), "{how}: {answer:?}");
        assert_eq!(own.status().await["log"].as_array().unwrap().len(), 1, "{how}: applied twice");
    }
}

#[tokio::test]
async fn without_history_a_changed_identity_does_not_prove_that_a_write_is_absent() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    let hook = StatusHook::start(&plane, lower_case).await;
    for (how, status, entry) in altered_identities() {
        for overwritten in [false, true] {
            let own = OwnKind::on(&plane, json!([version("v1", true, &status)]), Value::Null).await;
            own.create().await;
            let new = own.merge("rival", "v1", json!({"note": "theirs"})).await.unwrap();
            if how == "normalised" {
                hook.mutate(&own, json!({"log": [{"id": "A"}]}), json!({"log": [{"id": "a"}]})).await;
            }
            let writer = own.builder().append_only("/log", "id").budget(Duration::from_secs(60)).build().unwrap();
            let restart = async || {
                if overwritten {
                    let mut log = own.status().await["log"].as_array().unwrap().clone();
                    log.push(json!({"at": "dusk", "id": 7}));
                    if how == "normalised" {
                        log[1]["id"] = "over".into();
                    }
                    own.merge("rival", "v1", json!({"log": log})).await.unwrap();
                }
                plane.restart_api_server(0).await.unwrap();
            };
            let update = writer.update(&new, append(entry.clone()));
            let answer: Answer = own.lose(Fault::CutAfterSending, update, restart).await;
            if overwritten {
                // The rival owns the whole list now, and nothing tells any more who appended what.
                assert!(matches!(answer, Err(Error::Unknown(_))), "{how}: {answer:?}");
            } else {
                assert!(matches!(answer, Ok(UpdateOutcome::Written { .. })), "{how}: {answer:?}");
            }
            let log = own.status().await["log"].as_array().unwrap().len();
            assert_eq!(log, 1 + usize::from(overwritten), "{how}: applied twice");
        }
    }
}

/// Several writes, one right after the other: the time of their entry in `managedFields`, which counts seconds, moves
/// with few of them. Each answer is lost, and found although the value comes back in another form.
async fn are_found_in_another_form(
    own: &OwnKind<'_>,
    writer: &StatusWriter<Dynamic>,
    mut object: Arc<Dynamic>,
    rounds: impl IntoIterator<Item = (&'static str, Value, Value)>,
) {
    for (name, sent, stored) in rounds {
        let update = writer.update(&object, set(name, sent));
        let answer: Answer = own.lose(Fault::CutAfterSending, update, async || ()).await;
        assert!(matches!(&answer, Ok(UpdateOutcome::Written { .. })), "{stored}: {answer:?}");
        object = answer.unwrap().into_object();
        assert_eq!(own.status().await[name], stored);
    }
}

#[tokio::test]
async fn a_whole_float_is_found_as_the_integer_it_is_stored_as() {
    let own = OwnKind::shared(json!({"note": {"type": "string"}, "ratio": {"type": "number"}})).await;
    let (writer, object) = started(&own).await;
    let rounds = (0..8).map(|round| ("ratio", json!(f64::from(round)), json!(round)));
    are_found_in_another_form(&own, &writer, Arc::new(object), rounds).await;
}

#[tokio::test]
async fn an_entry_whose_key_has_a_default_is_found() {
    let own = OwnKind::shared(json!({
        "note": {"type": "string"},
        "ports": {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
            "items": {"type": "object", "required": ["port"], "properties": {
                "port": {"type": "integer"}, "protocol": {"type": "string", "default": "TCP"},
                "state": {"type": "integer"},
            }},
        },
    }))
    .await;
    let (writer, object) = started(&own).await;
    let rounds = (0..8).map(|round| {
        let stored = json!([{"port": 1, "protocol": "TCP", "state": round}]);
        ("ports", json!([{"port": 1, "state": round}]), stored)
    });
    are_found_in_another_form(&own, &writer, Arc::new(object), rounds).await;
}

#[tokio::test]
async fn a_value_that_a_webhook_normalises_is_found() {
    let plane = ControlPlane::shared().await;
    let upper_case = |_: &Value, status: &mut Value, _: &str| {
        if let Some(phase) = status["phase"].as_str().map(str::to_uppercase) {
            status["phase"] = phase.into();
        }
    };
    let hook = StatusHook::start(plane, upper_case).await;
    let own = OwnKind::shared(json!({"note": {"type": "string"}, "phase": {"type": "string"}})).await;
    let (writer, object) = started(&own).await;
    hook.mutate(&own, json!({"phase": "p"}), json!({"phase": "P"})).await;
    let rounds = ["a", "b", "c", "d", "e", "f"].map(|phase| ("phase", json!(phase), json!(phase.to_uppercase())));
    are_found_in_another_form(&own, &writer, Arc::new(object), rounds).await;
}

#[tokio::test]
async fn a_put_of_which_nothing_is_stored_says_so() {
    let plane = ControlPlane::shared().await;
    let own = OwnKind::shared(json!({
        "note": {"type": "string"}, "ratio": {"type": "number"}, "locked": {"type": "string"},
    }))
    .await;
    let (writer, mut object) = started(&own).await;
    let hook = StatusHook::start(plane, |old, status, _| status["locked"] = old["locked"].clone()).await;
    own.merge("rival", "v1", json!({"locked": "shut"})).await.unwrap();
    hook.mutate(&own, json!({"locked": "open"}), json!({"locked": "shut"})).await;
    object = own.api("v1").get(&object.metadata.name.clone().unwrap()).await.unwrap();
    let version = object.metadata.resource_version.clone();
    // Pruned, and what NaN is in JSON.
    for (name, value) in [("unheard", json!(1)), ("ratio", json!(f64::NAN))] {
        let outcome = writer.update(&object, set(name, value)).await.unwrap();
        assert!(matches!(outcome, UpdateOutcome::Written { stored_as_sent: false, .. }), "{name}: {outcome:?}");
        assert_eq!(outcome.object().metadata.resource_version, version, "{name}");
    }
    // Reverted by the webhook, which leaves a version that differs in the owner of the field.
    let outcome = writer.update(&object, set("locked", "open")).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Written { stored_as_sent: false, .. }), "{outcome:?}");
    assert_eq!(own.status().await, json!({"note": "mine", "locked": "shut"}));
    let outcome = writer.update(&object, set("ratio", 2.0)).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Written { stored_as_sent: true, .. }), "{outcome:?}");
}

/// An earlier PUT may land on a base that a later one did not change: what follows on that base is not vouched for by
/// what the earlier one leaves.
#[tokio::test]
async fn a_put_that_lands_after_one_without_effect_is_not_taken_for_the_next() {
    let own = OwnKind::shared(json!({"note": {"type": "string"}, "attempts": {"type": "integer"}})).await;
    let (writer, object) = started(&own).await;
    let late = Fault::LandLate(Duration::from_secs(3600));
    // It is lost on its way, and its repetition is pruned: the base stays current.
    let answer: Answer = own.lose(late, writer.update(&object, set("gone", 1)), async || ()).await;
    assert!(matches!(answer, Ok(UpdateOutcome::Written { stored_as_sent: false, .. })), "{answer:?}");
    // Meanwhile the CRD has gained the field, and the PUT of before lands instead of the next one.
    let lands = async || {
        own.declare(&json!({
            "note": {"type": "string"}, "attempts": {"type": "integer"}, "gone": {"type": "integer"},
        }))
        .await;
        own.keeps(json!({"gone": 2})).await;
        own.proxy.release_late();
        assert_eq!(own.proxy.landed().await[0].status.unwrap(), 200);
    };
    let answer: Answer = own.lose(Fault::CutBeforeSending, writer.update(&object, attempt), lands).await;
    let status = own.status().await;
    assert_eq!(status["gone"], 1);
    match answer {
        Ok(UpdateOutcome::Written { .. }) => assert_eq!(status["attempts"], 1, "acknowledged and never applied"),
        Err(Error::Unknown(_)) => assert_eq!(status["attempts"], Value::Null),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_page_that_a_proxy_answers_with_200_is_not_the_object() {
    let pages = [
        "<html>maintenance</html>",
        r#"{"message":"maintenance"}"#,
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}"#,
        r#"{"kind":"Thing","apiVersion":"v1","metadata":{"name":"thing"}}"#,
    ];
    let own = OwnKind::shared(json!({"note": {"type": "string"}, "attempts": {"type": "integer"}})).await;
    let (writer, mut object) = started(&own).await;
    for (done, page) in pages.into_iter().enumerate() {
        let update = writer.update(&object, attempt);
        let answer: Answer = own.lose(Fault::Page(page), update, async || ()).await;
        assert!(matches!(answer, Ok(UpdateOutcome::Written { .. })), "{page}: {answer:?}");
        object = Dynamic::clone(answer.unwrap().object());
        assert_eq!(own.status().await["attempts"], done + 1, "{page}");
    }
}
