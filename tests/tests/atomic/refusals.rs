//! Statuses that the schema or the guard refuses.

use atomic_status::{Error, StatusWriter};
use kubernaut_api::{NotificationPhase, NotificationRequest};
use statusguard_tests::{FaultProxy, User};

use crate::guard::Setup;
use crate::object::{attempt, pending, sending, sending_with, with_status};
use crate::tally::{Bench, builder, count, storm};

#[tokio::test]
async fn what_the_schema_refuses_ends_after_one_live_read() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let writer = builder(proxy.client()).build().unwrap();
    let new = bench.create("strict").await;
    let object = writer.update(&new, count("a")).await.unwrap().into_object();
    proxy.reset_counts();
    let error = writer.update(&object, |status| status.counter = 0).await.unwrap_err();
    let Error::Refused { code, causes, .. } = error else { panic!("{error:?}") };
    assert_eq!(code, 422);
    assert!(
        causes.iter().any(|cause| cause.field == "status.counter" && cause.message.contains("never falls")),
        "{causes:?}"
    );
    let counts = proxy.counts();
    assert_eq!((counts.total(), counts.verb("PUT"), counts.verb("GET")), (2, 1, 1));
}

#[tokio::test]
async fn a_refused_update_takes_none_of_those_it_shared_a_write_with() {
    let bench = Bench::shared().await;
    let writer = builder(bench.plane.client(User::Admin)).build().unwrap();
    let new = bench.create("mixed").await;
    let object = writer.update(&new, count("a")).await.unwrap().into_object();
    let good = tokio::spawn({
        let (writer, object) = (writer.clone(), object.clone());
        async move { storm(&writer, &object, 20, 10).await }
    });
    for _ in 0..10 {
        let error = writer.update(&object, |status| status.counter = -1).await.unwrap_err();
        assert!(matches!(error, Error::Refused { code: 422, .. }), "{error:?}");
    }
    let mut answers = good.await.unwrap();
    answers.all_acknowledged(200);
    answers.acknowledged.insert("a".into());
    bench.check("mixed", &answers).await;
}

#[tokio::test]
async fn a_conflict_of_the_guard_is_a_refusal_and_not_a_version_conflict() {
    let guarded = Setup::new().start().await;
    let proxy = FaultProxy::start(guarded.plane.config(User::Admin)).await.unwrap();
    let writer = StatusWriter::<NotificationRequest>::builder(proxy.client(), "notifier").build().unwrap();
    let object = guarded.object("guarded", &[pending(), sending(2)]).await;

    // Seen on the current version: final, with the guard's causes.
    let error = writer.update(&object, |status| status.phase = Some(NotificationPhase::Pending)).await.unwrap_err();
    let Error::Refused { code, reason, causes, .. } = error else { panic!("{error:?}") };
    assert_eq!((code, reason.as_str()), (409, "Conflict"));
    assert!(causes.iter().any(|cause| cause.reason == "PhaseRegression"), "{causes:?}");
    // The read before a typed object's first write, the PUT, the read after its refusal.
    let counts = proxy.counts();
    assert_eq!((counts.total(), counts.verb("PUT"), counts.verb("GET")), (3, 1, 2));

    // What is legal passes the same guard.
    let mut next = attempt("console", 3);
    next["status"] = "success".into();
    let wanted = with_status(object.clone(), &sending_with(vec![attempt("console", 1), attempt("console", 2), next]));
    let wanted = wanted.status.unwrap();
    writer
        .update(&object, move |status| {
            status.total_attempts = wanted.total_attempts;
            status.delivery_attempts = wanted.delivery_attempts.clone();
        })
        .await
        .unwrap();
    assert_eq!(guarded.api().get("guarded").await.unwrap().status.unwrap().total_attempts, Some(3));
}

#[tokio::test]
async fn a_user_without_the_right_is_told_so_at_once() {
    let bench = Bench::shared().await;
    let object = bench.create("locked").await;
    let writer = builder(bench.plane.client(User::Alice)).build().unwrap();
    let error = writer.update(&object, count("a")).await.unwrap_err();
    // The authorizer's words, by which the writer knows that the answer concerns all updates of a write.
    assert!(matches!(&error, Error::Api(source) if source.to_string().contains("cannot update resource")), "{error:?}");
}
