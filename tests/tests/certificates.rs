//! Certificates on a real API server: replicas make, publish and rotate an authority, whatever is in their way.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "certificates/clock.rs"]
mod clock;
#[path = "certificates/garbage.rs"]
mod garbage;
#[path = "certificates/log.rs"]
mod log;
#[path = "certificates/outage.rs"]
mod outage;
#[path = "certificates/rights.rs"]
mod rights;
#[path = "certificates/rotated.rs"]
mod rotated;
#[path = "certificates/site.rs"]
mod site;
