//! Shutdowns under clients that keep their connections.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Client, Dialer, EdgeServer, PATH, PATIENCE, Script, allow, allowing, review, start, start_recording};
use statusguard_edge::{CallContext, Limits, Recorder, Review, ReviewAnswer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// A shutdown in tenths of what is used in production.
fn quick() -> Limits {
    Limits {
        min_drain: Duration::from_millis(100),
        drain_timeout: Duration::from_secs(2),
        idle_close_after: Duration::from_millis(100),
        ..Limits::default()
    }
}

/// Servers replaced one after another while writers keep calling: no call fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacements_under_load_fail_no_call() {
    const WRITERS: u64 = 20;
    const REPLACEMENTS: usize = 8;
    let mut server = start(allowing(), quick()).await;
    // Where new connections go, as a Service would say.
    let endpoint: Arc<Mutex<Dialer>> = Arc::new(Mutex::new(server.dialer()));
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (endpoint, done, calls) = (endpoint.clone(), done.clone(), calls.clone());
        writers.spawn(async move {
            let body = review("put");
            let mut kept: Option<Client> = None;
            while !done.load(Ordering::Relaxed) {
                let mut client = match kept.take() {
                    Some(client) => client,
                    None => {
                        let dialer = endpoint.lock().unwrap().clone();
                        dialer.dial().await.expect("a new connection is refused")
                    }
                };
                let reply = client.try_post(PATH, &body).await.expect("a call fails");
                assert_eq!(reply.status, 200);
                calls.fetch_add(1, Ordering::Relaxed);
                if !reply.is_last() {
                    kept = Some(client);
                }
                // Some keep calling, some pause, none for as long as `idle_close_after`.
                sleep(Duration::from_millis(2 * writer)).await;
            }
        });
    }
    for _ in 0..REPLACEMENTS {
        let before = calls.load(Ordering::Relaxed);
        let next = start(allowing(), quick()).await;
        server.shutdown.request();
        // It still accepts, until endpoints have changed.
        let late = server.connect().await.try_post(PATH, &review("put")).await.unwrap();
        assert!(late.is_last());
        *endpoint.lock().unwrap() = next.dialer();
        let drained = std::mem::replace(&mut server, next).ended().await;
        assert_eq!((drained.raced, drained.cut), (0, 0), "{drained:?}");
        while calls.load(Ordering::Relaxed) < before + 100 {
            assert!(writers.try_join_next().is_none(), "a writer ended");
            sleep(Duration::from_millis(5)).await;
        }
    }
    done.store(true, Ordering::Relaxed);
    while let Some(writer) = timeout(PATIENCE, writers.join_next()).await.unwrap() {
        writer.unwrap();
    }
    server.stop().await;
}

#[tokio::test]
async fn while_draining_it_is_unready_alive_and_open() {
    let server = start(allowing(), quick()).await;
    let mut kept = server.connect().await;
    assert!(!kept.post(PATH, &review("put")).await.is_last());
    assert_eq!(server.get_plain("/readyz").await.status, 200);
    server.shutdown.request();
    unready(&server).await;
    assert_eq!(server.get_plain("/livez").await.status, 200);
    let reply = server.post(&review("put")).await;
    assert!(reply.is_last() && reply.status == 200, "a new connection is served");
    let reply = kept.post(PATH, &review("put")).await;
    assert!(reply.is_last() && reply.status == 200, "a kept one as well, and ends");
    kept.closed().await;
    // No connection is left: it need not wait for the drain time-out.
    let (admission, plain) = (server.admission, server.plain);
    let begun = Instant::now();
    let drained = server.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!((drained.closed_idle, drained.cut), (0, 0));
    assert!(TcpStream::connect(admission).await.is_err());
    assert!(TcpStream::connect(plain).await.is_err());
}

