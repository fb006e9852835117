//! NotificationRequest: one message, delivered to every channel that routing selects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{NotificationContext, ObjectReference, PhaseMachine, field::string_enum, schema};

/// What is delivered, and how stubbornly.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "NotificationRequest",
    plural = "notificationrequests",
    shortname = "notif",
    shortname = "notifs",
    namespaced,
    status = "NotificationRequestStatus",
    derive = "PartialEq",
    doc = "One message, delivered to every channel that routing selects; each attempt is recorded exactly once.",
    selectable = ".spec.remediationRequestRef.name",
    selectable = ".spec.type",
    selectable = ".spec.severity",
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type"),
    printcolumn(name = "Priority", type_ = "string", json_path = ".spec.priority"),
    printcolumn(name = "Attempts", type_ = "integer", json_path = ".status.totalAttempts"),
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
pub struct NotificationRequestSpec {
    /// What the message is for.
    #[serde(rename = "type")]
    pub type_: NotificationType,
    /// How urgent the message is.
    #[serde(default)]
    pub priority: NotificationPriority,
    /// The headline.
    #[schemars(length(min = 1, max = 500))]
    pub subject: String,
    /// The message.
    #[schemars(length(min = 1))]
    pub body: String,
    /// Severity of the signal behind the message, as its source words it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// Phase of the remediation that the message tells of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The cluster that the signal came from.
    #[serde(default, rename = "clusterID", skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// What asked for a review.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review_source: Option<ReviewSource>,
    /// The remediation that the message belongs to; its name is the correlation id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remediation_request_ref: Option<ObjectReference>,
    /// What is known about the remediation; flattened for routing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<NotificationContext>,
    /// More attributes for routing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extensions: BTreeMap<String, String>,
    /// Links that are shown with the message.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub action_links: Vec<ActionLink>,
    /// How often and how soon a failed delivery is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_policy: Option<RetryPolicy>,
    /// For an external clean-up; the controller deletes nothing.
    #[serde(default = "default_retention_days")]
    #[schemars(range(min = 1, max = 90))]
    pub retention_days: i32,
}

fn default_retention_days() -> i32 {
    7
}

string_enum! {
    /// What a message is for.
    NotificationType {
        /// Something needs attention now.
        Escalation = "Escalation",
        /// For information.
        Simple = "Simple",
        /// A remediation has moved on.
        StatusUpdate = "StatusUpdate",
        /// A person has to decide.
        Approval = "Approval",
        /// A person has to look into it.
        ManualReview = "ManualReview",
        /// A remediation has ended well.
        Completion = "Completion",
    }
}

string_enum! {
    /// How urgent a message is.
    NotificationPriority {
        /// Wake somebody.
        Critical = "Critical",
        /// Today.
        High = "High",
        /// In time.
        Medium = "Medium",
        /// For the record.
        Low = "Low",
    }
}

#[allow(clippy::derivable_impls, reason = "the macro cannot mark a default variant")]
impl Default for NotificationPriority {
    fn default() -> Self {
        Self::Medium
    }
}

string_enum! {
    /// What asked for a review.
    ReviewSource {
        /// The analysis of the signal.
        AIAnalysis = "AIAnalysis",
        /// The execution of a workflow.
        WorkflowExecution = "WorkflowExecution",
        /// The routing of a remediation.
        RoutingEngine = "RoutingEngine",
    }
}

/// A link that is shown with a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionLink {
    /// What the link leads to.
    pub service: String,
    /// Where it leads.
    pub url: String,
    /// What is shown.
    pub label: String,
}

/// How often and how soon a failed delivery is tried again; per channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RetryPolicy {
    /// Attempts per channel, the first one included.
    #[schemars(range(min = 1, max = 10))]
    pub max_attempts: i32,
    /// Wait after the first failure, in seconds.
    #[schemars(range(min = 1, max = 300))]
    pub initial_backoff_seconds: i32,
    /// By what the wait grows with each failure.
    #[schemars(range(min = 1, max = 10))]
    pub backoff_multiplier: i32,
    /// The longest wait, in seconds.
    #[schemars(range(min = 60, max = 3600))]
    pub max_backoff_seconds: i32,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { max_attempts: 5, initial_backoff_seconds: 30, backoff_multiplier: 2, max_backoff_seconds: 480 }
    }
}

