//! The guard keeps its `ValidatingWebhookConfiguration` at a real API server, among others who write it, too.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "configuration/fighters.rs"]
mod fighters;
#[path = "configuration/kept.rs"]
mod kept;
#[path = "configuration/outage.rs"]
mod outage;
#[path = "configuration/rights.rs"]
mod rights;
#[path = "configuration/stage.rs"]
mod stage;
#[path = "configuration/switch.rs"]
mod switch;
#[path = "configuration/trials.rs"]
mod trials;
