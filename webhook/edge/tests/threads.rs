//! One judgement does not hold up probes or other calls, and ends when nobody waits for it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use common::{EdgeServer, PATH, PATIENCE, Script, allow, head, labels, long_review, review, start};
use statusguard_edge::{CallContext, Decision, GroupResource, Judge, Limits, Review, ReviewAnswer, Unjudged};
use tokio::runtime::{Builder, Runtime};

const MIB: usize = 1 << 20;

/// Two runtimes, because the server's only worker may be blocked.
struct Runtimes {
    server: Runtime,
    client: Runtime,
}

/// Holds the first judgement until it is told to go on.
struct FirstWaits {
    entered: Sender<()>,
    go_on: Mutex<Option<Receiver<()>>>,
}

impl Judge for FirstWaits {
    type Record = ();

    fn judge(&self, _: &CallContext<'_>, _: &Review<'_>) -> ReviewAnswer<()> {
        let first = self.go_on.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(go_on) = first {
            self.entered.send(()).unwrap();
            go_on.recv_timeout(PATIENCE).unwrap();
        }
        allow()
    }
}

fn first_waits() -> (FirstWaits, Receiver<()>, Sender<()>) {
    let (entered, seen) = mpsc::channel();
    let (release, go_on) = mpsc::channel();
    (FirstWaits { entered, go_on: Mutex::new(Some(go_on)) }, seen, release)
}

impl Runtimes {
    fn new() -> Self {
        let runtime = || Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { server: runtime(), client: runtime() }
    }

    fn start<J: Judge<Record = ()>>(&self, judge: J) -> EdgeServer {
        self.start_with(judge, Limits::default())
    }

    fn start_with<J: Judge<Record = ()>>(&self, judge: J, limits: Limits) -> EdgeServer {
        self.server.block_on(start(judge, limits))
    }
}

/// Asks the plain port without a runtime.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: guard\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn probes_are_answered_while_every_worker_judges() {
    let runtimes = Runtimes::new();
    let (judge, entered, release) = first_waits();
    let server = runtimes.start(judge);
    let dialer = server.dialer();
    let call = runtimes.client.spawn(async move { dialer.dial().await.unwrap().post(PATH, &review("put")).await });
    entered.recv_timeout(PATIENCE).unwrap();
    for path in ["/livez", "/readyz", "/metrics"] {
        let reply = get(server.plain, path);
        assert!(reply.starts_with("HTTP/1.1 200"), "{path}: {reply}");
    }
    release.send(()).unwrap();
    assert_eq!(runtimes.client.block_on(call).unwrap().status, 200);
    runtimes.server.block_on(server.stop());
}

#[test]
fn other_calls_are_answered_while_a_large_object_is_judged() {
    let runtimes = Runtimes::new();
    let (judge, entered, release) = first_waits();
    let server = runtimes.start(judge);
    let dialer = server.dialer();
    let long = runtimes.client.spawn(async move { dialer.dial().await.unwrap().post(PATH, &long_review()).await });
    entered.recv_timeout(PATIENCE).unwrap();
    assert_eq!(runtimes.client.block_on(server.post(&review("put"))).status, 200);
    release.send(()).unwrap();
    assert_eq!(runtimes.client.block_on(long).unwrap().status, 200);
    runtimes.server.block_on(server.stop());
}

#[test]
fn a_call_ends_with_its_time_out_even_if_its_judgement_does_not() {
    let runtimes = Runtimes::new();
    let (judge, entered, release) = first_waits();
    let server = runtimes.start(judge);
    let path = PATH.replace("10s", "1s");
    let reply = runtimes.client.block_on(async { server.connect().await.post(&path, &long_review()).await });
    entered.recv_timeout(PATIENCE).unwrap();
    assert_eq!(reply.status, 500, "{}", reply.text());
    assert!(reply.text().contains("not judged within the call's time-out"), "{}", reply.text());
    let sent: serde_json::Value = serde_json::from_slice(&review("put")).unwrap();
    assert_eq!(reply.json()["details"]["uid"], sent["request"]["uid"]);
    assert_eq!(server.metric("statusguard_shed_total{cause=\"judge\"}"), 1.0);
    // Its body counts as held until it has ended.
    assert!(server.metric("statusguard_body_bytes") > 64e3);
    release.send(()).unwrap();
    runtimes.client.block_on(server.metric_becomes("statusguard_body_bytes", 0.0));
    runtimes.server.block_on(server.stop());
}

/// What it answers when its time is over is sent: it may allow the write.
#[test]
fn a_judgement_that_ends_at_its_deadline_is_answered() {
    let runtimes = Runtimes::new();
    let server = runtimes.start(Script(|call: &CallContext<'_>, _: &Review<'_>| -> ReviewAnswer<()> {
        // A judgement asks only now and then.
        while !call.is_over() {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(20));
        let message = "stopped at its deadline".to_owned();
        let problem = Unjudged::Unfinished { cause: "stopped", message };
        ReviewAnswer::new(Decision::AllowUnjudged(problem), labels("Audited", ""))
    }));
    let path = PATH.replace("10s", "2s");
    let reply = runtimes.client.block_on(async { server.connect().await.post(&path, &long_review()).await });
    assert_eq!((reply.status, &reply.json()["response"]["allowed"]), (200, &true.into()), "{}", reply.text());
    assert_eq!(server.metric("statusguard_shed_total{cause=\"stopped\"}"), 1.0);
    assert_eq!(server.metric("statusguard_shed_total{cause=\"judge\"}"), 0.0);
    runtimes.server.block_on(server.stop());
}

