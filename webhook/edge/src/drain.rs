//! The life of a listener as a state machine, and the handle that ends it.
//!
//! ```text
//! Serving ──asked──▶ Draining ──none left, or late──▶ Closing ──none left──▶ Ended
//!    └───────────────────┴──asked again──▶ Aborting ◀──┘ asked again,         ▲
//!                                              │         or time-out           │
//!                                              └───────────none left───────────┘
//! ```
//!
//! Why a drain and not a plain graceful shutdown: a client of HTTP/1.1 that has just written a
//! request onto a kept-alive connection does not repeat it when the server closes that connection
//! at the same moment. A reply that says `Connection: close` ends a connection with nobody's
//! request on it, and new connections must find a listener until all clients know of another one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::limits::Limits;

/// Ends a server. Clones are the same handle.
#[derive(Debug, Clone)]
pub struct Shutdown(Arc<watch::Sender<u32>>);

/// Where a listener is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DrainPhase {
    /// Accepts, keeps connections.
    Serving,
    /// Accepts, every reply ends its connection.
    Draining,
    /// Accepts no more; closes what is idle; what is in use ends with its reply.
    Closing,
    /// Every connection is dropped.
    Aborting,
    /// No connection is left.
    Ended,
}

/// What the next phase depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DrainInput {
    /// How often a shutdown was asked for.
    pub(crate) asked: u32,
    /// Connections that have not ended.
    pub(crate) connections: usize,
    /// How long ago a shutdown was first asked for; zero before that.
    pub(crate) lasted: Duration,
}

impl Shutdown {
    /// A handle that nobody has used yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(0)))
    }

    /// Asks for a drain; asked again, for the end at once.
    pub fn request(&self) {
        self.0.send_modify(|asked| *asked = asked.saturating_add(1));
    }

    pub(crate) fn watch(&self) -> watch::Receiver<u32> {
        self.0.subscribe()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl DrainPhase {
    /// The phase to be in now.
    pub(crate) fn next(self, seen: DrainInput, limits: &Limits) -> Self {
        let none_left = seen.connections == 0;
        match self {
            Self::Serving | Self::Draining | Self::Closing if seen.asked > 1 => Self::Aborting,
            Self::Serving if seen.asked == 1 => Self::Draining,
            Self::Draining if none_left && seen.lasted >= limits.min_drain => Self::Closing,
            Self::Draining if seen.lasted >= limits.closing_at() => Self::Closing,
            Self::Closing if !none_left && seen.lasted >= limits.drain_timeout => Self::Aborting,
            Self::Closing | Self::Aborting if none_left => Self::Ended,
            same => same,
        }
    }

    /// When time alone may change the phase, counted from when the shutdown was asked for.
    pub(crate) fn until(self, connections: usize, limits: &Limits) -> Option<Duration> {
        match self {
            Self::Draining if connections == 0 => Some(limits.min_drain),
            Self::Draining => Some(limits.closing_at()),
            Self::Closing => Some(limits.drain_timeout),
            Self::Serving | Self::Aborting | Self::Ended => None,
        }
    }

    pub(crate) fn accepts(self) -> bool {
        matches!(self, Self::Serving | Self::Draining)
    }

    /// Whether a reply ends its connection.
    pub(crate) fn last_reply(self) -> bool {
        self != Self::Serving
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DrainPhase::{Aborting, Closing, Draining, Ended, Serving};

    /// Every phase against every observation.
    #[test]
    fn phases() {
        let limits = Limits::default();
        let (early, min_drain, drain_timeout) = (Duration::ZERO, limits.min_drain, limits.drain_timeout);
        let closing = limits.closing_at();
        // phase, then the next one with (asked, connections, lasted)
        for (phase, asked, connections, lasted, next) in [
            (Serving, 0, 0, drain_timeout, Serving),
            (Serving, 0, 9, drain_timeout, Serving),
            (Serving, 1, 0, early, Draining),
            (Serving, 1, 9, drain_timeout, Draining),
            (Serving, 2, 0, early, Aborting),
            (Serving, 2, 9, early, Aborting),
            (Draining, 1, 0, early, Draining),
            (Draining, 1, 9, early, Draining),
            (Draining, 1, 0, min_drain, Closing),
            (Draining, 1, 9, min_drain, Draining),
            (Draining, 1, 0, drain_timeout, Closing),
            (Draining, 1, 9, closing, Closing),
            (Draining, 1, 9, drain_timeout, Closing),
            (Draining, 2, 9, early, Aborting),
            (Draining, 2, 0, drain_timeout, Aborting),
            (Closing, 1, 9, closing, Closing),
            (Closing, 1, 9, drain_timeout, Aborting),
            (Closing, 1, 0, drain_timeout, Ended),
            (Closing, 1, 0, early, Ended),
            (Closing, 2, 9, early, Aborting),
            (Closing, 2, 0, early, Aborting),
            (Aborting, 2, 9, drain_timeout, Aborting),
            (Aborting, 2, 0, early, Ended),
            (Aborting, 7, 0, early, Ended),
            (Ended, 2, 0, early, Ended),
        ] {
            let seen = DrainInput { asked, connections, lasted };
            assert_eq!(phase.next(seen, &limits), next, "{phase:?} {seen:?}");
        }
    }

    /// From every phase, once asked, time and the end of connections lead to the end.
    #[test]
    fn every_phase_ends() {
        let limits = Limits::default();
        for start in [Serving, Draining, Closing, Aborting, Ended] {
            for asked in [1, 2] {
                let mut phase = start;
                for _ in 0..4 {
                    let seen = DrainInput { asked, connections: 0, lasted: limits.drain_timeout };
                    phase = phase.next(seen, &limits);
                }
                assert_eq!(phase, Ended, "from {start:?}, asked {asked}");
            }
        }
    }
}
