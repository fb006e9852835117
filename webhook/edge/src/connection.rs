//! One connection: HTTP/1.1 with a limit on everything a peer can make the server wait for.
//!
//! ```text
//! Fresh ──first byte──▶ Header ──header read──▶ Handling ──reply made──▶ Replying
//!                          ▲                        ▲                       │ flushed
//!                          └──────first byte──── Idle ◀─────────────────────┘
//! ```
//!
//! The states are noted by the parts that see them change (the byte stream and the service); the
//! connection's own loop compares their age with the limits. hyper's own header time-out is not
//! used: it runs while a kept-alive connection is idle, and closing that before the API server
//! does can cut a call.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::drain::DrainPhase;
use crate::handshake::{HandshakeCause, HandshakeFailure};
use crate::limits::Limits;

/// Bounds a request's header, and what is read of a body at a time.
const READ_BUFFER: usize = 64 << 10;
/// How long a closed connection is watched for a request that was already on its way.
const LINGER: Duration = Duration::from_millis(100);
/// How long the first byte of a newly accepted connection may take: it comes right behind the connection itself.
const FIRST_WORD: Duration = Duration::from_millis(2);
/// Longer than any connection waits for anything.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConnectionEnd {
    /// By the peer, after a reply that said so, or for having been idle for too long.
    Done,
    /// The peer was too slow: with the handshake, a header, or taking a reply.
    Slow(&'static str),
    /// The handshake failed, or the peer refused the served certificate after it.
    Handshake(HandshakeFailure),
    /// It was idle in a shutdown.
    ClosedIdle {
        /// A request was on its way when it was closed.
        raced: bool,
    },
    /// Dropped in a shutdown at once.
    Aborted {
        /// In the middle of a call.
        handling: bool,
    },
    /// Closed for a newer one.
    Evicted,
}

/// What a connection has shown of its peer. Anybody who reaches the port can open connections; only who sends reviews
/// is served at length.
#[derive(Debug, Clone)]
pub(crate) struct Peer(Arc<PeerState>);

#[derive(Debug)]
struct PeerState {
    address: SocketAddr,
    proven: AtomicBool,
    /// The first byte of its handshake has come.
    spoken: AtomicBool,
    /// A whole request is here and is being answered.
    answered_now: AtomicBool,
    /// Why it refused the served certificate when the handshake was complete for this side.
    refusal: OnceLock<HandshakeFailure>,
    activity: Activity,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(Arc::new(PeerState {
            address,
            proven: AtomicBool::default(),
            spoken: AtomicBool::default(),
            answered_now: AtomicBool::default(),
            refusal: OnceLock::new(),
            activity: Activity::default(),
        }))
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address
    }

    /// It has sent a review that a policy judged.
    pub(crate) fn prove(&self) {
        self.0.proven.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_proven(&self) -> bool {
        self.0.proven.load(Ordering::Relaxed)
    }

    /// It has begun its handshake.
    pub(crate) fn speak(&self) {
        self.0.spoken.store(true, Ordering::Relaxed);
    }

    /// Whether nothing has come from it, though there was time. Connections that say nothing cost their peers least.
    pub(crate) fn is_silent(&self) -> bool {
        let spoken = self.0.spoken.load(Ordering::Relaxed) || self.0.activity.get().0 != ConnectionState::Fresh;
        !spoken && self.0.activity.begun.elapsed() >= FIRST_WORD
    }

    /// Its request is complete: closing the connection would cut a call that is being answered.
    pub(crate) fn request_complete(&self) {
        self.0.answered_now.store(true, Ordering::Relaxed);
    }

    /// Whether a whole request of it is being answered.
    pub(crate) fn is_being_answered(&self) -> bool {
        self.0.answered_now.load(Ordering::Relaxed)
    }

    /// For how long it has had no request under way; zero while it has one.
    pub(crate) fn idle(&self) -> Duration {
        match self.0.activity.get() {
            (ConnectionState::Idle, since) => since.elapsed(),
            _ => Duration::ZERO,
        }
    }
}

/// What a connection is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionState {
    Fresh,
    Header,
    Handling,
    Replying,
    Idle,
}

/// What a connection is doing since when, in one word: milliseconds since its beginning and, in the
/// lowest three bits, which of the states.
#[derive(Debug)]
struct Activity {
    begun: Instant,
    word: AtomicU64,
}

/// A byte stream that notes the first byte of a request and the last of a reply.
struct Watched<T> {
    io: T,
    peer: Peer,
}

impl Default for Activity {
    fn default() -> Self {
        Self { begun: Instant::now(), word: AtomicU64::new(ConnectionState::Fresh as u64) }
    }
}

impl Activity {
    fn set(&self, state: ConnectionState) {
        let since = self.begun.elapsed().as_millis() as u64;
        self.word.store(since << 3 | state as u64, Ordering::Relaxed);
    }

    fn get(&self) -> (ConnectionState, Instant) {
        let word = self.word.load(Ordering::Relaxed);
        let state = match word & 7 {
            0 => ConnectionState::Fresh,
            1 => ConnectionState::Header,
            2 => ConnectionState::Handling,
            3 => ConnectionState::Replying,
            _ => ConnectionState::Idle,
        };
        (state, self.begun + Duration::from_millis(word >> 3))
    }

