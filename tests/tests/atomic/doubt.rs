//! Each step after a lost answer, forced by a fault on the one PUT of a test.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use atomic_status::{Dynamic, Error, StatusWriter, UpdateOutcome};
use http::Method;
use kube::api::{Api, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::json;
use statusguard_tests::{ControlPlane, Fault, FaultProxy, Options, User};
use tokio::sync::Notify;

use crate::tally::{Answers, Bench, CRD, RawTally, TallyStatus, builder, count};

/// A tally, a writer through a proxy, and a rival that meets no faults.
struct Duel<'p> {
    bench: Bench<'p>,
    proxy: FaultProxy,
    writer: StatusWriter<RawTally>,
    rival: StatusWriter<RawTally>,
    object: Arc<RawTally>,
}

impl<'p> Duel<'p> {
    async fn on(bench: Bench<'p>) -> Self {
        let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
        let writer = builder(proxy.client()).build().unwrap();
        let rival = builder(bench.plane.client(User::Admin)).build().unwrap();
        let new = bench.create("duel").await;
        let object = rival.update(&new, count("first")).await.unwrap().into_object();
        Self { bench, proxy, writer, rival, object }
    }

    /// The first PUT gets this fault, all that follows passes.
    fn break_first_put(&self, fault: Fault) {
        self.break_puts_until_opened(fault).open();
    }

    /// The first PUT gets this fault, and nothing gets through after it until the gate is opened.
    fn break_puts_until_opened(&self, fault: Fault) -> Arc<Gate> {
        let gate = Arc::new(Gate::default());
        let asked = gate.clone();
        self.proxy.set_faults(move |parts| match asked.requests.fetch_add(1, Ordering::SeqCst) {
            0 => {
                assert_eq!(parts.method, Method::PUT);
                fault
            }
            _ => {
                asked.tried.notify_one();
                if asked.open.load(Ordering::SeqCst) { Fault::Pass } else { Fault::CutBeforeSending }
            }
        });
        gate
    }

    /// The counter after all is over, checked against what callers were told.
    async fn check(&self, acknowledged: &[&str]) {
        let mut answers = Answers::default();
        answers.acknowledged.extend(acknowledged.iter().map(|id| (*id).to_owned()));
        self.bench.check("duel", &answers).await;
    }
}

/// Holds a writer in doubt until it is opened.
#[derive(Default)]
struct Gate {
    open: AtomicBool,
    requests: AtomicUsize,
    tried: Notify,
}

impl Gate {
    /// Waits until the writer has lost its answer and asks again.
    async fn tried(&self) {
        self.tried.notified().await;
    }

    fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_put_that_never_arrived_is_settled_by_repeating_it() {
    let lost = [
        Fault::CutBeforeSending,
        Fault::Status { code: 503, retry_after: None, after_forwarding: false },
        Fault::Status { code: 504, retry_after: None, after_forwarding: false },
    ];
    for fault in lost {
        let duel = Duel::on(Bench::shared().await).await;
        duel.break_first_put(fault);
        let outcome = duel.writer.update(&duel.object, count("mine")).await.unwrap();
        assert!(matches!(outcome, UpdateOutcome::Written { attempts: 2, .. }));
        assert_eq!((duel.proxy.counts().total(), duel.proxy.counts().verb("PUT")), (2, 2));
        duel.check(&["first", "mine"]).await;
    }
}

#[tokio::test]
async fn a_put_that_landed_is_found_by_the_first_version_after_its_base() {
    let lost = [
        Fault::CutAfterSending,
        Fault::Status { code: 500, retry_after: None, after_forwarding: true },
        Fault::Status { code: 504, retry_after: None, after_forwarding: true },
    ];
    for fault in lost {
        let duel = Duel::on(Bench::shared().await).await;
        duel.break_first_put(fault);
        let outcome = duel.writer.update(&duel.object, count("mine")).await.unwrap();
        assert!(matches!(outcome, UpdateOutcome::Written { attempts: 2, .. }));
        let counts = duel.proxy.counts();
        assert_eq!((counts.total(), counts.verb("PUT"), counts.verb("WATCH")), (3, 2, 1));
        duel.check(&["first", "mine"]).await;
    }
}

#[tokio::test]
async fn a_put_that_landed_is_found_behind_the_writes_of_others() {
    let duel = Duel::on(Bench::shared().await).await;
    let gate = duel.break_puts_until_opened(Fault::CutAfterSending);
    let update = tokio::spawn(duel.writer.update(&duel.object, count("mine")).into_future());
    gate.tried().await;
    for id in ["over", "and over"] {
        duel.rival.update(&duel.object, count(id)).fresh().await.unwrap();
    }
    gate.open();
    let outcome = update.await.unwrap().unwrap();
    let log = &outcome.object().status.as_ref().unwrap().log;
    assert_eq!(log.last().unwrap().id, "mine", "the version shown is the one that was written");
    duel.check(&["first", "mine", "over", "and over"]).await;
}

#[tokio::test]
async fn a_put_that_lost_to_a_rival_with_the_same_content_is_made_again() {
    let duel = Duel::on(Bench::shared().await).await;
    let gate = duel.break_puts_until_opened(Fault::CutBeforeSending);
    // Both set the same tag to the same value: only the owner of the field tells them apart.
    let tag = |status: &mut TallyStatus| status.tags.entry("t".into()).or_default().seen += 1;
    let update = tokio::spawn(duel.writer.update(&duel.object, tag).into_future());
    gate.tried().await;
    duel.rival.update(&duel.object, tag).await.unwrap();
    gate.open();
    let outcome = update.await.unwrap().unwrap();
    assert_eq!(outcome.object().status.as_ref().unwrap().tags["t"].seen, 2);
    assert_eq!(duel.bench.read("duel").await.tags["t"].seen, 2);
}

#[tokio::test]
async fn a_put_that_lands_late_is_counted_once() {
    let hour = Duration::from_secs(3600);
    // Before the repeated one.
    let duel = Duel::on(Bench::shared().await).await;
    let gate = duel.break_puts_until_opened(Fault::LandLate(hour));
    let update = tokio::spawn(duel.writer.update(&duel.object, count("mine")).into_future());
    gate.tried().await;
    duel.proxy.release_late();
    assert_eq!(duel.proxy.landed().await[0].status.unwrap(), 200);
    gate.open();
    assert!(update.await.unwrap().unwrap().is_written());
    assert_eq!(duel.proxy.counts().verb("WATCH"), 1);
    duel.check(&["first", "mine"]).await;

    // After it, when it can no longer land.
    let duel = Duel::on(Bench::shared().await).await;
    duel.break_first_put(Fault::LandLate(hour));
    assert!(duel.writer.update(&duel.object, count("mine")).await.unwrap().is_written());
    duel.proxy.release_late();
    assert_eq!(duel.proxy.landed().await[0].status.unwrap(), 409);
    duel.check(&["first", "mine"]).await;
}

/// Loses the answer to a PUT that landed, or never arrived, restarts the API server, and lets the writer find
/// out without history. `meanwhile` happens before the writer may go on.
async fn without_history(
    landed: bool,
    append_only: bool,
    meanwhile: impl AsyncFnOnce(&Duel<'_>),
) -> (Result<UpdateOutcome<RawTally>, Error>, Vec<String>) {
    let plane = ControlPlane::start(Options::default()).await.unwrap();
    plane.apply_crd_yaml(CRD).await.unwrap();
    let mut duel = Duel::on(Bench::on(&plane).await).await;
    let mut setup = builder(duel.proxy.client()).budget(Duration::from_secs(60));
    if append_only {
        setup = setup.append_only("/log", "id");
    }
    duel.writer = setup.build().unwrap();
    // Its answer shows that identities are stored as they are sent.
    duel.object = duel.writer.update(&duel.object, count("second")).await.unwrap().into_object();
    let fault = if landed { Fault::CutAfterSending } else { Fault::CutBeforeSending };
    let gate = duel.break_puts_until_opened(fault);
    let update = tokio::spawn(duel.writer.update(&duel.object, count("mine")).into_future());
    gate.tried().await;
    meanwhile(&duel).await;
    plane.restart_api_server(0).await.unwrap();
    gate.open();
    let answer = update.await.unwrap();
    let log = duel.bench.read("duel").await.log.into_iter().map(|entry| entry.id).collect();
    (answer, log)
}

#[tokio::test]
async fn without_history_a_live_read_proves_what_landed() {
    let (answer, log) = without_history(true, false, async |_| ()).await;
    assert!(answer.unwrap().is_written());
    assert_eq!(log, ["first", "second", "mine"]);
}

#[tokio::test]
async fn without_history_and_proof_the_caller_is_told_that_nobody_knows() {
    let over = async |duel: &Duel<'_>| {
        duel.rival.update(&duel.object, count("over")).fresh().await.unwrap();
    };
    let (answer, log) = without_history(false, false, over).await;
    assert!(matches!(answer, Err(Error::Unknown(_))), "{answer:?}");
    assert_eq!(log, ["first", "second", "over"]);
}

#[tokio::test]
async fn without_history_an_identity_tells_whether_it_landed() {
    let over = async |duel: &Duel<'_>| {
        duel.rival.update(&duel.object, count("over")).fresh().await.unwrap();
    };
    let (answer, log) = without_history(false, true, over).await;
    assert!(answer.unwrap().is_written());
    assert_eq!(log, ["first", "second", "over", "mine"], "it had not");

