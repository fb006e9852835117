//! RemediationRequest: a signal on its way to a result.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BlockReason, Deduplication, FailurePhase, NotificationTracking, ObjectReference, PhaseMachine, RemediationOutcome,
    SelectedWorkflowRef, SignalTarget, TargetReference, TargetType, TimeoutConfig, field::string_enum, schema,
};

/// The signal as intake received it.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "RemediationRequest",
    plural = "remediationrequests",
    shortname = "rr",
    namespaced,
    status = "RemediationRequestStatus",
    derive = "PartialEq",
    doc = "Drives a signal from intake to a result.",
    selectable = ".spec.signalFingerprint",
    selectable = ".spec.signalType",
    selectable = ".spec.severity",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.overallPhase"),
    printcolumn(name = "Outcome", type_ = "string", json_path = ".status.outcome"),
    printcolumn(name = "Alert", type_ = "string", json_path = ".spec.signalName"),
    printcolumn(name = "RCA Target", type_ = "string", json_path = ".status.targetDisplay"),
    printcolumn(name = "Workflow", type_ = "string", json_path = ".status.workflowDisplayName"),
    printcolumn(name = "Confidence", type_ = "string", json_path = ".status.confidence"),
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
pub struct RemediationRequestSpec {
    /// Identity of the signal: SHA-256 in hexadecimal.
    #[schemars(regex(pattern = r"^[a-f0-9]{64}$"))]
    pub signal_fingerprint: String,
    /// Name of the signal.
    #[schemars(length(max = 253))]
    pub signal_name: String,
    /// Severity as the source words it.
    #[schemars(length(min = 1, max = 50))]
    pub severity: String,
    /// Kind of the signal, such as `alert`.
    pub signal_type: String,
    /// What sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub signal_source: Option<String>,
    /// What kind of system it is about.
    pub target_type: TargetType,
    /// The object that it is about.
    pub target_resource: SignalTarget,
    /// The cluster it came from, passed through.
    #[serde(rename = "clusterID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub cluster_id: Option<String>,
    /// When it began.
    pub firing_time: Time,
    /// When it arrived.
    pub received_time: Time,
    /// Labels of the signal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signal_labels: BTreeMap<String, String>,
    /// Annotations of the signal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub signal_annotations: BTreeMap<String, String>,
    /// The source's own data in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub provider_data: Option<String>,
    /// The signal as it arrived, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "byte"))]
    pub original_payload: Option<String>,
}

