//! An API server that answers exactly what a test tells it to, over a real connection.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::StreamExt;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// What the server says to one request.
#[derive(Clone)]
pub enum Reply {
    /// A JSON document.
    Json(u16, Value),
    /// A JSON document with `Retry-After`.
    Later(u16, Value, u64),
    /// 200 with the object that was put, as this version, its changed fields managed by its writer.
    Accept(&'static str),
    /// The connection is cut.
    Cut,
    /// No answer, ever.
    Hang,
    /// The events of a watch, which then stays open.
    Events(Vec<Value>),
    /// The reply once the test gives leave.
    Held(Arc<Semaphore>, Box<Reply>),
}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Seen {
    pub what: &'static str,
    pub uri: String,
    pub body: Value,
}

/// The server; it ends with the test.
pub struct Server {
    pub client: kube::Client,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<VecDeque<(&'static str, Reply)>>,
    seen: Mutex<Vec<Seen>>,
    otherwise: Mutex<Option<Reply>>,
    wrong: Mutex<Vec<String>>,
    arrived: tokio::sync::Notify,
}

impl Server {
    /// A server that expects these requests in this order: `PUT`, `PUT main`, `GET`, `WATCH`.
    pub async fn start(script: impl IntoIterator<Item = (&'static str, Reply)>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let shared = Arc::new(Shared { script: Mutex::new(script.into_iter().collect()), ..Shared::default() });
        let serving = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(shared.clone(), request));
                    // Fails when a test cuts the connection.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        // The stack that every user has, with its retries.
        let client = kube::Client::try_from(kube::Config::new(uri)).unwrap();
        Self { client, shared, task }
    }

    /// Adds to what is expected.
    pub fn expect(&self, script: impl IntoIterator<Item = (&'static str, Reply)>) {
        self.shared.script.lock().unwrap().extend(script);
    }

    /// Answers everything that is not expected.
    pub fn expect_any(&self, reply: Reply) {
        *self.shared.otherwise.lock().unwrap() = Some(reply);
    }

    /// What came, after checking that the script was followed to its end.
    #[track_caller]
    pub fn seen(&self) -> Vec<Seen> {
        assert_eq!(*self.shared.wrong.lock().unwrap(), Vec::<String>::new(), "unexpected requests");
        let left: Vec<&str> = self.shared.script.lock().unwrap().iter().map(|(what, _)| *what).collect();
        assert_eq!(left, Vec::<&str>::new(), "requests that did not come");
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until this many requests have come.
    pub async fn until(&self, requests: usize) {
        loop {
            let arrived = self.shared.arrived.notified();
            if self.shared.seen.lock().unwrap().len() >= requests {
                return;
            }
            arrived.await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The API server's answer to a failed request.
pub fn status(code: u16, reason: &str, message: &str, causes: Value) -> Value {
    let details = json!({"name": "d", "kind": "deliveries", "group": "example.org", "causes": causes});
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message, "details": details})
}

pub fn conflict() -> Reply {
    let message = "Operation cannot be fulfilled on deliveries.example.org \"d\": the object has been modified";
    Reply::Json(409, status(409, "Conflict", message, json!([])))
}

pub fn failed(code: u16) -> Reply {
    Reply::Json(code, status(code, "InternalError", "etcdserver: request timed out", json!([])))
}

pub fn missing() -> Reply {
    Reply::Json(404, status(404, "NotFound", "deliveries.example.org \"d\" not found", json!([])))
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, &'static str> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(|_| "the client left")?.to_bytes();
    let uri = parts.uri.to_string();
    let what = match parts.method.as_str() {
        "PUT" if parts.uri.path().ends_with("/status") => "PUT",
        "PUT" => "PUT main",
        "GET" if uri.contains("watch=true") => "WATCH",
        "GET" => "GET",
        _ => "something else",
    };
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    shared.seen.lock().unwrap().push(Seen { what, uri: uri.clone(), body: body.clone() });
    shared.arrived.notify_waiters();
    let step = shared.script.lock().unwrap().pop_front();
    let reply = match step {
        Some((expected, reply)) if expected == what => reply,
        None if shared.otherwise.lock().unwrap().is_some() => shared.otherwise.lock().unwrap().clone().unwrap(),
        other => {
            let expected = other.map_or("nothing", |(expected, _)| expected);
            shared.wrong.lock().unwrap().push(format!("{what} {uri} instead of {expected}"));
            Reply::Json(418, json!({}))
        }
    };
    speak(reply, body).await
}

async fn speak(reply: Reply, put: Value) -> Result<Response<Body>, &'static str> {
    match reply {
        Reply::Json(code, value) => Ok(response(code, &value)),
        Reply::Later(code, value, seconds) => {
            let mut response = response(code, &value);
            response.headers_mut().insert("retry-after", seconds.into());
            Ok(response)
        }
        Reply::Accept(version) => {
            let mut object = put;
            object["metadata"]["resourceVersion"] = version.into();
            Ok(response(200, &object))
        }
        Reply::Cut => Err("cut"),
        Reply::Hang => std::future::pending().await,
        Reply::Events(events) => {
            let lines = events.into_iter().map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
            let body = StreamBody::new(futures::stream::iter(lines).chain(futures::stream::pending()));
            Ok(Response::new(BodyExt::boxed_unsync(body)))
        }
        Reply::Held(leave, reply) => {
            leave.acquire().await.map_err(|_| "closed")?.forget();
            Box::pin(speak(*reply, put)).await
        }
    }
}

fn response(code: u16, value: &Value) -> Response<Body> {
    let mut response = Response::new(Full::new(Bytes::from(value.to_string())).boxed_unsync());
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
}
