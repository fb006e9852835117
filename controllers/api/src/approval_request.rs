//! RemediationApprovalRequest: a person is asked whether a workflow may run.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ConfidenceLevel, ConsideredAlternative, GoDuration, NamedReference, PhaseMachine, PolicyEvaluation,
    RecommendedAction, RemediationRequestRef, field::string_enum, schema,
};

/// What is to be decided.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "RemediationApprovalRequest",
    plural = "remediationapprovalrequests",
    shortname = "rar",
    shortname = "rars",
    namespaced,
    status = "RemediationApprovalRequestStatus",
    derive = "PartialEq",
    doc = "Asks a person whether a workflow may run; the first decision wins.",
    selectable = ".spec.remediationRequestRef.name",
    selectable = ".spec.aiAnalysisRef.name",
    printcolumn(name = "Decision", type_ = "string", json_path = ".status.decision"),
    printcolumn(name = "AIAnalysis", type_ = "string", json_path = ".spec.aiAnalysisRef.name"),
    printcolumn(name = "Confidence", type_ = "number", json_path = ".spec.confidence"),
    printcolumn(name = "Expired", type_ = "boolean", json_path = ".status.expired"),
    printcolumn(name = "RequiredBy", type_ = "string", json_path = ".spec.requiredBy"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::immutable)]
pub struct RemediationApprovalRequestSpec {
    /// The remediation that this belongs to.
    pub remediation_request_ref: RemediationRequestRef,
    /// The analysis that proposes the workflow.
    pub ai_analysis_ref: NamedReference,
    /// How sure the analysis is.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// The same in a word.
    pub confidence_level: ConfidenceLevel,
    /// Why approval is asked for.
    #[schemars(length(min = 1))]
    pub reason: String,
    /// What was found.
    #[schemars(length(min = 1))]
    pub investigation_summary: String,
    /// Why a machine must not decide.
    #[schemars(length(min = 1))]
    pub why_approval_required: String,
    /// The workflow that is proposed.
    pub recommended_workflow: RecommendedWorkflow,
    /// What should be done.
    #[schemars(length(min = 1))]
    pub recommended_actions: Vec<RecommendedAction>,
    /// On what it rests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence_collected: Vec<String>,
    /// What else could be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives_considered: Vec<ConsideredAlternative>,
    /// What the approval policy said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_evaluation: Option<PolicyEvaluation>,
    /// When the decision must be there; after that it is Expired.
    pub required_by: Time,
}

/// The workflow that is proposed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecommendedWorkflow {
    /// Its id in the catalogue.
    pub workflow_id: String,
    /// Its version.
    pub version: String,
    /// Image of the Job, or bundle of the pipeline.
    pub execution_bundle: String,
    /// Why it was chosen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rationale: String,
}

/// The decision, once there is one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::without_null)]
pub struct RemediationApprovalRequestStatus {
    /// The decision; empty until there is one, then final.
    #[serde(default, skip_serializing_if = "Decision::is_undecided")]
    pub decision: Decision,
    /// Who decided; `system` when nobody did in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Time>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision_message: Option<String>,
    /// How the decision was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_via: Option<String>,
    /// When the request was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Time>,
    /// Time left at the last write.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_remaining: Option<GoDuration>,
    /// True only if the deadline decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expired: Option<bool>,
    /// The metadata.generation that the controller last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// ApprovalPending, ApprovalDecided, ApprovalExpired, AuditRecorded and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

string_enum! {
    /// What was decided.
    Decision {
        /// Nothing yet.
        Undecided = "",
        /// The workflow may run.
        Approved = "Approved",
        /// It may not.
        Rejected = "Rejected",
        /// Nobody decided in time, or the remediation has ended.
        Expired = "Expired",
    }
}

impl Decision {
    /// Whether there is no decision yet.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        *self == Self::Undecided
    }
}

#[allow(clippy::derivable_impls, reason = "the macro cannot mark a default variant")]
impl Default for Decision {
    fn default() -> Self {
        Self::Undecided
    }
}

impl PhaseMachine for Decision {
    const PATH: &'static str = ".status.decision";
    const PHASES: &'static [Self] = &[Self::Approved, Self::Rejected, Self::Expired];
    const INITIAL: &'static [Self] = &[Self::Approved, Self::Rejected, Self::Expired];
    const TRANSITIONS: &'static [(Self, &'static [Self])] = &[];
    const FINAL: &'static [Self] = &[Self::Approved, Self::Rejected, Self::Expired];
}

/// Condition types, reasons and events of a RemediationApprovalRequest.
pub mod approval {
    /// Condition: a decision is awaited.
    pub const APPROVAL_PENDING: &str = "ApprovalPending";
    /// Condition: a person has decided.
    pub const APPROVAL_DECIDED: &str = "ApprovalDecided";
    /// Condition: nobody decided in time.
    pub const APPROVAL_EXPIRED: &str = "ApprovalExpired";

    /// Reason: nobody has decided.
    pub const REASON_AWAITING_DECISION: &str = "AwaitingDecision";
    /// Reason: somebody has.
    pub const REASON_DECISION_MADE: &str = "DecisionMade";
    /// Reason: nobody has decided.
    pub const REASON_PENDING_DECISION: &str = "PendingDecision";
    /// Reason: the workflow may run.
    pub const REASON_APPROVED: &str = "Approved";
    /// Reason: it may not.
    pub const REASON_REJECTED: &str = "Rejected";
    /// Reason: there is time left, or a person has decided.
    pub const REASON_NOT_EXPIRED: &str = "NotExpired";
    /// Reason: the time is up.
    pub const REASON_TIMEOUT: &str = "Timeout";
}
