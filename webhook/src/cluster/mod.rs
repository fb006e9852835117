//! What the guard reads from the cluster and keeps in it.

pub mod configuration;
pub mod policies;
