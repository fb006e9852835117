//! Typed, whole and dynamic objects; status and main resource; what types do not know.

use atomic_status::{Dynamic, Error, StatusWriter, WithRawStatus};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{Delivery, attempt, builder, object, raw, writer};

/// A status with a field unknown to the type in the status, in an entry of a list and in a map.
fn rich() -> Value {
    json!({
        "phase": "A", "attempts": 1, "new": {"deep": [1, 2.5]},
        "log": [{"id": "a", "new": 1}],
        "channels": {"mail": {"sent": 1, "new": 1}},
    })
}

fn edit(status: &mut super::DeliveryStatus) {
    status.log.push(super::Entry { id: "b".into() });
    status.channels.entry("mail".into()).or_default().sent += 1;
    status.channels.entry("chat".into()).or_default().sent += 1;
}

fn edited() -> Value {
    json!({
        "phase": "A", "attempts": 1, "new": {"deep": [1, 2.5]},
        "log": [{"id": "a", "new": 1}, {"id": "b"}],
        "channels": {"mail": {"sent": 2, "new": 1}, "chat": {"sent": 1}},
    })
}

#[tokio::test]
async fn a_whole_object_keeps_unknown_fields_without_a_read() {
    let server = Server::start([("PUT", Reply::Accept("2"))]).await;
    let outcome = writer(&server).update(&object("1", rich()), edit).await.unwrap();
    assert_eq!(outcome.object().status_as_sent(), Some(&edited()));
    assert_eq!(server.seen()[0].body["status"], edited());
}

#[tokio::test]
async fn a_typed_object_is_read_before_its_first_write_and_not_again() {
    let server = Server::start([
        ("GET", Reply::Json(200, raw("1", rich()))),
        ("PUT", Reply::Accept("2")),
        ("PUT", Reply::Accept("3")),
    ])
    .await;
    let writer = StatusWriter::<Delivery>::builder(server.client.clone(), "courier").build().unwrap();
    let typed: Delivery = serde_json::from_value(raw("1", rich())).unwrap();
    let outcome = writer.update(&typed, edit).await.unwrap();
    writer.update(outcome.object(), attempt).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[1].body["status"], edited());
    assert_eq!(seen[2].body["status"]["new"], rich()["new"]);
}

#[tokio::test]
async fn a_whole_object_without_status_needs_no_read_and_gets_one_with_defaults() {
    let server = Server::start([("PUT", Reply::Accept("2"))]).await;
    writer(&server).update(&object("1", Value::Null), attempt).await.unwrap();
    assert_eq!(server.seen()[0].body["status"], json!({"phase": "", "attempts": 1}));
}

#[tokio::test]
async fn a_status_that_a_cache_dropped_is_not_erased() {
    let server = Server::start([("GET", Reply::Json(200, raw("1", rich()))), ("PUT", Reply::Accept("2"))]).await;
    let writer = StatusWriter::<Delivery>::builder(server.client.clone(), "courier").build().unwrap();
    let mut trimmed: Delivery = serde_json::from_value(raw("1", rich())).unwrap();
    trimmed.status = None;
    writer.update(&trimmed, edit).await.unwrap();
    assert_eq!(server.seen()[1].body["status"], edited());
}

#[tokio::test]
async fn metadata_that_a_cache_dropped_is_not_wiped_from_a_built_in_kind() {
    type RawPod = WithRawStatus<k8s_openapi::api::core::v1::Pod, Value>;
    let stored = json!({
        "apiVersion": "v1", "kind": "Pod", "status": {"phase": "Pending"}, "spec": {"containers": []},
        "metadata": {"name": "d", "namespace": "n", "uid": "u1", "resourceVersion": "1", "annotations": {"a": "b"}},
    });
    let server = Server::start([("GET", Reply::Json(200, stored.clone())), ("PUT", Reply::Accept("2"))]).await;
    let writer = StatusWriter::<RawPod>::builder(server.client.clone(), "courier").build().unwrap();
    let mut trimmed: RawPod = serde_json::from_value(stored).unwrap();
    kube::Resource::meta_mut(&mut trimmed).annotations = None;
    writer.update(&trimmed, |status| status["phase"] = "Running".into()).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen[1].body["metadata"]["annotations"], json!({"a": "b"}));
    assert_eq!(seen[1].body["status"], json!({"phase": "Running"}));
}

#[tokio::test]
async fn a_kind_without_subresource_is_written_whole() {
    let server = Server::start([("GET", Reply::Json(200, raw("1", rich()))), ("PUT main", Reply::Accept("2"))]).await;
    let writer = builder(&server).main_resource().build().unwrap();
    writer.update(&object("1", rich()), edit).await.unwrap();
    let put = &server.seen()[1];
    assert_eq!(put.body["spec"], json!({"target": "t", "unheard": 1}));
    assert_eq!(put.body["status"], edited());
    assert!(put.uri.starts_with("/apis/example.org/v1/namespaces/n/deliveries/d?"));
}

#[tokio::test]
async fn a_dynamic_object_out_of_a_list_is_written_with_its_kind() {
    let server = Server::start([("PUT", Reply::Accept("2"))]).await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("example.org", "v1", "Delivery"));
    let writer = StatusWriter::<Dynamic>::builder_with(server.client.clone(), "courier", kind).build().unwrap();
    let mut listed = raw("1", rich());
    listed.as_object_mut().unwrap().retain(|name, _| name != "apiVersion" && name != "kind");
    let object: DynamicObject = serde_json::from_value(listed).unwrap();
    writer.update(&Dynamic::from(object), |status| status["phase"] = "B".into()).await.unwrap();
    let put = &server.seen()[0];
    assert_eq!((&put.body["apiVersion"], &put.body["kind"]), (&json!("example.org/v1"), &json!("Delivery")));
    let mut status = rich();
    status["phase"] = "B".into();
    assert_eq!(put.body["status"], status);
}

#[tokio::test]
async fn a_whole_object_survives_serialisation() {
    let whole = object("1", rich());
    let sent = serde_json::to_value(&whole).unwrap();
    assert_eq!(sent["status"], rich());
    let back: super::RawDelivery = serde_json::from_value(sent).unwrap();
    assert_eq!(back.status_as_sent(), whole.status_as_sent());
    assert_eq!(whole.into_inner().spec.target, "t");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_says_that_the_write_is_committed_and_outdates_what_was_known() {
    let mut odd = raw("3", json!({"attempts": 2}));
    odd["spec"] = json!({"target": 7});
    let read = raw("4", json!({"attempts": 2}));
    let server = Server::start([
        ("PUT", Reply::Accept("2")),
        ("PUT", Reply::Json(200, odd)),
        ("GET", Reply::Json(200, read)),
        ("PUT", Reply::Accept("5")),
    ])
    .await;
    let writer = writer(&server);
    writer.update(&object("1", json!({})), attempt).await.unwrap();
    let error = writer.update(&object("1", json!({})), attempt).await.unwrap_err();
    assert!(matches!(error, Error::Unreadable { committed: true, .. }), "{error:?}");
    assert_eq!(writer.kept(), 0);
    // Neither the version before nor what a cache shows is newer than the own last write.
    writer.update(&object("2", json!({"attempts": 1})), attempt).await.unwrap();
    assert_eq!(server.seen()[3].body["status"]["attempts"], 3);
}
