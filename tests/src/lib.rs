//! Real control plane harness, integration tests, demo and benches.

pub mod controlplane;
pub mod faults;
pub mod tls;

pub use controlplane::{
    ControlPlane, LogsOnFailure, Options, Scope, StaleProxy, User, WebhookService, eventually, unique,
};
pub use faults::{Counts, Fault, FaultProxy};
pub use tls::{Authority, LeafFiles, TestLeaf};
