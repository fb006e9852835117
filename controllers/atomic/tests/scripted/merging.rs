//! Updates that share a write.

use std::sync::Arc;
use std::time::Duration;

use atomic_status::{Error, RetryReason, StatusWriter, UpdateOutcome, WithRawStatus};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use super::server::{Reply, Server, conflict, status};
use super::{DeliveryStatus, RawDelivery, attempt, builder, object, raw, writer};

type Answer<E> = JoinHandle<Result<UpdateOutcome<RawDelivery>, Error<E>>>;

/// A script whose first PUT waits for leave, so that what comes meanwhile is merged.
fn held(rest: impl IntoIterator<Item = (&'static str, Reply)>) -> (Arc<Semaphore>, Vec<(&'static str, Reply)>) {
    let leave = Arc::new(Semaphore::new(0));
    let mut script = vec![("PUT", Reply::Held(leave.clone(), Box::new(Reply::Accept("2"))))];
    script.extend(rest);
    (leave, script)
}

/// Starts an update and lets it take its place in the line.
async fn start<R: atomic_status::ClosureOutput>(
    writer: &StatusWriter<RawDelivery>,
    closure: impl FnMut(&mut DeliveryStatus) -> R + Send + 'static,
) -> Answer<R::Error> {
    let task = tokio::spawn(writer.update(&object("1", json!({})), closure).into_future());
    tokio::task::yield_now().await;
    task
}

fn attempts(outcome: &UpdateOutcome<RawDelivery>) -> i64 {
    outcome.object().status.as_ref().unwrap().attempts
}

#[tokio::test]
async fn updates_that_come_during_a_write_share_the_next_one_in_order() {
    let (leave, script) = held([("PUT", Reply::Accept("3"))]);
    let server = Server::start(script).await;
    let writer = writer(&server);
    let first = start(&writer, attempt).await;
    server.until(1).await;

    let mut tasks = Vec::new();
    for number in 0..5 {
        let entry = move |s: &mut DeliveryStatus| s.log.push(super::Entry { id: number.to_string() });
        tasks.push(start(&writer, entry).await);
    }
    let declines = start(&writer, |s| {
        s.attempts = 99;
        Err::<(), _>(s.log.len())
    })
    .await;
    let panics = start(&writer, |s| {
        s.attempts = 99;
        assert!(s.log.is_empty());
    })
    .await;
    let idle = start(&writer, |s| s.attempts = 1).await;
    let last = start(&writer, attempt).await;
    leave.add_permits(1);

    assert!(matches!(first.await.unwrap().unwrap(), UpdateOutcome::Written { merged: 1, .. }));
    for task in tasks {
        assert!(matches!(task.await.unwrap().unwrap(), UpdateOutcome::Written { merged: 6, attempts: 1, .. }));
    }
    assert!(matches!(declines.await.unwrap().unwrap_err(), Error::Closure(5)));
    assert!(matches!(panics.await.unwrap().unwrap_err(), Error::Panicked(_)));
    assert!(matches!(idle.await.unwrap().unwrap(), UpdateOutcome::Unchanged { .. }));
    assert_eq!(attempts(&last.await.unwrap().unwrap()), 2);
    let seen = server.seen();
    assert_eq!(seen.len(), 2);
    let log: Vec<_> = (0..5).map(|number| json!({"id": number.to_string()})).collect();
    assert_eq!(seen[1].body["status"]["log"], json!(log));
}

#[tokio::test]
async fn a_merge_ends_where_the_phase_changes() {
    let (leave, script) = held([("PUT", Reply::Accept("3")), ("PUT", Reply::Accept("4"))]);
    let server = Server::start(script).await;
    let writer = builder(&server).phase(|status| status.phase.clone()).build().unwrap();
    let first = start(&writer, attempt).await;
    server.until(1).await;
    let second = start(&writer, attempt).await;
    let edge = start(&writer, |s| s.phase = "B".into()).await;
    let after = start(&writer, |s| s.phase = "C".into()).await;
    leave.add_permits(1);
    for (task, merged_updates) in [(first, 1), (second, 2), (edge, 2), (after, 1)] {
        assert!(
            matches!(task.await.unwrap().unwrap(), UpdateOutcome::Written { merged, .. } if merged == merged_updates)
        );
    }
    let phases: Vec<_> = server.seen().iter().map(|put| put.body["status"]["phase"].clone()).collect();
    assert_eq!(phases, [json!(null), json!("B"), json!("C")]);
}

#[tokio::test]
async fn updates_that_undo_each_other_are_a_write_each() {
    let (leave, script) = held([("PUT", Reply::Accept("3")), ("PUT", Reply::Accept("4"))]);
    let server = Server::start(script).await;
    let writer = writer(&server);
    let first = start(&writer, attempt).await;
    server.until(1).await;
    let there = start(&writer, |s| s.phase = "B".into()).await;
    let back = start(&writer, |s| s.phase = String::new()).await;
    leave.add_permits(1);
    for task in [first, there, back] {
        assert!(matches!(task.await.unwrap().unwrap(), UpdateOutcome::Written { merged: 1, .. }));
    }
    server.seen();
}

