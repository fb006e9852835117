//! The parts of a RemediationRequest: target, routing, timeouts, outcome, and the words of its conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{GoDuration, TargetReference, field::string_enum};

/// The object that a signal is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignalTarget {
    /// Kind of the object.
    #[schemars(length(min = 1))]
    pub kind: String,
    /// Name of the object.
    #[schemars(length(min = 1))]
    pub name: String,
    /// Namespace of the object; absent when it is cluster-scoped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Group and version of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
}

impl From<&SignalTarget> for TargetReference {
    fn from(target: &SignalTarget) -> Self {
        Self { kind: target.kind.clone(), name: target.name.clone(), namespace: target.namespace.clone() }
    }
}

/// How often a signal was seen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Deduplication {
    /// When it was first seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen_at: Option<Time>,
    /// When it was last seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_at: Option<Time>,
    /// How often; never falls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub occurrence_count: Option<i64>,
}

/// How long the stages may take; 0 or absent means the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TimeoutConfig {
    /// The whole remediation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global: Option<GoDuration>,
    /// Phase Processing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing: Option<GoDuration>,
    /// Phase Analyzing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzing: Option<GoDuration>,
    /// Phase Executing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executing: Option<GoDuration>,
}

/// The workflow that the analysis chose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectedWorkflowRef {
    /// Its id in the catalogue.
    pub workflow_id: String,
    /// Its version.
    pub version: String,
    /// Image of the Job, or bundle of the pipeline.
    pub execution_bundle: String,
}

string_enum! {
    /// Why a remediation is held up.
    BlockReason {
        /// The same signal failed too often.
        ConsecutiveFailures = "ConsecutiveFailures",
        /// An older remediation of the same signal is running.
        DuplicateInProgress = "DuplicateInProgress",
        /// Another workflow acts on the target.
        ResourceBusy = "ResourceBusy",
        /// The same was done to the target a moment ago.
        RecentlyRemediated = "RecentlyRemediated",
        /// Its own next execution is in the future.
        ExponentialBackoff = "ExponentialBackoff",
        /// Neither the target nor its namespace may be remediated.
        UnmanagedResource = "UnmanagedResource",
    }
}

string_enum! {
    /// Where a remediation failed.
    FailurePhase {
        /// Its timeouts make no sense.
        Configuration = "Configuration",
        /// The signal could not be processed.
        SignalProcessing = "SignalProcessing",
        /// It could not be analysed.
        AIAnalysis = "AIAnalysis",
        /// It was not approved.
        Approval = "Approval",
        /// The workflow failed.
        WorkflowExecution = "WorkflowExecution",
        /// It was held up until the end.
        Blocked = "Blocked",
        /// What was waited for failed.
        Deduplicated = "Deduplicated",
    }
}

string_enum! {
    /// What came of a remediation.
    RemediationOutcome {
        /// A workflow succeeded.
        Remediated = "Remediated",
        /// There was nothing to do.
        NoActionRequired = "NoActionRequired",
        /// A person must look into it.
        ManualReviewRequired = "ManualReviewRequired",
    }
}

string_enum! {
    /// What became of the last notification.
    NotificationTracking {
        /// Not yet sent.
        Pending = "Pending",
        /// Being sent.
        InProgress = "InProgress",
        /// Sent, at least in part.
        Sent = "Sent",
        /// Not sent.
        Failed = "Failed",
        /// Gone before it was sent.
        Cancelled = "Cancelled",
    }
}

/// Condition types, reasons and events of a RemediationRequest.
pub mod remediation {
    /// Condition: the SignalProcessing was created.
    pub const SIGNAL_PROCESSING_READY: &str = "SignalProcessingReady";
    /// Condition: it has ended well.
    pub const SIGNAL_PROCESSING_COMPLETE: &str = "SignalProcessingComplete";
    /// Condition: the AIAnalysis was created.
    pub const AI_ANALYSIS_READY: &str = "AIAnalysisReady";
    /// Condition: it has ended well.
    pub const AI_ANALYSIS_COMPLETE: &str = "AIAnalysisComplete";
    /// Condition: the WorkflowExecution was created.
    pub const WORKFLOW_EXECUTION_READY: &str = "WorkflowExecutionReady";
    /// Condition: it has ended well.
    pub const WORKFLOW_EXECUTION_COMPLETE: &str = "WorkflowExecutionComplete";
    /// Condition: the last notification was delivered.
    pub const NOTIFICATION_DELIVERED: &str = "NotificationDelivered";

