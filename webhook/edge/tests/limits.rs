//! Every limit, by really exceeding it, over real TLS.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{EdgeServer, HttpReply, PATH, PATIENCE, Script, allow, allowing, head, review, start, start_recording};
use serde_json::json;
use statusguard_edge::{CallContext, GroupResource, Judge, Limits, Recorder, Review, ReviewAnswer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

const SHORT: Duration = Duration::from_millis(200);
const MIB: usize = 1 << 20;

fn shed(cause: &str) -> String {
    format!("statusguard_shed_total{{cause=\"{cause}\"}}")
}

fn panics(cause: &str) -> String {
    format!("statusguard_panics_total{{cause=\"{cause}\"}}")
}

/// A call that was not judged says why, in the form the API server shows to the client.
fn assert_status(reply: &HttpReply, code: u16, reason: &str, message: &str) {
    assert_eq!(reply.status, code, "{}", reply.text());
    let status = reply.json();
    assert_eq!(status["apiVersion"], "v1");
    assert_eq!(status["kind"], "Status");
    assert_eq!(status["status"], "Failure");
    assert_eq!(status["code"], code);
    assert_eq!(status["reason"], reason);
    let text = status["message"].as_str().unwrap();
    assert!(text.contains(message), "{text}");
}

/// The server still answers.
async fn assert_alive(server: &EdgeServer) {
    assert_eq!(server.post(&review("put")).await.status, 200);
}

#[tokio::test]
async fn a_body_of_nine_mib() {
    let server = start(allowing(), Limits::default()).await;
    let mut client = server.connect().await;
    let reply = client.post(PATH, &vec![b' '; 9 * MIB]).await;
    assert_status(&reply, 413, "RequestEntityTooLarge", "more than 8388608 bytes");
    assert!(!reply.is_last());
    assert_eq!(server.metric(&shed("body_size")), 1.0);
    assert_eq!(server.metric("statusguard_body_bytes"), 0.0);
    // It was read to its end: the connection goes on.
    assert_eq!(client.post(PATH, &review("put")).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_body_without_announced_length() {
    let limits = Limits { max_body: 64 << 10, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let mut client = server.connect().await;
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nHost: guard\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = |bytes: &[u8]| [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
    // In pieces, it is judged as any other.
    let body = review("put");
    client.write(head.as_bytes()).await;
    for piece in body.chunks(1000) {
        client.write(&chunk(piece)).await;
    }
    client.write(b"0\r\n\r\n").await;
    assert_eq!(client.reply().await.json()["response"]["allowed"], true);
    // And bounded as any other.
    client.write(head.as_bytes()).await;
    for _ in 0..5 {
        client.write(&chunk(&[b' '; 16 << 10])).await;
    }
    client.write(b"0\r\n\r\n").await;
    assert_status(&client.reply().await, 413, "RequestEntityTooLarge", "more than 65536 bytes");
    server.stop().await;
}

#[tokio::test]
async fn a_slow_header() {
    let server = start(allowing(), Limits { header: SHORT, ..Limits::default() }).await;
    // Nothing at all after the handshake.
    server.connect().await.closed().await;
    assert_eq!(server.metric(&shed("header")), 1.0);
    // A byte now and then, on a connection that has served a call.
    let mut client = server.connect().await;
    assert_eq!(client.post(PATH, &review("put")).await.status, 200);
    // Long enough for the server to expect an idle connection.
    sleep(2 * SHORT).await;
    let drip = async {
        for byte in head(PATH, 0, "").iter().cycle() {
            if client.try_write(&[*byte]).await.is_err() {
                return;
            }
            sleep(SHORT / 4).await;
        }
    };
    timeout(PATIENCE, drip).await.expect("the header may go on for ever");
    server.metric_becomes(&shed("header"), 2.0).await;
    assert_alive(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_limit() {
    let limits = Limits { header: SHORT, idle: 5 * SHORT, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let mut client = server.connect().await;
    for _ in 0..2 {
        assert_eq!(client.post(PATH, &review("put")).await.status, 200);
        sleep(3 * SHORT).await;
    }
    assert_eq!(client.post(PATH, &review("put")).await.status, 200);
    client.closed().await;
    assert_eq!(server.metric(&shed("header")), 0.0);
    let drained = server.stop().await;
    assert_eq!(drained.closed_idle, 0, "only those of the shutdown count");
}

#[tokio::test]
async fn a_slow_or_senseless_handshake() {
    let server = start(allowing(), Limits { handshake: SHORT, ..Limits::default() }).await;
    let mut silent = common::Client::new(TcpStream::connect(server.admission).await.unwrap());
    silent.closed().await;
    server.metric_becomes(&shed("handshake"), 1.0).await;
    let mut plain = TcpStream::connect(server.admission).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    server.metric_becomes("statusguard_handshake_failures_total{cause=\"not_tls\"}", 1.0).await;
    assert_alive(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_slow_body() {
    let server = start(allowing(), Limits::default()).await;
    let mut client = server.connect().await;
    let path = "/admit/facts.test/deliveries?timeout=400ms";
    client.write(&head(path, 1000, "")).await;
    client.write(b"{").await;
    let reply = client.reply().await;
    assert_status(&reply, 408, "Timeout", "did not arrive in time");
    assert!(reply.is_last(), "its rest may still come");
    client.closed().await;
    assert_eq!(server.metric(&shed("body")), 1.0);
    assert_eq!(server.metric("statusguard_body_bytes"), 0.0);
    // Without a time-out of the caller the default counts.
    server.stop().await;
    let server = start(allowing(), Limits { deadline: SHORT, ..Limits::default() }).await;
    let mut client = server.connect().await;
    client.write(&head("/admit/facts.test/deliveries", 1000, "")).await;
    assert_status(&client.reply().await, 408, "Timeout", "did not arrive in time");
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_on() {
    let server = start(allowing(), Limits { body_stall: 2 * SHORT, ..Limits::default() }).await;
    let body = review("put");
    let mut padded = vec![b' '; 256 << 10];
    padded[..body.len()].copy_from_slice(&body);
    // It takes longer than that, but comes on.
    let mut steady = server.connect().await;
    steady.write(&head(PATH, padded.len(), "")).await;
    for piece in padded.chunks(32 << 10) {
        sleep(SHORT / 2).await;
        steady.write(piece).await;
    }
    assert_eq!(steady.reply().await.status, 200);
    // A byte now and then is not enough, nor is all but the last one.
    let mut dripping = server.connect().await;
    dripping.write(&head(PATH, padded.len(), "")).await;
    let drip = async {
        while dripping.try_write(b" ").await.is_ok() {
            sleep(SHORT / 8).await;
        }
    };
    timeout(PATIENCE, drip).await.expect("the body may go on for ever");
    let mut stuck = server.connect().await;
    stuck.write(&head(PATH, padded.len(), "")).await;
    stuck.write(&padded[1..]).await;
    assert_status(&stuck.reply().await, 408, "Timeout", "did not arrive in time");
    stuck.closed().await;
    assert_eq!(server.metric(&shed("body")), 2.0);
    assert_eq!(server.metric("statusguard_body_bytes"), 0.0);
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_breaks_off() {
    let server = start(allowing(), Limits::default()).await;
    let mut client = server.connect().await;
    client.write(&head(PATH, 1000, "")).await;
    client.write(b"{").await;
    server.metric_becomes("statusguard_body_bytes", 1.0).await;
    drop(client);
    server.metric_becomes("statusguard_inflight", 0.0).await;
    server.metric_becomes("statusguard_body_bytes", 0.0).await;
    assert_alive(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_reply_that_nobody_takes() {
    let judge = Script(|_: &CallContext<'_>, _: &Review<'_>| {
        let mut answer = allow::<()>();
        answer.annotations.push(("much".to_owned(), "x".repeat(MIB)));
        answer
    });
    let server = start(judge, Limits { header: SHORT, ..Limits::default() }).await;
    let mut client = server.connect().await;
    let mut request = head(PATH, review("put").len(), "");
    request.extend(review("put"));
    // Replies pile up until the sockets' buffers are full.
    let flood = async { while client.try_write(&request).await.is_ok() {} };
    timeout(PATIENCE, flood).await.expect("the server waits for ever");
    server.metric_becomes(&shed("reply"), 1.0).await;
    assert_alive(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn a_header_without_end() {
    let server = start(allowing(), Limits::default()).await;
    let mut client = server.connect().await;
    let mut head = format!("POST {PATH} HTTP/1.1\r\nX-Long: ").into_bytes();
    head.resize(100 << 10, b'x');
    // The server may close before it is all written.
    let _ = client.try_write(&head).await;
    assert_eq!(client.reply().await.status, 431);
    client.closed().await;
    assert_alive(&server).await;
    server.stop().await;
}

#[tokio::test]
async fn more_bytes_in_flight_than_allowed() {
    let limits = Limits { max_body: 8 << 10, max_bodies: 10 << 10, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let body = review("put");
    let mut padded = vec![b' '; 8 << 10];
    padded[..body.len()].copy_from_slice(&body);
    // One call has sent all but its last byte.
    let mut slow = server.connect().await;
    slow.write(&head(PATH, padded.len(), "")).await;
    slow.write(&padded[..padded.len() - 1]).await;
    server.metric_becomes("statusguard_body_bytes", 8191.0).await;
    // Another finds no room, and is told to come back, on the same connection.
    let mut busy = server.connect().await;
    let reply = busy.post(PATH, &padded).await;
    assert_status(&reply, 503, "ServiceUnavailable", "busy");
    assert_eq!(reply.header("retry-after"), Some("1"));
    assert!(!reply.is_last());
    assert_eq!(server.metric(&shed("bodies")), 1.0);
    assert_eq!(server.metric("statusguard_body_bytes"), 8191.0);
    // The first is not disturbed, and then there is room again.
    slow.write(&padded[padded.len() - 1..]).await;
    assert_eq!(slow.reply().await.status, 200);
    assert_eq!(busy.post(PATH, &padded).await.status, 200);
    assert_eq!(server.metric("statusguard_body_bytes"), 0.0);
    server.stop().await;
}

/// What is announced but not sent holds nothing.
#[tokio::test]
async fn announced_bodies_are_no_bodies() {
    let limits = Limits { max_body: 8 << 10, max_bodies: 8 << 10, ..Limits::default() };
    let server = start(allowing(), limits).await;
    let mut silent = Vec::new();
    for _ in 0..10 {
        let mut client = server.connect().await;
        client.write(&head(PATH, 8 << 10, "")).await;
        silent.push(client);
    }
    server.metric_becomes("statusguard_inflight", 10.0).await;
    assert_alive(&server).await;
    server.stop().await;
}

/// Panics where it is told to.
struct Panicking(&'static str);

impl Judge for Panicking {
    type Record = ();

    async fn wait_ready(&self, _: GroupResource<'_>) {
        assert!(self.0 != "known", "told to");
    }

    fn judge(&self, _: &CallContext<'_>, review: &Review<'_>) -> ReviewAnswer<()> {
        assert!(self.0 != "judge" || review.dry_run, "told to");
        let mut answer = allow();
        answer.record = Some(());
        answer
    }
}

impl Recorder<()> for Panicking {
    async fn record(&self, (): ()) {
        assert!(self.0 != "record", "told to");
    }
}

#[tokio::test]
async fn a_panic_in_a_judge() {
    for place in ["judge", "known"] {
        let limits = Limits::default();
        let server = start_recording(Panicking(place), Panicking("nowhere"), limits).await;
        let mut client = server.connect().await;
        let reply = client.post(PATH, &review("put")).await;
        assert_status(&reply, 500, "InternalError", "the guard failed in judging this write");
        let body: serde_json::Value = serde_json::from_slice(&review("put")).unwrap();
        assert_eq!(reply.json()["details"], json!({ "uid": body["request"]["uid"] }));
        assert_eq!(server.metric(&panics("judge")), 1.0);
        if place == "judge" {
            // The connection goes on.
            let reply = client.post(PATH, &review("dry-run-merge-patch")).await;
            assert_eq!(reply.json()["response"]["allowed"], true);
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_panic_in_a_recorder() {
    let limits = Limits::default();
    let server = start_recording(Panicking("nowhere"), Panicking("record"), limits).await;
    let reply = server.post(&review("put")).await;
    assert_eq!(reply.json()["response"]["allowed"], true, "the write was judged");
    assert_eq!(server.metric(&panics("record")), 1.0);
    assert_eq!(server.metric("statusguard_records_dropped_total"), 1.0);
    server.stop().await;
}

/// Records when it is let.
struct RecordGate(Arc<Semaphore>);

impl Recorder<()> for RecordGate {
    async fn record(&self, (): ()) {
        self.0.acquire().await.unwrap().forget();
    }
}

#[tokio::test]
async fn a_reply_waits_for_its_record_but_not_for_ever() {
    for (path, limits) in [
        (PATH, Limits { record_wait: SHORT, ..Limits::default() }),
        ("/admit/facts.test/deliveries?timeout=400ms", Limits { record_wait: PATIENCE, ..Limits::default() }),
    ] {
        let limits = Limits { min_drain: Duration::ZERO, ..limits };
        let gate = Arc::new(Semaphore::new(1));
        let recorder = RecordGate(Arc::clone(&gate));
        let server = start_recording(Panicking("nowhere"), recorder, limits).await;
        let mut client = server.connect().await;
        assert_eq!(client.post(path, &review("put")).await.status, 200);
        assert_eq!(gate.available_permits(), 0, "the record came first");
        assert_eq!(server.metric("statusguard_records_late_total"), 0.0);
        assert_eq!(client.post(path, &review("put")).await.status, 200);
        assert_eq!(server.metric("statusguard_records_late_total"), 1.0);
        // What is late follows; the server's end waits for it.
        gate.add_permits(1);
        server.shutdown.request();
        drop(client);
        let drained = server.ended().await;
        assert_eq!((drained.records_dropped, gate.available_permits()), (0, 0));
    }
}

#[tokio::test]
async fn more_records_than_allowed() {
    let gate = Arc::new(Semaphore::new(0));
    let limits = Limits { records: 1, record_wait: SHORT / 4, ..Limits::default() };
    let server = start_recording(Panicking("nowhere"), RecordGate(Arc::clone(&gate)), limits).await;
    let mut client = server.connect().await;
    for dropped in [0.0, 1.0, 2.0] {
        assert_eq!(client.post(PATH, &review("put")).await.status, 200);
        assert_eq!(server.metric("statusguard_records_dropped_total"), dropped);
    }
    let drained = server.stop().await;
    assert_eq!(drained.records_dropped, 1, "the one that was still being written");
}

/// Knows its policy never.
struct Waiting;

impl Judge for Waiting {
    type Record = ();

    async fn wait_ready(&self, _: GroupResource<'_>) {
        std::future::pending::<()>().await;
    }

    fn judge(&self, _: &CallContext<'_>, _: &Review<'_>) -> ReviewAnswer<()> {
        let mut answer = allow();
        answer.unknown_policy = true;
        answer
    }
}

#[tokio::test]
async fn a_policy_that_does_not_come() {
    let server = start(Waiting, Limits { policy_wait: SHORT, ..Limits::default() }).await;
    assert_eq!(server.post(&review("put")).await.json()["response"]["allowed"], true);
    assert_eq!(server.metric("statusguard_unknown_policy_total"), 1.0);
    server.stop().await;
}
