//! Real control plane harness, the playground, integration tests and benches.

pub mod controlplane;
pub mod faults;
pub mod local;
pub mod parcels;
pub mod plain;
pub mod tls;

pub use controlplane::{
    ControlPlane, LogsOnFailure, Options, Scope, StaleProxy, User, WebhookService, eventually, unique,
};
pub use faults::{Fault, FaultProxy, RequestCounts};
pub use plain::plain_answer;
pub use tls::{Authority, LeafFiles, TestLeaf};
