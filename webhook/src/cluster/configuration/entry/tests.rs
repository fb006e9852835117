use serde_json::json;
use statusguard_policy::spec::KIND;

use super::*;
use crate::document;

fn backend() -> Backend {
    Backend { namespace: "statusguard".into(), service: "statusguard".into(), port: 443 }
}

fn policy(target: serde_json::Value, failure_policy: &str) -> Policy {
    let mut document = json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": "jobs.example.org" },
        "spec": {
            "target": { "group": "example.org", "version": "v1", "resource": "jobs" },
            "failurePolicy": failure_policy,
            "monotone": [{ "path": ".status.attempts" }],
        },
    });
    for (field, value) in target.as_object().unwrap() {
        document["spec"]["target"][field] = value.clone();
    }
    Policy::compile(&document).unwrap()
}

/// The README shows a policy and what becomes of it.
#[test]
fn the_readme_shows_the_entry_of_its_policy() {
    let readme = include_str!("../../../../../README.md");
    let blocks = readme.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap());
    let shown: Vec<serde_json::Value> = blocks
        .flat_map(|block| document::documents("README.md".as_ref(), block.as_bytes()).unwrap())
        .map(|document| document::json(&document).unwrap())
        .collect();
    let of_kind = |kind: &str| shown.iter().find(|document| document["kind"] == kind).unwrap();
    let policy = Policy::compile(of_kind(KIND)).unwrap();
    let entry = entry(&policy, TargetScope::Namespaced, &backend(), b"CA certificate in PEM").unwrap();
    let entry = serde_json::to_value(entry).unwrap();
    assert_eq!(of_kind("ValidatingWebhookConfiguration")["webhooks"], json!([entry]));
}

#[test]
fn an_entry_matches_the_scope_of_its_resource() {
    let policy = policy(json!({}), "Fail");
    for (scope, spelled) in
        [(TargetScope::Namespaced, "Namespaced"), (TargetScope::Cluster, "Cluster"), (TargetScope::Any, "*")]
    {
        let entry = entry(&policy, scope, &backend(), b"").unwrap();
        assert_eq!(entry.rules.unwrap()[0].scope.as_deref(), Some(spelled));
    }
}

#[test]
fn namespaces_that_the_cluster_needs_to_start_are_excluded_beside_the_policys_own_selector() {
    let selector = json!({ "matchLabels": { "team": "a" } });
    let policy = policy(json!({ "namespaceSelector": selector }), "Fail");
    let entry = entry(&policy, TargetScope::Namespaced, &backend(), b"").unwrap();
    let expected = json!({
        "matchLabels": { "team": "a" },
        "matchExpressions": [{
            "key": "kubernetes.io/metadata.name",
            "operator": "NotIn",
            "values": ["statusguard", "kube-system", "kube-node-lease"],
        }],
    });
    assert_eq!(serde_json::to_value(entry.namespace_selector).unwrap(), expected);
}

#[test]
fn kinds_of_kubernetes_itself_are_never_failed() {
    let policy = Policy::compile(&json!({
        "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
        "metadata": { "name": "pods" },
        "spec": {
            "target": { "group": "", "version": "v1", "resource": "pods", "core": true },
            "failurePolicy": "Fail",
            "setOnce": [{ "path": ".status.startTime" }],
        },
    }));
    let policy = policy.unwrap();
    let entry = PolicyEntry::new(&policy, TargetScope::Namespaced, &backend()).unwrap();
    assert!(!entry.fails());
    let json = entry.json(b"", IGNORE);
    assert_eq!(json["clientConfig"]["service"]["path"], "/admit/core/pods");
}

#[test]
fn a_selector_that_is_not_one_makes_no_entry() {
    for selector in [json!({ "matchLabels": "all" }), json!({ "team": "storage" })] {
        let policy = policy(json!({ "objectSelector": selector }), "Fail");
        let error = PolicyEntry::new(&policy, TargetScope::Namespaced, &backend()).unwrap_err();
        assert_eq!(error.to_string(), "spec.target.objectSelector is not a label selector; correct it");
    }
}
