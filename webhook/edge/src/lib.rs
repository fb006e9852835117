//! HTTPS edge of the guard: AdmissionReview in, verdict out.
//!
//! Knows nothing of policies: a [`Judge`] decides, a [`Recorder`] keeps what was refused, and
//! [`serve`] does the rest.
//!
//! ```text
//! listen ─▶ connection ─▶ admit ─▶ body ─▶ review ─▶ Judge ─▶ Recorder ─▶ reply
//!   ▲ phases    ▲                           ▲ review_parser, cursor, block
//! drain ────────┘
//! ```
//!
//! Invariants:
//! - One bad request ends itself: no input and no panic of a judge ends another call.
//! - Every wait has a deadline, every queue a bound and a counter ([`Limits`]).
//! - What is not judged is never denied: `failurePolicy` decides, or the judge allows it.
//! - No content of a status is logged.

mod admit;
mod block;
mod body;
mod client_certificate;
mod connection;
mod cursor;
mod drain;
mod error;
mod exposition;
mod handshake;
mod health;
mod judge;
mod limits;
mod listen;
mod log_limit;
mod long_judgements;
mod malformed;
mod metrics;
mod panic;
mod plain;
mod record;
mod reply;
mod review;
mod review_parser;
mod serve;
mod shown;
mod tls;
mod trace_context;

pub use client_certificate::ClientVerifier;
pub use drain::Shutdown;
pub use error::Error;
pub use health::{Health, ReadinessGate};
pub use judge::{
    CallContext, Cause, Decision, Denial, GroupResource, Judge, Labels, NoRecords, Recorder, ReviewAnswer, Unjudged,
};
pub use limits::{Limits, duration};
pub use listen::Drained;
pub use malformed::{MalformedReason, MalformedReview};
pub use metrics::EdgeMetrics;
pub use review::{ApiType, Metadata, Review, ReviewObject, ReviewOperation};
pub use serve::{Edge, serve};
pub use shown::{LONGEST_SHOWN, shown};
pub use tls::{certificate, certified_key};
