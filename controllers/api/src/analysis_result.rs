//! The answer of the analysis service and of the approval policy, as a status holds them.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ExecutionEngine, TargetReference, WorkflowDependencies, WorkflowResources, field::string_enum};

/// A root cause in parts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootCauseAnalysis {
    /// In a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// How bad it is, in the service's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<String>,
    /// What kind of signal shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal_type: Option<String>,
    /// What led to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contributing_factors: Vec<String>,
    /// The object to act on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation_target: Option<TargetReference>,
}

string_enum! {
    /// Whether anything can be done.
    Actionability {
        /// Something can be done.
        Actionable = "Actionable",
        /// Nothing can be done.
        NotActionable = "NotActionable",
    }
}

/// A workflow that is proposed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SelectedWorkflow {
    /// Its id in the catalogue.
    pub workflow_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<String>,
    /// What kind of action it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action_type: Option<String>,
    /// Its version.
    pub version: String,
    /// Image of the Job, or bundle of the pipeline.
    pub execution_bundle: String,
    /// Digest of the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_bundle_digest: Option<String>,
    /// What runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_engine: Option<ExecutionEngine>,
    /// The service account that it runs as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// Secrets and ConfigMaps that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<WorkflowDependencies>,
    /// Compute resources that it needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<WorkflowResources>,
    /// The parameters it knows; absent: all pass, empty: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_parameter_names: Option<Vec<String>>,
    /// How sure the service is.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// Values of its parameters.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Why it was chosen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rationale: String,
    /// When it was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_at: Option<Time>,
}

/// A workflow that was considered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AlternativeWorkflow {
    /// Its id in the catalogue.
    pub workflow_id: String,
    /// Image of the Job, or bundle of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_bundle: Option<String>,
    /// How sure the service was.
    #[schemars(range(min = 0, max = 1))]
    pub confidence: f64,
    /// Why it was considered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub rationale: String,
}

string_enum! {
    /// Why the service asks for a person.
    HumanReviewReason {
        /// The workflow is not in the catalogue.
        WorkflowNotFound = "workflow_not_found",
        /// Its image is not the catalogue's.
        ImageMismatch = "image_mismatch",
        /// Its parameters are not valid.
        ParameterValidationFailed = "parameter_validation_failed",
        /// None matches.
        NoMatchingWorkflows = "no_matching_workflows",
        /// The service is not sure enough.
        LowConfidence = "low_confidence",
        /// It could not read its model's answer.
        LlmParsingError = "llm_parsing_error",
        /// It came to no result.
        InvestigationInconclusive = "investigation_inconclusive",
        /// The root cause is not fully known.
        RcaIncomplete = "rca_incomplete",
    }
}

/// One of the service's tries to propose a valid workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValidationAttempt {
    /// Ordinal of the try.
    #[schemars(range(min = 1))]
    pub attempt: i32,
    /// The workflow that was proposed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_id: Option<String>,
    /// Whether it was valid.
    pub is_valid: bool,
    /// What was wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// When it was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<MicroTime>,
}

/// What a person should know before approving.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalContext {
    /// Why approval is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How sure the analysis is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1))]
    pub confidence_score: Option<f64>,
    /// The same in a word.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence_level: Option<ConfidenceLevel>,
    /// What was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub investigation_summary: Option<String>,
    /// On what it rests.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence_collected: Vec<String>,
    /// What should be done.
    #[schemars(length(min = 1))]
    pub recommended_actions: Vec<RecommendedAction>,
    /// What else could be done.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives_considered: Vec<ConsideredAlternative>,
    /// Why a machine must not decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_approval_required: Option<String>,
    /// What the policy said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_evaluation: Option<PolicyEvaluation>,
}

string_enum! {
    /// How sure an analysis is.
    ConfidenceLevel {
        /// Below 0.6.
        Low = "low",
        /// From 0.6.
        Medium = "medium",
        /// From 0.8.
        High = "high",
    }
}

/// Something that should be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RecommendedAction {
    /// What.
    pub action: String,
    /// Why.
    pub rationale: String,
}

/// Something else that could be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConsideredAlternative {
    /// What.
    pub approach: String,
    /// What speaks for and against it.
    pub pros_cons: String,
}

/// What the approval policy said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEvaluation {
    /// Name of the policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<String>,
    /// Its rules that matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched_rules: Vec<String>,
    /// Its verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<PolicyDecision>,
    /// SHA-256 of its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_hash: Option<String>,
}

string_enum! {
    /// Verdict of the approval policy.
    PolicyDecision {
        /// No person is needed.
        Approved = "Approved",
        /// A person must decide.
        ManualReviewRequired = "ManualReviewRequired",
        /// It must not be done.
        Denied = "Denied",
        /// There was no verdict; a person must decide.
        DegradedMode = "DegradedMode",
    }
}
