//! The guard takes its policies from a real API server, and says what has become of them.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "policies/conditions.rs"]
mod conditions;
#[path = "policies/crds.rs"]
mod crds;
#[path = "policies/input.rs"]
mod input;
#[path = "policies/lifecycle.rs"]
mod lifecycle;
#[path = "policies/outage.rs"]
mod outage;
#[path = "policies/replicas.rs"]
mod replicas;
#[path = "policies/rights.rs"]
mod rights;
#[path = "policies/stage.rs"]
mod stage;
