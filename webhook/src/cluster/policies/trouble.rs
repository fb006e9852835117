//! Requests that fail again and again: said once, tried ever more rarely.

use std::collections::BTreeMap;
use std::time::Duration;

use super::metrics::PolicyWatchMetrics;
use super::requests::PolicyRequestError;
use super::settings::PolicyWatchSettings;

/// What is asked of the API server, as roles name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyRequest {
    /// Begin to watch the policies.
    ListPolicies,
    /// Watch them.
    WatchPolicies,
    /// Write their conditions.
    PatchStatus,
    /// Read the CRD of a target.
    GetCrd,
    /// Begin to watch the CRDs.
    ListCrds,
    /// Watch them.
    WatchCrds,
    /// Ask what the API server serves.
    Discover,
}

/// The failures of each kind of request, one after another.
pub struct Troubles {
    settings: PolicyWatchSettings,
    metrics: PolicyWatchMetrics,
    /// What was said, and the wait that followed.
    said: BTreeMap<PolicyRequest, (&'static str, Duration)>,
}

impl PolicyRequest {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ListPolicies,
        Self::WatchPolicies,
        Self::PatchStatus,
        Self::GetCrd,
        Self::ListCrds,
        Self::WatchCrds,
        Self::Discover,
    ];

    pub fn verb(self) -> &'static str {
        match self {
            Self::ListPolicies | Self::ListCrds => "list",
            Self::WatchPolicies | Self::WatchCrds => "watch",
            Self::PatchStatus => "patch",
            Self::GetCrd | Self::Discover => "get",
        }
    }

    pub fn resource(self) -> &'static str {
        match self {
            Self::ListPolicies | Self::WatchPolicies => "statuspolicies",
            Self::PatchStatus => "statuspolicies/status",
            Self::GetCrd | Self::ListCrds | Self::WatchCrds => "customresourcedefinitions",
            Self::Discover => "discovery",
        }
    }

    fn group(self) -> &'static str {
        match self {
            Self::ListPolicies | Self::WatchPolicies | Self::PatchStatus => statusguard_policy::spec::GROUP,
            Self::GetCrd | Self::ListCrds | Self::WatchCrds => "apiextensions.k8s.io",
            Self::Discover => "",
        }
    }

    /// What does not work now.
    fn consequence(self) -> &'static str {
        match self {
            Self::ListPolicies | Self::WatchPolicies => {
                "changed policies of the cluster do not reach the guard; those in force stay"
            }
            Self::PatchStatus => {
                "the conditions of the policies are not written; the policies are in force all the same"
            }
            Self::GetCrd => "policies are not compared with the schemas of their targets",
            Self::ListCrds | Self::WatchCrds => "changes of CRDs are noticed late",
            Self::Discover => "whether the targets of policies are served is not known; policies in force stay",
        }
    }

    fn cure(self, error: &PolicyRequestError) -> String {
        let (verb, resource, group) = (self.verb(), self.resource(), self.group());
        match error {
            PolicyRequestError::Forbidden(_) if self == Self::Discover => {
                "bind the guard's service account to the ClusterRole system:discovery".to_owned()
            }
            PolicyRequestError::Forbidden(_) => {
                format!(
                    "give the guard's service account the verb {verb} on {resource} (apiGroups: [{group}]) by a role"
                )
            }
            PolicyRequestError::Absent if group == statusguard_policy::spec::GROUP => {
                "apply the CRD of StatusPolicy, which is among the manifests; it is tried again".to_owned()
            }
            PolicyRequestError::Unreachable(_) => {
                "none needed if the API server comes back; it is tried again".to_owned()
            }
            _ => "see the API server's message; it is tried again".to_owned(),
        }
    }
}

impl Troubles {
    pub fn new(settings: PolicyWatchSettings, metrics: PolicyWatchMetrics) -> Self {
        Self { settings, metrics, said: BTreeMap::new() }
    }

    /// Says what failed unless that was the last thing said. Returns the time until the next attempt.
    pub fn failed(&mut self, request: PolicyRequest, error: &PolicyRequestError) -> Duration {
        self.metrics.failed(request);
        let PolicyWatchSettings { first_retry, slowest_retry, .. } = self.settings;
        let before = self.said.get(&request);
        let delay = match (before, error) {
            (_, PolicyRequestError::Forbidden(_)) => slowest_retry,
            (Some((_, delay)), _) => (*delay * 2).min(slowest_retry),
            (None, _) => first_retry,
        };
        if before.is_none_or(|(category, _)| *category != error.category()) {
            let (verb, resource, consequence, cure) =
                (request.verb(), request.resource(), request.consequence(), request.cure(error));
            tracing::error!(verb, resource, %error, consequence, cure, "request failed");
        }
        self.said.insert(request, (error.category(), delay));
        delay
    }

    /// It works, or works again.
    pub fn succeeded(&mut self, request: PolicyRequest) {
        if self.said.remove(&request).is_some() {
            tracing::info!(verb = request.verb(), resource = request.resource(), "works again");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::log::capture;

    #[test]
    fn a_missing_right_is_said_once_with_its_cure() {
        let mut troubles = Troubles::new(PolicyWatchSettings::default(), PolicyWatchMetrics::default());
        let said = capture(|| {
            for _ in 0..3 {
                let forbidden = PolicyRequestError::Forbidden("no".into());
                assert_eq!(troubles.failed(PolicyRequest::PatchStatus, &forbidden), Duration::from_secs(60));
            }
        });
        assert_eq!(said.lines().count(), 1, "{said}");
        let cure = "give the guard's service account the verb patch on statuspolicies/status \
                    (apiGroups: [statusguard.dev]) by a role";
        assert!(said.contains(cure), "{said}");
        let said = capture(|| {
            troubles.succeeded(PolicyRequest::PatchStatus);
            troubles.succeeded(PolicyRequest::PatchStatus);
        });
        assert_eq!(said.matches("works again").count(), 1, "{said}");
    }

    #[test]
    fn attempts_grow_rare_and_begin_anew_after_a_success() {
        let mut troubles = Troubles::new(PolicyWatchSettings::default(), PolicyWatchMetrics::default());
        let away = PolicyRequestError::Unreachable("away".into());
        let mut wait = || troubles.failed(PolicyRequest::GetCrd, &away).as_secs();
        let mut waits: Vec<u64> = (0..8).map(|_| wait()).collect();
        troubles.succeeded(PolicyRequest::GetCrd);
        waits.push(troubles.failed(PolicyRequest::GetCrd, &away).as_secs());
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 1]);
    }
}
