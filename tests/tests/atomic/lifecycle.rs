//! Objects and API servers that come and go under a writer.

use std::sync::Arc;
use std::time::Duration;

use atomic_status::{Error, RetryReason};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use statusguard_tests::{ControlPlane, Fault, FaultProxy, Options, User, eventually};

use crate::tally::{Answers, Bench, CRD, RawTally, builder, count, storm};

#[tokio::test]
async fn deleted_and_recreated_mid_flight_the_new_object_gets_nothing_of_the_old() {
    let bench = Bench::shared().await;
    let writer = builder(bench.plane.client(User::Admin)).build().unwrap();
    let old = bench.create("reborn").await;
    writer.update(&old, count("before")).await.unwrap();
    let running = tokio::spawn({
        let (writer, old) = (writer.clone(), old.clone());
        async move { storm(&writer, &old, 10, 200).await }
    });
    eventually("the storm is on", async || Ok(bench.read("reborn").await.counter > 20)).await.unwrap();
    bench.api().delete("reborn", &DeleteParams::default()).await.unwrap();
    let new = bench.create("reborn").await;
    assert_ne!(old.uid(), new.uid());

    let answers = running.await.unwrap();
    assert!(answers.unknown.is_empty());
    assert!(!answers.failed.is_empty(), "the storm was over too early");
    assert!(answers.failed.values().all(|how| how == "deleted" || how == "replaced"), "{:?}", answers.failed);
    assert_eq!(bench.read("reborn").await.counter, 0);

    // The old one is told so, the new one is written.
    let error = writer.update(&old, count("late")).await.unwrap_err();
    assert!(matches!(error, Error::Replaced), "{error:?}");
    let mut answers = Answers::default();
    answers.note("new".into(), writer.update(&new, count("new")).await);
    answers.all_acknowledged(1);
    bench.check("reborn", &answers).await;
    bench.api().delete("reborn", &DeleteParams::default()).await.unwrap();
    let error = writer.update(&new, count("gone")).await.unwrap_err();
    assert!(matches!(error, Error::Deleted), "{error:?}");
    assert_eq!(writer.kept(), 0);
}

#[tokio::test]
async fn an_object_deleted_while_an_answer_is_lost_is_deleted() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let writer = builder(proxy.client()).build().unwrap();
    let object = bench.create("doomed").await;
    proxy.set_faults(|_| Fault::CutBeforeSending);
    let update = tokio::spawn(writer.update(&object, count("lost")).into_future());
    eventually("the writer is in doubt", async || Ok(proxy.counts().verb("PUT") > 1)).await.unwrap();
    bench.api().delete("doomed", &DeleteParams::default()).await.unwrap();
    proxy.set_faults(|_| Fault::Pass);
    assert!(matches!(update.await.unwrap(), Err(Error::Deleted)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_is_killed_and_comes_back_costs_nobody_an_update() {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    plane.apply_crd_yaml(CRD).await.unwrap();
    let bench = Bench::on(&plane).await;
    let object = bench.create("survivor").await;
    // Without history only identities can settle what the writers of one object have lost.
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let builder = builder(plane.client(User::Admin)).append_only("/log", "id");
            builder.budget(Duration::from_secs(120)).request_timeout(Duration::from_secs(5)).build().unwrap()
        })
        .collect();
    let mut answers = Answers::default();
    // What is absent proves something once a writer has seen its identities stored as sent.
    for (number, writer) in writers.iter().enumerate() {
        let id = format!("first-{number}");
        answers.note(id.clone(), writer.update(&object, count(&id)).await);
    }
    let storms: Vec<_> = writers
        .into_iter()
        .map(|writer| {
            let object = object.clone();
            tokio::spawn(async move { storm(&writer, &object, 5, 60).await })
        })
        .collect();
    for least in [50, 200] {
        eventually("updates are made", async || Ok(bench.read("survivor").await.counter > least)).await.unwrap();
        plane.restart_api_server(0).await.unwrap();
    }
    for storm in storms {
        answers = answers.merge(storm.await.unwrap());
    }
    answers.all_acknowledged(602);
    bench.check("survivor", &answers).await;
}

#[tokio::test]
async fn a_budget_that_is_spent_leaves_nothing_behind() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let writer = builder(proxy.client()).budget(Duration::from_millis(500)).build().unwrap();
    let object = bench.create("poor").await;
    proxy.set_faults(|_| Fault::Status { code: 429, retry_after: Some(0), after_forwarding: false });
    let error = writer.update(&object, count("never")).await.unwrap_err();
    assert!(matches!(&error, Error::Budget(Some(RetryReason::Answer { code: 429, .. }))), "{error:?}");
    proxy.set_faults(|_| Fault::Pass);
    let mut answers = Answers::default();
    answers.failed.insert("never".into(), "budget".into());
    answers.note("later".into(), writer.update(&object, count("later")).await);
    bench.check("poor", &answers).await;
}

#[tokio::test]
async fn a_reconciler_never_acts_on_something_older_than_its_own_write() {
    let bench = Bench::shared().await;
    let writer = builder(bench.plane.client(User::Admin)).build().unwrap();
    let object = bench.create("own").await;
    let (store, cache) = reflector::store();
    let mut events = Box::pin(watcher(bench.api(), watcher::Config::default()).default_backoff().reflect(cache));
    let name = reflector::ObjectRef::from_obj(&*object);
    let mut last: Option<Arc<RawTally>> = None;
    for number in 1..=20 {
        // The cache takes part only now and then.
        if number % 4 == 1 {
            let behind = |cached: Option<Arc<RawTally>>| {
                cached.is_none_or(|cached| {
                    last.as_ref().is_some_and(|last| last.resource_version() != cached.resource_version())
                })
            };
            while behind(store.get(&name)) {
                events.next().await.unwrap().unwrap();
            }
        }
        let seen = writer.latest(&store.get(&name).unwrap());
        assert_eq!(seen.status.as_ref().map_or(0, |status| status.counter), number - 1);
        last = Some(writer.update(&seen, count(&number.to_string())).await.unwrap().into_object());
    }
    let list: Api<RawTally> = bench.api();
    assert_eq!(list.list(&ListParams::default()).await.unwrap().items[0].status.as_ref().unwrap().counter, 20);
}
