//! A proxy between one client and an API server that breaks requests exactly as told.
//!
//! ```text
//! client ──TLS, own authority──▶ FaultProxy ──TLS──▶ API server
//!                                    │
//!                         plan: request ─▶ Fault
//! ```
//! Requests are read whole before anything else happens to them: a client that is cut off has sent everything
//! and cannot know whether it arrived. Answers are streamed, so that watches work. Credentials are the
//! client's own and pass through.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use k8s_openapi::jiff::SignedDuration;
use k8s_openapi::jiff::fmt::rfc2822;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::tls::Authority;

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: forwarded and answered.
    Pass,
    /// The client's connection is reset; the API server never sees the request.
    CutBeforeSending,
    /// The API server gets the request and answers; the client's connection is reset instead of the answer.
    CutAfterSending,
    /// The API server gets the request only after this time; the client gets its answer.
    Delay(Duration),
    /// The API server gets the request twice, as from a proxy that repeats it; the client gets the second answer.
    Repeat,
    /// The client gets this error, as the API server words it.
    Status {
        /// HTTP code: 500, 504, 429 or any other.
        code: u16,
        /// Seconds for the `Retry-After` header and `details.retryAfterSeconds`.
        retry_after: Option<u32>,
        /// Whether the API server gets the request (and has answered it) before the client gets the error.
        after_forwarding: bool,
    },
    /// The request is forwarded, and the `Date` of its answer is moved by so many seconds: the client's clock and the API
    /// server's differ.
    MoveDate(i64),
    /// The client gets 200 with this text, as from a proxy in between; the API server never sees the request.
    Page(&'static str),
    /// The client's connection is reset at once; the API server gets the request only after this time, or when
    /// [`FaultProxy::release_late`] is called.
    LandLate(Duration),
}

impl Fault {
    /// An API server that is away, in all ways: no answer, one of a proxy in its place, one that is not the object, an
    /// error.
    pub const AWAY: [Self; 4] = [
        Self::CutBeforeSending,
        Self::Page("<html>log in first</html>"),
        Self::Page("{}"),
        Self::Status { code: 500, retry_after: None, after_forwarding: false },
    ];
}

/// How many requests came, by verb and path. `WATCH` is a verb of its own, the others are HTTP's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestCounts {
    requests: BTreeMap<(String, String), u64>,
}

/// A request that was let through after its client was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Landed {
    /// Its method.
    pub method: Method,
    /// Its path without the query.
    pub path: String,
    /// What the API server answered; `None` if it did not.
    pub status: Option<StatusCode>,
}

/// The proxy. It serves until it is dropped, on the tokio runtime it was started in.
pub struct FaultProxy {
    address: SocketAddr,
    authority: Authority,
    config: Config,
    shared: Arc<ProxyState>,
    /// Ends with the proxy, and all connections with it.
    _server: JoinSet<()>,
}

struct ProxyState {
    upstream: Client,
    plan: RwLock<Arc<Plan>>,
    counts: Mutex<RequestCounts>,
    /// Raised to cut all connections that there are.
    severed: watch::Sender<u64>,
    /// Raised to let go of what is held back.
    released: watch::Sender<u64>,
    late: watch::Sender<Late>,
}

/// Requests whose clients were cut off before they were forwarded.
#[derive(Debug, Default)]
struct Late {
    outstanding: usize,
    landed: Vec<Landed>,
}

/// The client's connection ends without an answer.
#[derive(Debug)]
struct ConnectionCut;

type Plan = dyn Fn(&Parts) -> Fault + Send + Sync;
type ProxyBody = UnsyncBoxBody<Bytes, kube::Error>;