    /// When the time for what the connection is doing ends. A call has limits of its own.
    fn due(&self, proven: bool, phase: DrainPhase, limits: &Limits) -> Instant {
        let (state, since) = self.get();
        let closing = phase == DrainPhase::Closing;
        let idle = if proven { limits.idle } else { limits.header.min(limits.idle) };
        since
            + match state {
                ConnectionState::Fresh if closing => limits.idle_close().min(limits.header),
                ConnectionState::Idle if closing => limits.idle_close().min(idle),
                ConnectionState::Fresh | ConnectionState::Header | ConnectionState::Replying => limits.header,
                ConnectionState::Idle => idle,
                ConnectionState::Handling => NEVER,
            }
    }
}

/// Serves one connection to its end.
pub(crate) async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin,
    routes: Router,
    keep_alive: bool,
    limits: &Limits,
    peer: &Peer,
    phases: watch::Receiver<DrainPhase>,
) -> ConnectionEnd {
    let activity = &peer.0.activity;
    // Until now it was shaking hands.
    activity.set(ConnectionState::Fresh);
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        activity.set(ConnectionState::Handling);
        request.extensions_mut().insert(peer.clone());
        if request.body().is_end_stream() {
            peer.request_complete();
        }
        let reply = routes.call(request);
        let phases = phases.clone();
        async move {
            let mut response = reply.await?;
            if phases.borrow().last_reply() {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            peer.0.answered_now.store(false, Ordering::Relaxed);
            activity.set(ConnectionState::Replying);
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let watched = Watched { io, peer: peer.clone() };
    let mut connection = http1::Builder::new()
        .keep_alive(keep_alive)
        .header_read_timeout(None)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(watched), service);

    let mut phases = phases.clone();
    let mut phase = *phases.borrow_and_update();
    let mut alarm = pin!(sleep_until(activity.due(peer.is_proven(), phase, limits)));
    loop {
        let step = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Some(result));
            }
            // An alarm that is too early rings and is set again, one that is too late would not:
            // so a connection in steady use never touches its timer.
            let due = activity.due(peer.is_proven(), phase, limits);
            if due < alarm.deadline() {
                alarm.as_mut().reset(due);
            }
            alarm.as_mut().poll(cx).map(|()| None)
        });
        let ended = tokio::select! {
            biased;
            ended = step => ended,
            _ = phases.changed() => {
                phase = *phases.borrow_and_update();
                None
            }
        };
        if let Some(result) = ended {
            if let Some(refusal) = peer.0.refusal.get() {
                return ConnectionEnd::Handshake(refusal.clone());
            }
            if let Err(error) = result {
                tracing::debug!(%error, "connection broke");
            }
            return ConnectionEnd::Done;
        }
        let (state, _) = activity.get();
        if phase == DrainPhase::Aborting {
            let handling = matches!(state, ConnectionState::Handling | ConnectionState::Replying);
            return ConnectionEnd::Aborted { handling };
        }
        let due = activity.due(peer.is_proven(), phase, limits);
        if Instant::now() < due {
            alarm.as_mut().reset(due);
            continue;
        }
        match state {
            ConnectionState::Fresh if phase != DrainPhase::Closing => return ConnectionEnd::Slow("header"),
            ConnectionState::Fresh | ConnectionState::Idle => {
                let parts = connection.into_parts();
                let early = !parts.read_buf.is_empty();
                let raced = close(parts.io.into_inner().io).await || early;
                return if phase == DrainPhase::Closing {
                    ConnectionEnd::ClosedIdle { raced }
                } else {
                    ConnectionEnd::Done
                };
            }
            ConnectionState::Header => return ConnectionEnd::Slow("header"),
            ConnectionState::Replying | ConnectionState::Handling => return ConnectionEnd::Slow("reply"),
        }
    }
}

/// Closes an idle connection; `true` if a request was on its way.
async fn close(mut io: impl AsyncRead + AsyncWrite + Unpin) -> bool {
    let mut byte = [0_u8; 1];
    let close_and_read = async {
        io.shutdown().await?;
        io.read(&mut byte).await
    };
    matches!(timeout(LINGER, close_and_read).await, Ok(Ok(1)))
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buffer);
        // In TLS 1.3 a client may judge the certificate when its side of the handshake is over. hyper takes an error before
        // a request for the end of the connection.
        if let Poll::Ready(Err(error)) = &result
            && self.peer.0.activity.get().0 == ConnectionState::Fresh
            && HandshakeCause::of(error) == HandshakeCause::Untrusted
        {
            let _ = self.peer.0.refusal.set(HandshakeFailure::new(error, self.peer.0.address));
        }
        if buffer.filled().len() > before
            && matches!(self.peer.0.activity.get().0, ConnectionState::Fresh | ConnectionState::Idle)
        {
            self.peer.0.activity.set(ConnectionState::Header);
        }
        result
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.io).poll_flush(cx);
        if matches!(result, Poll::Ready(Ok(()))) && self.peer.0.activity.get().0 == ConnectionState::Replying {
            self.peer.0.activity.set(ConnectionState::Idle);
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
