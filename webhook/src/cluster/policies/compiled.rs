//! A policy object beside its target: what it compiles to, and what is said of that.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use prometheus_client::metrics::histogram::Histogram;
use serde_json::Value as Json;
use statusguard_policy::{Policy, Problem};

use super::target::{NotServed, ServedTarget};
use crate::guard::policy_file::{ActivePolicy, PolicySource};
use crate::guard::store_metrics::PolicyState;

/// Bytes of a condition's message. It is for people, who get the rest from `statusguard policy lint`.
const MAX_MESSAGE: usize = 2048;

/// What the latest version of a policy object came to.
#[derive(Debug)]
pub struct CompiledVersion {
    /// What judges writes, if the version can be in force.
    pub policy: Option<Arc<ActivePolicy>>,
    pub state: PolicyState,
    /// The reason of the condition `Compiled`.
    pub reason: &'static str,
    /// Its message.
    pub message: String,
}

/// What is known of a target.
pub enum KnownTarget {
    /// The API server has told, with the CRD if there is one and it may be read.
    Told(ServedTarget, Option<Json>),
    /// It could not be asked.
    Unknown(String),
}

impl CompiledVersion {
    /// Compiles a document. It may take long.
    pub fn of(document: Json, target: &KnownTarget, seconds: &Histogram) -> Self {
        let crd = match target {
            KnownTarget::Told(_, crd) => crd.as_ref(),
            KnownTarget::Unknown(_) => None,
        };
        let not_served = match target {
            KnownTarget::Told(served, _) => of_document(&document).and_then(|target| served.namespaced(&target).err()),
            KnownTarget::Unknown(_) => None,
        };
        let start = Instant::now();
        // What is not served has no schema to compare with.
        let compiled = Policy::compile_for(&document, crd.filter(|_| not_served.is_none()));
        seconds.observe(start.elapsed().as_secs_f64());
        match (compiled, not_served, target) {
            (Err(problems), _, _) => Self::failed(PolicyState::Broken, "Invalid", listed(&problems)),
            (Ok(_), Some(NotServed { reason, message }), _) => Self::failed(PolicyState::NotServed, reason, message),
            (Ok(policy), None, KnownTarget::Unknown(error)) => {
                let message = format!("whether its target is served is not known yet: {error}");
                Self { message: cut(message), ..Self::good(policy, document, PolicyState::Unknown, "TargetUnknown") }
            }
            (Ok(policy), None, KnownTarget::Told(..)) => {
                let warnings = listed(policy.warnings());
                if warnings.is_empty() {
                    Self::good(policy, document, PolicyState::InForce, "Compiled")
                } else {
                    let compiled = Self::good(policy, document, PolicyState::InForce, "CompiledWithWarnings");
                    Self { message: warnings, ..compiled }
                }
            }
        }
    }

    /// Compiling ended in a panic, which the log tells of.
    pub fn panicked() -> Self {
        let message = "compiling it failed by a fault of the guard; its log says more, please report it";
        Self::failed(PolicyState::Broken, "Invalid", message.to_owned())
    }

    /// The status of the condition `Compiled`.
    pub fn status(&self) -> &'static str {
        match self.state {
            PolicyState::InForce | PolicyState::Replaced => "True",
            PolicyState::Broken | PolicyState::NotServed => "False",
            PolicyState::Unknown => "Unknown",
        }
    }

    fn good(policy: Policy, document: Json, state: PolicyState, reason: &'static str) -> Self {
        let policy = Arc::new(ActivePolicy::new(policy, document, PolicySource::Cluster));
        let message = "the policy compiles, and the API server serves its target".to_owned();
        Self { policy: Some(policy), state, reason, message }
    }

    fn failed(state: PolicyState, reason: &'static str, message: String) -> Self {
        Self { policy: None, state, reason, message: cut(message) }
    }
}

/// The target of a document, as far as it can be read.
pub fn of_document(document: &Json) -> Option<statusguard_policy::spec::Target> {
    let target = &document["spec"]["target"];
    let text = |key: &str| target[key].as_str().map(str::to_owned);
    Some(statusguard_policy::spec::Target {
        group: text("group")?,
        version: text("version")?,
        resource: text("resource")?,
        subresource: text("subresource").unwrap_or_else(|| "status".to_owned()),
        ..Default::default()
    })
}

