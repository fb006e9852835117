//! Many callers in one process.

use atomic_status::UpdateOutcome;
use statusguard_tests::{FaultProxy, User};

use crate::tally::{Answers, Bench, builder, count, storm};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_tasks_make_ten_thousand_updates_in_few_requests() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let writer = builder(proxy.client()).build().unwrap();
    let object = bench.create("storm").await;

    let answers = storm(&writer, &object, 100, 100).await;
    answers.all_acknowledged(10_000);
    bench.check("storm", &answers).await;
    assert_eq!(bench.read("storm").await.counter, 10_000);
    let requests = proxy.counts().total();
    assert!(requests <= 1_000, "{requests} requests for 10000 updates");
    assert_eq!(writer.busy(), 0);
}

#[tokio::test]
async fn one_caller_costs_one_request_per_update() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let writer = builder(proxy.client()).build().unwrap();
    let mut object = bench.create("alone").await;
    let mut answers = Answers::default();
    for number in 0..50 {
        let id = number.to_string();
        let outcome = writer.update(&object, count(&id)).await.unwrap();
        assert!(matches!(outcome, UpdateOutcome::Written { attempts: 1, merged: 1, .. }));
        object = outcome.object().clone();
        answers.note(id, Ok(outcome));
    }
    bench.check("alone", &answers).await;
    let counts = proxy.counts();
    assert_eq!((counts.total(), counts.of("PUT", "/status")), (50, 50));
}

#[tokio::test]
async fn a_writer_that_is_never_first_is_not_starved() {
    let bench = Bench::shared().await;
    let object = bench.create("rivals").await;
    let writers: Vec<_> = (0..5).map(|_| builder(bench.plane.client(User::Admin)).build().unwrap()).collect();
    let storms = writers.iter().map(|writer| storm(writer, &object, 4, 10));
    let answers = futures::future::join_all(storms).await.into_iter().fold(Answers::default(), Answers::merge);
    answers.all_acknowledged(200);
    bench.check("rivals", &answers).await;
}

#[tokio::test]
async fn a_caller_that_leaves_is_applied_whole_or_not_at_all() {
    let bench = Bench::shared().await;
    let writer = builder(bench.plane.client(User::Admin)).build().unwrap();
    let object = bench.create("leavers").await;
    let stay = tokio::spawn({
        let (writer, object) = (writer.clone(), object.clone());
        async move { storm(&writer, &object, 5, 20).await }
    });
    for number in 0..100 {
        let update = tokio::spawn(writer.update(&object, count(&format!("left-{number}"))).into_future());
        for _ in 0..number % 7 {
            tokio::task::yield_now().await;
        }
        update.abort();
        // It ended, or it was cut short.
        drop(update.await);
    }
    let mut answers = stay.await.unwrap();
    answers.all_acknowledged(100);
    writer.close().await;
    answers.unknown.extend((0..100).map(|number| format!("left-{number}")));
    bench.check("leavers", &answers).await;
}
