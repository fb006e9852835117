//! The status writer on a real API server: contention, faults, restarts, stale caches, refusals.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "atomic/doubt.rs"]
mod doubt;
#[path = "atomic/faults.rs"]
mod faults;
#[allow(dead_code, reason = "shared with the guard's own tests")]
#[path = "guard/common.rs"]
mod guard;
#[path = "atomic/lifecycle.rs"]
mod lifecycle;
#[allow(dead_code, reason = "shared with the guard's own tests")]
#[path = "guard/object.rs"]
mod object;
#[path = "atomic/objects.rs"]
mod objects;
#[path = "atomic/own_kind.rs"]
mod own_kind;
#[path = "atomic/processes.rs"]
mod processes;
#[path = "atomic/proof.rs"]
mod proof;
#[path = "atomic/refusals.rs"]
mod refusals;
#[path = "atomic/stale.rs"]
mod stale;
#[path = "atomic/status_hook.rs"]
mod status_hook;
#[path = "atomic/storm.rs"]
mod storm;
#[path = "atomic/tally.rs"]
mod tally;
