//! Faults on one request in twenty, of every sort, with several writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use atomic_status::Metrics;
use http::request::Parts;
use prometheus_client::registry::Registry;
use statusguard_tests::{Fault, FaultProxy, User};

use crate::tally::{Answers, Bench, builder, storm};

const FAULTS: [Fault; 10] = [
    Fault::CutAfterSending,
    Fault::LandLate(Duration::from_millis(50)),
    Fault::CutBeforeSending,
    Fault::Status { code: 504, retry_after: None, after_forwarding: true },
    Fault::Delay(Duration::from_millis(50)),
    Fault::Status { code: 500, retry_after: None, after_forwarding: true },
    Fault::LandLate(Duration::from_millis(2)),
    Fault::Status { code: 429, retry_after: Some(0), after_forwarding: false },
    Fault::Status { code: 503, retry_after: None, after_forwarding: false },
    Fault::Status { code: 504, retry_after: None, after_forwarding: false },
];

/// Every twentieth request gets the next fault.
fn one_in_twenty() -> impl Fn(&Parts) -> Fault + Send + Sync + 'static {
    let requests = AtomicUsize::new(0);
    move |_| {
        let number = requests.fetch_add(1, Ordering::SeqCst);
        if number % 20 == 19 { FAULTS[number / 20 % FAULTS.len()] } else { Fault::Pass }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_faults_on_five_percent_of_requests_nothing_is_lost_doubled_or_unknown() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    proxy.set_faults(one_in_twenty());
    let object = bench.create("faulty").await;
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let writers: Vec<_> = (0..4)
        .map(|_| builder(proxy.client()).metrics(metrics.clone()).budget(Duration::from_secs(30)).build().unwrap())
        .collect();

    // Two callers each, so that most updates are a request of their own.
    let storms = writers.iter().map(|writer| storm(writer, &object, 2, 60));
    let answers = futures::future::join_all(storms).await.into_iter().fold(Answers::default(), Answers::merge);
    // Whatever was held back has landed by now, or never will.
    proxy.landed().await;
    answers.all_acknowledged(480);
    bench.check("faulty", &answers).await;

    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for settled in ["repeat", "watch"] {
        assert!(text.contains(&format!("settled=\"{settled}\"")), "no doubt was settled by {settled}:\n{text}");
    }
    assert!(!text.contains("settled=\"unknown\""), "{text}");
}

#[tokio::test]
async fn a_hundred_tasks_share_writes_under_faults() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    // Every third, so that a merged write meets many.
    let requests = Arc::new(AtomicUsize::new(0));
    proxy.set_faults(move |_| {
        let number = requests.fetch_add(1, Ordering::SeqCst);
        if number % 3 == 2 { FAULTS[number / 3 % FAULTS.len()] } else { Fault::Pass }
    });
    let writer = builder(proxy.client()).budget(Duration::from_secs(30)).build().unwrap();
    let object = bench.create("shared").await;
    let answers = storm(&writer, &object, 100, 10).await;
    proxy.landed().await;
    answers.all_acknowledged(1_000);
    bench.check("shared", &answers).await;
}
