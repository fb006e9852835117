//! Writes whose answer is lost: each of the four steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use atomic_status::{Error, RetryReason, StatusWriter, UpdateOutcome};
use serde_json::{Value, json};

use super::server::{Reply, Server, conflict, failed, missing, status};
use super::{RawDelivery, attempt, builder, managed, object, raw, writer};

/// The version that a PUT by `manager` from `{attempts: 1}` makes.
fn version(version: &str, manager: &str, status: Value) -> Value {
    let mut object = raw(version, status);
    object["metadata"]["managedFields"] =
        json!([managed("other", json!({"f:phase": {}})), managed(manager, json!({"f:attempts": {}}))]);
    object
}

fn event(kind: &str, object: Value) -> Reply {
    Reply::Events(vec![json!({"type": kind, "object": object})])
}

fn gone() -> Reply {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old resource version"});
    Reply::Events(vec![json!({"type": "ERROR", "object": status})])
}

/// A writer whose manager is known before the script is written.
async fn with_manager<F>(script: impl FnOnce(&str) -> F) -> (StatusWriter<RawDelivery>, Server)
where
    F: IntoIterator<Item = (&'static str, Reply)>,
{
    let server = Server::start([]).await;
    let writer = writer(&server);
    server.expect(script(writer.field_manager()));
    (writer, server)
}

fn base() -> RawDelivery {
    object("1", json!({"phase": "A", "attempts": 1}))
}

#[tokio::test]
async fn a_lost_answer_is_followed_by_the_same_put_on_the_same_base() {
    // 504 among them: the client's own retry would hide it.
    for lost in [Reply::Cut, failed(500), failed(503), failed(504)] {
        let server = Server::start([("PUT", lost), ("PUT", Reply::Accept("2"))]).await;
        let runs = Arc::new(AtomicU32::new(0));
        let count = runs.clone();
        let closure = move |status: &mut super::DeliveryStatus| {
            count.fetch_add(1, Ordering::SeqCst);
            attempt(status);
        };
        let outcome = writer(&server).update(&base(), closure).await.unwrap();
        assert!(matches!(outcome, UpdateOutcome::Written { attempts: 2, .. }));
        assert_eq!(runs.load(Ordering::SeqCst), 1, "the closure does not run again");
        let [first, second] = &server.seen()[..] else { panic!() };
        assert_eq!(first.body, second.body);
    }
}

/// What a watch waits for is there already: one that hangs is given up long before the doubt ends.
#[tokio::test]
async fn watches_that_hang_do_not_use_up_the_doubt() {
    let server = Server::start([]).await;
    let writer =
        builder(&server).budget(Duration::from_secs(2)).request_timeout(Duration::from_secs(1)).build().unwrap();
    let landed = version("2", writer.field_manager(), json!({"phase": "A", "attempts": 2}));
    server.expect([
        ("PUT", Reply::Cut),
        ("PUT", conflict()),
        ("WATCH", Reply::Hang),
        ("WATCH", Reply::Hang),
        ("WATCH", Reply::Hang),
        ("WATCH", event("MODIFIED", landed)),
    ]);
    assert!(writer.update(&base(), attempt).await.unwrap().is_written());
    server.seen();
}

#[tokio::test]
async fn a_lost_answer_may_ask_for_a_rest() {
    let busy = status(503, "ServiceUnavailable", "starting", json!([]));
    let server = Server::start([("PUT", Reply::Later(503, busy, 1)), ("PUT", Reply::Accept("2"))]).await;
    let begun = std::time::Instant::now();
    assert!(writer(&server).update(&base(), attempt).await.unwrap().is_written());
    // Without it, the first rest is 5 ms at most.
    assert!(begun.elapsed() >= Duration::from_secs(1));
    server.seen();
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_a_lost_one() {
    let server = Server::start([("PUT", Reply::Hang), ("PUT", Reply::Accept("2"))]).await;
    let writer = builder(&server).request_timeout(Duration::from_millis(200)).build().unwrap();
    let outcome = writer.update(&base(), attempt).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Written { attempts: 2, .. }));
    server.seen();
}

#[tokio::test]
async fn the_first_version_after_the_base_is_ours() {
    let (writer, server) = with_manager(|manager| {
        let ours = version("2", manager, json!({"phase": "A", "attempts": 2}));
        [("PUT", Reply::Cut), ("PUT", conflict()), ("WATCH", event("MODIFIED", ours))]
    })
    .await;
    let outcome = writer.update(&base(), attempt).await.unwrap();
    assert_eq!(outcome.object().metadata.resource_version.as_deref(), Some("2"));
    let seen = server.seen();
    assert!(seen[2].uri.contains("resourceVersion=1") && seen[2].uri.contains("fieldSelector=metadata.name%3Dd"));
}