#[test]
fn judgements_for_which_there_is_no_memory_are_to_come_again() {
    let runtimes = Runtimes::new();
    let (judge, entered, release) = first_waits();
    let server = runtimes.start_with(judge, Limits { max_judging: MIB, ..Limits::default() });
    let post = |path: String| {
        let dialer = server.dialer();
        runtimes.client.spawn(async move { dialer.dial().await.unwrap().post(&path, &long_review()).await })
    };
    let first = post(PATH.to_owned());
    entered.recv_timeout(PATIENCE).unwrap();
    assert_eq!(server.metric("statusguard_judging_bytes"), MIB as f64);
    // A second wave is told so, in time.
    let wave: Vec<_> = (0..4).map(|_| post(PATH.replace("10s", "1s"))).collect();
    for call in wave {
        let reply = runtimes.client.block_on(call).unwrap();
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{}", reply.text());
    }
    assert_eq!(server.metric("statusguard_shed_total{cause=\"judge\"}"), 4.0);
    // A small review needs none of it.
    assert_eq!(runtimes.client.block_on(server.post(&review("put"))).status, 200);
    release.send(()).unwrap();
    assert_eq!(runtimes.client.block_on(first).unwrap().status, 200);
    for account in ["statusguard_judging_bytes", "statusguard_body_bytes"] {
        runtimes.client.block_on(server.metric_becomes(account, 0.0));
    }
    assert_eq!(runtimes.client.block_on(post(PATH.to_owned())).unwrap().status, 200, "there is room again");
    runtimes.server.block_on(server.stop());
}

#[test]
fn a_judgement_is_told_how_much_memory_it_may_hold() {
    let runtimes = Runtimes::new();
    let (told, memory) = mpsc::channel();
    let told = Mutex::new(told);
    let limits = Limits { max_judging: 16 * MIB, ..Limits::default() };
    let judge = Script(move |call: &CallContext<'_>, _: &Review<'_>| {
        told.lock().unwrap().send(call.memory).unwrap();
        allow::<()>()
    });
    let server = runtimes.start_with(judge, limits);
    for (length, expected) in [(0, 4 * MIB), (100 << 10, 4 * MIB), (2 * MIB, 12 * MIB), (8 * MIB, 16 * MIB)] {
        let mut body = review("put");
        body.resize(body.len().max(length), b' ');
        let reply = runtimes.client.block_on(async { server.connect().await.post(PATH, &body).await });
        assert_eq!((reply.status, memory.recv_timeout(PATIENCE)), (200, Ok(expected)), "{length}");
    }
    runtimes.server.block_on(server.stop());
}

#[test]
fn a_large_review_is_checked_like_any_other() {
    let runtimes = Runtimes::new();
    let server = runtimes.start(Script(|_: &CallContext<'_>, _: &Review<'_>| allow::<()>()));
    let sent: serde_json::Value = serde_json::from_slice(&review("put")).unwrap();
    let other = PATH.replace("deliveries", "parcels");
    let mut broken = long_review();
    // So long that it is read there as well.
    broken.resize(1 << 20, b' ');
    broken.push(b'}');
    for (path, body, message, uid) in [
        (&*other, long_review(), "the path is for parcels.facts.test but the review is of", &sent["request"]["uid"]),
        (PATH, broken, "malformed admission review", &serde_json::Value::Null),
    ] {
        let reply = runtimes.client.block_on(async { server.connect().await.post(path, &body).await });
        assert_eq!(reply.status, 400, "{}", reply.text());
        assert!(reply.text().contains(message), "{}", reply.text());
        assert!(uid.is_null() || reply.json()["details"]["uid"] == *uid, "{}", reply.text());
    }
    assert_eq!(server.metric("statusguard_malformed_total{cause=\"target\"}"), 1.0);
    runtimes.server.block_on(server.stop());
}

#[test]
fn a_judgement_ends_when_its_client_has_gone() {
    let runtimes = Runtimes::new();
    let (entered, seen) = mpsc::channel();
    let (ended, over) = mpsc::channel();
    let (entered, ended) = (Mutex::new(entered), Mutex::new(ended));
    let server = runtimes.start(Script(move |call: &CallContext<'_>, _: &Review<'_>| {
        entered.lock().unwrap().send(()).unwrap();
        while !call.is_over() {
            std::thread::yield_now();
        }
        ended.lock().unwrap().send(call.deadline.saturating_duration_since(Instant::now())).unwrap();
        allow()
    }));
    runtimes.client.block_on(async {
        let mut client = server.connect().await;
        let body = long_review();
        client.write(&[head(PATH, body.len(), ""), body].concat()).await;
        // Waits without blocking what writes the request.
        tokio::task::spawn_blocking(move || seen.recv_timeout(PATIENCE).unwrap()).await.unwrap();
    });
    let left = over.recv_timeout(PATIENCE).unwrap();
    assert!(!left.is_zero(), "it went on to its deadline");
    runtimes.server.block_on(server.stop());
}

#[test]
fn a_call_is_over_at_its_deadline() {
    let resource = GroupResource { group: "facts.test", resource: "deliveries" };
    assert!(CallContext::new(resource, None, Instant::now()).is_over());
    assert!(!CallContext::new(resource, None, Instant::now() + PATIENCE).is_over());
}