impl FaultProxy {
    /// Starts a proxy in front of the API server that `config` leads to; no faults until [`Self::set_faults`].
    ///
    /// # Errors
    /// When the configuration is unusable.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let authority = Authority::new("statusguard fault proxy")?;
        let tls = authority.leaf(["127.0.0.1"])?.server_config(&["http/1.1"])?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("binding the fault proxy")?;
        let address = listener.local_addr().context("binding the fault proxy")?;
        let shared = Arc::new(ProxyState {
            upstream: upstream(config.clone())?,
            plan: RwLock::new(Arc::new(|_: &Parts| Fault::Pass)),
            counts: Mutex::default(),
            severed: watch::Sender::new(0),
            released: watch::Sender::new(0),
            late: watch::Sender::new(Late::default()),
        });
        let mut server = JoinSet::new();
        server.spawn(accept(listener, TlsAcceptor::from(tls), Arc::clone(&shared)));
        Ok(Self { address, authority, config, shared, _server: server })
    }

    /// The configuration that the proxy was started with, leading through the proxy.
    #[must_use]
    pub fn config(&self) -> Config {
        self.route(self.config.clone())
    }

    /// Another user's configuration for the same API server, leading through the proxy. Credentials must be
    /// headers (tokens, impersonation): a client certificate does not pass.
    ///
    /// # Panics
    /// Never: the proxy's address is a URI.
    #[must_use]
    pub fn route(&self, mut config: Config) -> Config {
        config.cluster_url =
            format!("https://{}", self.address).parse().expect("a loopback address with a port is a URI");
        config.root_cert = Some(vec![self.authority.der().to_vec()]);
        config.root_cert_file = None;
        config.tls_server_name = None;
        config.proxy_url = None;
        config
    }

    /// A client with [`Self::config`]. kube's own retries of 429, 503 and 504 are on, as they are by default.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::try_from(self.config()).expect("the configuration was made for this client")
    }

    /// From now on every request gets the fault that `plan` says. The plan sees method, path, query and headers.
    pub fn set_faults(&self, plan: impl Fn(&Parts) -> Fault + Send + Sync + 'static) {
        *self.shared.plan.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(plan);
    }

    /// What clients asked for so far, faults included.
    #[must_use]
    pub fn counts(&self) -> RequestCounts {
        self.shared.counts().clone()
    }

    /// Begins to count anew, and returns the counts so far.
    pub fn reset_counts(&self) -> RequestCounts {
        std::mem::take(&mut *self.shared.counts())
    }

    /// Resets all connections of clients, watches included. New ones are accepted.
    pub fn sever(&self) {
        self.shared.severed.send_modify(|times| *times += 1);
    }

    /// Forwards all requests now that [`Fault::LandLate`] holds back.
    pub fn release_late(&self) {
        self.shared.released.send_modify(|times| *times += 1);
    }

    /// Waits until no request is held back any more, and returns all that were, in the order of their landing.
    pub async fn landed(&self) -> Vec<Landed> {
        let mut late = self.shared.late.subscribe();
        // The sender is ours: waiting cannot fail.
        let settled = late.wait_for(|late| late.outstanding == 0).await;
        settled.map(|late| late.landed.clone()).unwrap_or_default()
    }
}

impl RequestCounts {
    /// All requests.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.requests.values().sum()
    }

    /// The requests with this verb: `GET`, `PUT`, `PATCH`, `WATCH`, ...
    #[must_use]
    pub fn verb(&self, verb: &str) -> u64 {
        self.of(verb, "")
    }

    /// The requests with this verb whose path (without query) ends like this: `/status`, `/<name>`, ...
    #[must_use]
    pub fn of(&self, verb: &str, path_end: &str) -> u64 {
        self.requests
            .iter()
            .filter(|((seen, path), _)| seen == verb && path.ends_with(path_end))
            .map(|(_, count)| count)
            .sum()
    }
}

impl fmt::Display for RequestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((verb, path), count) in &self.requests {
            writeln!(f, "{count:6} {verb:6} {path}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ConnectionCut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client is cut off")
    }
}

impl Error for ConnectionCut {}

