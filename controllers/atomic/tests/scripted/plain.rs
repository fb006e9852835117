//! Writes whose answers arrive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use atomic_status::{Error, Metrics, RefusalCause, RetryReason, StatusWriter, UpdateOutcome};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};

use super::server::{Reply, Server, conflict, missing, status};
use super::{attempt, builder, object, raw, writer};

fn refusal(code: u16) -> Reply {
    let causes = json!([{"reason": "CounterRegression", "field": ".status.attempts", "message": "3 -> 2"}]);
    let message = "admission webhook \"g.example.org\" denied the request: attempts fell";
    Reply::Json(code, status(code, if code == 409 { "Conflict" } else { "Invalid" }, message, causes))
}

#[tokio::test]
async fn one_put_and_no_read() {
    let server = Server::start([("PUT", Reply::Accept("2"))]).await;
    let writer = writer(&server);
    let outcome = writer.update(&object("1", json!({"phase": "A"})), attempt).await.unwrap();

    let UpdateOutcome::Written { object, attempts: 1, merged: 1, stored_as_sent: true, .. } = &outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(object.status.as_ref().unwrap().attempts, 1);
    let [put] = &server.seen()[..] else { panic!() };
    let manager = writer.field_manager().replace('/', "%2F");
    assert!(manager.starts_with("courier%2F"));
    let path = "/apis/example.org/v1/namespaces/n/deliveries/d/status";
    assert_eq!(put.uri, format!("{path}?&fieldManager={manager}"));
    assert_eq!(put.body["metadata"], json!({"name": "d", "namespace": "n", "uid": "u1", "resourceVersion": "1"}));
    assert_eq!(put.body["status"], json!({"phase": "A", "attempts": 1}));
}

#[tokio::test]
async fn nothing_changed_nothing_sent() {
    let server = Server::start([]).await;
    let outcome = writer(&server).update(&object("1", json!({"phase": "A"})), |s| s.phase = "A".into()).await.unwrap();
    assert!(
        matches!(&outcome, UpdateOutcome::Unchanged { object } if object.metadata.resource_version.as_deref() == Some("1"))
    );
    server.seen();
}

#[tokio::test]
async fn a_conflict_leads_to_one_live_read_and_a_new_decision() {
    let server = Server::start([
        ("PUT", conflict()),
        ("GET", Reply::Json(200, raw("5", json!({"attempts": 7, "new": 1})))),
        ("PUT", Reply::Accept("6")),
    ])
    .await;
    let outcome = writer(&server).update(&object("1", json!({"attempts": 1})), attempt).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Written { attempts: 2, .. }));
    let seen = server.seen();
    assert!(!seen[1].uri.contains("resourceVersion"), "a live read names no version: {}", seen[1].uri);
    assert_eq!(seen[2].body["metadata"]["resourceVersion"], "5");
    assert_eq!(seen[2].body["status"], json!({"attempts": 8, "new": 1}));
}

#[tokio::test]
async fn gone_and_replaced_are_told_apart() {
    let server = Server::start([("PUT", missing())]).await;
    let error = writer(&server).update(&object("1", json!({})), attempt).await.unwrap_err();
    assert!(matches!(error, Error::Deleted), "{error:?}");
    server.seen();

    let mut other = raw("9", json!({}));
    other["metadata"]["uid"] = "u2".into();
    let server = Server::start([("PUT", conflict()), ("GET", Reply::Json(200, other))]).await;
    let error = writer(&server).update(&object("1", json!({})), attempt).await.unwrap_err();
    assert!(matches!(error, Error::Replaced), "{error:?}");
    server.seen();
}

#[tokio::test]
async fn a_missing_path_is_no_missing_object() {
    let message = "the server could not find the requested resource";
    let answer = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404, "reason": "NotFound", "message": message, "details": {}});
    let server = Server::start([("PUT", Reply::Json(404, answer))]).await;
    let error = writer(&server).update(&object("1", json!({})), attempt).await.unwrap_err();
    assert!(matches!(&error, Error::Api(source) if source.to_string().contains(message)), "{error:?}");
    server.seen();
}