#[tokio::test]
async fn a_conflict_reruns_all_that_share_the_write() {
    let (leave, script) = held([
        ("PUT", conflict()),
        ("GET", Reply::Json(200, raw("7", json!({"attempts": 50})))),
        ("PUT", Reply::Accept("8")),
    ]);
    let server = Server::start(script).await;
    let writer = writer(&server);
    let mut tasks = vec![start(&writer, attempt).await];
    server.until(1).await;
    for _ in 0..3 {
        tasks.push(start(&writer, attempt).await);
    }
    leave.add_permits(1);
    for task in tasks {
        assert!(task.await.unwrap().unwrap().is_written());
    }
    assert_eq!(server.seen()[3].body["status"]["attempts"], 53);
}

#[tokio::test]
async fn a_refused_merge_is_taken_apart_until_the_refused_update_stands_alone() {
    let causes = json!([{"reason": "PhaseSkipped", "field": ".status.phase", "message": "no"}]);
    let refuse = || Reply::Json(422, status(422, "Invalid", "no", causes.clone()));
    let read =
        |version: &str, attempts: i64| Reply::Json(200, raw(version, json!({"phase": "", "attempts": attempts})));
    let (leave, script) = held([
        // Four updates, of which the third is refused.
        ("PUT", refuse()),
        ("GET", read("2", 1)),
        ("PUT", Reply::Accept("3")),
        ("PUT", refuse()),
        ("GET", read("3", 3)),
        ("PUT", refuse()),
        ("GET", read("3", 3)),
        ("PUT", Reply::Accept("4")),
    ]);
    let server = Server::start(script).await;
    let writer = writer(&server);
    let first = start(&writer, attempt).await;
    server.until(1).await;
    let mut good = vec![start(&writer, attempt).await, start(&writer, attempt).await];
    let bad = start(&writer, |s| s.phase = "Bad".into()).await;
    good.push(start(&writer, attempt).await);
    leave.add_permits(1);
    first.await.unwrap().unwrap();
    assert!(matches!(bad.await.unwrap().unwrap_err(), Error::Refused { .. }));
    for task in good {
        assert!(task.await.unwrap().unwrap().is_written());
    }
    let seen = server.seen();
    let sent: Vec<_> = seen.iter().filter(|seen| seen.what == "PUT").map(|put| put.body["status"].clone()).collect();
    assert_eq!(sent[5], json!({"phase": "", "attempts": 4}));
}

#[tokio::test]
async fn a_dropped_caller_takes_nobody_along() {
    let (leave, script) = held([("PUT", Reply::Accept("3"))]);
    let server = Server::start(script).await;
    let writer = writer(&server);
    let sent = start(&writer, attempt).await;
    server.until(1).await;
    let waits = start(&writer, |s| s.attempts += 100).await;
    let stays = start(&writer, attempt).await;
    // One whose PUT is under way, one that waits.
    sent.abort();
    waits.abort();
    let _ = (sent.await, waits.await);
    leave.add_permits(1);
    assert_eq!(attempts(&stays.await.unwrap().unwrap()), 2, "what was sent counts, what was not does not");
    server.seen();
}

#[tokio::test]
async fn the_line_is_bounded() {
    let (leave, script) = held([("PUT", Reply::Accept("3"))]);
    let server = Server::start(script).await;
    let writer = writer(&server);
    let mut tasks = vec![start(&writer, attempt).await];
    server.until(1).await;
    for _ in 1..1024 {
        tasks.push(start(&writer, attempt).await);
    }
    assert!(matches!(writer.update(&object("1", json!({})), attempt).await, Err(Error::Busy)));
    leave.add_permits(1);
    for task in tasks {
        assert!(task.await.unwrap().unwrap().is_written());
    }
    assert_eq!(server.seen()[1].body["status"]["attempts"], 1024);
}

#[tokio::test]
async fn a_closed_writer_answers_whom_it_took_and_takes_no_more() {
    let (leave, script) = held([]);
    let server = Server::start(script).await;
    let writer = writer(&server);
    let taken = start(&writer, attempt).await;
    server.until(1).await;
    let closing = tokio::spawn({
        let writer = writer.clone();
        async move { writer.close().await }
    });
    tokio::task::yield_now().await;
    assert!(!closing.is_finished());
    assert!(matches!(writer.update(&object("1", json!({})), attempt).await, Err(Error::Closed)));
    leave.add_permits(1);
    closing.await.unwrap();
    assert!(taken.await.unwrap().unwrap().is_written());
    assert_eq!(writer.busy(), 0);
    server.seen();
}

