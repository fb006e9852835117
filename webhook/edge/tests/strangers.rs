//! Who is served when there is not enough for all: peers that are known before strangers, small bodies before large ones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use std::time::Duration;

use common::{PATH, PATIENCE, allowing, head, review, start};
use statusguard_edge::Limits;
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
    server.metric_becomes(&shed("stranger"), 1.0).await;
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
    let (evicted, turned_away) = (server.metric(&shed("stranger")), server.metric(&shed("connections")));
    assert!(evicted >= 1000.0, "room came from those: {evicted}, {turned_away} turned away");
    server.stop().await;
}

/// Large bodies leave room for small ones, and those of strangers for those of peers that are known.
#[tokio::test]
async fn a_share_of_the_budget_is_kept() {
    let limits = Limits { max_body: MIB, max_bodies: 4 * MIB, body_stall: PATIENCE, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let body = review("put");
    let mut large = vec![b' '; MIB];
    large[..body.len()].copy_from_slice(&body);
    let mut known = [server.connect().await, server.connect().await];
    for client in &mut known {
        assert_eq!(client.post(PATH, &body).await.status, 200);
    }
    // All but the last byte of two, so that half of the budget is taken.
    let mut slow = Vec::new();
    for taken in [MIB, 2 * MIB] {
        let mut client = server.connect().await;
        client.write(&head(PATH, large.len(), "")).await;
        client.write(&large[1..]).await;
        server.metric_becomes("statusguard_body_bytes", (taken - taken / MIB) as f64).await;
        slow.push(client);
    }
    let mut stranger = server.connect().await;
    assert_eq!(stranger.post(PATH, &large).await.status, 503);
    let [first, second] = &mut known;
    first.write(&head(PATH, large.len(), "")).await;
    first.write(&large[1..]).await;
    server.metric_becomes("statusguard_body_bytes", (3 * MIB - 3) as f64).await;
    assert_eq!(second.post(PATH, &large).await.status, 503);
    // Now three quarters are taken, and small ones are served, whoever sends them.
    for _ in 0..3 {
        assert_eq!(server.post(&body).await.status, 200);
    }
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
