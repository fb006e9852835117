//! Shows that refusals work: again and again the guard makes a stale write through the API server, which it has to refuse
//! itself. It is a dry run, and notices what readiness cannot: a broken bundle, a network policy, an entry that is gone.
//!
//! What is written to is a policy of the cluster; its `observedGeneration` falls to 0. Without policies of the cluster, and
//! while the guard is switched off, nothing is written.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde_json::json;
use statusguard_certs::with_sources;
use statusguard_policy::StatusPolicy;
use tokio::sync::watch;

use super::configuration::{Published, SUFFIX};
use super::policies::ServedPolicy;
use crate::guard::PolicySource;
use crate::guard::own_policy::{CANARY_MANAGER, OWN_POLICY};

/// How long a write may take: the API server waits for the guard for 5 s.
const LONGEST: Duration = Duration::from_secs(10);

/// Tries again and again whether a stale write is refused.
pub struct Canary {
    client: Client,
    interval: Duration,
    served: watch::Receiver<Option<Arc<[ServedPolicy]>>>,
    published: watch::Receiver<Published>,
    metrics: CanaryMetrics,
}

/// What a write came to that was not refused as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CanaryFailure {
    /// It was allowed.
    NotRefused,
    /// The API server could not call the guard; this is what it says.
    CallFailed(String),
    /// Something else refused it.
    OtherRefusal(String),
    /// The right is missing.
    Forbidden(String),
    /// The API server did not answer, or has problems of its own.
    ApiServer(String),
}

/// What the canary counts.
#[derive(Clone, Debug, Default)]
pub struct CanaryMetrics {
    success: Gauge,
    failures: Family<CanaryLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CanaryLabels {
    cause: &'static str,
}

impl CanaryMetrics {
    /// Adds all of them, at zero.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        for cause in CanaryFailure::CAUSES {
            drop(metrics.failures.get_or_create(&CanaryLabels { cause }));
        }
        registry.register(
            "statusguard_canary_success_timestamp_seconds",
            "When a stale write of the guard itself was last refused by the guard; 0 while there is nothing to write to",
            metrics.success.clone(),
        );
        registry.register(
            "statusguard_canary_failures",
            "Stale writes of the guard itself that the guard did not refuse",
            metrics.failures.clone(),
        );
        metrics
    }
}

impl Canary {
    /// Writes once in an `interval` to one of the policies `served`, and expects to be refused by the guard's own policy.
    pub fn new(
        client: Client,
        interval: Duration,
        served: watch::Receiver<Option<Arc<[ServedPolicy]>>>,
        published: watch::Receiver<Published>,
        metrics: CanaryMetrics,
    ) -> Self {
        Self { client, interval, served, published, metrics }
    }

    /// Writes for ever. What goes wrong is said once.
    pub async fn run(self) {
        let mut seen = None;
        let mut said = None;
        loop {
            tokio::time::sleep(self.interval).await;
            let policy = self.policy();
            // A new policy has not been described yet: there is nothing that could fall.
            let known = policy.is_some() && policy == seen;
            seen.clone_from(&policy);
            let Some(policy) = policy else {
                self.metrics.success.set(0);
                continue;
            };
            if !known {
                continue;
            }
            match write(&self.client, &policy).await {
                None => {}
                Some(Ok(())) => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                    self.metrics.success.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
                    if said.take().is_some() {
                        tracing::info!("a stale write of the guard itself is refused again");
                    }
                }
                Some(Err(failure)) => {
                    self.metrics.failures.get_or_create(&CanaryLabels { cause: failure.cause() }).inc();
                    if said != Some(failure.cause()) {
                        let (cause, cure) = (failure.cause(), failure.cure());
                        tracing::error!(cause, cure, "a stale write of the guard itself was not refused: {failure}");
                        said = Some(failure.cause());
                    }
                }
            }
        }
    }

    /// The policy to write to: the first of the cluster. None while the guard is switched off.
    fn policy(&self) -> Option<String> {
        if *self.published.borrow() == Published::Absent {
            return None;
        }
        let served = self.served.borrow();
        let mut served = served.iter().flat_map(|served| served.iter());
        let first = served.find(|served| served.policy.source == PolicySource::Cluster)?;
        Some(first.policy.name.to_owned())
    }
}

/// Makes the stale write to a policy that the guard has described, and expects the guard's own entry to refuse it; nothing
/// if there is no such policy.
pub async fn write(client: &Client, policy: &str) -> Option<Result<(), CanaryFailure>> {
    let policies = Api::<DynamicObject>::all_with(client.clone(), &ApiResource::erase::<StatusPolicy>(&()));
    let params =
        PatchParams { dry_run: true, field_manager: Some(CANARY_MANAGER.to_owned()), ..PatchParams::default() };
    let stale = Patch::Merge(json!({ "status": { "observedGeneration": 0 } }));
    match tokio::time::timeout(LONGEST, policies.patch_status(policy, &params, &stale)).await {
        Ok(answer) => outcome(answer.map(drop), &format!("{OWN_POLICY}{SUFFIX}")),
        Err(_) => Some(Err(CanaryFailure::ApiServer(format!("no answer within {LONGEST:?}")))),
    }
}

