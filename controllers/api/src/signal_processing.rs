//! SignalProcessing: the context of a signal, its class and its business attributes.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    BusinessClassification, KubernetesContext, PhaseMachine, RemediationRequestRef, SignalMode, SignalSeverity,
    TargetReference, TargetType, field::string_enum, schema,
};

/// The signal to be processed.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "SignalProcessing",
    plural = "signalprocessings",
    shortname = "sp",
    namespaced,
    status = "SignalProcessingStatus",
    derive = "PartialEq",
    doc = "Looks up the context of a signal, classifies it and derives its business attributes.",
    selectable = ".spec.remediationRequestRef.name",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Severity", type_ = "string", json_path = ".status.severity"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".status.environmentClassification.environment"),
    printcolumn(name = "Priority", type_ = "string", json_path = ".status.priorityAssignment.priority"),
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
pub struct SignalProcessingSpec {
    /// The remediation that this belongs to.
    pub remediation_request_ref: RemediationRequestRef,
    /// What happened.
    pub signal: Signal,
    /// When processing must have ended; set by the orchestrator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_out_at: Option<Time>,
}

/// A signal as its source sent it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Signal {
    /// Identity of the signal: SHA-256 in hexadecimal.
    #[schemars(regex(pattern = r"^[a-f0-9]{64}$"))]
    pub fingerprint: String,
    /// Name of the signal.
    #[schemars(length(max = 253))]
    pub name: String,
    /// Severity as the source words it.
    pub severity: String,
    /// Kind of the signal, such as `alert`.
    pub type_: String,
    /// What sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub source: Option<String>,
    /// The cluster it came from.
    #[serde(rename = "clusterID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub cluster_id: Option<String>,
    /// What kind of system it is about.
    pub target_type: TargetType,
    /// The object that it is about.
    pub target_resource: TargetReference,
    /// Labels of the signal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the signal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// When it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub firing_time: Option<Time>,
    /// When it arrived.
    pub received_time: Time,
    /// The source's own data, passed through.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_data: Option<String>,
}

/// What is known about the signal so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::without_null)]
pub struct SignalProcessingStatus {
    /// How far processing has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<SignalProcessingPhase>,
    /// When processing began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When a terminal phase was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// What the cluster knows about the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_context: Option<KubernetesContext>,
    /// The environment that the target belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_classification: Option<EnvironmentClassification>,
    /// How soon the signal must be dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority_assignment: Option<PriorityAssignment>,
    /// The signal's severity in the words of this system.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<SignalSeverity>,
    /// SHA-256 of the policy text that decided, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-f0-9]{64}$"))]
    pub policy_hash: Option<String>,
    /// Whether something broke or is about to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_mode: Option<SignalMode>,
    /// Name of the signal after mapping.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_name: Option<String>,
    /// Name of the signal before mapping; only when it was mapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_signal_name: Option<String>,
    /// What the target means to the business.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_classification: Option<BusinessClassification>,
    /// Transient errors in a row.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub consecutive_failures: Option<i32>,
    /// When the last of them happened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// Text of the last error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The metadata.generation that the controller last acted upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// EnrichmentComplete, ClassificationComplete, CategorizationComplete, ProcessingComplete and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// An environment, and how it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentClassification {
    /// The environment.
    pub environment: Environment,
    /// What decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classified_at: Option<Time>,
}

/// A priority, and how it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriorityAssignment {
    /// The priority.
    pub priority: Priority,
    /// What decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<String>,
    /// When it was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_at: Option<Time>,
}

string_enum! {
    /// An environment.
    Environment {
        /// Customers see it.
        Production = "Production",
        /// Like production, without customers.
        Staging = "Staging",
        /// Where software is written.
        Development = "Development",
        /// Where software is tested.
        Test = "Test",
        /// The policy could not tell.
        Unknown = "Unknown",
    }
}

string_enum! {
    /// How soon a signal must be dealt with.
    Priority {
        /// At once.
        P0 = "P0",
        /// Within the hour.
        P1 = "P1",
        /// Today.
        P2 = "P2",
        /// Some day.
        P3 = "P3",
    }
}

