//! `--otlp-endpoint`: spans reach a collector, and no call and no shutdown waits for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{GuardProcess, PATIENCE};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::{Value, json};

const PATH: &str = "/admit/kubernaut.ai/notificationrequests?timeout=10s";
/// What nothing but a status holds.
const SECRET: &str = "content-of-a-status";
/// A call takes milliseconds; one that waited for a collector would take the time-out of an export.
const FAST: Duration = Duration::from_secs(2);
/// A short drain and the time for a flush; the rest is for a slow machine.
const END: Duration = Duration::from_secs(15);
const DRAIN: [&str; 2] = ["--min-drain=100ms", "--drain-timeout=200ms"];

/// A collector that answers each export with this, or never.
struct Collector {
    address: SocketAddr,
    exports: mpsc::Receiver<ExportTraceServiceRequest>,
}

impl Collector {
    fn start(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, exports) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream.unwrap(), answer, &sender));
            }
        });
        Self { address, exports }
    }

    fn flag(&self) -> String {
        format!("--otlp-endpoint=http://{}", self.address)
    }

    fn next(&self) -> ExportTraceServiceRequest {
        self.exports.recv_timeout(PATIENCE).unwrap()
    }
}

/// Reads exports from a connection until it ends.
fn serve(stream: TcpStream, answer: Option<&str>, sender: &mpsc::Sender<ExportTraceServiceRequest>) {
    let mut stream = BufReader::new(stream);
    loop {
        let head: Vec<String> =
            stream.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Some(request) = head.first() else { return };
        assert_eq!(request, "POST /v1/traces HTTP/1.1");
        let header = |name: &str| {
            let named = |line: &String| {
                Some(line.split_once(": ")?)
                    .filter(|(known, _)| known.eq_ignore_ascii_case(name))
                    .map(|(_, value)| value.to_owned())
            };
            head.iter().find_map(named).unwrap()
        };
        assert_eq!(header("content-type"), "application/x-protobuf");
        let mut body = vec![0; header("content-length").parse().unwrap()];
        stream.read_exact(&mut body).unwrap();
        // A test that has seen enough has hung up.
        let _ = sender.send(ExportTraceServiceRequest::decode(&*body).unwrap());
        match answer {
            Some(status) => {
                write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").unwrap();
            }
            // Keeps it open until the server hangs up.
            None => drop(stream.read_to_end(&mut body)),
        }
    }
}

/// A write of a status as the API server shows it.
fn review(uid: &str, old: &str, new: &str) -> Value {
    let object = |phase: &str| {
        json!({
            "apiVersion": "kubernaut.ai/v1alpha1", "kind": "NotificationRequest",
            "metadata": { "name": "n1", "namespace": "web", "generation": 1 },
            "status": { "phase": phase, "queuedAt": "2026-03-01T10:00:00Z", "message": SECRET },
        })
    };
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": uid, "operation": "UPDATE", "dryRun": false,
            "kind": { "group": "kubernaut.ai", "version": "v1alpha1", "kind": "NotificationRequest" },
            "resource": { "group": "kubernaut.ai", "version": "v1alpha1", "resource": "notificationrequests" },
            "subResource": "status", "name": "n1", "namespace": "web",
            "userInfo": { "username": "system:serviceaccount:web:controller", "groups": ["system:authenticated"] },
            "object": object(new), "oldObject": object(old), "options": { "kind": "UpdateOptions" },
        },
    })
}

/// A legal write, answered at once.
fn admit_fast(server: &GuardProcess, uid: &str) {
    let start = Instant::now();
    let response = server.admit(PATH, &review(uid, "Pending", "Sending"));
    assert_eq!(response["allowed"], true, "{response}");
    assert!(start.elapsed() < FAST, "took {:?}", start.elapsed());
}

fn end(server: &mut GuardProcess) {
    let start = Instant::now();
    server.terminate();
    assert_eq!(server.ends().code(), Some(0));
    assert!(start.elapsed() < END, "took {:?}", start.elapsed());
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<&str, &str> {
    attributes.iter().map(|attribute| (attribute.key.as_str(), text(attribute))).collect()
}

fn text(attribute: &KeyValue) -> &str {
    match attribute.value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text,
        other => panic!("{}: {other:?}", attribute.key),
    }
}

