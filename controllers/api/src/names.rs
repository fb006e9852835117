//! The strings that several kinds share: group, version, field managers, labels, annotations, finalizers.

/// The API group of the six kinds.
pub const GROUP: &str = "kubernaut.ai";
/// The one version, served and stored.
pub const VERSION: &str = "v1alpha1";
/// Group and version as they stand in `apiVersion`.
pub const API_VERSION: &str = "kubernaut.ai/v1alpha1";

/// Field managers: who a write is attributed to. The status writer appends `/` and the instance.
pub mod field_manager {
    /// Writes SignalProcessing.
    pub const SIGNAL_PROCESSING: &str = "signalprocessing-controller";
    /// Writes AIAnalysis.
    pub const AI_ANALYSIS: &str = "aianalysis-controller";
    /// Writes WorkflowExecution.
    pub const WORKFLOW_EXECUTION: &str = "workflowexecution-controller";
    /// Writes RemediationRequest and RemediationApprovalRequest, and ends the children of a finished remediation.
    pub const REMEDIATION_ORCHESTRATOR: &str = "remediationorchestrator-controller";
    /// Writes NotificationRequest.
    pub const NOTIFICATION: &str = "notification-controller";
}

/// Finalizers.
pub mod finalizer {
    /// On AIAnalysis: aborts a running analysis call.
    pub const AI_ANALYSIS: &str = "kubernaut.ai/finalizer";
    /// On WorkflowExecution: removes the execution object.
    pub const WORKFLOW_EXECUTION: &str = "workflowexecution.kubernaut.ai/workflowexecution-cleanup";
}

/// Labels.
pub mod label {
    /// `true` on a namespace or object that may be remediated.
    pub const MANAGED: &str = "kubernaut.ai/managed";
    /// On an execution object: the WorkflowExecution's name.
    pub const WORKFLOW_EXECUTION: &str = "kubernaut.ai/workflow-execution";
    /// On an execution object: the workflow's id.
    pub const WORKFLOW_ID: &str = "kubernaut.ai/workflow-id";
    /// On an execution object: the WorkflowExecution's namespace.
    pub const SOURCE_NAMESPACE: &str = "kubernaut.ai/source-namespace";
    /// On an execution object: `job` or `tekton`.
    pub const EXECUTION_ENGINE: &str = "kubernaut.ai/execution-engine";
    /// On an execution object: the target with `__` for `/`.
    pub const TARGET_RESOURCE: &str = "kubernaut.ai/target-resource";
    /// Whose workload it is.
    pub const TEAM: &str = "kubernaut.ai/team";
    /// The workload's tier.
    pub const TIER: &str = "kubernaut.ai/tier";
    /// Who pays.
    pub const COST_CENTER: &str = "kubernaut.ai/cost-center";
    /// Where it runs.
    pub const REGION: &str = "kubernaut.ai/region";
    /// The business unit; the team's label stands in for it.
    pub const BUSINESS_UNIT: &str = "kubernaut.ai/business-unit";
    /// The service's owner.
    pub const SERVICE_OWNER: &str = "kubernaut.ai/service-owner";
    /// Custom labels with this prefix are never taken over.
    pub const RESERVED_PREFIX: &str = "kubernaut.ai/";
}

/// Annotations.
pub mod annotation {
    /// On an execution object: the WorkflowExecution's uid.
    pub const WORKFLOW_EXECUTION_UID: &str = "kubernaut.ai/workflow-execution-uid";
    /// On an execution object: the target in full, where the label had to be cut.
    pub const TARGET_RESOURCE: &str = "kubernaut.ai/target-resource";
}

/// What every kind has in common among its conditions.
pub mod condition {
    /// Set in every write that reaches a terminal phase.
    pub const READY: &str = "Ready";
    /// Reason of [`READY`] on success.
    pub const REASON_READY: &str = "Ready";
    /// Reason of [`READY`] on failure, unless a more precise one is listed.
    pub const REASON_NOT_READY: &str = "NotReady";
    /// On WorkflowExecution and RemediationApprovalRequest: whether the edge's audit event was accepted for delivery.
    pub const AUDIT_RECORDED: &str = "AuditRecorded";
    /// Reason of [`AUDIT_RECORDED`] when it is True.
    pub const REASON_AUDIT_SUCCEEDED: &str = "AuditSucceeded";
    /// Reason of [`AUDIT_RECORDED`] when it is False.
    pub const REASON_AUDIT_FAILED: &str = "AuditFailed";
}

/// Reasons of events that every controller emits.
pub mod event {
    /// Every committed edge but the first; the message is `<from> → <to>`.
    pub const PHASE_TRANSITION: &str = "PhaseTransition";
    /// Warning: the same version of an object had its status refused twice.
    pub const STATUS_REJECTED: &str = "StatusRejected";
}
