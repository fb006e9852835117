//! One listener from its first connection to its last.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{self, AbortHandle, JoinError, JoinSet, yield_now};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;

use crate::connection::{self, ConnectionEnd, Peer};
use crate::drain::{DrainInput, DrainPhase, Shutdown};
use crate::handshake::HandshakeFailure;
use crate::limits::Limits;
use crate::log_limit::LogLimit;
use crate::metrics::EdgeMetrics;

/// How long to wait after `accept` failed: as a rule too many files are open, and trying at once would fail again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Read from a TLS connection at a time. By itself rustls reads 4 KiB, which is a quarter of a record.
const READ_AHEAD: usize = 32 << 10;

/// Connections that end for newer ones at a time; then nothing at all is accepted until one has ended, which takes
/// microseconds.
const MOST_EVICTED: usize = 16;

/// How long a known peer must have been idle to be closed for a newer connection.
const LEAST_IDLE: Duration = Duration::from_secs(1);

/// How often the log warns of handshakes that failed for the same cause.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What a listener serves, and how.
pub(crate) struct Port {
    /// Its name in the log.
    pub(crate) name: &'static str,
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
    name: &'static str,
    tls: Option<TlsAcceptor>,
    routes: Router,
    busy: Router,
    keep_alive: bool,
    limits: Arc<Limits>,
    metrics: Option<EdgeMetrics>,
    phases: watch::Sender<DrainPhase>,
    connections: JoinSet<ConnectionEnd>,
    /// Of the connections that are served; the others are told that the guard is busy.
    slots: Arc<Semaphore>,
    /// Served connections whose peers have not sent a review yet, the oldest first.
    strangers: VecDeque<(AbortHandle, Peer)>,
    /// Connections that are served to peers that have sent a review.
    known: Vec<(AbortHandle, Peer)>,
    /// Connections that were closed for newer ones and have not ended yet.
    evicted: HashSet<task::Id>,
    full: bool,
}

/// Whether a connection is served.
enum ConnectionSlot {
    Free(OwnedSemaphorePermit),
    /// Once the connection that was closed for it has ended.
    Soon(Arc<Semaphore>),
    None,
}

enum ListenerEvent {
    Accepted(std::io::Result<(TcpStream, SocketAddr)>),
    Ended(ConnectionEnd),
    Other,
}

impl Port {
    /// Serves until a shutdown has ended every connection.
    pub(crate) async fn run(self, shutdown: &Shutdown) -> Drained {
        let Self { name, listener, tls, routes, busy, keep_alive, limits, metrics, phases } = self;
        let mut acceptor = Acceptor {
            name,
            tls,
            routes,
            busy,
            keep_alive,
            limits: Arc::clone(&limits),
            metrics: metrics.clone(),
            phases,
            connections: JoinSet::new(),
            slots: Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS))),
            strangers: VecDeque::new(),
            known: Vec::new(),
            evicted: HashSet::new(),
            full: false,
        };
        let mut listener = Some(listener);
        let mut asked = shutdown.watch();
        let mut drained = Drained::default();
        let mut phase = DrainPhase::Serving;
        let mut asked_at = None;
        let warnings = LogLimit::new(1, WARNING_INTERVAL);
        loop {
            let open = acceptor.connections.len();
            let times = *asked.borrow_and_update();
            if times > 0 {
                asked_at.get_or_insert_with(Instant::now);
            }
            let lasted = asked_at.map(|at| at.elapsed()).unwrap_or_default();
            let next = phase.next(DrainInput { asked: times, connections: open, lasted }, &limits);
            if next != phase {
                tracing::info!(port = name, from = ?phase, to = ?next, connections = open, "drain");
                phase = next;
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
            let alarm = asked_at.and_then(|at| phase.until(open, &limits).map(|after| at + after));
            let event = tokio::select! {
                // What has ended makes room for what comes.
                biased;
                Some(ended) = acceptor.connections.join_next_with_id() => {
                    ListenerEvent::Ended(acceptor.ended(ended))
                }
                accepted = async { listener.as_ref().map(TcpListener::accept)?.await.into() },
                    if listener.is_some() && acceptor.evicted.len() < MOST_EVICTED =>
                {
                    match accepted {
                        Some(result) => ListenerEvent::Accepted(result),
                        None => ListenerEvent::Other,
                    }
                }
                _ = asked.changed() => ListenerEvent::Other,
                () = async { sleep_until(alarm.unwrap_or_else(Instant::now)).await }, if alarm.is_some() => {
                    ListenerEvent::Other
                }
            };
            match event {
                ListenerEvent::Accepted(Ok((stream, address))) => {
                    acceptor.accept(stream, address);
                    if !acceptor.evicted.is_empty() {
                        // Newcomers have to begin their handshakes before they are taken for silent.
                        yield_now().await;
                    }
                }
                ListenerEvent::Accepted(Err(error)) => {
                    tracing::warn!(port = name, %error, "accept failed");
                    sleep(ACCEPT_PAUSE).await;
                }
                ListenerEvent::Ended(end) => drained.count(end, metrics.as_ref(), &warnings),
                ListenerEvent::Other => {}
            }
        }
    }
}

impl Drained {
    fn count(&mut self, end: ConnectionEnd, metrics: Option<&EdgeMetrics>, warnings: &LogLimit) {
        match end {
            ConnectionEnd::Slow(cause) => {
                if let Some(metrics) = metrics {
                    metrics.shed(cause);
                }
            }
            ConnectionEnd::Handshake(failure) => {
                failure.log(warnings);
                if let Some(metrics) = metrics {
                    metrics.handshake_failed(failure.cause);
                }
            }
            ConnectionEnd::ClosedIdle { raced } => {
                self.closed_idle += 1;
                self.raced += u64::from(raced);
            }
            ConnectionEnd::Aborted { handling } => self.cut += u64::from(handling),
            ConnectionEnd::Evicted => {
                if let Some(metrics) = metrics {
                    metrics.shed("evicted");
                }
            }
            ConnectionEnd::Done => {}
        }
    }
}

