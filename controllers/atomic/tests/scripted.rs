//! Every step of the protocol against an API server that follows a script.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "scripted/doubt.rs"]
mod doubt;
#[path = "scripted/merging.rs"]
mod merging;
#[path = "scripted/objects.rs"]
mod objects;
#[path = "scripted/plain.rs"]
mod plain;
#[path = "scripted/server.rs"]
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use atomic_status::{Builder, StatusWriter, WithRawStatus};
use kube::CustomResource;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use server::Server;

#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "example.org",
    version = "v1",
    kind = "Delivery",
    plural = "deliveries",
    namespaced,
    status = "DeliveryStatus",
    schema = "disabled"
)]
struct DeliverySpec {
    target: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
struct DeliveryStatus {
    phase: String,
    attempts: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    log: Vec<Entry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    channels: BTreeMap<String, Channel>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
struct Entry {
    id: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
struct Channel {
    sent: i64,
}

type RawDelivery = WithRawStatus<Delivery, DeliveryStatus>;

/// The object `n/d` as the API server shows it.
fn raw(version: &str, status: Value) -> Value {
    json!({
        "apiVersion": "example.org/v1", "kind": "Delivery",
        "metadata": {
            "name": "d", "namespace": "n", "uid": "u1", "resourceVersion": version,
            "managedFields": [managed("other", json!({"f:phase": {}}))],
        },
        "spec": {"target": "t", "unheard": 1},
        "status": status,
    })
}

fn managed(manager: &str, status: Value) -> Value {
    json!({
        "manager": manager, "operation": "Update", "subresource": "status", "apiVersion": "example.org/v1",
        "time": "2026-01-01T00:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": {"f:status": status},
    })
}

fn object(version: &str, status: Value) -> RawDelivery {
    serde_json::from_value(raw(version, status)).unwrap()
}

/// With time-outs that a test can wait for.
fn builder(server: &Server) -> Builder<RawDelivery> {
    StatusWriter::builder(server.client.clone(), "courier")
        .budget(Duration::from_secs(20))
        .request_timeout(Duration::from_secs(10))
}

fn writer(server: &Server) -> StatusWriter<RawDelivery> {
    builder(server).build().unwrap()
}

fn attempt(status: &mut DeliveryStatus) {
    status.attempts += 1;
}
