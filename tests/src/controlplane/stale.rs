//! A proxy between an API server and etcd that can hold back the watches and nothing else.
//!
//! The API server fills its watch cache from etcd's Watch calls and does everything else (reads that must be
//! fresh, transactions, leases) in other calls of the same gRPC connection. The proxy speaks HTTP/2 itself
//! and forwards call by call, so that it can hold the answers of Watch calls while all others pass. A frozen
//! server is thus exactly what a lagging one is: it serves reads from its cache as of the freeze and starts
//! writes from objects of that time, while etcd judges them by the truth.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use futures::stream;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, StreamBody};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self as client, SendRequest};
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

/// Makes the second API server stale at will.
///
/// # Guarantees
/// After [`Self::freeze`] returns, no change written from then on reaches the server's watch cache before
/// [`Self::thaw`]. Reads with no resource version and all writes go on.
///
/// # Caveats
/// What was under way at the freeze may still arrive: wait with
/// [`ControlPlane::wait_cached`](super::ControlPlane::wait_cached) until the server knows what it is meant to
/// know, then freeze. All watch caches of the server are frozen, RBAC, CRDs and webhook configurations
/// included: set these up before. A consistent list (no resource version) waits three
/// seconds for the cache and then falls back to etcd.
pub struct StaleProxy {
    port: u16,
    frozen: Arc<watch::Sender<bool>>,
    /// Of its own, so that the proxy outlives the runtime of the test that started it.
    runtime: Option<Runtime>,
}

type ProxyBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// The only call that a freeze holds.
const WATCH: &str = "/etcdserverpb.Watch/Watch";

/// More calls than an API server keeps open on one connection.
const MAX_STREAMS: u32 = 10_000;

impl StaleProxy {
    /// Forwards to the etcd at `etcd_port`.
    pub(super) fn start(etcd_port: u16) -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("stale-proxy")
            .enable_all()
            .build()
            .context("starting the stale proxy's runtime")?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("binding the stale proxy")?;
        listener.set_nonblocking(true).context("binding the stale proxy")?;
        let port = listener.local_addr().context("binding the stale proxy")?.port();
        let frozen = Arc::new(watch::Sender::new(false));
        let gate = Arc::clone(&frozen);
        runtime.spawn(async move {
            // Within a runtime this only fails for a blocking socket, which it is not.
            if let Ok(listener) = TcpListener::from_std(listener) {
                accept(listener, etcd_port, gate).await;
            }
        });
        Ok(Self { port, frozen, runtime: Some(runtime) })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Holds back all watches from now on.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// Lets the watches go on, beginning with what was held back.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }
}

impl Drop for StaleProxy {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Dropping it would wait, which is not allowed inside another runtime.
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, etcd_port: u16, frozen: Arc<watch::Sender<bool>>) {
    loop {
        let Ok((connection, _)) = listener.accept().await else {
            // Out of file handles, most likely: others may give some back.
            tokio::task::yield_now().await;
            continue;
        };
        // A connection that fails is the API server's to open again, as with a real network.
        tokio::spawn(serve(connection, etcd_port, Arc::clone(&frozen)));
    }
}

/// One connection of the API server, and one of ours to etcd for all its calls but watches.
async fn serve(connection: TcpStream, etcd_port: u16, frozen: Arc<watch::Sender<bool>>) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let etcd = connect(etcd_port).await?;
    let service = service_fn(move |request| {
        let etcd = etcd.clone();
        let frozen = frozen.subscribe();
        async move {
            let answer = forward(request, etcd, etcd_port, frozen).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|_| bad_gateway()))
        }
    });
    server::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(TokioIo::new(connection), service)
        .await?;
    Ok(())
}

async fn connect(etcd_port: u16) -> anyhow::Result<SendRequest<Incoming>> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, etcd_port)).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = client::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn forward(
    request: Request<Incoming>,
    etcd: SendRequest<Incoming>,
    etcd_port: u16,
    frozen: watch::Receiver<bool>,
) -> anyhow::Result<Response<ProxyBody>> {
    let is_watch = request.uri().path() == WATCH;
    // A held watch fills its connection's window: with one of its own it cannot hold up other calls.
    let mut etcd = if is_watch { connect(etcd_port).await? } else { etcd };
    let response = etcd.send_request(redirect(request, etcd_port)?).await?;
    Ok(match is_watch {
        true => response.map(|body| gated(body, frozen)),
        false => response.map(|body| body.boxed_unsync()),
    })
}

fn redirect(request: Request<Incoming>, etcd_port: u16) -> anyhow::Result<Request<Incoming>> {
    let (mut parts, body) = request.into_parts();
    let mut uri = parts.uri.into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(Authority::try_from(format!("127.0.0.1:{etcd_port}"))?);
    uri.path_and_query = uri.path_and_query.or(Some(PathAndQuery::from_static("/")));
    parts.uri = Uri::from_parts(uri)?;
    Ok(Request::from_parts(parts, body))
}

/// Passes a frame on only if the gate is open *after* the frame came: whatever is written after a freeze stays here.
fn gated(body: Incoming, gate: watch::Receiver<bool>) -> ProxyBody {
    let frames = stream::unfold((body, gate), |(mut body, mut gate)| async move {
        let frame = body.frame().await?;
        // Fails only when the proxy is gone; then the frame goes nowhere anyway.
        let _ = gate.wait_for(|frozen| !frozen).await;
        Some((frame, (body, gate)))
    });
    StreamBody::new(frames).boxed_unsync()
}

/// What a gRPC client takes for "unavailable" and tries again.
fn bad_gateway() -> Response<ProxyBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
