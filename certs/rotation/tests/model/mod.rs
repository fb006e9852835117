//! A cluster in which replicas rotate, crash and stand still, and people interfere.
//!
//! A replica's look has three parts, between which anything may happen: it reads clock and Secret; it reads the bundles,
//! sees that the Secret is still the same, reads the clock and decides; it acts, one write at a time. Writes succeed
//! only on the version that was read.

#![allow(dead_code, reason = "each test uses a part")]

pub mod explore;
pub mod faults;
pub mod moves;
pub mod promises;
pub mod world;
