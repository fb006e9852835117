//! What signal processing learns about a signal, and what later stages read of it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{field::string_enum, schema};

/// What the cluster knows about the target of a signal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = schema::without_null)]
pub struct KubernetesContext {
    /// The target's namespace; absent for what is cluster-scoped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<NamespaceContext>,
    /// The target itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<WorkloadContext>,
    /// The target's controller owners, nearest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 5))]
    pub owner_chain: Vec<Owner>,
    /// Labels that the policy or well-known labels gave, each with its values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub custom_labels: BTreeMap<String, Vec<String>>,
    /// Whether the target could not be found, so that the context is incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded_mode: Option<bool>,
}

/// The namespace of a target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceContext {
    /// Name of the namespace.
    pub name: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The target of a signal as it was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadContext {
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// A controller owner of the target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Owner {
    /// Kind of the owner.
    pub kind: String,
    /// Name of the owner.
    pub name: String,
    /// Namespace of the owner; absent when it is cluster-scoped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Group and version of the owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_version: Option<String>,
}

/// What the target means to the business.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BusinessClassification {
    /// The unit that runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub business_unit: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_owner: Option<String>,
    /// How much depends on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub criticality: Option<Criticality>,
    /// What was promised for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sla_requirement: Option<SlaRequirement>,
}

string_enum! {
    /// How much depends on a service.
    Criticality {
        /// Everything.
        Critical = "Critical",
        /// Customers.
        High = "High",
        /// Colleagues.
        Medium = "Medium",
        /// Nobody at once.
        Low = "Low",
    }
}

string_enum! {
    /// What was promised for a service.
    SlaRequirement {
        /// The most.
        Platinum = "Platinum",
        /// Much.
        Gold = "Gold",
        /// Something.
        Silver = "Silver",
        /// Best effort.
        Bronze = "Bronze",
    }
}

string_enum! {
    /// Severity of a signal, in the words of this system.
    SignalSeverity {
        /// Service is lost.
        Critical = "critical",
        /// Service is impaired.
        High = "high",
        /// Service is at risk.
        Warning = "warning",
        /// Good to know.
        Info = "info",
        /// The policy could not tell.
        Unknown = "unknown",
    }
}

string_enum! {
    /// Whether something broke or is about to.
    SignalMode {
        /// It broke.
        Reactive = "reactive",
        /// It is predicted to break.
        Proactive = "proactive",
    }
}

string_enum! {
    /// What kind of system a signal is about.
    TargetType {
        /// A Kubernetes cluster.
        Kubernetes = "kubernetes",
        /// Amazon Web Services.
        Aws = "aws",
        /// Microsoft Azure.
        Azure = "azure",
        /// Google Cloud.
        Gcp = "gcp",
        /// Something that only Datadog knows.
        Datadog = "datadog",
    }
}
