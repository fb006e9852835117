//! Rust types of the `kubernaut.ai/v1alpha1` resources, and the only place for their strings.
//!
//! Six kinds carry one remediation from a signal to its result:
//!
//! ```text
//! RemediationRequest ─┬─ SignalProcessing ── AIAnalysis ─┬─ WorkflowExecution
//!                     │                                  └─ RemediationApprovalRequest
//!                     └─ NotificationRequest (any number)
//! ```
//!
//! # Invariants
//! - Whatever a stored object says can be read: every enum has an arm for values of a newer version, and every field
//!   of a status may be absent.
//! - The schema is narrower than the types: it lists only the known values and demands what the specification demands.
//! - `.spec` never changes after creation (a rule of each CRD); no rule of a CRD looks at the old `.status`, because the
//!   API server would answer 422 where the write guard answers 409.
//! - Phases and their edges are data ([`PhaseMachine`]), so that a test can hold the guard's policies against them.

#![allow(clippy::duplicated_attributes, reason = "the printer columns of a kind share their types and paths")]

mod ai_analysis;
mod analysis_result;
mod approval_request;
mod context;
mod duration;
mod field;
mod machine;
mod names;
mod notification_context;
mod notification_request;
mod reference;
mod remediation_request;
mod remediation_status;
mod schema;
mod signal_processing;
mod workflow;
mod workflow_execution;

pub use ai_analysis::*;
pub use analysis_result::*;
pub use approval_request::*;
pub use context::*;
pub use duration::{DurationError, GoDuration};
pub use machine::PhaseMachine;
pub use names::*;
pub use notification_context::*;
pub use notification_request::*;
pub use reference::*;
pub use remediation_request::*;
pub use remediation_status::*;
pub use signal_processing::*;
pub use workflow::*;
pub use workflow_execution::*;

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

/// The six definitions, sorted by name.
#[must_use]
pub fn crds() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![
        AIAnalysis::crd(),
        NotificationRequest::crd(),
        RemediationApprovalRequest::crd(),
        RemediationRequest::crd(),
        SignalProcessing::crd(),
        WorkflowExecution::crd(),
    ];
    crds.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
    crds
}