    let over = async |duel: &Duel<'_>| {
        duel.rival.update(&duel.object, count("over")).fresh().await.unwrap();
    };
    let (answer, log) = without_history(true, true, over).await;
    assert!(answer.unwrap().is_written());
    assert_eq!(log, ["first", "second", "mine", "over"], "it had");
}

#[tokio::test]
async fn a_removal_whose_answer_is_lost_is_unknown() {
    let duel = Duel::on(Bench::shared().await).await;
    let tag = |status: &mut TallyStatus| status.tags.entry("t".into()).or_default().seen += 1;
    let object = duel.rival.update(&duel.object, tag).await.unwrap().into_object();
    duel.break_first_put(Fault::CutAfterSending);
    let answer = duel.writer.update(&object, |status| status.tags.clear()).await;
    assert!(matches!(answer, Err(Error::Unknown(_))), "{answer:?}");
    let api: Api<RawTally> = duel.bench.api();
    assert_eq!(api.get("duel").await.unwrap().status_as_sent().unwrap()["tags"], json!(null));
}

#[tokio::test]
async fn an_object_created_with_nothing_but_a_name_has_no_owners_and_leaves_a_lost_answer_unknown() {
    let bench = Bench::shared().await;
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("atomic.statusguard.dev", "v1", "Tally"), "tallies");
    let api: Api<Dynamic> = Api::namespaced_with(bench.plane.client(User::Admin), &bench.namespace, &kind);
    let bare = json!({ "apiVersion": "atomic.statusguard.dev/v1", "kind": "Tally", "metadata": { "name": "bare" } });
    let object = api.create(&PostParams::default(), &serde_json::from_value(bare).unwrap()).await.unwrap();

    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let requests = AtomicUsize::new(0);
    proxy.set_faults(move |_| match requests.fetch_add(1, Ordering::SeqCst) {
        0 => Fault::CutAfterSending,
        _ => Fault::Pass,
    });
    let writer = StatusWriter::<Dynamic>::builder_with(proxy.client(), "bare", kind).build().unwrap();
    let answer = writer.update(&object, |status| status["phase"] = "B".into()).await;
    assert!(matches!(answer, Err(Error::Unknown(_))), "{answer:?}");
    let now = api.get("bare").await.unwrap();
    assert_eq!(now.status_as_sent().unwrap()["phase"], "B");
    assert_eq!(now.metadata.managed_fields, None);
}