/// What has become of the message so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::without_null)]
pub struct NotificationRequestStatus {
    /// How far the delivery has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<NotificationPhase>,
    /// Every attempt ever made, oldest first; never shortened, never changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delivery_attempts: Vec<DeliveryAttempt>,
    /// Length of deliveryAttempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total_attempts: Option<i32>,
    /// Number of channels with a success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub successful_deliveries: Option<i32>,
    /// Number of channels with a failure and no success; falls when a channel later succeeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub failed_deliveries: Option<i32>,
    /// When the request was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queued_at: Option<Time>,
    /// When delivery began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processing_started_at: Option<Time>,
    /// When a terminal phase was reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Why the request is where it is; rewritten by every delivery round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<NotificationReason>,
    /// The same in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The metadata.generation that the controller last acted upon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// RoutingResolved and Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

/// One attempt to deliver to one channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryAttempt {
    /// Routing key of the channel, such as `console` or `slack:oncall`.
    #[schemars(length(min = 1))]
    pub channel: String,
    /// Ordinal of the attempt among those of its channel, from 1 without gaps.
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// When the attempt was made.
    pub timestamp: MicroTime,
    /// How it ended.
    pub status: DeliveryStatus,
    /// What went wrong; a permanent failure begins with `permanent failure: `.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// How long the attempt took, to the millisecond.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub duration_seconds: Option<f64>,
}

string_enum! {
    /// How an attempt ended; all but success count as failures.
    DeliveryStatus {
        /// The channel accepted the message.
        Success = "success",
        /// It did not.
        Failed = "failed",
        /// It did not answer in time.
        Timeout = "timeout",
        /// The message could not be sent as it is.
        Invalid = "invalid",
    }
}

string_enum! {
    /// How far a delivery has come.
    NotificationPhase {
        /// Seen, nothing sent.
        Pending = "Pending",
        /// Nothing delivered yet.
        Sending = "Sending",
        /// Delivered in part, still trying.
        Retrying = "Retrying",
        /// Delivered to every channel.
        Sent = "Sent",
        /// Delivered in part; the rest is exhausted.
        PartiallySent = "PartiallySent",
        /// Delivered to no channel.
        Failed = "Failed",
    }
}

impl PhaseMachine for NotificationPhase {
    const PATH: &'static str = ".status.phase";
    const PHASES: &'static [Self] = Self::KNOWN;
    const INITIAL: &'static [Self] = &[Self::Pending];
    const TRANSITIONS: &'static [(Self, &'static [Self])] = &[
        (Self::Pending, &[Self::Sending, Self::Failed]),
        (Self::Sending, &[Self::Sent, Self::Retrying, Self::PartiallySent, Self::Failed]),
        (Self::Retrying, &[Self::Sent, Self::PartiallySent, Self::Failed]),
    ];
    const FINAL: &'static [Self] = &[Self::Sent, Self::PartiallySent, Self::Failed];
}

string_enum! {
    /// Why a request is where it is.
    NotificationReason {
        /// Just seen.
        Initialized = "Initialized",
        /// Delivery has begun.
        ProcessingDeliveries = "ProcessingDeliveries",
        /// Every channel accepted the message.
        AllDeliveriesSucceeded = "AllDeliveriesSucceeded",
        /// Some channels accepted it, the rest is exhausted.
        PartialDeliverySuccess = "PartialDeliverySuccess",
        /// No channel accepted it.
        AllDeliveriesFailed = "AllDeliveriesFailed",
        /// Routing named no channel.
        NoChannelsResolved = "NoChannelsResolved",
        /// Some channels accepted it, the rest is tried again.
        PartialFailureRetrying = "PartialFailureRetrying",
        /// No channel accepted it in as many attempts as are permitted.
        MaxRetriesExhausted = "MaxRetriesExhausted",
    }
}

/// Condition types, reasons and events of a NotificationRequest.
pub mod notification {
    /// Condition: whether routing found channels.
    pub const ROUTING_RESOLVED: &str = "RoutingResolved";
    /// Reason: a rule of the routing file matched.
    pub const ROUTING_RULE_MATCHED: &str = "RoutingRuleMatched";
    /// Reason: the built-in fallback, or a receiver without channels.
    pub const ROUTING_FALLBACK: &str = "RoutingFallback";

    /// Event: the first write.
    pub const EVENT_RECONCILE_STARTED: &str = "ReconcileStarted";
    /// Event: a channel accepted the message.
    pub const EVENT_SENT: &str = "NotificationSent";
    /// Event: another round follows.
    pub const EVENT_RETRYING: &str = "NotificationRetrying";
    /// Event: delivered in part.
    pub const EVENT_PARTIALLY_SENT: &str = "NotificationPartiallySent";
    /// Warning event: delivered to no channel.
    pub const EVENT_FAILED: &str = "NotificationFailed";
    /// Warning event: a channel's circuit breaker refused the call.
    pub const EVENT_CIRCUIT_BREAKER_OPEN: &str = "CircuitBreakerOpen";
}