string_enum! {
    /// How far processing has come.
    SignalProcessingPhase {
        /// Seen.
        Pending = "Pending",
        /// Looking up the context of the target.
        Enriching = "Enriching",
        /// Asking the policy.
        Classifying = "Classifying",
        /// Deriving the business attributes.
        Categorizing = "Categorizing",
        /// All is known.
        Completed = "Completed",
        /// It could not be done, in time or at all.
        Failed = "Failed",
    }
}

impl PhaseMachine for SignalProcessingPhase {
    const PATH: &'static str = ".status.phase";
    const PHASES: &'static [Self] = Self::KNOWN;
    const INITIAL: &'static [Self] = &[Self::Pending, Self::Failed];
    const TRANSITIONS: &'static [(Self, &'static [Self])] = &[
        (Self::Pending, &[Self::Enriching, Self::Failed]),
        (Self::Enriching, &[Self::Classifying, Self::Failed]),
        (Self::Classifying, &[Self::Categorizing, Self::Failed]),
        (Self::Categorizing, &[Self::Completed, Self::Failed]),
    ];
    const FINAL: &'static [Self] = &[Self::Completed, Self::Failed];
}

/// Condition types, reasons and events of a SignalProcessing.
pub mod processing {
    /// Condition: the context is known.
    pub const ENRICHMENT_COMPLETE: &str = "EnrichmentComplete";
    /// Condition: the policy has decided.
    pub const CLASSIFICATION_COMPLETE: &str = "ClassificationComplete";
    /// Condition: the business attributes are known.
    pub const CATEGORIZATION_COMPLETE: &str = "CategorizationComplete";
    /// Condition: all of it.
    pub const PROCESSING_COMPLETE: &str = "ProcessingComplete";

    /// Reason: the context was found.
    pub const REASON_ENRICHMENT_SUCCEEDED: &str = "EnrichmentSucceeded";
    /// Reason: the target was not found; the context is incomplete.
    pub const REASON_DEGRADED_MODE: &str = "DegradedMode";
    /// Reason: the context could not be looked up.
    pub const REASON_ENRICHMENT_FAILED: &str = "EnrichmentFailed";
    /// Reason: looking it up is forbidden.
    pub const REASON_RBACDENIED: &str = "RBACDenied";
    /// Reason: the deadline passed.
    pub const REASON_TIMED_OUT: &str = "TimedOut";
    /// Reason: the policy gave an answer.
    pub const REASON_CLASSIFICATION_SUCCEEDED: &str = "ClassificationSucceeded";
    /// Reason: the policy failed.
    pub const REASON_REGO_EVALUATION_ERROR: &str = "RegoEvaluationError";
    /// Reason: the policy gave a value outside its enum.
    pub const REASON_CLASSIFICATION_FAILED: &str = "ClassificationFailed";
    /// Reason: the attributes were derived.
    pub const REASON_CATEGORIZATION_SUCCEEDED: &str = "CategorizationSucceeded";
    /// Reason: they could not be.
    pub const REASON_CATEGORIZATION_FAILED: &str = "CategorizationFailed";
    /// Reason: all went well.
    pub const REASON_PROCESSING_SUCCEEDED: &str = "ProcessingSucceeded";
    /// Reason: something did not.
    pub const REASON_PROCESSING_FAILED: &str = "ProcessingFailed";

    /// Event: the context was found.
    pub const EVENT_SIGNAL_ENRICHED: &str = "SignalEnriched";
    /// Warning event: the target was not found.
    pub const EVENT_ENRICHMENT_DEGRADED: &str = "EnrichmentDegraded";
    /// Warning event: the context could not be looked up.
    pub const EVENT_ENRICHMENT_FAILED: &str = "EnrichmentFailed";
    /// Warning event: the target is not in a Kubernetes cluster.
    pub const EVENT_UNSUPPORTED_TARGET_TYPE: &str = "UnsupportedTargetType";
    /// Warning event: the policy failed.
    pub const EVENT_POLICY_EVALUATION_FAILED: &str = "PolicyEvaluationFailed";
    /// Event: all went well.
    pub const EVENT_SIGNAL_PROCESSED: &str = "SignalProcessed";
    /// Warning event: the deadline passed.
    pub const EVENT_PROCESSING_TIMED_OUT: &str = "ProcessingTimedOut";
}