#[tokio::test]
async fn a_refusal_on_the_current_version_is_final_whatever_its_code() {
    for code in [409, 422, 403, 400] {
        let same = raw("1", json!({"attempts": 3}));
        let server = Server::start([("PUT", refusal(code)), ("GET", Reply::Json(200, same))]).await;
        let error = writer(&server).update(&object("1", json!({"attempts": 3})), |s| s.attempts = 2).await.unwrap_err();
        let Error::Refused { code: got, causes, .. } = error else { panic!("{error:?}") };
        let finding = RefusalCause {
            reason: "CounterRegression".into(),
            field: ".status.attempts".into(),
            message: "3 -> 2".into(),
        };
        assert_eq!((got, &causes[..]), (code, &[finding][..]));
        server.seen();
    }
}

#[tokio::test]
async fn a_policy_refuses_with_causes_whatever_its_code() {
    for (code, reason) in [(401, "Unauthorized"), (403, "Forbidden"), (413, "RequestEntityTooLarge"), (422, "Invalid")]
    {
        let message = "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        let refusal = status(code, reason, message, json!([{"message": message}]));
        let same = raw("1", json!({}));
        let server = Server::start([("PUT", Reply::Json(code, refusal)), ("GET", Reply::Json(200, same))]).await;
        let error = writer(&server).update(&object("1", json!({})), attempt).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { code: got, .. } if *got == code), "{error:?}");
        server.seen();
    }
}

#[tokio::test]
async fn a_refusal_on_an_older_version_is_decided_anew() {
    let server = Server::start([
        ("PUT", refusal(409)),
        ("GET", Reply::Json(200, raw("2", json!({"attempts": 9})))),
        ("PUT", Reply::Accept("3")),
    ])
    .await;
    let outcome = writer(&server).update(&object("1", json!({"attempts": 1})), attempt).await.unwrap();
    assert_eq!(outcome.object().status.as_ref().unwrap().attempts, 10);
    server.seen();
}

#[tokio::test]
async fn a_denial_without_causes_is_known_by_its_words_whatever_its_code() {
    // Each code means something else by itself: a conflict, a lost answer, not applied, deleted.
    for code in [409, 403, 404, 408, 418, 429, 500, 503, 504] {
        let message = "admission webhook \"g.example.org\" denied the request: no";
        let denial = status(code, "InternalError", message, json!([]));
        let read = Reply::Json(200, raw("1", json!({})));
        let server = Server::start([("PUT", Reply::Json(code, denial)), ("GET", read)]).await;
        let error = writer(&server).update(&object("1", json!({})), attempt).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { code: got, message: text, .. } if *got == code && text == message));
        server.seen();
    }
}

#[tokio::test]
async fn what_was_certainly_not_applied_is_tried_again_without_a_doubt() {
    let busy = status(429, "TooManyRequests", "too many requests", json!([]));
    let down = "Internal error occurred: failed calling webhook \"g\": connection refused";
    let server = Server::start([
        ("PUT", Reply::Later(429, busy, 0)),
        ("PUT", Reply::Json(500, status(500, "InternalError", down, json!([])))),
        ("PUT", conflict()),
        ("GET", Reply::Json(200, raw("2", json!({})))),
        ("PUT", Reply::Accept("3")),
    ])
    .await;
    let outcome = writer(&server).update(&object("1", json!({})), attempt).await.unwrap();
    assert!(matches!(outcome, UpdateOutcome::Written { attempts: 4, .. }));
    server.seen();
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let busy = status(429, "TooManyRequests", "too many requests", json!([]));
    let server = Server::start([("PUT", Reply::Later(429, busy, 1)), ("PUT", Reply::Accept("2"))]).await;
    let start = std::time::Instant::now();
    writer(&server).update(&object("1", json!({})), attempt).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    server.seen();
}

#[tokio::test]
async fn an_answer_that_no_repetition_changes_ends_at_once() {
    let forbidden = status(403, "Forbidden", "user cannot update resource", json!([]));
    let server = Server::start([("PUT", Reply::Json(403, forbidden))]).await;
    let error = writer(&server).update(&object("1", json!({})), attempt).await.unwrap_err();
    assert_eq!(error.category(), "api");
    assert!(matches!(error, Error::Api(_)));
    server.seen();
}

