//! One listener from its first connection to its last.

use std::sync::Arc;

use axum::Router;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, ConnectionEnd};
use crate::drain::{DrainInput, DrainPhase, Shutdown};
use crate::limits::Limits;
use crate::metrics::EdgeMetrics;

/// After an error of `accept` (too many open files, as a rule) there is no use in asking at once.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Read from a TLS connection at a time. By itself rustls reads 4 KiB, which is a quarter of a record.
const READ_AHEAD: usize = 32 << 10;

/// Connections past the limit that get to read that the guard is busy. Those past these are closed at once.
const SPARE: usize = 64;

/// What a listener serves, and how.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) routes: Router,
    /// For connections past the limit.
    pub(crate) busy: Router,
    pub(crate) keep_alive: bool,
    pub(crate) limits: Arc<Limits>,
    /// Of the admission port only.
    pub(crate) metrics: Option<EdgeMetrics>,
    pub(crate) phases: watch::Sender<DrainPhase>,
}

/// How the connections of a shutdown ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Idle connections that were closed. A peer may have been about to use one.
    pub closed_idle: u64,
    /// Of these: a request was seen that came too late. That call failed.
    pub raced: u64,
    /// Calls cut off because a shutdown at once was asked for.
    pub cut: u64,
    /// Records that were not durable when the server ended.
    pub records_dropped: u64,
}

/// What turns accepted streams into connections.
struct Acceptor {
    tls: Option<TlsAcceptor>,
    routes: Router,
    busy: Router,
    keep_alive: bool,
    limits: Arc<Limits>,
    metrics: Option<EdgeMetrics>,
    phases: watch::Sender<DrainPhase>,
    connections: JoinSet<ConnectionEnd>,
    full: bool,
}

enum ListenerEvent {
    Accepted(std::io::Result<TcpStream>),
    Ended(ConnectionEnd),
    Other,
}

impl Port {
    /// Serves until a shutdown has ended every connection.
    pub(crate) async fn run(self, shutdown: &Shutdown) -> Drained {
        let Self { listener, tls, routes, busy, keep_alive, limits, metrics, phases } = self;
        let mut acceptor = Acceptor {
            tls,
            routes,
            busy,
            keep_alive,
            limits: Arc::clone(&limits),
            metrics: metrics.clone(),
            phases,
            connections: JoinSet::new(),
            full: false,
        };
        let mut listener = Some(listener);
        let mut asked = shutdown.watch();
        let mut drained = Drained::default();
        let mut phase = DrainPhase::Serving;
        let mut entered = Instant::now();
        loop {
            let open = acceptor.connections.len();
            let seen = DrainInput { asked: *asked.borrow_and_update(), connections: open, lasted: entered.elapsed() };
            let next = phase.next(seen, &limits);
            if next != phase {
                tracing::info!(from = ?phase, to = ?next, connections = open, "listener");
                (phase, entered) = (next, Instant::now());
                acceptor.phases.send_replace(phase);
                if !phase.accepts()
                    && let Some(listener) = listener.take()
                    && phase == DrainPhase::Closing
                {
                    acceptor.empty_backlog(&listener).await;
                }
                if phase == DrainPhase::Ended {
                    return drained;
                }
                continue;
            }
            if let Some(metrics) = &metrics {
                metrics.connections.set(open as i64);
            }
            let alarm = phase.until(open, &limits).map(|after| entered + after);
            let event = tokio::select! {
                Some(ended) = acceptor.connections.join_next() => {
                    // A connection's task panics only by a fault of this crate; its peer sees a
                    // connection that broke.
                    ListenerEvent::Ended(ended.unwrap_or(ConnectionEnd::Done))
                }
                accepted = async { listener.as_ref().map(TcpListener::accept)?.await.into() }, if listener.is_some() => {
                    match accepted {
                        Some(result) => ListenerEvent::Accepted(result.map(|(stream, _)| stream)),
                        None => ListenerEvent::Other,
                    }
                }
                _ = asked.changed() => ListenerEvent::Other,
                () = async { sleep_until(alarm.unwrap_or(entered)).await }, if alarm.is_some() => {
                    ListenerEvent::Other
                }
            };
            match event {
                ListenerEvent::Accepted(Ok(stream)) => acceptor.accept(stream),
                ListenerEvent::Accepted(Err(error)) => {
                    tracing::warn!(%error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
                ListenerEvent::Ended(end) => drained.count(end, metrics.as_ref()),
                ListenerEvent::Other => {}
            }
        }
    }
}

impl Drained {
    fn count(&mut self, end: ConnectionEnd, metrics: Option<&EdgeMetrics>) {
        match end {
            ConnectionEnd::Slow(cause) => {
                if let Some(metrics) = metrics {
                    metrics.shed(cause);
                }
            }
            ConnectionEnd::Handshake => {
                if let Some(metrics) = metrics {
                    metrics.handshake_failures.inc();
                }
            }
            ConnectionEnd::ClosedIdle { raced } => {
                self.closed_idle += 1;
                self.raced += u64::from(raced);
            }
            ConnectionEnd::Aborted { handling } => self.cut += u64::from(handling),
            ConnectionEnd::Done => {}
        }
    }
}

impl Acceptor {
    /// Serves a connection, or says that there are too many.
    fn accept(&mut self, stream: TcpStream) {
        let open = self.connections.len();
        let full = open >= self.limits.max_connections;
        if full {
            if let Some(metrics) = &self.metrics {
                metrics.shed("connections");
            }
            if !self.full {
                tracing::warn!(limit = self.limits.max_connections, "serving no more connections");
            }
        }
        self.full = full;
        if open >= self.limits.max_connections.saturating_add(SPARE) {
            return;
        }
        let routes = if full { &self.busy } else { &self.routes };
        let connection = Connection {
            tls: self.tls.clone(),
            routes: routes.clone(),
            keep_alive: self.keep_alive && !full,
            limits: Arc::clone(&self.limits),
        };
        let phases = self.phases.subscribe();
        self.connections.spawn(async move { connection.serve(stream, phases).await });
    }

    /// Accepts what came before the listener closes: its peers have been told that it is open.
    async fn empty_backlog(&mut self, listener: &TcpListener) {
        while let Ok(Ok((stream, _))) = timeout(std::time::Duration::ZERO, listener.accept()).await {
            self.accept(stream);
        }
    }
}

/// One connection before its first request.
struct Connection {
    tls: Option<TlsAcceptor>,
    routes: Router,
    keep_alive: bool,
    limits: Arc<Limits>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, mut phases: watch::Receiver<DrainPhase>) -> ConnectionEnd {
        let Self { tls, routes, keep_alive, limits } = self;
        // Replies are small and written at once; without this some would wait for an ACK.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY");
        }
        let Some(tls) = tls else {
            return connection::serve(stream, routes, keep_alive, &limits, phases).await;
        };
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        let handshake = timeout(limits.handshake, tls.accept(stream));
        let stream = tokio::select! {
            biased;
            result = handshake => match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "TLS handshake failed");
                    return ConnectionEnd::Handshake;
                }
                Err(_) => return ConnectionEnd::Slow("handshake"),
            },
            _ = phases.wait_for(|phase| *phase == DrainPhase::Aborting) => {
                return ConnectionEnd::Aborted { handling: false };
            }
        };
        connection::serve(stream, routes, keep_alive, &limits, phases).await
    }
}
