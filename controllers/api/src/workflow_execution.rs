//! WorkflowExecution: one workflow against one target, as a Job or a PipelineRun.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    ExecutionEngine, GoDuration, NamedReference, PhaseMachine, RemediationRequestRef, WorkflowDependencies,
    WorkflowResources, field::string_enum, schema,
};

/// The workflow and its target.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "WorkflowExecution",
    plural = "workflowexecutions",
    shortname = "wfe",
    namespaced,
    status = "WorkflowExecutionStatus",
    derive = "PartialEq",
    doc = "Runs one workflow against one target, at most one at a time per target.",
    selectable = ".spec.remediationRequestRef.name",
    selectable = ".spec.targetResource",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Workflow", type_ = "string", json_path = ".spec.workflowRef.workflowName"),
    printcolumn(name = "WorkflowID", type_ = "string", json_path = ".spec.workflowRef.workflowId", priority = 1),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetResource"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
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
pub struct WorkflowExecutionSpec {
    /// The remediation that this belongs to.
    pub remediation_request_ref: RemediationRequestRef,
    /// The workflow to run.
    pub workflow_ref: WorkflowRef,
    /// The target as `namespace/kind/name` or `kind/name`.
    pub target_resource: String,
    /// Values of the workflow's parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// How sure the analysis is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Why this workflow was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    /// When the execution must have ended; set by the orchestrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_out_at: Option<Time>,
}

/// A workflow of the catalogue, and how it is run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkflowRef {
    /// Its id in the catalogue.
    pub workflow_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<String>,
    /// Its version.
    pub version: String,
    /// What kind of action it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_type: Option<String>,
    /// Image of the Job, or bundle of the pipeline.
    pub execution_bundle: String,
    /// Digest of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_bundle_digest: Option<String>,
    /// What runs it: `job` or `tekton`; the controller refuses what it does not know.
    #[schemars(with = "String")]
    pub execution_engine: ExecutionEngine,
    /// The service account that it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Compute resources that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<WorkflowResources>,
    /// Secrets and ConfigMaps that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<WorkflowDependencies>,
    /// The parameters it knows; absent: all pass, empty: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_parameter_names: Option<Vec<String>>,
    /// Reserved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque")]
    pub engine_config: Option<Map<String, Value>>,
}

/// What has become of the execution so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::without_null)]
pub struct WorkflowExecutionStatus {
    /// How far the execution has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<WorkflowExecutionPhase>,
    /// When the execution object was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When a terminal phase was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// From startTime to completionTime.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<GoDuration>,
    /// The Job or PipelineRun.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_ref: Option<NamedReference>,
    /// What the Job or PipelineRun reports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_status: Option<ExecutionStatus>,
    /// Copy of failureDetails.reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<FailureReason>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_details: Option<FailureDetails>,
    /// The WorkflowExecution that owns the running execution of the same target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplicated_by: Option<String>,
    /// An operator's note that the failure was looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_clearance: Option<BlockClearance>,
    /// The metadata.generation that the controller last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// ExecutionCreated, ExecutionRunning, ExecutionComplete, AuditRecorded and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// What a Job or PipelineRun reports.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExecutionStatus {
    /// Whether it succeeded.
    pub status: ExecutionOutcome,
    /// Its own reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its own message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Tasks that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub completed_tasks: Option<i32>,
    /// Tasks in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total_tasks: Option<i32>,
    /// Retries so far; never falls.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub retry_count: Option<i32>,
}

string_enum! {
    /// Whether an execution succeeded.
    ExecutionOutcome {
        /// It did.
        True = "True",
        /// It did not.
        False = "False",
        /// It is not over.
        Unknown = "Unknown",
    }
}

/// Why an execution failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailureDetails {
    /// In a word.
    pub reason: FailureReason,
    /// In a sentence.
    pub message: String,
    /// Index of the failed task.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub failed_task_index: Option<i32>,
    /// Name of the failed task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_task_name: Option<String>,
    /// Name of the failed step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_step_name: Option<String>,
    /// The first exit code that is not 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it failed.
    pub failed_at: Time,
    /// How long it had been running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_time_before_failure: Option<GoDuration>,
    /// Workflow, target, reason and message in a sentence.
    pub natural_language_summary: String,
    /// Whether the workflow itself ran and failed.
    pub was_execution_failure: bool,
}