impl Acceptor {
    /// Serves a connection, or says that there are too many.
    fn accept(&mut self, stream: TcpStream, address: SocketAddr) {
        let most = self.limits.max_connections.saturating_add(Limits::BUSY_CONNECTIONS);
        let open = self.connections.len() - self.evicted.len();
        let slot = if open < most { self.slot() } else { ConnectionSlot::None };
        let full = matches!(slot, ConnectionSlot::None);
        if full {
            if let Some(metrics) = &self.metrics {
                metrics.shed("connections");
            }
            if !self.full {
                tracing::warn!(port = self.name, limit = self.limits.max_connections, "serving no more connections");
            }
        }
        self.full = full;
        if open >= most {
            return;
        }
        let routes = if full { &self.busy } else { &self.routes };
        let connection = Connection {
            tls: self.tls.clone(),
            routes: routes.clone(),
            keep_alive: self.keep_alive && !full,
            limits: Arc::clone(&self.limits),
            peer: Peer::new(address),
        };
        let (phases, peer) = (self.phases.subscribe(), connection.peer.clone());
        let task = self.connections.spawn(async move {
            let _slot = match slot {
                ConnectionSlot::Free(permit) => Some(permit),
                // Never closed.
                ConnectionSlot::Soon(slots) => slots.acquire_owned().await.ok(),
                ConnectionSlot::None => None,
            };
            connection.serve(stream, phases).await
        });
        if !full {
            self.strangers.push_back((task, peer));
        }
    }

    /// A slot for a new connection, if need be that of the oldest stranger, one that has said nothing before others, or
    /// of the known peer that has been idle for longest. A call that is being answered is not cut.
    fn slot(&mut self) -> ConnectionSlot {
        if let Ok(permit) = Arc::clone(&self.slots).try_acquire_owned() {
            if self.strangers.len() > 2 * self.limits.max_connections {
                self.sort_out();
            }
            return ConnectionSlot::Free(permit);
        }
        self.sort_out();
        let oldest = |is: fn(&Peer) -> bool| self.strangers.iter().position(|(_, peer)| is(peer));
        let stranger = oldest(Peer::is_silent).or_else(|| oldest(|peer| !peer.is_being_answered()));
        let chosen = match stranger.and_then(|at| self.strangers.remove(at)) {
            Some((task, _)) => task,
            None => {
                let idle = self.known.iter().map(|(_, peer)| peer.idle()).enumerate();
                match idle.max_by_key(|(_, idle)| *idle) {
                    Some((at, idle)) if idle >= LEAST_IDLE => self.known.swap_remove(at).0,
                    _ => return ConnectionSlot::None,
                }
            }
        };
        chosen.abort();
        self.evicted.insert(chosen.id());
        ConnectionSlot::Soon(Arc::clone(&self.slots))
    }

    /// Forgets connections that have ended, and tells strangers from known peers.
    fn sort_out(&mut self) {
        self.known.retain(|(task, _)| !task.is_finished());
        let known = &mut self.known;
        self.strangers.retain(|(task, peer)| {
            if task.is_finished() {
                return false;
            }
            if peer.is_proven() {
                known.push((task.clone(), peer.clone()));
            }
            !peer.is_proven()
        });
    }

    /// How a connection ended. One that was to be closed may have ended by itself just before.
    fn ended(&mut self, ended: Result<(task::Id, ConnectionEnd), JoinError>) -> ConnectionEnd {
        let (id, end) = match ended {
            Ok((id, end)) => (id, end),
            // A connection's task panics only by a fault of this crate; its peer sees a connection that broke.
            Err(error) => (error.id(), ConnectionEnd::Done),
        };
        if self.evicted.remove(&id) { ConnectionEnd::Evicted } else { end }
    }

    /// Accepts what came before the listener closes: its peers have been told that it is open.
    async fn empty_backlog(&mut self, listener: &TcpListener) {
        while let Ok(Ok((stream, address))) = timeout(Duration::ZERO, listener.accept()).await {
            self.accept(stream, address);
        }
    }
}

/// One connection before its first request.
struct Connection {
    tls: Option<TlsAcceptor>,
    routes: Router,
    keep_alive: bool,
    limits: Arc<Limits>,
    peer: Peer,
}

impl Connection {
    async fn serve(self, stream: TcpStream, mut phases: watch::Receiver<DrainPhase>) -> ConnectionEnd {
        let Self { tls, routes, keep_alive, limits, peer } = self;
        // Replies are small and written at once; without this some would wait for an ACK.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "setting TCP_NODELAY");
        }
        let Some(tls) = tls else {
            return connection::serve(stream, routes, keep_alive, &limits, &peer, phases).await;
        };
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        let handshake = timeout(limits.handshake, async {
            // Not `readable`, which may be wrong.
            stream.get_ref().peek(&mut [0]).await?;
            peer.speak();
            tls.accept(stream).await
        });
        let stream = tokio::select! {
            biased;
            result = handshake => match result {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return ConnectionEnd::Handshake(HandshakeFailure::new(&error, peer.address())),
                Err(_) => return ConnectionEnd::Slow("handshake"),
            },
            _ = phases.wait_for(|phase| *phase == DrainPhase::Aborting) => {
                return ConnectionEnd::Aborted { handling: false };
            }
        };
        connection::serve(stream, routes, keep_alive, &limits, &peer, phases).await
    }
}