/// As many problems as fit, and how many more there are.
fn listed(problems: &[Problem]) -> String {
    let mut text = String::new();
    for (index, problem) in problems.iter().enumerate() {
        let separator = if index == 0 { "" } else { "\n" };
        let line = problem.to_string();
        if index > 0 && text.len() + line.len() > MAX_MESSAGE {
            // Writing to a string cannot fail.
            let _ = write!(text, "\nand {} more; `statusguard policy lint` prints all", problems.len() - index);
            break;
        }
        text.push_str(separator);
        text.push_str(&cut(line));
    }
    text
}

fn cut(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(rules: &Json) -> Json {
        let mut spec = json!({ "target": { "group": "example.org", "version": "v1", "resource": "jobs" } });
        for (key, value) in rules.as_object().unwrap() {
            spec[key] = value.clone();
        }
        json!({
            "apiVersion": "statusguard.dev/v1alpha1", "kind": "StatusPolicy",
            "metadata": { "name": "jobs.example.org" }, "spec": spec,
        })
    }

    fn crd(type_: &str) -> Json {
        let status = json!({ "type": "object", "properties": { "n": { "type": type_ } } });
        json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "spec": {
                "group": "example.org", "scope": "Cluster", "names": { "plural": "jobs", "kind": "Job" },
                "versions": [{
                    "name": "v1", "served": true, "storage": true, "subresources": { "status": {} },
                    "schema": { "openAPIV3Schema": { "type": "object", "properties": { "status": status } } },
                }],
            },
            "status": { "conditions": [{ "type": "Established", "status": "True" }] },
        })
    }

    fn told(crd: Json) -> KnownTarget {
        KnownTarget::Told(ServedTarget::of_crd(&crd), Some(crd))
    }

    fn compiled(rules: &Json, target: &KnownTarget) -> CompiledVersion {
        CompiledVersion::of(document(rules), target, &Histogram::new([1.0]))
    }

    #[test]
    fn what_becomes_of_a_version() {
        let good = json!({ "monotone": [{ "path": ".status.n" }] });
        let warned = json!({});
        let misspelt = json!({ "monotony": [] });
        let unserved = || KnownTarget::Told(ServedTarget::default(), None);
        let away = || KnownTarget::Unknown("connection refused".into());
        let by_discovery = || KnownTarget::Told(ServedTarget::of_crd(&crd("integer")), None);
        for (rules, target, status, reason, in_force) in [
            (&good, told(crd("integer")), "True", "Compiled", true),
            (&good, told(crd("object")), "False", "Invalid", false),
            (&good, by_discovery(), "True", "Compiled", true),
            (&good, unserved(), "False", "ResourceNotServed", false),
            (&good, away(), "Unknown", "TargetUnknown", true),
            (&warned, told(crd("integer")), "True", "CompiledWithWarnings", true),
            (&misspelt, told(crd("integer")), "False", "Invalid", false),
            (&misspelt, unserved(), "False", "Invalid", false),
            (&misspelt, away(), "False", "Invalid", false),
        ] {
            let version = compiled(rules, &target);
            let found = (version.status(), version.reason, version.policy.is_some());
            assert_eq!(found, (status, reason, in_force), "{rules}: {}", version.message);
        }
        assert!(compiled(&misspelt, &unserved()).message.contains("spec.monotony: unknown key"));
        assert!(compiled(&warned, &told(crd("integer"))).message.contains("there is no rule"));
        assert!(compiled(&good, &away()).message.contains("connection refused"));
    }

    #[test]
    fn messages_are_cut_and_say_so() {
        let many: Vec<Json> = (0..500).map(|n| json!({ "path": format!("bad {n}") })).collect();
        let message = compiled(&json!({ "monotone": many }), &KnownTarget::Unknown(String::new())).message;
        assert!(message.len() < MAX_MESSAGE + 100 && message.contains(" more; `statusguard policy lint`"), "{message}");
        let long = json!({ "monotone": [{ "path": "ä".repeat(100_000) }] });
        let message = compiled(&long, &KnownTarget::Unknown(String::new())).message;
        assert!(message.len() < MAX_MESSAGE + 100, "{}", message.len());
    }
}
