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

/// Where the API server finds the guard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// The Service's namespace: the guard's own, whose objects are never guarded.
    pub namespace: String,
    /// The Service's name.
    pub service: String,
    /// The Service's port.
    pub port: u16,
    /// PEM certificates that the API server trusts.
    pub ca_bundle: Vec<u8>,
}

/// The webhook of one policy: exactly its version, called only when the status changed.
///
/// A write through another version is converted by the API server before the call, so that the
/// policy's paths hold (`matchPolicy: Equivalent`). One match condition spares the call when the
/// status did not change; everything else is decided by the guard, because it is recorded.
#[must_use]
pub fn webhook(policy: &Policy, backend: &Backend) -> ValidatingWebhook {
    let spec = policy.spec();
    let target = &spec.target;
    let group = if target.group.is_empty() { "core" } else { &target.group };
    let resource = match target.subresource.as_str() {
        "" => target.resource.clone(),
        subresource => format!("{}/{subresource}", target.resource),
    };
    // Under Fail, pods/status could keep the guard itself from starting.
    let failure_policy = if target.core { FailurePolicy::Ignore } else { spec.failure_policy };
    let selector = |value: &Option<serde_json::Value>| -> LabelSelector {
        value.as_ref().and_then(|value| serde_json::from_value(value.clone()).ok()).unwrap_or_default()
    };
    let mut namespaces = selector(&target.namespace_selector);
    namespaces.match_expressions.get_or_insert_default().push(LabelSelectorRequirement {
        key: NAMESPACE_NAME.into(),
        operator: "NotIn".into(),
        values: Some(vec![backend.namespace.clone(), "kube-system".into()]),
    });
    ValidatingWebhook {
        name: format!("{}.statusguard.dev", policy.name()),
        client_config: WebhookClientConfig {
            ca_bundle: Some(ByteString(backend.ca_bundle.clone())),
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
            scope: None,
        }]),
        match_policy: Some("Equivalent".into()),
        match_conditions: Some(vec![MatchCondition {
            name: "status-changed".into(),
            expression: "object.?status != oldObject.?status".into(),
        }]),
        failure_policy: Some(
            match failure_policy {
                FailurePolicy::Ignore => "Ignore",
                FailurePolicy::Fail => "Fail",
            }
            .into(),
        ),
        namespace_selector: Some(namespaces),
        object_selector: target.object_selector.as_ref().map(|_| selector(&target.object_selector)),
        side_effects: "NoneOnDryRun".into(),
        timeout_seconds: Some(TIMEOUT_SECONDS),
        admission_review_versions: vec!["v1".into()],
    }
}

#[cfg(test)]
mod tests {
    use statusguard_policy::spec::KIND;

    use super::*;
    use crate::document;

    /// The README shows a policy and what becomes of it.
    #[test]
    fn the_readme_shows_the_entry_of_its_policy() {
        let readme = include_str!("../../../README.md");
        let blocks = readme.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
        let shown: Vec<serde_json::Value> = blocks
            .flat_map(|block| document::documents("README.md".as_ref(), block.as_bytes()).unwrap())
            .map(|document| document::json(&document).unwrap())
            .collect();
        let of_kind = |kind: &str| shown.iter().find(|document| document["kind"] == kind).unwrap();
        let policy = Policy::compile(of_kind(KIND)).unwrap();
        let backend = Backend {
            namespace: "statusguard".into(),
            service: "statusguard".into(),
            port: 443,
            ca_bundle: b"CA certificate in PEM".to_vec(),
        };
        let entry = serde_json::to_value(webhook(&policy, &backend)).unwrap();
        assert_eq!(of_kind("ValidatingWebhookConfiguration")["webhooks"], serde_json::json!([entry]));
    }
}