async fn unready(server: &EdgeServer) {
    let waiting = async {
        loop {
            let reply = server.get_plain("/readyz").await;
            if reply.status == 503 {
                assert_eq!(reply.text(), "not ready: shutting down");
                return;
            }
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn without_connections_it_waits_for_endpoints_to_change() {
    let limits = Limits { min_drain: Duration::from_millis(300), ..quick() };
    let server = start(allowing(), limits).await;
    let begun = Instant::now();
    server.shutdown.request();
    server.ended().await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn idle_connections_are_closed_in_the_second_half_of_the_drain_time_out() {
    let limits = Limits { drain_timeout: Duration::from_millis(600), ..quick() };
    let server = start(allowing(), limits).await;
    let mut used = server.connect().await;
    assert_eq!(used.post(PATH, &review("put")).await.status, 200);
    let mut fresh = server.connect().await;
    let begun = Instant::now();
    server.shutdown.request();
    used.closed().await;
    fresh.closed().await;
    assert!(begun.elapsed() >= Duration::from_millis(300), "{:?}", begun.elapsed());
    let drained = server.ended().await;
    assert_eq!((drained.closed_idle, drained.raced), (2, 0));
}

/// A request that comes when its connection has just been closed is lost, and counted.
#[tokio::test]
async fn a_call_that_comes_too_late_is_counted() {
    let server = start(allowing(), Limits { drain_timeout: Duration::from_millis(600), ..quick() }).await;
    let mut client = server.connect().await;
    assert_eq!(client.post(PATH, &review("put")).await.status, 200);
    server.shutdown.request();
    client.closed().await;
    client.write(&common::head(PATH, 0, "")).await;
    let drained = server.ended().await;
    assert_eq!((drained.closed_idle, drained.raced), (1, 1));
}

/// Bodies that never end do not keep a drain from its end.
#[tokio::test]
async fn a_drain_ends_in_time_whatever_its_connections_do() {
    let limits = Limits { body_stall: PATIENCE, deadline: PATIENCE, ..quick() };
    let server = start(allowing(), limits).await;
    let path = "/admit/facts.test/deliveries?timeout=30s";
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut client = server.connect().await;
        client.write(&common::head(path, 1000, "")).await;
        slow.push(client);
    }
    server.metric_becomes("statusguard_inflight", 3.0).await;
    let begun = Instant::now();
    server.shutdown.request();
    for client in &mut slow {
        client.write(b"{").await;
    }
    let drained = server.ended().await;
    assert!((2..4).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    assert_eq!((drained.cut, drained.closed_idle), (3, 0));
}

/// Records when it is let.
struct RecordGate(Arc<Semaphore>);

impl Recorder<()> for RecordGate {
    async fn record(&self, (): ()) {
        self.0.acquire().await.unwrap().forget();
    }
}

fn recording() -> Script<impl Fn(&CallContext<'_>, &Review<'_>) -> ReviewAnswer<()>> {
    Script(|_: &CallContext<'_>, _: &Review<'_>| {
        let mut answer = allow();
        answer.record = Some(());
        answer
    })
}

/// A call that is being answered, and the gate that holds it.
async fn held_call(limits: Limits) -> (EdgeServer, Client, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let server = start_recording(recording(), RecordGate(Arc::clone(&gate)), limits).await;
    let mut client = server.connect().await;
    let body = review("put");
    client.write(&[common::head(PATH, body.len(), ""), body].concat()).await;
    server.metric_becomes("statusguard_inflight", 1.0).await;
    (server, client, gate)
}

#[tokio::test]
async fn a_call_in_progress_ends_with_its_reply() {
    let limits = Limits { record_wait: PATIENCE, ..quick() };
    let (server, mut client, gate) = held_call(limits).await;
    server.shutdown.request();
    // The listener is gone: half of the drain time-out is over.
    let closed = async { while TcpStream::connect(server.admission).await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
    gate.add_permits(1);
    let reply = client.reply().await;
    assert!(reply.is_last() && reply.status == 200);
    let drained = server.ended().await;
    assert_eq!((drained.cut, drained.closed_idle, drained.records_dropped), (0, 0, 0));
}

#[tokio::test]
async fn a_second_shutdown_ends_it_at_once() {
    let limits = Limits { record_wait: PATIENCE, drain_timeout: PATIENCE, ..Limits::default() };
    let (server, mut client, _gate) = held_call(limits).await;
    let mut idle = server.connect().await;
    assert!(!server.task.is_finished());
    let begun = Instant::now();
    server.shutdown.request();
    unready(&server).await;
    server.shutdown.request();
    assert!(client.try_reply().await.is_err());
    idle.closed().await;
    let drained = server.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!((drained.cut, drained.records_dropped), (1, 1));
}

/// Connections in every stage end at once.
#[tokio::test]
async fn a_second_shutdown_in_the_middle_of_handshake_and_header() {
    let server = start(allowing(), Limits::default()).await;
    let mut silent = Client::new(TcpStream::connect(server.admission).await.unwrap());
    let mut header = server.connect().await;
    header.write(b"POST /adm").await;
    let mut body = server.connect().await;
    body.write(&common::head(PATH, 1000, "")).await;
    server.metric_becomes("statusguard_inflight", 1.0).await;
    let begun = Instant::now();
    let drained = server.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(drained.cut, 1);
    silent.closed().await;
    header.closed().await;
    body.closed().await;
}
