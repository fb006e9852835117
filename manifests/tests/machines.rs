//! The phases and edges of the Rust types are those of the guard's policies.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::{collections::BTreeSet, fs, path::Path};

use kubernaut_api::{
    AIAnalysisPhase, Decision, NotificationPhase, PhaseMachine, RemediationPhase, SignalProcessingPhase,
    WorkflowExecutionPhase,
};
use serde_json::{Value, json};
use statusguard_policy::{Budget, Object, Operation, Policy, Reason};

fn policy(plural: &str) -> Policy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/kubernaut/{plural}.yaml"));
    let document: Value = serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    Policy::compile(&document).unwrap()
}

fn names<P: PhaseMachine>(phases: &[P]) -> BTreeSet<String> {
    phases.iter().map(ToString::to_string).collect()
}

/// The same tables on both sides.
fn agrees<P: PhaseMachine>(plural: &str) {
    let policy = policy(plural);
    let [phase] = &*policy.spec().phases else { panic!("{plural}: more than one machine") };
    let phase = phase.clone();
    assert_eq!(phase.path, P::PATH, "{plural}");
    assert!(phase.skip.is_empty() && phase.resets.is_none(), "{plural}: the types know neither skip nor resets");
    assert_eq!(phase.initial.unwrap().into_iter().collect::<BTreeSet<_>>(), names(P::INITIAL), "{plural}");
    assert_eq!(phase.final_phases.into_iter().collect::<BTreeSet<_>>(), names(P::FINAL), "{plural}");
    let edges: BTreeSet<(String, String)> = phase
        .transitions
        .iter()
        .flat_map(|edge| edge.from.iter().flat_map(|from| edge.to.iter().map(|to| (from.clone(), to.clone()))))
        .collect();
    assert_eq!(edges, P::edges().collect(), "{plural}");
}

/// What the guard says of each pair of phases is what the types say.
fn judges_alike<P: PhaseMachine>(plural: &str) {
    let policy = policy(plural);
    let field = P::PATH.trim_start_matches(".status.");
    let status = |phase: Option<&P>| match phase {
        Some(phase) => json!({ field: phase.to_string() }).to_string(),
        None => "{}".to_owned(),
    };
    let places: Vec<Option<&P>> = std::iter::once(None).chain(P::PHASES.iter().map(Some)).collect();
    for from in &places {
        for to in &places {
            let (old, new) = (status(*from), status(*to));
            let object = |status| Object::of_parts(Some(status), None, None);
            let (before, after) = (object(old.as_bytes()), object(new.as_bytes()));
            let judgement = policy.judge(Operation::Update, &before, &after, &Budget::unlimited()).unwrap();
            let of_phase = [Reason::PhaseRegression, Reason::PhaseSkipped, Reason::PhaseUnknown];
            let refused = judgement.findings.iter().any(|finding| of_phase.contains(&finding.reason));
            let legal = match (from, to) {
                (from, to) if from == to => true,
                (None, Some(to)) => P::INITIAL.contains(to),
                (Some(from), Some(to)) => from.successors().contains(to),
                (_, None) => false,
            };
            assert_eq!(refused, !legal, "{plural}: {old} -> {new}");
        }
    }
}

fn check<P: PhaseMachine>(plural: &str) {
    agrees::<P>(plural);
    judges_alike::<P>(plural);
}

#[test]
fn types_and_policies_agree() {
    check::<NotificationPhase>("notificationrequests");
    check::<SignalProcessingPhase>("signalprocessings");
    check::<AIAnalysisPhase>("aianalyses");
    check::<WorkflowExecutionPhase>("workflowexecutions");
    check::<RemediationPhase>("remediationrequests");
    check::<Decision>("remediationapprovalrequests");
}

/// Every path of a policy exists in the schema of its kind, so that no rule watches a field that is never there.
#[test]
fn every_path_of_a_policy_is_a_field_of_the_type() {
    for crd in kubernaut_api::crds() {
        let plural = crd.spec.names.plural.clone();
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap()["openAPIV3Schema"].clone();
        let policy = policy(&plural);
        let spec = serde_json::to_value(policy.spec()).unwrap();
        let mut paths = Vec::new();
        strings(&spec, &mut paths);
        let paths: BTreeSet<String> = paths
            .iter()
            .map(|text| text.trim_start_matches("len(").trim_end_matches(')').to_owned())
            .filter(|text| text.starts_with(".status."))
            .collect();
        assert!(paths.len() > 5, "{plural}: {paths:?}");
        for path in paths {
            let mut at = &schema;
            for name in path[1..].split('.') {
                at = &at["properties"][name];
            }
            assert!(at.is_object(), "{plural} has no {path}");
        }
    }
}

fn strings(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => members.values().for_each(|member| strings(member, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
