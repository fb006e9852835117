//! Two API servers on one etcd, of which the second lags behind.

use atomic_status::UpdateOutcome;
use statusguard_tests::{ControlPlane, Options, User};

use crate::tally::{Answers, Bench, CRD, RawTally, builder, count, storm};

/// The API server that lags.
const LAGGING: usize = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stale_server_shows_does_no_harm() {
    let plane = ControlPlane::start(Options { stale_second: true, ..Options::default() }).await.unwrap();
    plane.apply_crd_yaml(CRD).await.unwrap();
    let bench = Bench::on(&plane).await;
    let object = bench.create("split").await;
    let near = builder(plane.client(User::Admin)).build().unwrap();
    let far = builder(plane.client_of(LAGGING, User::Admin)).build().unwrap();
    let mut answers = Answers::default();

    // A cache behind the lagging server shows an old version: a conflict, a live read, a new decision.
    plane.wait_cached(LAGGING, &*object).await.unwrap();
    plane.stale_proxy().unwrap().freeze();
    for id in ["a", "b"] {
        answers.note(id.into(), near.update(&object, count(id)).await);
    }
    let cached = std::sync::Arc::new(plane.cached(LAGGING, &*object).await.unwrap());
    assert_eq!(RawTally::status_as_sent(&cached), None, "the cache is not stale");
    let answer = far.update(&cached, count("c")).await;
    assert!(matches!(&answer, Ok(UpdateOutcome::Written { attempts: 2, .. })), "{answer:?}");
    answers.note("c".into(), answer);

    // The cache still shows nothing of it; the writer does.
    let cached = std::sync::Arc::new(plane.cached(LAGGING, &*object).await.unwrap());
    assert_eq!(far.latest(&cached).status.as_ref().unwrap().counter, 3);
    let answer = far.update(&cached, count("d")).await;
    assert!(matches!(&answer, Ok(UpdateOutcome::Written { attempts: 1, .. })), "{answer:?}");
    answers.note("d".into(), answer);

    // And both at once, while the lag comes and goes.
    let storms = tokio::spawn(async move {
        let (near, far) = tokio::join!(storm(&near, &object, 4, 25), storm(&far, &cached, 4, 25));
        near.merge(far)
    });
    while !storms.is_finished() {
        plane.stale_proxy().unwrap().thaw();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        plane.stale_proxy().unwrap().freeze();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    plane.stale_proxy().unwrap().thaw();
    let answers = answers.merge(storms.await.unwrap());
    answers.all_acknowledged(204);
    bench.check("split", &answers).await;
}