#[tokio::test]
async fn the_budget_ends_an_update_that_cannot_be_sent() {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    drop(listener);
    let client = kube::Client::try_from(kube::Config::new(uri)).unwrap();
    let writer = StatusWriter::builder(client, "courier").budget(Duration::from_millis(300)).build().unwrap();
    let start = std::time::Instant::now();
    let error = writer.update(&object("1", json!({})), attempt).await.unwrap_err();
    assert!(matches!(&error, Error::Budget(Some(RetryReason::Connection(_)))), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn without_a_connection_there_is_no_doubt() {
    // Nobody speaks TLS there: every connection is made and none opens.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let uri = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
    let client = kube::Client::try_from(kube::Config::new(uri)).unwrap();
    let writer = StatusWriter::builder(client, "courier")
        .budget(Duration::from_millis(300))
        .request_timeout(Duration::from_millis(100))
        .build()
        .unwrap();
    let error = writer.update(&object("1", json!({})), attempt).await.unwrap_err();
    assert!(matches!(&error, Error::Budget(Some(RetryReason::Timeout))), "{error:?}");
}

#[tokio::test]
async fn a_conflict_does_not_outlast_the_budget() {
    let reads = |version| ("GET", Reply::Json(200, raw(version, json!({}))));
    let leave = Arc::new(tokio::sync::Semaphore::new(0));
    let server = Server::start([
        ("PUT", conflict()),
        reads("2"),
        ("PUT", Reply::Held(leave.clone(), Box::new(conflict()))),
        reads("3"),
    ])
    .await;
    let writer = builder(&server).budget(Duration::from_millis(400)).build().unwrap();
    let object = object("1", json!({}));
    let update = tokio::spawn(writer.update(&object, attempt).into_future());
    server.until(3).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    leave.add_permits(1);
    let error = update.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Budget(Some(RetryReason::Conflict))), "{error:?}");
}

#[tokio::test]
async fn a_closure_may_decline_or_panic() {
    let server = Server::start([]).await;
    let writer = writer(&server);
    let object = object("1", json!({"attempts": 1}));
    let error = writer
        .update(&object, |s| {
            s.attempts = 9;
            Err("no")
        })
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Closure("no")));
    let error = writer
        .update(&object, |s| {
            s.attempts = 9;
            assert_eq!(s.attempts, 0, "so it is");
        })
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Panicked(text) if text.contains("so it is")), "{error:?}");
    server.seen();
}

#[tokio::test]
async fn a_fresh_decision_reads_first_and_shares_what_was_read() {
    let server = Server::start([("GET", Reply::Json(200, raw("5", json!({"phase": "Done"}))))]).await;
    let writer = writer(&server);
    let stale = object("1", json!({"phase": "A"}));
    let runs = Arc::new(AtomicU32::new(0));
    let count = runs.clone();
    let error = writer
        .update(&stale, move |s| {
            count.fetch_add(1, Ordering::SeqCst);
            if s.phase == "Done" { Err("done") } else { Ok(()) }
        })
        .fresh()
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Closure("done")));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    server.seen();
}

#[tokio::test]
async fn the_next_update_starts_from_what_was_written() {
    let server = Server::start([("PUT", Reply::Accept("2")), ("PUT", Reply::Accept("3"))]).await;
    let writer = writer(&server);
    let cached = Arc::new(object("1", json!({"attempts": 1})));
    writer.update(&cached, attempt).await.unwrap();
    assert_eq!(writer.latest(&cached).metadata.resource_version.as_deref(), Some("2"));
    // The cache lags behind; the own write does not.
    writer.update(&cached, attempt).await.unwrap();
    assert_eq!(server.seen()[1].body["status"]["attempts"], 3);

    let ahead = Arc::new(object("4", json!({"attempts": 9})));
    assert_eq!(writer.latest(&ahead).metadata.resource_version.as_deref(), Some("4"));
    // Another cache that lags behind takes nobody back.
    assert_eq!(writer.latest(&cached).metadata.resource_version.as_deref(), Some("4"));
    assert_eq!(writer.kept(), 1);

    // What a cache has shown is a base only when it is offered itself; an older one is read.
    server.expect([("PUT", Reply::Accept("5"))]);
    writer.update(&ahead, attempt).await.unwrap();
    assert_eq!(server.seen()[2].body["status"]["attempts"], 10);
    let ahead = Arc::new(object("7", json!({"attempts": 20})));
    let _ = writer.latest(&ahead);
    server.expect([("GET", Reply::Json(200, raw("8", json!({"attempts": 30})))), ("PUT", Reply::Accept("9"))]);
    writer.update(&cached, attempt).await.unwrap();
    assert_eq!(server.seen()[4].body["status"]["attempts"], 31);
}

