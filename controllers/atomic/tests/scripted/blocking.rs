//! Closures that block, or wait for what waits for them.

use std::sync::mpsc;
use std::time::Duration;

use atomic_status::{Error, UpdateOutcome};
use serde_json::json;

use super::server::{Reply, Server};
use super::{attempt, builder, object};

const BUDGET: Duration = Duration::from_millis(300);
/// Far longer than anything takes that does not hang.
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_closure_that_blocks_holds_nobody_past_the_budget_and_no_other_object() {
    let server = Server::start([]).await;
    server.expect_any(Reply::Accept("2"));
    let writer = builder(&server).budget(BUDGET).build().unwrap();
    let (release, released) = mpsc::channel::<()>();
    let (begin, begun) = tokio::sync::oneshot::channel();
    let mut begin = Some(begin);
    let blocks = tokio::spawn({
        let update = writer.update(&object("1", json!({})), move |status| {
            if let Some(begin) = begin.take() {
                begin.send(()).unwrap();
            }
            // Until the test lets it go, or is over.
            let _ = released.recv();
            attempt(status);
        });
        update.into_future()
    });
    begun.await.unwrap();

    let waits = tokio::time::timeout(PATIENCE, writer.update(&object("1", json!({})), attempt).into_future());
    assert!(matches!(waits.await.unwrap(), Err(Error::Budget(_))));
    assert!(matches!(blocks.await.unwrap(), Err(Error::Budget(_))), "its own caller is not held either");
    let mut other = object("1", json!({}));
    kube::Resource::meta_mut(&mut other).name = Some("other".into());
    assert!(writer.update(&other, attempt).await.unwrap().is_written());

    // What its caller was told did not happen does not happen.
    drop(release);
    let outcome = writer.update(&object("1", json!({})), attempt).await.unwrap();
    assert_eq!(outcome.object().status.as_ref().unwrap().attempts, 1);
    assert_eq!(server.seen().len(), 2, "one PUT for each object");
}

#[tokio::test]
async fn a_closure_that_waits_for_an_update_of_its_own_object_ends_with_the_budget() {
    let server = Server::start([]).await;
    server.expect_any(Reply::Accept("2"));
    let writer = builder(&server).budget(BUDGET).build().unwrap();
    let (inner, runtime) = (writer.clone(), tokio::runtime::Handle::current());
    let nested = writer.update(&object("1", json!({})), move |status| {
        let (inner, runtime) = (inner.clone(), runtime.clone());
        // A thread of its own, where waiting is allowed.
        let waits = std::thread::spawn(move || {
            runtime
                .block_on(inner.update(&object("1", json!({})), attempt).into_future())
                .map(UpdateOutcome::into_object)
        });
        assert!(matches!(waits.join().unwrap(), Err(Error::Budget(_))));
        attempt(status);
    });
    let error = tokio::time::timeout(PATIENCE, nested.into_future()).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Budget(_)), "{error:?}");
    let outcome = writer.update(&object("1", json!({})), attempt).await.unwrap();
    assert_eq!(outcome.object().status.as_ref().unwrap().attempts, 1);
    assert_eq!(server.seen().len(), 1);
}
