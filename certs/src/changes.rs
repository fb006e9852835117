//! Wakes the keeper when the Secret or the managed configuration changes.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, watch_object};
use kube::{Api, Resource};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::cluster::{ObjectPlace, Objects, RequestFailure};
use crate::error::with_sources;
use crate::metrics::CertificateMetrics;

/// Changes since the last look. Metadata alone is watched: what they hold is read by the keeper itself.
pub(crate) struct ObjectChanges {
    notify: Arc<Notify>,
    _watches: JoinSet<()>,
}

impl ObjectChanges {
    pub(crate) fn watch(objects: &Objects, metrics: &CertificateMetrics) -> Self {
        let (client, places) = (objects.client.clone(), &objects.places);
        let (notify, mut watches) = (Arc::new(Notify::new()), JoinSet::new());
        let secrets = Api::<PartialObjectMeta<Secret>>::namespaced(client.clone(), &places.namespace);
        watches.spawn(follow(secrets, objects.secret_place(), metrics.clone(), Arc::clone(&notify)));
        let configurations = Api::<PartialObjectMeta<ValidatingWebhookConfiguration>>::all(client);
        watches.spawn(follow(configurations, objects.configuration_place(), metrics.clone(), Arc::clone(&notify)));
        Self { notify, _watches: watches }
    }

    /// Until something changes, or so long at most.
    pub(crate) async fn wait(&mut self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.notify.notified()).await;
    }
}

/// A watch that fails begins again, ever more rarely; meanwhile the keeper looks at every tick. That is said once until it
/// works again.
async fn follow<K>(api: Api<K>, place: ObjectPlace, metrics: CertificateMetrics, notify: Arc<Notify>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watch_object(api, &place.name).default_backoff());
    let (mut said, mut failures) = (String::new(), 0_u32);
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => {
                failures = 0;
                if !std::mem::take(&mut said).is_empty() {
                    tracing::info!(object = place.what, "certificates: changes are noticed at once again");
                }
                notify.notify_one();
            }
            // API servers end watches now and then; the next one begins within a second.
            Err(_) if failures == 0 => failures = 1,
            Err(error) => {
                let failure = failure(&place, error);
                metrics.failed(failure.cause());
                let topic = failure.topic();
                if said != topic {
                    said = topic;
                    tracing::warn!(
                        error = with_sources(&failure),
                        cure = failure.cure(),
                        "certificates: changes by others are noticed at the next tick only"
                    );
                }
            }
        }
    }
}

/// What the API server said, or why there was no answer.
fn failure(place: &ObjectPlace, error: watcher::Error) -> RequestFailure {
    let (verb, error) = match error {
        watcher::Error::InitialListFailed(error) => ("list", error),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => ("watch", error),
        watcher::Error::WatchError(status) => ("watch", kube::Error::Api(status)),
        other => return place.unanswered("list", other),
    };
    match error {
        kube::Error::Api(status) => place.refused(verb, status.code, &status.message),
        other => place.unanswered(verb, other),
    }
}
