//! Reads request bodies within a limit for each and a budget for all.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body_util::BodyExt;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::{Instant, timeout_at};

/// Room that is made for an announced body before it comes; a larger one grows into it.
const RESERVE: usize = 512 << 10;

/// Up to this, a body is small.
const SMALL: i64 = 64 << 10;

/// Bytes of a body that have to arrive within [`Limits::body_stall`](crate::Limits::body_stall), unless it ends.
const PROGRESS: usize = 16 << 10;

/// Bytes that request bodies may take up at a time. The gauge is the account itself.
#[derive(Clone)]
pub(crate) struct BodyBudget {
    used: Gauge,
    max: i64,
}

/// A part of the budget, given back on drop.
pub(crate) struct BodyReservation {
    budget: BodyBudget,
    bytes: i64,
    /// What the budget may come to for this body while it is small, and after that.
    shares: [i64; 2],
}

/// Why a body was not read.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// More than the limit for one body.
    TooLarge,
    /// More than is left of the budget for all.
    Busy,
    /// It does not come on.
    Slow,
    /// The connection ended or broke.
    Broken(axum::Error),
}

impl BodyBudget {
    pub(crate) fn new(used: Gauge, max: usize) -> Self {
        Self { used, max: i64::try_from(max).unwrap_or(i64::MAX) }
    }

    /// For a body of at most `largest` bytes. Small bodies and known peers keep room that others cannot take: half of the
    /// budget is open to the large bodies of strangers, three quarters to their small ones, and seven eighths to the
    /// large ones of known peers.
    pub(crate) fn hold(&self, proven: bool, largest: usize) -> BodyReservation {
        let eighths = if proven { [8, 7] } else { [6, 4] };
        let largest = i64::try_from(largest).unwrap_or(i64::MAX).min(self.max);
        let shares = eighths.map(|eighths| (self.max / 8 * eighths).max(largest));
        BodyReservation { budget: self.clone(), bytes: 0, shares }
    }
}

impl BodyReservation {
    /// Takes more of the budget. By what has arrived, not by what was announced: a peer that
    /// announces much and sends nothing holds nothing.
    fn more(&mut self, bytes: usize) -> Result<(), BodyError> {
        let bytes = bytes as i64;
        let before = self.budget.used.inc_by(bytes);
        self.bytes += bytes;
        let max = self.shares[usize::from(self.bytes > SMALL)];
        if before + bytes > max {
            return Err(BodyError::Busy);
        }
        Ok(())
    }
}

impl Drop for BodyReservation {
    fn drop(&mut self) {
        self.budget.used.dec_by(self.bytes);
    }
}

/// Reads the whole body, as long as it comes on. One that came in one piece is not copied.
pub(crate) async fn read(
    body: &mut Body,
    limit: usize,
    stall: Duration,
    held: &mut BodyReservation,
) -> Result<Bytes, BodyError> {
    let announced = body.size_hint().exact();
    if announced.is_some_and(|bytes| bytes > limit as u64) {
        return Err(BodyError::TooLarge);
    }
    let mut whole = Vec::new();
    let (mut due, mut by_then) = (Instant::now() + stall, PROGRESS);
    while let Some(frame) = timeout_at(due, body.frame()).await.map_err(|_| BodyError::Slow)? {
        let Ok(data) = frame.map_err(BodyError::Broken)?.into_data() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(BodyError::TooLarge);
        }
        held.more(data.len())?;
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        // Twice the room each time, but none that the body will not use.
        if whole.capacity() - whole.len() < data.len() {
            let (first, most) = announced.map_or((0, limit), |bytes| (RESERVE, bytes as usize));
            let room = (2 * whole.capacity()).max(first).min(most).max(whole.len() + data.len());
            whole.reserve_exact(room - whole.len());
        }
        whole.extend_from_slice(&data);
        if whole.len() >= by_then {
            (due, by_then) = (Instant::now() + stall, whole.len() + PROGRESS);
        }
    }
    Ok(whole.into())
}

/// Reads and drops what is left of a body, so that a peer which is still sending gets to read the
/// reply. `false` if there is much more of it than the limit for one body.
pub(crate) async fn discard(body: &mut Body, limit: usize) -> bool {
    let limit = 2 * limit;
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > limit {
            return false;
        }
    }
    true
}
