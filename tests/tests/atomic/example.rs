//! The example of `atomic-status` is a controller that works.

use kube::CustomResourceExt as _;
use kube::api::{Api, PostParams};
use statusguard_tests::{ControlPlane, User, eventually};

use controller::{Delivery, DeliverySpec};

#[allow(dead_code, reason = "what a test calls is not its main")]
#[path = "../../../controllers/atomic/examples/controller.rs"]
mod controller;

#[tokio::test]
async fn the_example_delivers_each_message_in_one_attempt() {
    let plane = ControlPlane::shared().await;
    let _logs = plane.logs_on_failure();
    plane.apply_crd(&Delivery::crd()).await.unwrap();
    let api = Api::<Delivery>::namespaced(plane.client(User::Admin), &plane.namespace("example").await);
    let running = tokio::spawn(controller::run(plane.client(User::Admin)));
    for name in ["a", "b", "c"] {
        let delivery = Delivery::new(name, DeliverySpec { to: name.to_owned() });
        api.create(&PostParams::default(), &delivery).await.unwrap();
    }
    eventually("all are sent", async || {
        let deliveries = api.list(&Default::default()).await?;
        let statuses: Vec<_> = deliveries.items.into_iter().filter_map(|delivery| delivery.status).collect();
        assert!(statuses.iter().all(|status| status.attempts == 1), "{statuses:?}");
        Ok(statuses.iter().filter(|status| status.phase == "Sent").count() == 3)
    })
    .await
    .unwrap();
    running.abort();
}