#[tokio::test]
async fn the_first_version_after_the_base_has_our_content_and_is_not_ours() {
    let theirs = version("2", "rival", json!({"phase": "A", "attempts": 2}));
    let server = Server::start([
        ("PUT", failed(504)),
        ("PUT", conflict()),
        ("WATCH", event("MODIFIED", theirs.clone())),
        ("GET", Reply::Json(200, theirs)),
        ("PUT", Reply::Accept("3")),
    ])
    .await;
    let outcome = writer(&server).update(&base(), attempt).await.unwrap();
    assert_eq!(outcome.object().status.as_ref().unwrap().attempts, 3, "both increments count");
    server.seen();
}

#[tokio::test]
async fn a_doubt_survives_refusals_and_outages_of_the_repeated_put() {
    let (writer, server) = with_manager(|manager| {
        let ours = version("2", manager, json!({"phase": "A", "attempts": 2}));
        let busy = json!({"kind": "Status", "code": 429, "status": "Failure", "reason": "TooManyRequests", "message": ""});
        let refusal = json!({"kind": "Status", "code": 422, "status": "Failure", "reason": "Invalid", "message": "no", "details": {"causes": [{"message": "no"}]}});
        [
            ("PUT", Reply::Cut),
            ("PUT", Reply::Later(429, busy, 0)),
            ("PUT", Reply::Json(422, refusal)),
            ("PUT", failed(500)),
            ("PUT", conflict()),
            ("WATCH", Reply::Cut),
            ("WATCH", event("MODIFIED", ours)),
        ]
    })
    .await;
    let outcome = writer.update(&base(), attempt).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Written { attempts: 5, .. }));
    server.seen();
}

#[tokio::test]
async fn the_object_ended_before_the_write() {
    for script in [
        vec![("PUT", Reply::Cut), ("PUT", missing())],
        vec![("PUT", Reply::Cut), ("PUT", conflict()), ("WATCH", event("DELETED", raw("2", json!({}))))],
        vec![("PUT", Reply::Cut), ("PUT", conflict()), ("WATCH", gone()), ("GET", missing())],
    ] {
        let server = Server::start(script).await;
        let error = writer(&server).update(&base(), attempt).await.unwrap_err();
        assert!(matches!(error, Error::Deleted), "{error:?}");
        server.seen();
    }
}

#[tokio::test]
async fn without_history_a_field_of_ours_proves_the_landing() {
    let (writer, server) = with_manager(|manager| {
        let later = version("9", manager, json!({"phase": "B", "attempts": 2}));
        [("PUT", Reply::Cut), ("PUT", conflict()), ("WATCH", gone()), ("GET", Reply::Json(200, later))]
    })
    .await;
    let outcome = writer.update(&base(), attempt).await.unwrap();
    assert_eq!(outcome.object().metadata.resource_version.as_deref(), Some("9"));
    server.seen();
}

#[tokio::test]
async fn without_history_and_proof_the_outcome_is_unknown() {
    let overwritten = version("9", "rival", json!({"phase": "A", "attempts": 5}));
    for no_history in [
        gone(),
        Reply::Json(
            403,
            json!({"kind": "Status", "code": 403, "status": "Failure", "reason": "Forbidden", "message": "cannot watch"}),
        ),
    ] {
        let server = Server::start([
            ("PUT", Reply::Cut),
            ("PUT", conflict()),
            ("WATCH", no_history),
            ("GET", Reply::Json(200, overwritten.clone())),
        ])
        .await;
        let error = writer(&server).update(&base(), attempt).await.unwrap_err();
        assert!(matches!(error, Error::Unknown(Some(RetryReason::Conflict))), "{error:?}");
        server.seen();
    }
}

