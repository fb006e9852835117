//! Statuses that the schema or the guard refuses.

use std::time::Duration;

use atomic_status::{Error, StatusWriter};
use kubernaut_api::{NotificationPhase, NotificationRequest};
use statusguard_tests::{FaultProxy, User};

use crate::guard::Setup;
use crate::object::{attempt, pending, sending, sending_with, with_status};
use crate::tally::{Answers, Bench, TallyStatus, builder, count, storm};

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
async fn a_thousand_updates_of_which_half_are_refused_cost_the_others_nothing() {
    const UPDATES: usize = 1000;
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let writer = builder(proxy.client()).budget(Duration::from_secs(120)).build().unwrap();
    let new = bench.create("halves").await;
    let object = writer.update(&new, count("first")).await.unwrap().into_object();
    proxy.reset_counts();
    let updates = (0..UPDATES).map(|number| {
        let (writer, object) = (writer.clone(), object.clone());
        let id = number.to_string();
        async move {
            let mut good = count(&id);
            let closure =
                move |status: &mut TallyStatus| if number % 2 == 0 { good(status) } else { status.counter = -1 };
            (number, writer.update(&object, closure).await)
        }
    });
    let mut answers = Answers::default();
    answers.acknowledged.insert("first".into());
    for (number, answer) in futures::future::join_all(updates).await {
        match answer {
            Err(Error::Refused { code: 422, .. }) if number % 2 == 1 => {}
            answer => answers.note(number.to_string(), answer),
        }
    }
    answers.all_acknowledged(1 + UPDATES / 2);
    bench.check("halves", &answers).await;
    // A PUT for each update, a read for each refusal, and little more to tell them apart.
    let requests = proxy.counts().total();
    assert!(requests <= 2_000, "{requests} requests");
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
