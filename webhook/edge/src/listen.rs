//! One listener from its first connection to its last.

use std::sync::Arc;

use axum::Router;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, End};
use crate::drain::{Phase, Seen, Shutdown};
use crate::limits::Limits;
use crate::metrics::Metrics;

/// After an error of `accept` (too many open files, as a rule) there is no use in asking at once.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Read from a TLS connection at a time. By itself rustls reads 4 KiB, which is a quarter of a record.
const READ_AHEAD: usize = 32 << 10;

/// What a listener serves, and how.
pub(crate) struct Port {
    pub(crate) listener: TcpListener,
    pub(crate) tls: Option<TlsAcceptor>,
    pub(crate) routes: Router,
    pub(crate) keep_alive: bool,
    pub(crate) limits: Arc<Limits>,
    /// Of the admission port only.
    pub(crate) metrics: Option<Metrics>,
    pub(crate) phases: watch::Sender<Phase>,
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

/// Everything a connection's task needs.
struct Shared {
    tls: Option<TlsAcceptor>,
    routes: Router,
    keep_alive: bool,
    limits: Arc<Limits>,
}

enum Event {
    Accepted(std::io::Result<TcpStream>),
    Ended(End),
    Other,
}

impl Port {
    /// Serves until a shutdown has ended every connection.
    pub(crate) async fn run(self, shutdown: &Shutdown) -> Drained {
        let Self { listener, tls, routes, keep_alive, limits, metrics, phases } = self;
        let shared = Arc::new(Shared { tls, routes, keep_alive, limits: Arc::clone(&limits) });
        let mut listener = Some(listener);
        let mut asked = shutdown.watch();
        let mut connections = JoinSet::new();
        let mut drained = Drained::default();
        let mut phase = Phase::Serving;
        let mut entered = Instant::now();
        let mut full = false;
        loop {
            let seen =
                Seen { asked: *asked.borrow_and_update(), connections: connections.len(), lasted: entered.elapsed() };
            let next = phase.next(seen, &limits);
            if next != phase {
                tracing::info!(from = ?phase, to = ?next, connections = seen.connections, "listener");
                (phase, entered) = (next, Instant::now());
                phases.send_replace(phase);
                if !phase.accepts()
                    && let Some(listener) = listener.take()
                    && phase == Phase::Closing
                {
                    accept_backlog(&listener, &limits, &mut connections, &shared, &phases).await;
                }
                if phase == Phase::Ended {
                    return drained;
                }
                continue;
            }
            if let Some(metrics) = &metrics {
                metrics.connections.set(seen.connections as i64);
                let at_limit = seen.connections >= limits.connections;
                if at_limit && !full {
                    metrics.shed("connections");
                    tracing::warn!(limit = limits.connections, "accepting no more connections");
                }
                full = at_limit;
            }
            let alarm = phase.until(seen.connections, &limits).map(|after| entered + after);
            let room = listener.as_ref().filter(|_| seen.connections < limits.connections);
            let event = tokio::select! {
                Some(ended) = connections.join_next() => {
                    // A connection's task panics only by a fault of this crate; its peer sees a
                    // connection that broke.
                    Event::Ended(ended.unwrap_or(End::Done))
                }
                accepted = async { room.map(TcpListener::accept)?.await.into() }, if room.is_some() => {
                    match accepted {
                        Some(result) => Event::Accepted(result.map(|(stream, _)| stream)),
                        None => Event::Other,
                    }
                }
                _ = asked.changed() => Event::Other,
                () = async { sleep_until(alarm.unwrap_or(entered)).await }, if alarm.is_some() => {
                    Event::Other
                }
            };
            match event {
                Event::Accepted(Ok(stream)) => {
                    start(stream, &mut connections, &shared, &phases);
                }
                Event::Accepted(Err(error)) => {
                    tracing::warn!(%error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
                Event::Ended(end) => drained.count(end, metrics.as_ref()),
                Event::Other => {}
            }
        }
    }
}

impl Drained {
    fn count(&mut self, end: End, metrics: Option<&Metrics>) {
        match end {
            End::Slow(cause) => {
                if let Some(metrics) = metrics {
                    metrics.shed(cause);
                }
            }
            End::Handshake => {
                if let Some(metrics) = metrics {
                    metrics.handshake_failures.inc();
                }
            }
            End::Quiet { raced } => {
                self.closed_idle += 1;
                self.raced += u64::from(raced);
            }
            End::Aborted { handling } => self.cut += u64::from(handling),
            End::Done => {}
        }
    }
}

/// Accepts what came before the listener closes: its peers have been told that it is open.
async fn accept_backlog(
    listener: &TcpListener,
    limits: &Limits,
    connections: &mut JoinSet<End>,
    shared: &Arc<Shared>,
    phases: &watch::Sender<Phase>,
) {
    while connections.len() < limits.connections {
        match timeout(std::time::Duration::ZERO, listener.accept()).await {
            Ok(Ok((stream, _))) => start(stream, connections, shared, phases),
            _ => return,
        }
    }
}

fn start(stream: TcpStream, connections: &mut JoinSet<End>, shared: &Arc<Shared>, phases: &watch::Sender<Phase>) {
    let shared = Arc::clone(shared);
    let phases = phases.subscribe();
    connections.spawn(async move { shared.connect(stream, phases).await });
}

impl Shared {
    async fn connect(&self, stream: TcpStream, mut phases: watch::Receiver<Phase>) -> End {
        // Replies are small and written at once; without this some would wait for an ACK.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY");
        }
        let routes = self.routes.clone();
        let Some(tls) = &self.tls else {
            return connection::serve(stream, routes, self.keep_alive, &self.limits, phases).await;
        };
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        let handshake = timeout(self.limits.handshake, tls.accept(stream));
        let stream = tokio::select! {
            biased;
            result = handshake => match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%error, "TLS handshake failed");
                    return End::Handshake;
                }
                Err(_) => return End::Slow("handshake"),
            },
            _ = phases.wait_for(|phase| *phase == Phase::Aborting) => {
                return End::Aborted { handling: false };
            }
        };
        connection::serve(stream, routes, self.keep_alive, &self.limits, phases).await
    }
}
