//! The six kinds as the API server serves them: every case of their policies by every verb, their schema, and the
//! admission policies beside the guard.
//!
//! ```text
//! stage:    CRDs of a newer version ─▶ an object for every case and verb ─▶ the CRDs themselves
//! judged:   the guard is registered ─▶ every write, compared with its case
//! schema:   what the CRDs refuse, fill in, select and print
//! admitted: what the ValidatingAdmissionPolicies refuse, and that no stale write is among it
//! ```

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "kinds/admitted.rs"]
mod admitted;
#[path = "kinds/cases.rs"]
mod cases;
#[path = "kinds/expectation.rs"]
mod expectation;
#[path = "kinds/judged.rs"]
mod judged;
#[path = "kinds/kind.rs"]
mod kind;
#[path = "kinds/promises.rs"]
mod promises;
#[path = "kinds/schema.rs"]
mod schema;
#[path = "kinds/server.rs"]
mod server;
#[path = "kinds/stage.rs"]
mod stage;
#[path = "kinds/verb.rs"]
mod verb;