#[tokio::test]
async fn an_update_that_makes_the_object_too_large_fails_alone() {
    for (code, reason) in [(413, "RequestEntityTooLarge"), (403, "Forbidden"), (400, "BadRequest")] {
        let spoilt = || Reply::Json(code, status(code, reason, "no", json!([])));
        let (leave, script) = held([
            // Three updates, then the first, then the other two, then each.
            ("PUT", spoilt()),
            ("PUT", Reply::Accept("3")),
            ("PUT", spoilt()),
            ("PUT", spoilt()),
            ("PUT", Reply::Accept("4")),
        ]);
        let server = Server::start(script).await;
        let writer = writer(&server);
        let first = start(&writer, attempt).await;
        server.until(1).await;
        let before = start(&writer, attempt).await;
        let large = start(&writer, |s| s.phase = "x".repeat(1000)).await;
        let after = start(&writer, attempt).await;
        leave.add_permits(1);
        first.await.unwrap().unwrap();
        assert!(matches!(large.await.unwrap().unwrap_err(), Error::Api(_)));
        assert_eq!(attempts(&before.await.unwrap().unwrap()), 2);
        assert_eq!(attempts(&after.await.unwrap().unwrap()), 3);
        server.seen();
    }
}

#[tokio::test]
async fn an_answer_that_concerns_all_is_asked_for_once() {
    let forbidden = "deliveries.example.org \"d\" is forbidden: User \"courier\" cannot update resource \"deliveries/status\" \
                     in API group \"example.org\" in the namespace \"n\"";
    for (code, reason, message) in [(401, "Unauthorized", "Unauthorized"), (403, "Forbidden", forbidden)] {
        let (leave, script) = held([("PUT", Reply::Json(code, status(code, reason, message, json!([]))))]);
        let server = Server::start(script).await;
        let writer = writer(&server);
        let first = start(&writer, attempt).await;
        server.until(1).await;
        let rest = [start(&writer, attempt).await, start(&writer, attempt).await];
        leave.add_permits(1);
        first.await.unwrap().unwrap();
        for task in rest {
            assert!(matches!(task.await.unwrap().unwrap_err(), Error::Api(_)));
        }
        server.seen();
    }
}

#[tokio::test]
async fn one_whose_time_passes_while_others_are_taken_apart_is_told_what_stood_in_the_way() {
    let large = || Reply::Json(413, status(413, "RequestEntityTooLarge", "no", json!([])));
    let (leave, script) = held([]);
    let server = Server::start(script).await;
    let slow = Arc::new(Semaphore::new(0));
    server.expect([("PUT", large()), ("PUT", Reply::Held(slow.clone(), Box::new(large())))]);
    let budget = Duration::from_millis(500);
    let writer = builder(&server).budget(budget).build().unwrap();
    let first = start(&writer, attempt).await;
    server.until(1).await;
    let to_blame = start(&writer, attempt).await;
    let waits = start(&writer, attempt).await;
    leave.add_permits(1);
    first.await.unwrap().unwrap();
    server.until(3).await;
    tokio::time::sleep(budget).await;
    slow.add_permits(1);
    assert!(matches!(to_blame.await.unwrap().unwrap_err(), Error::Api(_)));
    let error = waits.await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Budget(Some(RetryReason::Answer { code: 413, .. }))), "{error:?}");
    server.seen();
}

/// A status whose own code fails on some values.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
struct Touchy {
    attempts: i64,
}

const UNWRITABLE: i64 = 100;
const PANICS: i64 = 200;

impl Serialize for Touchy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.attempts >= UNWRITABLE {
            return Err(serde::ser::Error::custom("unwritable"));
        }
        json!({"attempts": self.attempts}).serialize(serializer)
    }
}

impl PartialEq for Touchy {
    fn eq(&self, other: &Self) -> bool {
        assert!(self.attempts < PANICS, "touched");
        self.attempts == other.attempts
    }
}

#[tokio::test]
async fn a_status_that_cannot_be_written_or_compared_fails_its_own_update_only() {
    let server = Server::start([]).await;
    let leave = Arc::new(Semaphore::new(0));
    server.expect([("PUT", Reply::Held(leave.clone(), Box::new(Reply::Accept("2"))))]);
    server.expect(["3", "4"].map(|version| ("PUT", Reply::Accept(version))));
    let writer = StatusWriter::<WithRawStatus<super::Delivery, Touchy>>::builder(server.client.clone(), "courier")
        .build()
        .unwrap();
    let object = serde_json::from_value(raw("1", json!({}))).unwrap();
    let add = |by: i64| tokio::spawn(writer.update(&object, move |s| s.attempts += by).into_future());
    let first = add(1);
    server.until(1).await;
    let [one, unwritable, panics, two] = [1, UNWRITABLE, PANICS, 2].map(add);
    tokio::task::yield_now().await;
    leave.add_permits(1);
    for task in [first, one, two] {
        assert!(task.await.unwrap().unwrap().is_written());
    }
    assert!(matches!(unwritable.await.unwrap(), Err(Error::Unwritable(_))));
    assert!(matches!(panics.await.unwrap(), Err(Error::Panicked(said)) if said == "touched"));
    assert_eq!(server.seen().last().unwrap().body["status"]["attempts"], 4);
}