/// What has become of the signal so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::without_null)]
pub struct RemediationRequestStatus {
    /// How far the remediation has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall_phase: Option<RemediationPhase>,
    /// How often the signal was seen; owned by signal intake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<Deduplication>,
    /// When the remediation began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When a terminal phase was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Time>,
    /// When Processing was first entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_start_time: Option<Time>,
    /// When Analyzing was first entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub analyzing_start_time: Option<Time>,
    /// When Executing was first entered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub executing_start_time: Option<Time>,
    /// The SignalProcessing of this remediation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_processing_ref: Option<ObjectReference>,
    /// The AIAnalysis of this remediation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai_analysis_ref: Option<ObjectReference>,
    /// The WorkflowExecution of this remediation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_execution_ref: Option<ObjectReference>,
    /// How long each stage may take; operators may change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_config: Option<TimeoutConfig>,
    /// Who changed timeoutConfig last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_by: Option<String>,
    /// When that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_modified_at: Option<Time>,
    /// The workflow that the analysis chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_workflow_ref: Option<SelectedWorkflowRef>,
    /// The object that is acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation_target: Option<TargetReference>,
    /// The same as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_display: Option<String>,
    /// The workflow as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_display_name: Option<String>,
    /// How sure the analysis is, with two decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[01]\.[0-9]{2}$"))]
    pub confidence: Option<String>,
    /// Why the remediation is held up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<BlockReason>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_message: Option<String>,
    /// When the block runs out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocked_until: Option<Time>,
    /// The WorkflowExecution that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blocking_workflow_execution: Option<String>,
    /// The RemediationRequest that is waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicate_of: Option<String>,
    /// Names of the RemediationRequests that waited for this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub duplicate_refs: Vec<String>,
    /// How many there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub duplicate_count: Option<i32>,
    /// The WorkflowExecution that did the work in place of ours.
    #[serde(rename = "deduplicatedByWE", skip_serializing_if = "Option::is_none")]
    pub deduplicated_by_we: Option<String>,
    /// Failures in a row for the same signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consecutive_failure_count: Option<i32>,
    /// Before this no new remediation of the signal should begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_allowed_execution: Option<Time>,
    /// Why the remediation was skipped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_reason: Option<String>,
    /// The same in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_message: Option<String>,
    /// Where the remediation failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_phase: Option<FailurePhase>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// The phase that took too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_phase: Option<RemediationPhase>,
    /// When that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_time: Option<Time>,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RemediationOutcome>,
    /// Whether a person must look into it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requires_manual_review: Option<bool>,
    /// Whether approval was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_notification_sent: Option<bool>,
    /// Notifications of this remediation, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notification_request_refs: Vec<ObjectReference>,
    /// What became of the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_status: Option<NotificationTracking>,
    /// Where the remediation is, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The metadata.generation that the controller last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// SignalProcessingReady, SignalProcessingComplete, AIAnalysisReady, AIAnalysisComplete, WorkflowExecutionReady, WorkflowExecutionComplete, NotificationDelivered and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

string_enum! {
    /// How far a remediation has come.
    RemediationPhase {
        /// Seen, not yet routed.
        Pending = "Pending",
        /// The signal is processed.
        Processing = "Processing",
        /// The signal is analysed.
        Analyzing = "Analyzing",
        /// A person must decide.
        AwaitingApproval = "AwaitingApproval",
        /// The workflow runs.
        Executing = "Executing",
        /// Held up, see blockReason.
        Blocked = "Blocked",
        /// There is an outcome.
        Completed = "Completed",
        /// A stage failed.
        Failed = "Failed",
        /// A stage took too long.
        TimedOut = "TimedOut",
        /// Somebody decided not to do it.
        Skipped = "Skipped",
        /// Somebody stopped it.
        Cancelled = "Cancelled",
    }
}

impl PhaseMachine for RemediationPhase {
    const PATH: &'static str = ".status.overallPhase";
    const PHASES: &'static [Self] = Self::KNOWN;
    const INITIAL: &'static [Self] = &[Self::Pending, Self::Cancelled, Self::Skipped];
    const TRANSITIONS: &'static [(Self, &'static [Self])] = &[
        (
            Self::Pending,
            &[Self::Processing, Self::Blocked, Self::Failed, Self::TimedOut, Self::Cancelled, Self::Skipped],
        ),
        (Self::Processing, &[Self::Analyzing, Self::Failed, Self::TimedOut, Self::Cancelled, Self::Skipped]),
        (
            Self::Analyzing,
            &[
                Self::AwaitingApproval,
                Self::Executing,
                Self::Blocked,
                Self::Completed,
                Self::Failed,
                Self::TimedOut,
                Self::Cancelled,
                Self::Skipped,
            ],
        ),
        (
            Self::AwaitingApproval,
            &[Self::Executing, Self::Blocked, Self::Failed, Self::TimedOut, Self::Cancelled, Self::Skipped],
        ),
        (Self::Executing, &[Self::Completed, Self::Failed, Self::TimedOut, Self::Cancelled, Self::Skipped]),
        (
            Self::Blocked,
            &[
                Self::Pending,
                Self::Analyzing,
                Self::Completed,
                Self::Failed,
                Self::TimedOut,
                Self::Cancelled,
                Self::Skipped,
            ],
        ),
    ];
    const FINAL: &'static [Self] = &[Self::Completed, Self::Failed, Self::TimedOut, Self::Skipped, Self::Cancelled];
}
