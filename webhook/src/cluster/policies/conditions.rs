//! The conditions of a policy object: what they are to be, and whether they are that already.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value as Json, json};
use statusguard_policy::Policy;
use statusguard_policy::spec::Mode;

use super::compiled::CompiledVersion;
use crate::cluster::configuration::Published;

/// What the condition `Enforced` depends on, beside the policy.
pub struct EnforcementState<'s> {
    pub published: &'s Published,
    /// Policies of which a call arrived through the API server.
    pub arrived: &'s HashSet<String>,
    /// Where the folder has a policy of the same name.
    pub replaced_by: Option<String>,
}

/// A condition without its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCondition {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

const COMPILED: &str = "Compiled";
const ENFORCED: &str = "Enforced";
const TRUE: &str = "True";
const FALSE: &str = "False";
const UNKNOWN: &str = "Unknown";

/// The conditions of the policy `name`, whose status is `observed` now.
pub fn wanted(
    name: &str,
    version: &CompiledVersion,
    state: &EnforcementState<'_>,
    observed: &Json,
) -> [WantedCondition; 2] {
    let compiled = WantedCondition {
        kind: COMPILED,
        status: version.status(),
        reason: version.reason,
        message: version.message.clone(),
    };
    let (status, reason, message) = enforced(name, version, state, observed);
    [compiled, WantedCondition { kind: ENFORCED, status, reason, message }]
}

/// Another replica may have seen a call, which this one has not: what it says holds while there is an entry, and until it
/// is known whether there is one.
fn enforced(
    name: &str,
    version: &CompiledVersion,
    state: &EnforcementState<'_>,
    observed: &Json,
) -> (&'static str, &'static str, String) {
    if let Some(place) = &state.replaced_by {
        let message =
            format!("the guard's policy folder has a policy of this name, which is in force instead: {place}");
        return (FALSE, "ReplacedByFolder", message);
    }
    let Some(entry) = &version.policy else {
        let message = "this version is not in force; a replica that has had one that was goes on with that";
        return (FALSE, "NotCompiled", message.to_owned());
    };
    if let Some((reason, message)) = switched_off(&entry.policy) {
        return (FALSE, reason, message.to_owned());
    }
    let was_enforced = said(observed, ENFORCED, TRUE);
    let enforced = (TRUE, "Enforced", "the webhook configuration has its entry, and a call has arrived".to_owned());
    match state.published {
        Published::Unknown if was_enforced => enforced,
        Published::Unknown => {
            (UNKNOWN, "ConfigurationUnknown", "the webhook configuration has not been read yet".to_owned())
        }
        Published::Absent => {
            let message = "there is no ValidatingWebhookConfiguration of the guard: it is switched off";
            (FALSE, "ConfigurationAbsent", message.to_owned())
        }
        Published::Present { bundles, .. } if !bundles.contains_key(name) => {
            let message = "the webhook configuration has no entry for this policy yet";
            (FALSE, "NotInConfiguration", message.to_owned())
        }
        Published::Present { .. } if was_enforced || state.arrived.contains(name) => enforced,
        Published::Present { .. } => {
            let message = "the webhook configuration has its entry; no call has arrived yet";
            (UNKNOWN, "WaitingForFirstCall", message.to_owned())
        }
    }
}

/// Why a policy that compiles is never asked.
pub fn switched_off(policy: &Policy) -> Option<(&'static str, &'static str)> {
    let spec = policy.spec();
    if policy.unconfirmed_core() {
        return Some((
            "CoreNotConfirmed",
            "this is one of Kubernetes' own kinds: say `core: true` in spec.target to enforce it",
        ));
    }
    let off = spec.mode == Mode::Off && spec.mode_in.values().all(|mode| *mode == Mode::Off);
    off.then_some(("ModeOff", "spec.mode is Off"))
}

fn said(observed: &Json, kind: &str, status: &str) -> bool {
    find(observed, kind).is_some_and(|condition| condition["status"] == status)
}

fn find<'o>(observed: &'o Json, kind: &str) -> Option<&'o Json> {
    observed["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// The status with these conditions, written at `now` (RFC 3339); nothing if `observed` says the same. A condition keeps
/// the time of its last transition while its status stays. Conditions of others stay.
pub fn merged(observed: &Json, wanted: &[WantedCondition], generation: i64, now: &str) -> Option<Json> {
    let mut status = observed.as_object().cloned().unwrap_or_default();
    let ours: BTreeMap<&str, Json> = wanted
        .iter()
        .map(|WantedCondition { kind, status, reason, message }| {
            let before = find(observed, kind).filter(|before| before["status"] == *status);
            let since = before.and_then(|before| before["lastTransitionTime"].as_str()).unwrap_or(now);
            let condition = json!({
                "type": kind, "status": status, "reason": reason, "message": message,
                "observedGeneration": generation, "lastTransitionTime": since,
            });
            (*kind, condition)
        })
        .collect();
    let before = observed["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut rest = ours.clone();
    let mut conditions: Vec<Json> = before
        .iter()
        .map(|condition| {
            rest.remove(condition["type"].as_str().unwrap_or_default()).unwrap_or_else(|| condition.clone())
        })
        .collect();
    conditions.extend(wanted.iter().filter_map(|wanted| rest.remove(wanted.kind)));
    put(&mut status, "conditions", Json::Array(conditions));
    put(&mut status, "observedGeneration", generation.into());
    let status = Json::Object(status);
    (status != *observed).then_some(status)
}

fn put(status: &mut Map<String, Json>, key: &str, value: Json) {
    status.insert(key.to_owned(), value);
}

#[cfg(test)]
mod tests;
