//! AIAnalysis: the root cause of a signal, a workflow against it, and whether a person must approve.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    Actionability, AlternativeWorkflow, ApprovalContext, BusinessClassification, HumanReviewReason, KubernetesContext,
    PhaseMachine, RemediationRequestRef, RootCauseAnalysis, SelectedWorkflow, SignalMode, SignalSeverity,
    TargetReference, ValidationAttempt, field::string_enum, schema,
};

/// The signal to be analysed.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "AIAnalysis",
    plural = "aianalyses",
    shortname = "aia",
    namespaced,
    status = "AIAnalysisStatus",
    derive = "PartialEq",
    doc = "Obtains a root cause and a workflow, and decides whether a person must approve it.",
    selectable = ".spec.remediationRequestRef.name",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Confidence", type_ = "number", json_path = ".status.selectedWorkflow.confidence"),
    printcolumn(name = "Approval Required", type_ = "boolean", json_path = ".status.approvalRequired"),
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
pub struct AIAnalysisSpec {
    /// The remediation that this belongs to.
    pub remediation_request_ref: RemediationRequestRef,
    /// Id of the remediation for the analysis service.
    #[schemars(length(min = 1))]
    pub remediation_id: String,
    /// What is to be analysed.
    pub analysis_request: AnalysisRequest,
    /// When the analysis must have ended; set by the orchestrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_out_at: Option<Time>,
}

/// What is to be analysed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisRequest {
    /// The signal and what is known about it.
    pub signal_context: SignalContext,
    /// What is wanted.
    #[schemars(length(min = 1))]
    pub analysis_types: Vec<AnalysisType>,
}

/// A signal and what is known about it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalContext {
    /// Identity of the signal.
    #[schemars(length(max = 64))]
    pub fingerprint: String,
    /// Its severity.
    pub severity: SignalSeverity,
    /// Its name.
    pub signal_name: String,
    /// Whether something broke or is about to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_mode: Option<SignalMode>,
    /// The environment of the target.
    #[schemars(length(min = 1, max = 63))]
    pub environment: String,
    /// How soon it must be dealt with.
    #[schemars(length(min = 1, max = 63))]
    pub business_priority: String,
    /// The object that it is about.
    pub target_resource: TargetReference,
    /// What signal processing learned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrichment_results: Option<EnrichmentResults>,
    /// Annotations of the signal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signal_annotations: BTreeMap<String, String>,
}

/// What signal processing learned.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnrichmentResults {
    /// What the cluster knows about the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_context: Option<KubernetesContext>,
    /// What the target means to the business.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_classification: Option<BusinessClassification>,
    /// Labels that a detector gave, passed through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque")]
    pub detected_labels: Option<Map<String, Value>>,
}

string_enum! {
    /// What is wanted of an analysis.
    AnalysisType {
        /// What is going on.
        Investigation = "Investigation",
        /// Why.
        RootCause = "RootCause",
        /// What to do about it.
        WorkflowSelection = "WorkflowSelection",
    }
}

/// What is known so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::without_null)]
pub struct AIAnalysisStatus {
    /// How far the analysis has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(required)]
    pub phase: Option<AIAnalysisPhase>,
    /// Why the analysis is where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<AnalysisReason>,
    /// The same, more exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_reason: Option<AnalysisSubReason>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the investigation began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When a terminal phase was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// The root cause in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause: Option<String>,
    /// The root cause in parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_cause_analysis: Option<RootCauseAnalysis>,
    /// Whether anything can be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actionability: Option<Actionability>,
    /// The workflow that is proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_workflow: Option<SelectedWorkflow>,
    /// Workflows that were considered; never executed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternative_workflows: Vec<AlternativeWorkflow>,
    /// Whether the service asks for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_human_review: Option<bool>,
    /// Why it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub human_review_reason: Option<HumanReviewReason>,
    /// The service's id of the investigation.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub investigation_id: Option<String>,
    /// How long the call took, in milliseconds; more than 0 once it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub investigation_time: Option<i64>,
    /// Warnings of the service.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The service's tries to propose a valid workflow, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_attempts_history: Vec<ValidationAttempt>,
    /// Whether a person must approve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_required: Option<bool>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_reason: Option<String>,
    /// What that person should know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_context: Option<ApprovalContext>,
    /// Whether the approval policy could not give a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_mode: Option<bool>,
    /// From startedAt to completedAt, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total_analysis_time: Option<i64>,
    /// Transient errors in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consecutive_failures: Option<i32>,
    /// When the service may be called again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_retry_at: Option<Time>,
    /// The metadata.generation that the controller last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// InvestigationComplete, AnalysisComplete, WorkflowResolved, ApprovalRequired and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

string_enum! {
    /// How far an analysis has come.
    AIAnalysisPhase {
        /// Seen.
        Pending = "Pending",
        /// The analysis service is asked.
        Investigating = "Investigating",
        /// The approval policy is asked.
        Analyzing = "Analyzing",
        /// There is a result.
        Completed = "Completed",
        /// There is none, or a person must look.
        Failed = "Failed",
    }
}

impl PhaseMachine for AIAnalysisPhase {
    const PATH: &'static str = ".status.phase";
    const PHASES: &'static [Self] = Self::KNOWN;
    const INITIAL: &'static [Self] = &[Self::Pending, Self::Failed];
    const TRANSITIONS: &'static [(Self, &'static [Self])] = &[
        (Self::Pending, &[Self::Investigating, Self::Failed]),
        (Self::Investigating, &[Self::Analyzing, Self::Completed, Self::Failed]),
        (Self::Analyzing, &[Self::Completed, Self::Failed]),
    ];
    const FINAL: &'static [Self] = &[Self::Completed, Self::Failed];
}

