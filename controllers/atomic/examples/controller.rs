//! A controller that delivers messages. Every transition is one write of the status, which is applied exactly once.

use std::sync::Arc;
use std::time::Duration;

use atomic_status::{Error, StatusWriter, WithRawStatus, increment};
use futures::StreamExt;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::watcher;
use kube::{Api, Client, CustomResource};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A message to be delivered.
#[derive(CustomResource, Serialize, Deserialize, JsonSchema, Clone, Debug)]
#[kube(group = "example.org", version = "v1", kind = "Delivery", namespaced, status = "DeliveryStatus")]
pub struct DeliverySpec {
    /// Whom it is for.
    pub to: String,
}

/// Its progress.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct DeliveryStatus {
    /// `Sending`, then `Sent`.
    pub phase: String,
    /// How often it was begun.
    pub attempts: i64,
}

/// The cache keeps the status as it was sent, so that no write begins with a read.
type CachedDelivery = WithRawStatus<Delivery, DeliveryStatus>;

#[derive(Debug, thiserror::Error)]
#[error("it is sent already")]
struct AlreadySent;

type Writer = StatusWriter<CachedDelivery>;

async fn reconcile(cached: Arc<CachedDelivery>, writer: Arc<Writer>) -> Result<Action, Error<AlreadySent>> {
    // Never older than the writer's own last write, however far the cache lags behind.
    let delivery = writer.latest(&cached);
    if delivery.status.as_ref().is_some_and(|status| status.phase == "Sent") {
        return Ok(Action::await_change());
    }
    // The closure decides on the freshest status, and may run again.
    let begin = |status: &mut DeliveryStatus| {
        if status.phase == "Sent" {
            return Err(AlreadySent);
        }
        status.phase = "Sending".into();
        increment(&mut status.attempts);
        Ok(())
    };
    let delivery = writer.update(&delivery, begin).await?.into_object();

    // Side effects happen here, between writes, and never in a closure.
    println!("to {}", delivery.spec.to);

    writer.update(&delivery, |status| status.phase = "Sent".into()).await?;
    Ok(Action::await_change())
}

/// Runs until the process ends.
pub async fn run(client: Client) -> anyhow::Result<()> {
    let writer = StatusWriter::builder(client.clone(), "delivery-controller").build()?;
    let retry = |_, error: &_, _| {
        eprintln!("a delivery is tried again: {error}");
        Action::requeue(Duration::from_secs(5))
    };
    let controller = Controller::new(Api::<CachedDelivery>::all(client), watcher::Config::default());
    controller.run(reconcile, retry, Arc::new(writer)).for_each(|_| async {}).await;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    run(Client::try_default().await?).await
}
