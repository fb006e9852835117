//! What the guard reads from the cluster and keeps in it.

pub(crate) mod canary;
pub mod configuration;
mod connection;
pub mod policies;
mod problem;
mod request;
mod service;

pub use connection::{ClusterArgs, ClusterConnection};
pub(crate) use service::places;
pub use service::{CertificateSource, ClusterNames, ClusterService};