/// The only span of an export.
fn span(export: &ExportTraceServiceRequest) -> &Span {
    let [resource] = &*export.resource_spans else { panic!("{export:?}") };
    let [scope] = &*resource.scope_spans else { panic!("{export:?}") };
    let [span] = &*scope.spans else { panic!("{export:?}") };
    span
}

#[test]
fn a_call_is_a_span_of_its_declared_fields() {
    let collector = Collector::start(Some("200 OK"));
    let mut server = GuardProcess::start(&[&*collector.flag(), DRAIN[0], DRAIN[1]]);

    let refused = server.admit(PATH, &review("u-1", "Sending", "Pending"));
    assert_eq!(refused["allowed"], false, "{refused}");
    let export = collector.next();
    let resource = texts(&export.resource_spans[0].resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], "statusguard");
    assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
    let judged = span(&export);
    assert_eq!(judged.name, "admission");
    assert!(judged.end_time_unix_nano > judged.start_time_unix_nano);
    let expected = [
        ("group", "kubernaut.ai"),
        ("resource", "notificationrequests"),
        ("uid", "u-1"),
        ("operation", "UPDATE"),
        ("namespace", "web"),
        ("name", "n1"),
        ("user", "system:serviceaccount:web:controller"),
        ("policy", "notificationrequests.kubernaut.ai"),
        ("outcome", "Denied"),
        ("class", "Stale"),
    ];
    assert_eq!(texts(&judged.attributes), BTreeMap::from(expected));
    // The write's findings were logged within the span; no log line leaves with it, and nothing of the status.
    assert_eq!(server.said("write with findings"), 1);
    assert_eq!(judged.events, []);
    assert!(!format!("{export:?}").contains(SECRET));

    // What is queued at the end goes out, and values are bounded.
    let long = "u".repeat(4000);
    admit_fast(&server, &long);
    end(&mut server);
    let export = collector.next();
    assert_eq!(texts(&span(&export).attributes)["uid"], &long[..512]);
    assert_eq!(texts(&span(&export).attributes)["outcome"], "Allowed");
    // The span is for the collector; the log is what it is without one.
    assert!(server.log.lock().unwrap().iter().all(|line| line.get("span").is_none()));
}

#[test]
fn a_collector_that_never_answers_is_not_waited_for() {
    let collector = Collector::start(None);
    let mut server = GuardProcess::start(&[&*collector.flag(), DRAIN[0], DRAIN[1]]);
    admit_fast(&server, "u-1");
    collector.next();
    // One export hangs, the next span is queued behind it.
    admit_fast(&server, "u-2");
    end(&mut server);
}

#[test]
fn a_second_sigterm_does_not_wait_for_a_collector() {
    let collector = Collector::start(None);
    let mut server = GuardProcess::start(&[&*collector.flag(), DRAIN[0], DRAIN[1]]);
    admit_fast(&server, "u-1");
    server.terminate();
    while server.said("SIGTERM") == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    collector.next();
    let start = Instant::now();
    server.terminate();
    assert_eq!(server.ends().code(), Some(0));
    assert!(start.elapsed() < FAST, "took {:?}", start.elapsed());
}

#[test]
fn a_collector_that_fails_is_named_once() {
    // Nobody listens on a port that was free a moment ago.
    let down = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let broken = Collector::start(Some("500 Internal GuardProcess Error"));
    for flag in [format!("--otlp-endpoint=http://{down}"), broken.flag()] {
        let mut server = GuardProcess::start(&[&*flag, DRAIN[0], DRAIN[1]]);
        admit_fast(&server, "u-1");
        let start = Instant::now();
        while server.said("spans not exported") == 0 {
            assert!(start.elapsed() < PATIENCE, "{flag}: nothing is said");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Fails as well, and is not worth another line yet.
        admit_fast(&server, "u-2");
        end(&mut server);
        assert_eq!(server.said("spans not exported"), 1, "{flag}");
    }
}
