//! Runs both ports, from listeners already bound to the end of a drain.

use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use prometheus_client::registry::Registry;
use rustls::server::ResolvesServerCert;
use rustls::server::danger::ClientCertVerifier;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::admit::{self, Admission};
use crate::body::BodyBudget;
use crate::drain::{DrainPhase, Shutdown};
use crate::error::Error;
use crate::exposition;
use crate::health::Health;
use crate::judge::{Judge, Recorder};
use crate::limits::Limits;
use crate::listen::{Drained, Port};
use crate::log_limit::LogLimit;
use crate::long_judgements::LongJudgements;
use crate::metrics::EdgeMetrics;
use crate::plain::PlainPort;
use crate::record::{LAST_RECORDS, Records};
use crate::tls;

/// Connections on the plain port, each for one request.
const PLAIN_CONNECTIONS: usize = 64;

/// Lines of the log about calls that are not judged, in a window, for each reason.
const NOT_JUDGED_LINES: u32 = 10;
const NOT_JUDGED_WINDOW: Duration = Duration::from_secs(1);

/// What a server is made of.
pub struct Edge<J, C> {
    /// Decides.
    pub judge: Arc<J>,
    /// Keeps what was refused.
    pub recorder: Arc<C>,
    /// The serving certificate, asked for at each handshake: may change at any time.
    pub certificate: Arc<dyn ResolvesServerCert>,
    /// Judges the certificates of clients, each at its handshake; `None`: no client is asked for one.
    pub clients: Option<Arc<dyn ClientCertVerifier>>,
    /// All bounds.
    pub limits: Limits,
    /// What `/readyz` answers. The server adds a gate of its own.
    pub health: Health,
    /// The server's metrics, registered by [`EdgeMetrics::register`].
    pub metrics: EdgeMetrics,
    /// What `/metrics` shows.
    pub registry: Arc<Registry>,
}

/// Serves admission over TLS on one listener and `/livez /readyz /metrics` in plain on the other,
/// until `shutdown` is asked for and every connection has ended. Every task has ended, too, when
/// this returns.
///
/// # Errors
/// [`Error`] when limits or certificate cannot be used; nothing was served then.
pub async fn serve<J: Judge, C: Recorder<J::Record>>(
    admission: TcpListener,
    plain: TcpListener,
    edge: Edge<J, C>,
    shutdown: Shutdown,
) -> Result<Drained, Error> {
    let Edge { judge, recorder, certificate, clients, limits, health, metrics, registry } = edge;
    limits.check()?;
    let tls = TlsAcceptor::from(tls::config(certificate, clients)?);
    let limits = Arc::new(limits);
    let (phases, phase) = watch::channel(DrainPhase::Serving);
    let state = Arc::new(Admission {
        judge,
        records: Records::new(recorder, limits.records, metrics.clone()),
        limits: Arc::clone(&limits),
        budget: BodyBudget::new(metrics.body_bytes.clone(), limits.max_bodies),
        metrics: metrics.clone(),
        not_judged: LogLimit::new(NOT_JUDGED_LINES, NOT_JUDGED_WINDOW),
        long_judgements: LongJudgements::new(
            available_parallelism().map_or(1, NonZero::get),
            limits.max_judging,
            metrics.judging_bytes.clone(),
        ),
    });
    let listener = health.gate("admission listener");
    let admission = Port {
        name: "admission",
        listener: admission,
        tls: Some(tls),
        routes: admit::routes(Arc::clone(&state)),
        busy: admit::busy(&limits),
        keep_alive: true,
        limits: Arc::clone(&limits),
        metrics: Some(metrics),
        phases,
    };
    let routes = plain_routes(health, phase, registry);
    let plain_port = move |listener| Port {
        name: "plain",
        listener,
        tls: None,
        // A probe is answered as long as there is any way.
        busy: routes.clone(),
        routes,
        keep_alive: false,
        limits: Arc::new(Limits { max_connections: PLAIN_CONNECTIONS, ..Limits::clone(&limits) }),
        metrics: None,
        phases: watch::channel(DrainPhase::Serving).0,
    };
    // Its socket is open: connections wait in the kernel.
    listener.ready();
    let plain = PlainPort::start(plain, plain_port).await.map_err(Error::PlainPort)?;
    let mut drained = admission.run(&shutdown).await;
    let mut asked = shutdown.watch();
    drained.records_dropped = state
        .records
        .finish(async {
            tokio::select! {
                () = sleep(LAST_RECORDS) => {}
                _ = asked.wait_for(|asked| *asked > 1) => {}
            }
        })
        .await;
    plain.end().await;
    tracing::info!(
        closed_idle = drained.closed_idle,
        raced = drained.raced,
        cut = drained.cut,
        records_dropped = drained.records_dropped,
        "edge ended"
    );
    Ok(drained)
}

fn plain_routes(health: Health, phase: watch::Receiver<DrainPhase>, registry: Arc<Registry>) -> Router {
    let ready = async move || {
        let mut missing = health.missing();
        if *phase.borrow() != DrainPhase::Serving {
            missing.push("shutting down");
        }
        if missing.is_empty() {
            (StatusCode::OK, "ok".to_owned())
        } else {
            let missing = missing.join(", ");
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {missing}"))
        }
    };
    let metrics = async move |headers: HeaderMap| exposition::reply(&registry, &headers);
    Router::new().route("/livez", get("ok")).route("/readyz", get(ready)).route("/metrics", get(metrics))
}
