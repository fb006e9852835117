//! What a notification tells about its remediation: texts in groups, flattened for routing by the controller.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known about the remediation, in groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NotificationContext {
    /// Which objects the message is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lineage: Option<LineageContext>,
    /// The workflow that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<WorkflowContext>,
    /// What the analysis found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisContext>,
    /// Why a person has to look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewContext>,
    /// How the execution went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionContext>,
    /// How many duplicates there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dedup: Option<DedupContext>,
    /// What the remediation acts on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetContext>,
}

/// A struct of optional texts, one per name.
macro_rules! text_group {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<String>,
            )+
        }
    };
}

text_group! {
    /// Which objects a message is about.
    LineageContext {
        /// Name of the RemediationRequest.
        remediation_request,
        /// Name of the AIAnalysis.
        ai_analysis,
    }
}

text_group! {
    /// The workflow that was chosen.
    WorkflowContext {
        /// The workflow as the analysis named it.
        selected_workflow,
        /// How sure the analysis was.
        confidence,
        /// Id of the workflow in the catalogue.
        workflow_id,
        /// Name of the workflow; shown in place of its id.
        workflow_name,
        /// What kind of action it is.
        action_type,
        /// What runs it.
        execution_engine,
    }
}

text_group! {
    /// What the analysis found.
    AnalysisContext {
        /// Why a person has to approve.
        approval_reason,
        /// The root cause.
        root_cause,
        /// How the analysis ended.
        outcome,
    }
}

/// Why a person has to look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReviewContext {
    /// The reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// More exactly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_reason: Option<String>,
    /// The analysis service's own reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub human_review_reason: Option<String>,
    /// The root cause as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_cause_analysis: Option<String>,
    /// Whether the proposal fits its goal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alignment_verdict: Option<String>,
    /// Whether a circuit breaker stopped the remediation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_breaker_activated: Option<bool>,
}

text_group! {
    /// How the execution went.
    ExecutionContext {
        /// Retries so far.
        retry_count,
        /// Retries that are permitted.
        max_retries,
        /// Exit code of the last try.
        last_exit_code,
        /// The execution before this one.
        previous_execution,
        /// The phase that took too long.
        timeout_phase,
        /// How long that phase may take.
        phase_timeout,
    }
}

text_group! {
    /// How many duplicates there were.
    DedupContext {
        /// Number of remediations that waited for this one.
        duplicate_count,
    }
}

text_group! {
    /// What a remediation acts on.
    TargetContext {
        /// The target as `namespace/kind/name` or `kind/name`.
        target_resource,
    }
}