    /// Reason: it was created.
    pub const REASON_SIGNAL_PROCESSING_CREATED: &str = "SignalProcessingCreated";
    /// Reason: it could not be created.
    pub const REASON_SIGNAL_PROCESSING_CREATION_FAILED: &str = "SignalProcessingCreationFailed";
    /// Reason: it has ended well.
    pub const REASON_SIGNAL_PROCESSING_SUCCEEDED: &str = "SignalProcessingSucceeded";
    /// Reason: it has failed.
    pub const REASON_SIGNAL_PROCESSING_FAILED: &str = "SignalProcessingFailed";
    /// Reason: it took too long.
    pub const REASON_SIGNAL_PROCESSING_TIMEOUT: &str = "SignalProcessingTimeout";
    /// Reason: it was created.
    pub const REASON_AI_ANALYSIS_CREATED: &str = "AIAnalysisCreated";
    /// Reason: it could not be created.
    pub const REASON_AI_ANALYSIS_CREATION_FAILED: &str = "AIAnalysisCreationFailed";
    /// Reason: it has ended well.
    pub const REASON_AI_ANALYSIS_SUCCEEDED: &str = "AIAnalysisSucceeded";
    /// Reason: it has ended well, and a person must decide.
    pub const REASON_APPROVAL_PENDING: &str = "ApprovalPending";
    /// Reason: it has ended without a workflow.
    pub const REASON_NO_WORKFLOW_SELECTED: &str = "NoWorkflowSelected";
    /// Reason: it has failed.
    pub const REASON_AI_ANALYSIS_FAILED: &str = "AIAnalysisFailed";
    /// Reason: it took too long.
    pub const REASON_AI_ANALYSIS_TIMEOUT: &str = "AIAnalysisTimeout";
    /// Reason: it was created.
    pub const REASON_WORKFLOW_EXECUTION_CREATED: &str = "WorkflowExecutionCreated";
    /// Reason: it could not be created.
    pub const REASON_WORKFLOW_EXECUTION_CREATION_FAILED: &str = "WorkflowExecutionCreationFailed";
    /// Reason: it has ended well.
    pub const REASON_WORKFLOW_SUCCEEDED: &str = "WorkflowSucceeded";
    /// Reason: it has failed.
    pub const REASON_WORKFLOW_FAILED: &str = "WorkflowFailed";
    /// Reason: it took too long.
    pub const REASON_WORKFLOW_TIMEOUT: &str = "WorkflowTimeout";
    /// Reason: delivered.
    pub const REASON_DELIVERY_SUCCEEDED: &str = "DeliverySucceeded";
    /// Reason: not delivered.
    pub const REASON_DELIVERY_FAILED: &str = "DeliveryFailed";
    /// Reason: deleted before it was delivered.
    pub const REASON_USER_CANCELLED: &str = "UserCancelled";
    /// Reason: of Ready, True: there was nothing to do.
    pub const REASON_NO_ACTION_REQUIRED: &str = "NoActionRequired";
    /// Reason: of Ready, False: a person must look into it.
    pub const REASON_MANUAL_REVIEW_REQUIRED: &str = "ManualReviewRequired";
    /// Reason: of Ready, False: a stage failed.
    pub const REASON_REMEDIATION_FAILED: &str = "RemediationFailed";
    /// Reason: of Ready, False: a stage took too long.
    pub const REASON_REMEDIATION_TIMED_OUT: &str = "RemediationTimedOut";
    /// Reason: of Ready, False: held up.
    pub const REASON_REMEDIATION_BLOCKED: &str = "RemediationBlocked";

    /// Event: the first write.
    pub const EVENT_REMEDIATION_CREATED: &str = "RemediationCreated";
    /// Event: a person must decide.
    pub const EVENT_APPROVAL_REQUIRED: &str = "ApprovalRequired";
    /// Event: a person approved.
    pub const EVENT_APPROVAL_GRANTED: &str = "ApprovalGranted";
    /// Event: a person rejected.
    pub const EVENT_APPROVAL_REJECTED: &str = "ApprovalRejected";
    /// Event: nobody decided in time.
    pub const EVENT_APPROVAL_EXPIRED: &str = "ApprovalExpired";
    /// Event: there is an outcome.
    pub const EVENT_REMEDIATION_COMPLETED: &str = "RemediationCompleted";
    /// Warning event: a stage failed.
    pub const EVENT_REMEDIATION_FAILED: &str = "RemediationFailed";
    /// Warning event: a stage took too long.
    pub const EVENT_REMEDIATION_TIMEOUT: &str = "RemediationTimeout";
    /// Warning event: a person must look into it.
    pub const EVENT_ESCALATED_TO_MANUAL_REVIEW: &str = "EscalatedToManualReview";
    /// Event: a notification was created.
    pub const EVENT_NOTIFICATION_CREATED: &str = "NotificationCreated";
    /// Event: the same was done to the target a moment ago.
    pub const EVENT_COOLDOWN_ACTIVE: &str = "CooldownActive";
    /// Warning event: the same signal failed too often.
    pub const EVENT_CONSECUTIVE_FAILURE_BLOCKED: &str = "ConsecutiveFailureBlocked";
    /// Event: an older remediation of the same signal is running.
    pub const EVENT_DUPLICATE_BLOCKED: &str = "DuplicateBlocked";
    /// Event: another workflow acts on the target.
    pub const EVENT_RESOURCE_BUSY_BLOCKED: &str = "ResourceBusyBlocked";
    /// Warning event: the target may not be remediated.
    pub const EVENT_UNMANAGED_RESOURCE_BLOCKED: &str = "UnmanagedResourceBlocked";
    /// Event: what was waited for has ended well.
    pub const EVENT_INHERITED_COMPLETED: &str = "InheritedCompleted";
    /// Warning event: what was waited for has not.
    pub const EVENT_INHERITED_FAILED: &str = "InheritedFailed";
}
