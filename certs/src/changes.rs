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

use crate::cluster::Objects;

/// Changes since the last look. Metadata alone is watched: what they hold is read by the keeper itself.
pub(crate) struct ObjectChanges {
    notify: Arc<Notify>,
    _watches: JoinSet<()>,
}

impl ObjectChanges {
    pub(crate) fn watch(objects: &Objects) -> Self {
        let (client, places) = (objects.client.clone(), &objects.places);
        let (notify, mut watches) = (Arc::new(Notify::new()), JoinSet::new());
        let secrets = Api::<PartialObjectMeta<Secret>>::namespaced(client.clone(), &places.namespace);
        watches.spawn(follow(secrets, places.secret.clone(), Arc::clone(&notify)));
        let configurations = Api::<PartialObjectMeta<ValidatingWebhookConfiguration>>::all(client);
        watches.spawn(follow(configurations, places.configuration.clone(), Arc::clone(&notify)));
        Self { notify, _watches: watches }
    }

    /// Until something changes, or so long at most.
    pub(crate) async fn wait(&mut self, longest: Duration) {
        let _ = tokio::time::timeout(longest, self.notify.notified()).await;
    }
}

/// A watch that fails begins again; meanwhile the keeper looks at every tick. That is said once until it works again.
async fn follow<K>(api: Api<K>, name: String, notify: Arc<Notify>)
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut events = pin!(watch_object(api, &name).default_backoff());
    let mut said = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => {
                said = false;
                notify.notify_one();
            }
            Err(_) if said => {}
            Err(error) => {
                said = true;
                let error = message(&error);
                let cure = "give the guard's service account the verbs list and watch if they are missing";
                tracing::warn!(
                    error, resource = %K::plural(&()), name, cure,
                    "certificates: watching failed; changes by others are noticed at the next tick"
                );
            }
        }
    }
}

/// What the API server said, or why there was no answer.
fn message(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match error {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        },
        watcher::Error::WatchError(status) => status.message.clone(),
        other => other.to_string(),
    }
}
