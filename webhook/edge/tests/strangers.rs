//! Who is served when there is not enough for all: peers that are known before strangers, small bodies before large ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use std::time::Duration;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

use common::{PATH, PATIENCE, Script, allow, allowing, head, long_review, review, start};
use statusguard_edge::{CallContext, Limits, Review, ReviewAnswer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const SHORT: Duration = Duration::from_millis(200);
const MIB: usize = 1 << 20;

fn shed(cause: &str) -> String {
    format!("statusguard_shed_total{{cause=\"{cause}\"}}")
}

#[tokio::test]
async fn a_stranger_goes_before_a_peer_that_is_known() {
    let server = start(allowing(), Limits { max_connections: 2, ..Limits::default() }).await;
    let mut known = server.connect().await;
    assert_eq!(known.post(PATH, &review("put")).await.status, 200);
    let mut stranger = server.connect().await;
    // An answer alone is nothing to be known by.
    assert_eq!(stranger.post("/elsewhere", b"{}").await.status, 404);
    let mut newcomer = server.connect().await;
    assert_eq!(newcomer.post(PATH, &review("put")).await.status, 200);
    stranger.closed().await;
    server.metric_becomes(&shed("evicted"), 1.0).await;
    assert_eq!(server.metric(&shed("connections")), 0.0);
    for _ in 0..2 {
        assert_eq!(known.post(PATH, &review("put")).await.status, 200);
        assert_eq!(newcomer.post(PATH, &review("put")).await.status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stranger_may_not_idle_for_long() {
    let server = start(allowing(), Limits { header: SHORT, ..Limits::default() }).await;
    let mut stranger = server.connect().await;
    assert_eq!(stranger.post("/elsewhere", b"{}").await.status, 404);
    let mut known = server.connect().await;
    assert_eq!(known.post(PATH, &review("put")).await.status, 200);
    stranger.closed().await;
    sleep(2 * SHORT).await;
    assert_eq!(known.post(PATH, &review("put")).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn probes_are_answered_beside_connections_that_say_nothing() {
    let server = start(allowing(), Limits::default()).await;
    let mut silent = std::collections::VecDeque::new();
    for _ in 0..400 {
        silent.push_back(TcpStream::connect(server.plain).await.unwrap());
        silent.truncate(160);
        assert_eq!(timeout(PATIENCE, server.get_plain("/livez")).await.unwrap().status, 200);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_connections_that_say_nothing() {
    // Past the limit some more are told that the guard is busy, or are just being closed.
    const SPARE: f64 = 64.0 + 16.0;
    let limits = Limits { max_connections: 500, handshake: SHORT, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let (address, mut flood) = (server.admission, tokio::task::JoinSet::new());
    for _ in 0..3000 {
        flood.spawn(TcpStream::connect(address));
    }
    let mut held = Vec::new();
    while held.len() < 2000 {
        // Some may be turned away by the kernel: that is a bound as well.
        if let Ok(stream) = flood.join_next().await.unwrap().unwrap() {
            held.push(stream);
        }
        assert!(server.metric("statusguard_connections") <= 500.0 + SPARE);
    }
    // A call is served, or told at once to come again, or its connection is closed at once.
    let served = async {
        loop {
            if let Ok(mut connection) = server.dialer().dial().await
                && let Ok(reply) = connection.try_post(PATH, &review("put")).await
            {
                match reply.status {
                    200 => break,
                    status => assert_eq!((status, reply.header("retry-after")), (503, Some("1"))),
                }
            }
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    timeout(PATIENCE, served).await.unwrap();
    let (evicted, turned_away) = (server.metric(&shed("evicted")), server.metric(&shed("connections")));
    assert!(evicted >= 1000.0, "room came from those: {evicted}, {turned_away} turned away");
    server.stop().await;
}

/// Large bodies leave room for small ones, and those of strangers for those of known peers.
#[tokio::test]
async fn a_share_of_the_budget_is_kept() {
    let limits = Limits { max_body: MIB, max_bodies: 8 * MIB, body_stall: PATIENCE, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let body = review("put");
    let mut large = vec![b' '; MIB];
    large[..body.len()].copy_from_slice(&body);
    let (mut slow, mut held) = (Vec::new(), 0);
    let mut known = Vec::new();
    for _ in 0..4 {
        let mut client = server.connect().await;
        assert_eq!(client.post(PATH, &body).await.status, 200);
        known.push(client);
    }
    // All but the last byte of four large ones of strangers, so that half of the budget is taken.
    let strangers = [server.connect().await, server.connect().await, server.connect().await, server.connect().await];
    // Then three of known peers, up to seven eighths.
    for mut client in strangers.into_iter().chain(known.split_off(1)) {
        if held == 4 * (MIB - 1) {
            assert_eq!(server.post(&large).await.status, 503, "half is taken");
        }
        client.write(&head(PATH, large.len(), "")).await;
        client.write(&large[1..]).await;
        held += MIB - 1;
        server.metric_becomes("statusguard_body_bytes", held as f64).await;
        slow.push(client);
    }
    let last = &mut known[0];
    assert_eq!(last.post(PATH, &large).await.status, 503, "seven eighths are taken");
    assert_eq!(server.post(&body).await.status, 503, "a stranger's small one");
    assert_eq!(last.post(PATH, &body).await.status, 200, "a small one of a known peer");
    server.stop().await;
}

#[tokio::test]
async fn more_connections_than_allowed() {
    let server = start(allowing(), Limits { max_connections: 2, ..Limits::default() }).await;
    let mut first = server.connect().await;
    let mut second = server.connect().await;
    assert_eq!(first.post(PATH, &review("put")).await.status, 200);
    assert_eq!(second.post(PATH, &review("put")).await.status, 200);
    // One more is told so, in words that the API server understands; then its connection ends.
    let mut third = server.connect().await;
    let reply = timeout(PATIENCE, third.post(PATH, &review("put"))).await.unwrap();
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
    assert_eq!(reply.header("connection"), Some("close"));
    server.metric_becomes(&shed("connections"), 1.0).await;
    server.metric_becomes("statusguard_connections", 2.0).await;
    // The others are served as ever, and one more as soon as one of them goes.
    assert_eq!(first.post(PATH, &review("put")).await.status, 200);
    drop(first);
    server.metric_becomes("statusguard_connections", 1.0).await;
    assert_eq!(server.connect().await.post(PATH, &review("put")).await.status, 200);
    assert_eq!(second.post(PATH, &review("put")).await.status, 200);
    server.stop().await;
}

/// Connections that end by themselves while they are being closed for newer ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_connections_that_end_leaves_no_trace() {
    let server = start(allowing(), Limits { max_connections: 8, ..Limits::default() }).await;
    let (address, over) = (server.admission, Arc::new(AtomicBool::new(false)));
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let over = Arc::clone(&over);
        flood.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                if let Ok(mut stream) = TcpStream::connect(address).await {
                    let _ = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
                }
            }
        });
    }
    sleep(10 * SHORT).await;
    over.store(true, Ordering::Relaxed);
    timeout(PATIENCE, flood.join_all()).await.unwrap();
    assert!(server.metric(&shed("evicted")) > 16.0);
    timeout(PATIENCE, server.metric_becomes("statusguard_connections", 0.0)).await.unwrap();
    for _ in 0..20 {
        assert_eq!(timeout(PATIENCE, server.post(&review("put"))).await.unwrap().status, 200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_review_without_a_policy_makes_nobody_known() {
    let unknown = Script(|_: &CallContext<'_>, review: &Review<'_>| {
        let mut answer: ReviewAnswer<()> = allow();
        answer.unknown_policy = review.dry_run;
        answer
    });
    let server = start(unknown, Limits { max_connections: 2, ..Limits::default() }).await;
    let mut known = server.connect().await;
    assert_eq!(known.post(PATH, &review("put")).await.status, 200);
    let mut stranger = server.connect().await;
    assert_eq!(stranger.post(PATH, &review("dry-run-merge-patch")).await.status, 200);
    assert_eq!(server.post(&review("put")).await.status, 200);
    stranger.closed().await;
    assert_eq!(known.post(PATH, &review("put")).await.status, 200);
    server.stop().await;
}

/// Who made itself known and then does nothing.
#[tokio::test]
async fn a_known_peer_that_is_idle_goes_before_a_newcomer_is_turned_away() {
    let server = start(allowing(), Limits { max_connections: 2, ..Limits::default() }).await;
    let (mut first, mut second) = (server.connect().await, server.connect().await);
    assert_eq!(first.post(PATH, &review("put")).await.status, 200);
    assert_eq!(second.post(PATH, &review("put")).await.status, 200);
    sleep(Duration::from_millis(1100)).await;
    assert_eq!(second.post(PATH, &review("put")).await.status, 200);
    assert_eq!(server.post(&review("put")).await.status, 200);
    first.closed().await;
    assert_eq!(second.post(PATH, &review("put")).await.status, 200);
    assert_eq!(server.metric(&shed("connections")), 0.0);
    server.stop().await;
}

#[test]
fn a_call_that_is_being_answered_is_not_cut() {
    let (entered, seen) = mpsc::channel();
    let (release, held) = mpsc::channel::<()>();
    let held = std::sync::Mutex::new(Some(held));
    let judge = Script(move |_: &CallContext<'_>, _: &Review<'_>| {
        let first = held.lock().unwrap().take();
        if let Some(held) = first {
            entered.send(()).unwrap();
            held.recv_timeout(PATIENCE).unwrap();
        }
        allow::<()>()
    });
    let runtime = || tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (serving, calling) = (runtime(), runtime());
    let server = serving.block_on(start(judge, Limits { max_connections: 1, ..Limits::default() }));
    let dialer = server.dialer();
    let first = calling.spawn(async move { dialer.dial().await.unwrap().try_post(PATH, &long_review()).await });
    seen.recv_timeout(PATIENCE).unwrap();
    // Its peer is a stranger, but it has sent its review.
    calling.block_on(async {
        let busy = timeout(PATIENCE, server.post(&review("put"))).await.unwrap();
        assert_eq!((busy.status, busy.header("retry-after")), (503, Some("1")));
    });
    release.send(()).unwrap();
    assert_eq!(calling.block_on(first).unwrap().unwrap().status, 200);
    serving.block_on(server.stop());
}

/// Small bodies of strangers leave room for peers that are known.
#[tokio::test]
async fn strangers_cannot_take_the_whole_budget() {
    const SMALL: usize = 64 << 10;
    let limits = Limits { max_body: SMALL, max_bodies: 8 * SMALL, body_stall: PATIENCE, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let mut known = server.connect().await;
    assert_eq!(known.post(PATH, &review("put")).await.status, 200);
    let body = vec![b' '; SMALL];
    let mut slow = Vec::new();
    for count in 1..=6 {
        let mut client = server.connect().await;
        client.write(&head(PATH, SMALL, "")).await;
        client.write(&body[1..]).await;
        server.metric_becomes("statusguard_body_bytes", (count * (SMALL - 1)) as f64).await;
        slow.push(client);
    }
    assert_eq!(server.post(&review("put")).await.status, 503);
    assert_eq!(known.post(PATH, &review("put")).await.status, 200);
    server.stop().await;
}