string_enum! {
    /// Why an execution failed.
    FailureReason {
        /// Out of memory.
        OOMKilled = "OOMKilled",
        /// Not in time.
        DeadlineExceeded = "DeadlineExceeded",
        /// Not allowed.
        Forbidden = "Forbidden",
        /// A quota is used up.
        ResourceExhausted = "ResourceExhausted",
        /// The request makes no sense.
        ConfigurationError = "ConfigurationError",
        /// The image cannot be had.
        ImagePullBackOff = "ImagePullBackOff",
        /// A task failed.
        TaskFailed = "TaskFailed",
        /// The engine is not there.
        UnsupportedEngine = "UnsupportedEngine",
        /// Another execution of the same target is running.
        Deduplicated = "Deduplicated",
        /// Something else.
        Unknown = "Unknown",
    }
}

/// An operator's note that a failure was looked into.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockClearance {
    /// When.
    pub cleared_at: Time,
    /// Who.
    pub cleared_by: String,
    /// Why it is safe to go on.
    pub clear_reason: String,
    /// How the note was left.
    pub clear_method: ClearMethod,
}

string_enum! {
    /// How an operator left a note.
    ClearMethod {
        /// By an annotation.
        Annotation = "Annotation",
        /// By a request.
        APIEndpoint = "APIEndpoint",
        /// In the status itself.
        StatusField = "StatusField",
    }
}

string_enum! {
    /// How far an execution has come.
    WorkflowExecutionPhase {
        /// Held back.
        Pending = "Pending",
        /// The Job or PipelineRun is there.
        Running = "Running",
        /// It succeeded.
        Completed = "Completed",
        /// It failed, or never was.
        Failed = "Failed",
    }
}

impl PhaseMachine for WorkflowExecutionPhase {
    const PATH: &'static str = ".status.phase";
    const PHASES: &'static [Self] = Self::KNOWN;
    const INITIAL: &'static [Self] = &[Self::Pending, Self::Running, Self::Failed];
    const TRANSITIONS: &'static [(Self, &'static [Self])] =
        &[(Self::Pending, &[Self::Running, Self::Failed]), (Self::Running, &[Self::Completed, Self::Failed])];
    const FINAL: &'static [Self] = &[Self::Completed, Self::Failed];
}

/// Condition types, reasons and events of a WorkflowExecution.
pub mod execution {
    /// Condition: the Job or PipelineRun was created.
    pub const EXECUTION_CREATED: &str = "ExecutionCreated";
    /// Condition: it has started.
    pub const EXECUTION_RUNNING: &str = "ExecutionRunning";
    /// Condition: it has succeeded.
    pub const EXECUTION_COMPLETE: &str = "ExecutionComplete";

    /// Reason: it was created.
    pub const REASON_EXECUTION_CREATED: &str = "ExecutionCreated";
    /// Reason: it could not be created.
    pub const REASON_EXECUTION_CREATION_FAILED: &str = "ExecutionCreationFailed";
    /// Reason: a quota is used up.
    pub const REASON_QUOTA_EXCEEDED: &str = "QuotaExceeded";
    /// Reason: creating it is forbidden.
    pub const REASON_RBACDENIED: &str = "RBACDenied";
    /// Reason: it has started.
    pub const REASON_EXECUTION_STARTED: &str = "ExecutionStarted";
    /// Reason: it has succeeded.
    pub const REASON_EXECUTION_SUCCEEDED: &str = "ExecutionSucceeded";
    /// Reason: a task failed.
    pub const REASON_TASK_FAILED: &str = "TaskFailed";
    /// Reason: it was not in time.
    pub const REASON_DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
    /// Reason: it ran out of memory.
    pub const REASON_OOMKILLED: &str = "OOMKilled";
    /// Reason: something else failed.
    pub const REASON_EXECUTION_FAILED: &str = "ExecutionFailed";

    /// Event: the request makes sense.
    pub const EVENT_WORKFLOW_VALIDATED: &str = "WorkflowValidated";
    /// Warning event: it does not.
    pub const EVENT_WORKFLOW_VALIDATION_FAILED: &str = "WorkflowValidationFailed";
    /// Event: held back until the cooldown is over.
    pub const EVENT_COOLDOWN_ACTIVE: &str = "CooldownActive";
    /// Event: the Job or PipelineRun was created.
    pub const EVENT_EXECUTION_CREATED: &str = "ExecutionCreated";
    /// Event: it has succeeded.
    pub const EVENT_WORKFLOW_COMPLETED: &str = "WorkflowCompleted";
    /// Warning event: it has failed.
    pub const EVENT_WORKFLOW_FAILED: &str = "WorkflowFailed";
    /// Event: the finished Job or PipelineRun was deleted.
    pub const EVENT_LOCK_RELEASED: &str = "LockReleased";
    /// Warning event: it could not be deleted.
    pub const EVENT_CLEANUP_FAILED: &str = "CleanupFailed";
    /// Event: the object is gone.
    pub const EVENT_WORKFLOW_EXECUTION_DELETED: &str = "WorkflowExecutionDeleted";
}
