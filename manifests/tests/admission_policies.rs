//! The admission policies beside the kinds' policies hang together, and each of their rules has a case that it refuses.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use serde_json::Value;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/kubernaut/vap")
}

fn documents(kind: &str) -> Vec<Value> {
    ["invariants.yaml", "writers.yaml"]
        .iter()
        .flat_map(|name| {
            serde_saphyr::from_multiple::<Value>(&fs::read_to_string(folder().join(name)).unwrap()).unwrap()
        })
        .filter(|document| document["kind"] == kind)
        .collect()
}

fn policies() -> BTreeMap<String, ValidatingAdmissionPolicy> {
    let policies: Vec<ValidatingAdmissionPolicy> = documents("ValidatingAdmissionPolicy")
        .into_iter()
        .map(|policy| serde_json::from_value(policy).unwrap())
        .collect();
    policies.into_iter().map(|policy| (policy.metadata.name.clone().unwrap(), policy)).collect()
}

#[test]
fn every_policy_is_bound_once_and_denies() {
    let bindings: Vec<ValidatingAdmissionPolicyBinding> = documents("ValidatingAdmissionPolicyBinding")
        .into_iter()
        .map(|binding| serde_json::from_value(binding).unwrap())
        .collect();
    let bound: BTreeSet<_> = bindings.iter().map(|b| b.spec.as_ref().unwrap().policy_name.clone().unwrap()).collect();
    assert_eq!(bound, policies().into_keys().collect());
    assert_eq!(bound.len(), bindings.len());
    for binding in bindings {
        let spec = binding.spec.unwrap();
        assert_eq!(spec.validation_actions.unwrap(), ["Deny"]);
        let with_names = policies()[&spec.policy_name.unwrap()].spec.as_ref().unwrap().param_kind.is_some();
        assert_eq!(spec.param_ref.is_some(), with_names, "a policy that reads names is bound to the ConfigMap");
    }
}

#[test]
fn only_status_updates_of_the_six_kinds_are_matched() {
    let plurals: BTreeSet<String> =
        kubernaut_api::crds().into_iter().map(|crd| format!("{}/status", crd.spec.names.plural)).collect();
    for (name, policy) in policies() {
        let rules = policy.spec.unwrap().match_constraints.unwrap().resource_rules.unwrap();
        for rule in rules {
            assert_eq!(rule.api_groups.unwrap(), [kubernaut_api::GROUP], "{name}");
            assert_eq!(rule.api_versions.unwrap(), [kubernaut_api::VERSION], "{name}");
            assert_eq!(rule.operations.unwrap(), ["UPDATE"], "{name}");
            let resources: BTreeSet<_> = rule.resources.unwrap().into_iter().collect();
            assert!(resources.is_subset(&plurals), "{name}: {resources:?}");
        }
    }
}

/// The texts that a refusal by this rule contains: its message, or the quoted parts of the expression that makes one.
fn texts(message: Option<&String>, expression: Option<&String>) -> Vec<String> {
    match (message, expression) {
        (Some(message), _) => vec![message.clone()],
        (None, Some(expression)) => expression.split('"').skip(1).step_by(2).map(str::to_owned).collect(),
        (None, None) => Vec::new(),
    }
}

#[test]
fn every_rule_refuses_a_case_and_lets_one_pass() {
    let cases: Value = serde_saphyr::from_str(&fs::read_to_string(folder().join("tests/cases.yaml")).unwrap()).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    for (name, policy) in policies() {
        let spec = policy.spec.unwrap();
        let resources: Vec<String> = spec.match_constraints.unwrap().resource_rules.unwrap()[0]
            .resources
            .iter()
            .flatten()
            .map(|resource| resource.trim_end_matches("/status").to_owned())
            .collect();
        let of_policy = || cases.iter().filter(|case| resources.iter().any(|resource| case["resource"] == **resource));
        assert!(of_policy().any(|case| case["code"] == 200), "{name}");
        for rule in spec.validations.unwrap() {
            let code = if rule.reason.as_deref() == Some("Forbidden") { 403 } else { 422 };
            let texts = texts(rule.message.as_ref(), rule.message_expression.as_ref());
            let refused = of_policy().filter(|case| case["code"] == code).any(|case| {
                let expected = case["message"].as_str().unwrap();
                texts.iter().any(|text| text.contains(expected) || expected.contains(text.trim()))
            });
            assert!(refused, "{name}: no case is refused with {texts:?}");
        }
    }
}
