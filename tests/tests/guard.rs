//! The guard as the API server meets it: every case goes through a real API server over HTTP/1.1.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "guard/clients.rs"]
mod clients;
#[path = "guard/common.rs"]
mod common;
#[path = "guard/drain.rs"]
mod drain;
#[path = "guard/folder.rs"]
mod folder;
#[path = "guard/hostile.rs"]
mod hostile;
#[path = "guard/modes.rs"]
mod modes;
#[path = "guard/object.rs"]
mod object;
#[path = "guard/outage.rs"]
mod outage;
#[path = "guard/overload.rs"]
mod overload;
#[path = "guard/refusals.rs"]
mod refusals;
#[path = "guard/stale.rs"]
mod stale;
#[path = "guard/unasked.rs"]
mod unasked;
#[path = "guard/unjudged.rs"]
mod unjudged;
#[path = "guard/writers.rs"]
mod writers;