/// What an answer says of refusals by this entry.
fn outcome(answer: Result<(), kube::Error>, entry: &str) -> Option<Result<(), CanaryFailure>> {
    let status = match answer {
        Ok(()) => return Some(Err(CanaryFailure::NotRefused)),
        Err(kube::Error::Api(status)) => status,
        Err(error) => return Some(Err(CanaryFailure::ApiServer(with_sources(&error)))),
    };
    let message = status.message.clone();
    let says = |text: &str| message.contains(text);
    Some(match status.code {
        404 => return None,
        409 if says(&format!("admission webhook \"{entry}\" denied")) => Ok(()),
        401 => Err(CanaryFailure::Forbidden(message)),
        // Webhooks may answer 403, too.
        403 if says("cannot patch resource") => Err(CanaryFailure::Forbidden(message)),
        _ if says(&format!("failed calling webhook \"{entry}\"")) => Err(CanaryFailure::CallFailed(message)),
        _ if says("failed calling webhook") => Err(CanaryFailure::OtherRefusal(message)),
        429 | 500.. => Err(CanaryFailure::ApiServer(message)),
        _ => Err(CanaryFailure::OtherRefusal(message)),
    })
}

impl CanaryFailure {
    const CAUSES: [&str; 5] = ["not_refused", "call_failed", "other_refusal", "forbidden", "api_server"];

    fn cause(&self) -> &'static str {
        let [not_refused, call_failed, other_refusal, forbidden, api_server] = Self::CAUSES;
        match self {
            Self::NotRefused => not_refused,
            Self::CallFailed(_) => call_failed,
            Self::OtherRefusal(_) => other_refusal,
            Self::Forbidden(_) => forbidden,
            Self::ApiServer(_) => api_server,
        }
    }

    /// What to do about it.
    pub fn cure(&self) -> &'static str {
        match self {
            Self::NotRefused | Self::CallFailed(_) => {
                "see whether the ValidatingWebhookConfiguration has the guard's entries, whether the API server reaches the \
                 guard's Service, and with `statusguard certs status` whether it trusts the certificates"
            }
            Self::OtherRefusal(_) => "mend the other webhook or admission policy, or exempt StatusPolicies from it",
            Self::Forbidden(_) => {
                "allow whoever writes, which is the guard's service account, to patch statuspolicies/status in the group \
                 statusguard.dev"
            }
            Self::ApiServer(_) => "see whether the API server works",
        }
    }
}

impl fmt::Display for CanaryFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRefused => f.write_str("the API server took it, as it would take the stale writes of others"),
            Self::CallFailed(message)
            | Self::OtherRefusal(message)
            | Self::Forbidden(message)
            | Self::ApiServer(message) => f.write_str(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn only_a_refusal_by_the_own_entry_counts() {
        const ENTRY: &str = "statuspolicies.statusguard.dev.statusguard.dev";
        let refused = |code: u16, message: &str| {
            let status = Status { code, message: message.to_owned(), ..Status::default() };
            outcome(Err(kube::Error::Api(Box::new(status))), ENTRY)
        };
        let ours = format!("admission webhook \"{ENTRY}\" denied the request: status.observedGeneration fell");
        let others = "admission webhook \"other.example.org\" denied the request: no";
        let failed = format!("Internal error occurred: failed calling webhook \"{ENTRY}\": EOF");
        let cause =
            |outcome: Option<Result<(), CanaryFailure>>| outcome.map(|made| made.map_err(|error| error.cause()));
        assert_eq!(cause(refused(409, &ours)), Some(Ok(())));
        for (code, message, expected) in [
            (409, "the object has been modified", "other_refusal"),
            (409, others, "other_refusal"),
            (422, &*ours, "other_refusal"),
            (500, &failed, "call_failed"),
            (500, "etcd is away", "api_server"),
            (429, "too many requests", "api_server"),
            (403, "User \"guard\" cannot patch resource \"statuspolicies/status\"", "forbidden"),
            (403, others, "other_refusal"),
            (500, "failed calling webhook \"other.example.org\": EOF", "other_refusal"),
            (401, "Unauthorized", "forbidden"),
        ] {
            assert_eq!(cause(refused(code, message)), Some(Err(expected)), "{code} {message}");
        }
        assert_eq!(refused(404, "not found"), None);
        assert_eq!(outcome(Ok(()), ENTRY), Some(Err(CanaryFailure::NotRefused)));
    }
}