#[tokio::test]
async fn what_is_kept_is_bounded() {
    let server = Server::start((0..3).map(|_| ("PUT", Reply::Accept("2")))).await;
    let writer = builder(&server).keep(2).build().unwrap();
    for name in ["a", "b", "c"] {
        let mut object = object("1", json!({}));
        kube::Resource::meta_mut(&mut object).name = Some(name.into());
        writer.update(&object, attempt).await.unwrap();
    }
    assert_eq!(writer.kept(), 2);
    assert_eq!(writer.busy(), 0, "no line outlives its updates");
    server.seen();
}

#[tokio::test]
async fn a_version_older_than_the_own_last_write_is_no_base_even_when_that_is_not_kept() {
    let read = Reply::Json(200, raw("2", json!({"attempts": 1})));
    let puts = [("PUT", Reply::Accept("2")), ("PUT", Reply::Accept("3")), ("GET", read), ("PUT", Reply::Accept("4"))];
    let server = Server::start(puts).await;
    let writer = builder(&server).keep(1).build().unwrap();
    let old = object("1", json!({}));
    writer.update(&old, attempt).await.unwrap();
    let mut other = object("1", json!({}));
    kube::Resource::meta_mut(&mut other).name = Some("other".into());
    writer.update(&other, attempt).await.unwrap();
    // The version written is gone from memory, its number is not.
    writer.update(&old, attempt).await.unwrap();
    assert_eq!(server.seen()[3].body["status"]["attempts"], 2);
}

#[tokio::test]
async fn an_object_that_never_was_on_the_server_is_no_base() {
    let server = Server::start([]).await;
    let mut object = object("1", json!({}));
    kube::Resource::meta_mut(&mut object).resource_version = None;
    let error = writer(&server).update(&object, attempt).await.unwrap_err();
    assert!(matches!(error, Error::Incomplete("resourceVersion")));
    server.seen();
}

#[tokio::test]
async fn names_that_are_no_field_managers_are_refused() {
    let server = Server::start([]).await;
    for name in ["", "tab\t", "über", &"x".repeat(112)] {
        let builder = StatusWriter::<super::Delivery>::builder(server.client.clone(), name);
        assert!(builder.build().is_err(), "{name:?}");
    }
    let longest = StatusWriter::<super::Delivery>::builder(server.client.clone(), "x".repeat(111)).build().unwrap();
    assert_eq!(longest.field_manager().len(), 128);
}

#[tokio::test]
async fn metrics_tell_what_happened() {
    let server = Server::start([
        ("PUT", conflict()),
        ("GET", Reply::Json(200, raw("2", json!({})))),
        ("PUT", Reply::Accept("3")),
    ])
    .await;
    let mut registry = Registry::default();
    let writer = builder(&server).metrics(Metrics::register(&mut registry)).build().unwrap();
    let object = object("1", json!({}));
    writer.update(&object, attempt).await.unwrap();
    writer.update(&object, |_| Err::<(), _>(Value::Null)).await.unwrap_err();
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "atomic_status_updates_total{writer=\"courier\",outcome=\"written\"} 1",
        "atomic_status_updates_total{writer=\"courier\",outcome=\"declined\"} 1",
        "atomic_status_requests_total{writer=\"courier\",verb=\"put\"} 2",
        "atomic_status_requests_total{writer=\"courier\",verb=\"get\"} 1",
        "atomic_status_conflicts_total{writer=\"courier\"} 1",
        "atomic_status_update_duration_seconds_count{writer=\"courier\"} 2",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}
