//! What the keeper asks of the API server.

use super::metrics::ConfigurationMetrics;
use super::settings::ConfigurationSettings;
use crate::cluster::problem::{RequestKind, RequestProblem, RetryTiming};

/// The requests, as roles name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestVerb {
    /// Read the object.
    Get,
    /// Begin to watch it.
    List,
    /// Watch it.
    Watch,
    /// Write it.
    Update,
    /// Create an Event.
    Create,
}

impl RequestVerb {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Get, Self::List, Self::Watch, Self::Update, Self::Create];

    /// As roles name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Update => "update",
            Self::Create => "create",
        }
    }

    /// The failures of these requests.
    pub fn problem(self, settings: &ConfigurationSettings, metrics: &ConfigurationMetrics) -> RequestProblem {
        let (resource, group) = match self {
            Self::Create => ("events", "events.k8s.io"),
            _ => ("validatingwebhookconfigurations", "admissionregistration.k8s.io"),
        };
        let kind = RequestKind {
            verb: self.name(),
            resource,
            group,
            name: Some(settings.name.clone()),
            consequence: self.consequence(),
            cure: |_| None,
        };
        let timing = RetryTiming { first: settings.timing.first_retry, slowest: settings.timing.slowest_retry };
        RequestProblem::new(kind, timing, metrics.errors(self))
    }

    /// What does not work meanwhile.
    fn consequence(self) -> &'static str {
        match self {
            Self::Get | Self::Update => {
                "the webhook configuration stays as it is: changed policies and certificates do not reach it"
            }
            Self::List | Self::Watch => "changes of the webhook configuration by others are noticed late",
            Self::Create => "no Event tells of repairs; the log and the metrics do",
        }
    }
}