#[tokio::test]
async fn without_history_an_identity_decides_both_ways() {
    let entry = |status: &mut super::DeliveryStatus| status.log.push(super::Entry { id: "mine".into() });
    let base = object("1", json!({"log": [{"id": "a"}]}));
    let lost = |later: Value| {
        vec![("PUT", Reply::Cut), ("PUT", conflict()), ("WATCH", gone()), ("GET", Reply::Json(200, later))]
    };

    let landed = raw("9", json!({"log": [{"id": "a"}, {"id": "mine"}, {"id": "b"}]}));
    let server = Server::start(lost(landed)).await;
    let writer = builder(&server).append_only("/log", "id").build().unwrap();
    assert!(writer.update(&base, entry).await.unwrap().is_written());
    server.seen();

    // Its absence proves something once an answer has shown that identities are stored as they are sent.
    let absent = raw("9", json!({"log": [{"id": "a"}, {"id": "b"}]}));
    let server = Server::start(lost(absent.clone())).await;
    let writer = builder(&server).append_only("/log", "id").build().unwrap();
    let error = writer.update(&base, entry).await.unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");
    server.seen();

    let mut script = vec![("PUT", Reply::Accept("1"))];
    script.append(&mut lost(absent));
    script.push(("PUT", Reply::Accept("10")));
    let server = Server::start(script).await;
    let writer = builder(&server).append_only("/log", "id").build().unwrap();
    let first = |status: &mut super::DeliveryStatus| status.log.push(super::Entry { id: "a".into() });
    let base = writer.update(&object("0", json!({"log": []})), first).await.unwrap().into_object();
    let outcome = writer.update(&base, entry).await.unwrap();
    assert_eq!(outcome.object().status.as_ref().unwrap().log.len(), 3);
    server.seen();
}

#[tokio::test]
async fn while_the_base_is_current_the_lost_put_may_still_land() {
    let server = Server::start([
        ("PUT", Reply::Cut),
        ("PUT", conflict()),
        ("WATCH", gone()),
        // A conflict that was none: the PUT is repeated, not composed anew.
        ("GET", Reply::Json(200, raw("1", json!({"phase": "A", "attempts": 1})))),
        ("PUT", Reply::Accept("2")),
    ])
    .await;
    let outcome = writer(&server).update(&base(), attempt).await.unwrap();
    assert!(outcome.is_written());
    let seen = server.seen();
    assert_eq!(seen[0].body, seen[4].body);
}

#[tokio::test]
async fn a_doubt_that_cannot_be_settled_ends_with_its_budget() {
    let server = Server::start([]).await;
    server.expect_any(failed(500));
    let writer = builder(&server).budget(Duration::from_millis(300)).build().unwrap();
    let error = writer.update(&base(), attempt).await.unwrap_err();
    assert!(matches!(&error, Error::Unknown(Some(RetryReason::Answer { code: 500, .. }))), "{error:?}");
}

#[tokio::test]
async fn in_doubt_an_answer_that_no_repetition_will_change_is_not_asked_for_without_rest() {
    let server = Server::start([("PUT", Reply::Cut)]).await;
    let message = "User \"courier\" cannot update resource \"deliveries/status\"";
    server.expect_any(Reply::Json(403, status(403, "Forbidden", message, json!([]))));
    let writer = builder(&server).budget(Duration::from_secs(1)).build().unwrap();
    let error = writer.update(&base(), attempt).await.unwrap_err();
    assert!(matches!(&error, Error::Unknown(Some(RetryReason::Answer { code: 403, .. }))), "{error:?}");
    let puts = server.seen().len();
    assert!((3..60).contains(&puts), "{puts} requests in a second");
}

#[tokio::test]
async fn with_versions_that_do_not_compare_the_own_last_write_is_not_taken_for_the_lost_one() {
    let (writer, server) = with_manager(|manager| {
        let mine = version("b", manager, json!({"phase": "A", "attempts": 2}));
        [
            ("PUT", Reply::Json(200, mine.clone())),
            ("GET", Reply::Json(200, mine)),
            ("PUT", Reply::Cut),
            ("PUT", Reply::Accept("c")),
        ]
    })
    .await;
    let cached = Arc::new(object("a", json!({"phase": "A", "attempts": 1})));
    assert!(writer.update(&cached, attempt).await.unwrap().is_written());
    // The cache lags behind, and on its version the first write would prove the second one.
    let outcome = writer.update(&writer.latest(&cached), attempt).await.unwrap();
    assert_eq!(outcome.object().status.as_ref().unwrap().attempts, 3);
    server.seen();
}

#[tokio::test]
async fn those_who_changed_nothing_are_not_drawn_into_a_doubt() {
    let leave = Arc::new(tokio::sync::Semaphore::new(0));
    let overwritten = version("9", "rival", json!({"phase": "A", "attempts": 5}));
    let server = Server::start([
        ("PUT", Reply::Held(leave.clone(), Box::new(Reply::Accept("2")))),
        ("PUT", Reply::Cut),
        ("PUT", conflict()),
        ("WATCH", gone()),
        ("GET", Reply::Json(200, overwritten.clone())),
        ("GET", Reply::Json(200, overwritten)),
    ])
    .await;
    let writer = writer(&server);
    let first = tokio::spawn(writer.update(&base(), attempt).into_future());
    server.until(1).await;
    let changing = tokio::spawn(writer.update(&base(), attempt).into_future());
    tokio::task::yield_now().await;
    let declining = tokio::spawn(writer.update(&base(), |s| Err::<(), _>(s.attempts)).into_future());
    tokio::task::yield_now().await;
    leave.add_permits(1);

    assert!(first.await.unwrap().unwrap().is_written());
    assert!(matches!(changing.await.unwrap(), Err(Error::Unknown(_))));
    // Decided on what is really there, not on the write that may have failed.
    assert!(matches!(declining.await.unwrap(), Err(Error::Closure(5))));
    server.seen();
}

