//! What the guard reads from the cluster and keeps in it.

pub mod configuration;
mod connection;
pub mod policies;
mod service;

pub use connection::{ClusterArgs, ClusterConnection};
pub use service::{CertificateSource, ClusterNames, ClusterService};