string_enum! {
    /// Why an analysis is where it is.
    AnalysisReason {
        /// There is a workflow.
        AnalysisCompleted = "AnalysisCompleted",
        /// There is no workflow that may be run.
        WorkflowResolutionFailed = "WorkflowResolutionFailed",
        /// There is nothing to do.
        WorkflowNotNeeded = "WorkflowNotNeeded",
        /// The investigation left no workflow.
        NoWorkflowSelected = "NoWorkflowSelected",
        /// The policy engine failed.
        RegoEvaluationError = "RegoEvaluationError",
        /// The service could not be reached, or not in time.
        TransientError = "TransientError",
        /// The service refused, or too often.
        APIError = "APIError",
        /// The remediation has ended.
        ParentCancelled = "ParentCancelled",
    }
}

string_enum! {
    /// Why, more exactly.
    AnalysisSubReason {
        /// The workflow is not in the catalogue.
        WorkflowNotFound = "WorkflowNotFound",
        /// Its image is not the catalogue's.
        ImageMismatch = "ImageMismatch",
        /// Its parameters are not valid.
        ParameterValidationFailed = "ParameterValidationFailed",
        /// None matches.
        NoMatchingWorkflows = "NoMatchingWorkflows",
        /// The service is not sure enough.
        LowConfidence = "LowConfidence",
        /// The service could not read its model's answer.
        LLMParsingError = "LLMParsingError",
        /// The answer is not valid.
        ValidationError = "ValidationError",
        /// May pass.
        TransientError = "TransientError",
        /// Will not pass.
        PermanentError = "PermanentError",
        /// The service came to no result.
        InvestigationInconclusive = "InvestigationInconclusive",
        /// The problem is gone.
        ProblemResolved = "ProblemResolved",
        /// Nothing can be done.
        NotActionable = "NotActionable",
        /// Tried too often.
        MaxRetriesExceeded = "MaxRetriesExceeded",
        /// The root cause is not fully known.
        RcaIncomplete = "RcaIncomplete",
    }
}

/// Condition types, reasons and events of an AIAnalysis.
pub mod analysis {
    /// Condition: the service has answered.
    pub const INVESTIGATION_COMPLETE: &str = "InvestigationComplete";
    /// Condition: all has been decided.
    pub const ANALYSIS_COMPLETE: &str = "AnalysisComplete";
    /// Condition: there is a workflow, or none is needed.
    pub const WORKFLOW_RESOLVED: &str = "WorkflowResolved";
    /// Condition: a person must approve.
    pub const APPROVAL_REQUIRED: &str = "ApprovalRequired";

    /// Reason: the service answered.
    pub const REASON_INVESTIGATION_SUCCEEDED: &str = "InvestigationSucceeded";
    /// Reason: it did not.
    pub const REASON_INVESTIGATION_FAILED: &str = "InvestigationFailed";
    /// Reason: all went well.
    pub const REASON_ANALYSIS_SUCCEEDED: &str = "AnalysisSucceeded";
    /// Reason: something did not.
    pub const REASON_ANALYSIS_FAILED: &str = "AnalysisFailed";
    /// Reason: the deadline passed.
    pub const REASON_TIMED_OUT: &str = "TimedOut";
    /// Reason: a workflow is proposed.
    pub const REASON_WORKFLOW_SELECTED: &str = "WorkflowSelected";
    /// Reason: there is nothing to do.
    pub const REASON_NO_WORKFLOW_NEEDED: &str = "NoWorkflowNeeded";
    /// Reason: no workflow may be run.
    pub const REASON_WORKFLOW_RESOLUTION_FAILED: &str = "WorkflowResolutionFailed";
    /// Reason: none matches.
    pub const REASON_NO_MATCHING_WORKFLOWS: &str = "NoMatchingWorkflows";
    /// Reason: the service is not sure enough.
    pub const REASON_LOW_CONFIDENCE: &str = "LowConfidence";
    /// Reason: the policy approves.
    pub const REASON_AUTO_APPROVED: &str = "AutoApproved";
    /// Reason: the policy wants a person.
    pub const REASON_POLICY_REQUIRES_APPROVAL: &str = "PolicyRequiresApproval";
    /// Reason: there is nothing to approve.
    pub const REASON_NOT_APPLICABLE: &str = "NotApplicable";

    /// Event: the first write.
    pub const EVENT_AI_ANALYSIS_CREATED: &str = "AIAnalysisCreated";
    /// Event: the service has answered.
    pub const EVENT_INVESTIGATION_COMPLETE: &str = "InvestigationComplete";
    /// Event: all has been decided.
    pub const EVENT_ANALYSIS_COMPLETED: &str = "AnalysisCompleted";
    /// Event: a person must approve.
    pub const EVENT_APPROVAL_REQUIRED: &str = "ApprovalRequired";
    /// Warning event: the service asks for a person.
    pub const EVENT_HUMAN_REVIEW_REQUIRED: &str = "HumanReviewRequired";
    /// Warning event: there is no result.
    pub const EVENT_ANALYSIS_FAILED: &str = "AnalysisFailed";
}
