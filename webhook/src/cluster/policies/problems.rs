//! What the watch asks of the API server, and what fails of it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::metrics::PolicyWatchMetrics;
use super::settings::PolicyWatchSettings;
use crate::cluster::problem::{RequestKind, RequestProblem, RetryTiming};
use crate::cluster::request::RequestError;

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

/// The failures of each kind of request.
pub struct PolicyProblems(BTreeMap<PolicyRequest, RequestProblem>);

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

    /// What to do about it, where that is not what one would do about any request.
    fn cure(self) -> fn(&RequestError) -> Option<&'static str> {
        match self {
            Self::ListPolicies | Self::WatchPolicies | Self::PatchStatus => |error| {
                matches!(error, RequestError::Absent)
                    .then_some("apply the CRD of StatusPolicy, which is among the manifests; it is tried again")
            },
            Self::Discover => |error| {
                matches!(error, RequestError::Forbidden(_))
                    .then_some("bind the guard's service account to the ClusterRole system:discovery")
            },
            Self::GetCrd | Self::ListCrds | Self::WatchCrds => |_| None,
        }
    }
}

impl PolicyProblems {
    pub fn new(settings: &PolicyWatchSettings, metrics: &PolicyWatchMetrics) -> Self {
        let timing = RetryTiming { first: settings.first_retry, slowest: settings.slowest_retry };
        let problem = |request: PolicyRequest| {
            let kind = RequestKind {
                verb: request.verb(),
                resource: request.resource(),
                group: request.group(),
                name: None,
                consequence: request.consequence(),
                cure: request.cure(),
            };
            (request, RequestProblem::new(kind, timing, metrics.errors(request)))
        };
        Self(PolicyRequest::ALL.map(problem).into())
    }

    /// Says what failed unless that was the last thing said of it. Returns the time until the next attempt.
    pub fn failed(&mut self, request: PolicyRequest, error: &RequestError) -> Duration {
        self.0.get_mut(&request).map(|problem| problem.failed(error)).unwrap_or_default()
    }

    /// It works, or works again.
    pub fn succeeded(&mut self, request: PolicyRequest) {
        if let Some(problem) = self.0.get_mut(&request) {
            problem.succeeded();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::log::capture;

    #[test]
    fn each_request_has_its_own_failures_and_cures() {
        let mut problems = PolicyProblems::new(&PolicyWatchSettings::default(), &PolicyWatchMetrics::default());
        let forbidden = RequestError::Forbidden("no".into());
        let said = capture(|| {
            for _ in 0..3 {
                assert_eq!(problems.failed(PolicyRequest::PatchStatus, &forbidden), Duration::from_secs(60));
            }
        });
        assert_eq!(said.lines().count(), 1, "{said}");
        let cure = "give the guard's service account the verb patch on statuspolicies/status \
                    (apiGroups: [statusguard.dev]) by a role";
        assert!(said.contains(cure), "{said}");
        let mut said = |request, error: &RequestError| capture(|| _ = problems.failed(request, error));
        assert!(said(PolicyRequest::Discover, &forbidden).contains("ClusterRole system:discovery"));
        assert!(said(PolicyRequest::ListPolicies, &RequestError::Absent).contains("apply the CRD of StatusPolicy"));
        assert!(!said(PolicyRequest::ListCrds, &RequestError::Absent).contains("StatusPolicy"));
        let said = capture(|| {
            problems.succeeded(PolicyRequest::PatchStatus);
            problems.succeeded(PolicyRequest::PatchStatus);
        });
        assert_eq!(said.matches("works again").count(), 1, "{said}");
    }
}