#[tokio::test]
async fn an_earlier_attempt_that_lands_late_does_not_acknowledge_what_was_merged_with_the_next() {
    let entry = |id: &'static str| {
        move |status: &mut super::DeliveryStatus| {
            if status.log.iter().all(|entry| entry.id != id) {
                status.log.push(super::Entry { id: id.into() });
            }
        }
    };
    let server = Server::start([]).await;
    let writer = builder(&server).append_only("/log", "id").budget(Duration::from_millis(300)).build().unwrap();
    let new = object("0", json!({"log": []}));
    // Its answer shows that identities are stored as they are sent.
    server.expect([("PUT", Reply::Accept("1"))]);
    let base = writer.update(&new, entry("a")).await.unwrap().into_object();

    // The first attempt ends as unknown on version 1.
    server.expect_any(failed(500));
    let error = writer.update(&base, entry("b")).await.unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");

    // The second one carries another update, and the first lands while its answer is lost.
    let mut late = raw("2", json!({"log": [{"id": "a"}, {"id": "b"}]}));
    late["metadata"]["managedFields"] = json!([managed(writer.field_manager(), json!({"f:log": {}}))]);
    server.expect([
        ("GET", Reply::Json(200, raw("1", json!({"log": [{"id": "a"}]})))),
        ("PUT", Reply::Cut),
        ("PUT", conflict()),
        ("WATCH", event("MODIFIED", late.clone())),
        ("GET", Reply::Json(200, late)),
        ("PUT", Reply::Accept("3")),
    ]);
    let again = writer.update(&base, entry("b")).fresh();
    let merged = writer.update(&base, entry("c"));
    let (again, merged) = tokio::join!(again.into_future(), merged.into_future());
    assert!(matches!(again.unwrap(), UpdateOutcome::Unchanged { .. } | UpdateOutcome::Written { .. }));
    assert!(merged.unwrap().is_written());
    let seen = server.seen();
    let last = seen.iter().rev().find(|seen| seen.what == "PUT").unwrap();
    assert_eq!(last.body["status"]["log"], json!([{"id": "a"}, {"id": "b"}, {"id": "c"}]));
}

#[tokio::test]
async fn an_object_replaced_in_doubt_may_have_been_written_before() {
    let mut other = raw("9", json!({}));
    other["metadata"]["uid"] = "u2".into();
    let script = [("PUT", Reply::Cut), ("PUT", conflict()), ("WATCH", gone()), ("GET", Reply::Json(200, other))];
    let server = Server::start(script).await;
    let error = writer(&server).update(&base(), attempt).await.unwrap_err();
    assert!(matches!(error, Error::Deleted), "not `Replaced`, which says that it was not applied: {error:?}");
    server.seen();
}

#[tokio::test]
async fn when_the_runtime_ends_what_was_sent_is_unknown_and_leaves_its_base_unresolved() {
    let (writer, server) = with_manager(|manager| {
        let mut late = raw("2", json!({"phase": "B", "attempts": 2}));
        late["metadata"]["managedFields"] = json!([managed(manager, json!({"f:phase": {}, "f:attempts": {}}))]);
        [
            ("PUT", Reply::Hang),
            ("PUT", Reply::Cut),
            ("PUT", conflict()),
            // What the first one made, which has the phase that the second one sent.
            ("WATCH", event("MODIFIED", late.clone())),
            ("GET", Reply::Json(200, late)),
        ]
    })
    .await;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let then = |attempts| {
        move |status: &mut super::DeliveryStatus| {
            status.phase = "B".into();
            status.attempts += attempts;
        }
    };
    let mut sent = writer.update(&base(), then(1)).into_future();
    // The task that serves the line belongs to the runtime in which the update is first polled.
    let entered = runtime.enter();
    assert!(futures::poll!(&mut sent).is_pending());
    drop(entered);
    server.until(1).await;
    runtime.shutdown_background();
    assert!(matches!(sent.await, Err(Error::Unknown(None))));

    let error = writer.update(&base(), then(5)).await.unwrap_err();
    assert!(matches!(error, Error::Unknown(_)), "{error:?}");
    server.seen();
}
