//! The entry of a policy in the `ValidatingWebhookConfiguration`.

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MatchCondition, RuleWithOperations, ServiceReference, ValidatingWebhook, WebhookClientConfig,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};
use statusguard_policy::Policy;
use statusguard_policy::spec::FailurePolicy;

/// Time the API server gives a call, in seconds.
const TIMEOUT_SECONDS: i32 = 5;

/// Label that every namespace carries with its own name.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// Never guarded, beside the guard's own namespace: what the cluster, and so the guard, needs to start.
const UNGUARDED: [&str; 2] = ["kube-system", "kube-node-lease"];

/// With what the name of each entry of the guard ends.
pub(crate) const SUFFIX: &str = ".statusguard.dev";

/// Where the API server finds the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The Service's namespace: the guard's own, whose objects are never guarded.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The Service's port.
    pub port: u16,
}

/// Whether a resource lives in namespaces, as discovery says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetScope {
    /// It has a namespace.
    Namespaced,
    /// It has none.
    Cluster,
    /// Not looked up; the entry matches both.
    Any,
}

/// A policy from which no entry can be made.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Left out, it would select everything.
    #[error("spec.target.{field} is not a label selector; correct it")]
    Selector {
        /// `namespaceSelector` or `objectSelector`.
        field: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// The entry of a policy, without the certificates that the API server trusts.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyEntry {
    policy: String,
    webhook: ValidatingWebhook,
}

impl PolicyEntry {
    /// The entry of `policy`.
    ///
    /// # Errors
    /// When a selector of the policy is not one.
    pub fn new(policy: &Policy, scope: TargetScope, backend: &Backend) -> Result<Self, EntryError> {
        let mut webhook = entry(policy, scope, backend, &[])?;
        // As the API server fills it in. A selector that the policy has no more must go.
        webhook.object_selector.get_or_insert_default();
        Ok(Self { policy: policy.name().to_owned(), webhook })
    }

    /// The entry of the policy for the guard's own kind. The API server calls for dry runs of this field manager alone, so
    /// that no other write depends on it.
    ///
    /// # Panics
    /// When the policy has a selector that is not one.
    #[must_use]
    pub fn own(policy: &Policy, field_manager: &str, backend: &Backend) -> Self {
        let mut made =
            Self::new(policy, TargetScope::Cluster, backend).expect("the guard's own policy has no selectors");
        made.webhook.match_conditions.get_or_insert_default().push(MatchCondition {
            name: "canary".into(),
            expression: format!("request.dryRun && request.options.?fieldManager.orValue('') == '{field_manager}'"),
        });
        made
    }

    /// The policy's name.
    #[must_use]
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// The entry's name.
    pub(super) fn name(&self) -> &str {
        &self.webhook.name
    }

    /// Whether the policy wants writes refused that could not be judged.
    pub(super) fn fails(&self) -> bool {
        self.webhook.failure_policy.as_deref() == Some(FAIL)
    }

    /// As JSON, with the bundle and this failure policy.
    pub(super) fn json(&self, bundle: &[u8], failure_policy: &str) -> serde_json::Value {
        let mut webhook = self.webhook.clone();
        webhook.client_config.ca_bundle = Some(ByteString(bundle.to_vec()));
        webhook.failure_policy = Some(failure_policy.to_owned());
        serde_json::to_value(webhook).expect("an entry has nothing that JSON lacks")
    }
}

/// The bundle of an entry as it is stored; empty where there is none.
pub(super) fn bundle_of(entry: &serde_json::Value) -> Vec<u8> {
    let encoded = entry["clientConfig"]["caBundle"].clone();
    serde_json::from_value::<ByteString>(encoded).map(|ByteString(bytes)| bytes).unwrap_or_default()
}

/// Failure policies as the API server spells them.
pub(super) const FAIL: &str = "Fail";
pub(super) const IGNORE: &str = "Ignore";

/// The entry of one policy: exactly its version and scope, called only when the status changed.
///
/// A write through another version is converted by the API server before the call, so that the
/// policy's paths hold (`matchPolicy: Equivalent`). One match condition spares the call when the
/// status did not change; everything else is decided by the guard, because it is recorded.
///
/// # Errors
/// When a selector of the policy is not one.
pub fn entry(
    policy: &Policy,
    scope: TargetScope,
    backend: &Backend,
    bundle: &[u8],
) -> Result<ValidatingWebhook, EntryError> {
    let spec = policy.spec();
    let target = &spec.target;
    let group = if target.group.is_empty() { "core" } else { &target.group };
    let resource = match target.subresource.as_str() {
        "" => target.resource.clone(),
        subresource => format!("{}/{subresource}", target.resource),
    };
    // Under Fail, pods/status could keep the guard itself from starting.
    let failure_policy = if target.core { FailurePolicy::Ignore } else { spec.failure_policy };
    let unguarded = std::iter::once(backend.namespace.as_str()).chain(UNGUARDED).map(str::to_owned).collect();
    let mut namespaces = selector("namespaceSelector", target.namespace_selector.as_ref())?.unwrap_or_default();
    namespaces.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
        key: NAMESPACE_NAME.into(),
        operator: "NotIn".into(),
        values: Some(unguarded),
    });
    Ok(ValidatingWebhook {
        name: format!("{}{SUFFIX}", policy.name()),
        client_config: WebhookClientConfig {
            ca_bundle: Some(ByteString(bundle.to_vec())),
            service: Some(ServiceReference {
                namespace: backend.namespace.clone(),
                name: backend.service.clone(),
                path: Some(format!("/admit/{group}/{}", target.resource)),
                port: Some(backend.port.into()),
            }),
            url: None,
        },
        rules: Some(vec![RuleWithOperations {
            api_groups: Some(vec![target.group.clone()]),
            api_versions: Some(vec![target.version.clone()]),
            operations: Some(vec!["UPDATE".into()]),
            resources: Some(vec![resource]),
            scope: Some(
                match scope {
                    TargetScope::Namespaced => "Namespaced",
                    TargetScope::Cluster => "Cluster",
                    TargetScope::Any => "*",
                }
                .into(),
            ),
        }]),
        match_policy: Some("Equivalent".into()),
        match_conditions: Some(vec![MatchCondition {
            name: "status-changed".into(),
            expression: "object.?status != oldObject.?status".into(),
        }]),
        failure_policy: Some(
            match failure_policy {
                FailurePolicy::Ignore => IGNORE,
                FailurePolicy::Fail => FAIL,
            }
            .into(),
        ),
        namespace_selector: Some(namespaces),
        object_selector: selector("objectSelector", target.object_selector.as_ref())?,
        side_effects: "NoneOnDryRun".into(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        admission_review_versions: vec!["v1".into()],
    })
}

fn selector(field: &'static str, value: Option<&serde_json::Value>) -> Result<Option<LabelSelector>, EntryError> {
    let Some(value) = value else { return Ok(None) };
    // serde passes over unknown keys, and a selector without any known one selects everything.
    let keys = value.as_object().into_iter().flat_map(|members| members.keys());
    let mut unknown = keys.filter(|key| !["matchLabels", "matchExpressions"].contains(&key.as_str()));
    let parsed = match unknown.next() {
        Some(key) => Err(serde::de::Error::custom(format!("unknown key `{key}`"))),
        None => serde_json::from_value(value.clone()),
    };
    parsed.map(Some).map_err(|source| EntryError::Selector { field, source })
}

#[cfg(test)]
mod tests;