impl ProxyState {
    fn plan(&self) -> Arc<Plan> {
        Arc::clone(&self.plan.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn counts(&self) -> MutexGuard<'_, RequestCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, parts: &Parts) {
        let is_watch = parts.method == Method::GET
            && parts
                .uri
                .query()
                .is_some_and(|query| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch")));
        let verb = if is_watch { "WATCH" } else { parts.method.as_str() };
        *self.counts().requests.entry((verb.to_owned(), parts.uri.path().to_owned())).or_default() += 1;
    }
}

/// The way on to the API server: whoever the client is, it says so itself.
fn upstream(mut config: Config) -> anyhow::Result<Client> {
    let AuthInfo { client_certificate, client_certificate_data, client_key, client_key_data, .. } =
        std::mem::take(&mut config.auth_info);
    config.auth_info =
        AuthInfo { client_certificate, client_certificate_data, client_key, client_key_data, ..AuthInfo::default() };
    config.headers.clear();
    // One request in, one request out, and its answer as it is.
    config.default_retry = false;
    config.disable_compression = true;
    Client::try_from(config).context("making the fault proxy's client")
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<ProxyState>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((connection, _)) => {
                    connections.spawn(serve(connection, tls.clone(), Arc::clone(&shared)));
                }
                // Out of file handles, most likely: connections that end give some back.
                Err(_) => tokio::task::yield_now().await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// One connection of a client, until it ends, is cut or severed. How it ended is the client's to tell.
async fn serve(connection: TcpStream, tls: TlsAcceptor, shared: Arc<ProxyState>) {
    // Whenever this end closes, the client sees a reset. Answers are safe: this end closes only to cut.
    if connection.set_zero_linger().is_err() || connection.set_nodelay(true).is_err() {
        return;
    }
    let mut severed = shared.severed.subscribe();
    let Ok(connection) = tls.accept(connection).await else { return };
    let service = service_fn(move |request| handle(request, Arc::clone(&shared)));
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(connection), service);
    tokio::select! {
        _ = connection => {}
        _ = severed.changed() => {}
    }
}

async fn handle(request: Request<Incoming>, shared: Arc<ProxyState>) -> Result<Response<ProxyBody>, ConnectionCut> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| ConnectionCut)?.to_bytes();
    shared.count(&parts);
    match shared.plan()(&parts) {
        Fault::Pass => forward(&shared.upstream, parts, body).await,
        Fault::CutBeforeSending => Err(ConnectionCut),
        Fault::CutAfterSending => {
            drain(forward(&shared.upstream, parts, body).await?).await;
            Err(ConnectionCut)
        }
        Fault::Delay(time) => {
            tokio::time::sleep(time).await;
            forward(&shared.upstream, parts, body).await
        }
        Fault::Repeat => {
            drain(forward(&shared.upstream, parts.clone(), body.clone()).await?).await;
            forward(&shared.upstream, parts, body).await
        }
        Fault::Status { code, retry_after, after_forwarding } => {
            if after_forwarding {
                drain(forward(&shared.upstream, parts, body).await?).await;
            }
            Ok(failure(code, retry_after))
        }
        Fault::MoveDate(seconds) => {
            let mut response = forward(&shared.upstream, parts, body).await?;
            move_date(response.headers_mut(), seconds);
            Ok(response)
        }
        Fault::Page(text) => Ok(Response::new(text_body(text.to_owned()))),
        Fault::LandLate(time) => {
            shared.late.send_modify(|late| late.outstanding += 1);
            tokio::spawn(land(shared, parts, body, time));
            Err(ConnectionCut)
        }
    }
}

/// Forwards a request whose client is gone. A task of its own, because the client's connection ends with the cut.
async fn land(shared: Arc<ProxyState>, parts: Parts, body: Bytes, time: Duration) {
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let mut released = shared.released.subscribe();
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        _ = released.changed() => {}
    }
    let status = match forward(&shared.upstream, parts, body).await {
        Ok(response) => {
            let status = response.status();
            drain(response).await;
            Some(status)
        }
        Err(ConnectionCut) => None,
    };
    shared.late.send_modify(|late| {
        late.outstanding -= 1;
        late.landed.push(Landed { method, path, status });
    });
}

/// An API server that does not answer is passed on as a cut connection, which is what it is.
async fn forward(upstream: &Client, mut parts: Parts, body: Bytes) -> Result<Response<ProxyBody>, ConnectionCut> {
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = path.parse().map_err(|_| ConnectionCut)?;
    remove_hop_by_hop(&mut parts.headers);
    parts.headers.remove(header::HOST);
    parts.headers.remove(header::CONTENT_LENGTH);
    let request = Request::from_parts(parts, kube::client::Body::from(body.to_vec()));
    let mut response = upstream.send(request).await.map_err(|_| ConnectionCut)?;
    remove_hop_by_hop(response.headers_mut());
    Ok(response.map(|body| body.boxed_unsync()))
}

/// Reads an answer to its end, so that the API server is done with the request.
async fn drain(response: Response<ProxyBody>) {
    // An answer that breaks off is over as well.
    let _ = response.into_body().collect().await;
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

fn move_date(headers: &mut HeaderMap, seconds: i64) {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let date = date.and_then(|date| rfc2822::parse(date).ok()).map(|date| date.timestamp());
    let moved = date.and_then(|date| date.checked_add(SignedDuration::from_secs(seconds)).ok());
    let text = moved.and_then(|moved| rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&moved).ok());
    if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
        headers.insert(header::DATE, value);
    }
}

fn text_body(text: String) -> ProxyBody {
    Full::from(text).map_err(|never| match never {}).boxed_unsync()
}

/// An error in the form of the API server's.
fn failure(code: u16, retry_after: Option<u32>) -> Response<ProxyBody> {
    let reason = match code {
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "injected by the fault proxy",
        "reason": reason,
        "code": code,
    });
    if let Some(seconds) = retry_after {
        status["details"] = json!({ "retryAfterSeconds": seconds });
    }
    let mut response = Response::new(text_body(status.to_string()));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
