//! The harness itself, with the real thing: what it starts works, does what its names say, and leaves nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ObjectMeta, PostParams};
use statusguard_tests::{ControlPlane, User};

#[tokio::test]
async fn starts() {
    let plane = ControlPlane::shared().await;
    let _logs = plane.logs_on_failure();
    let namespace = plane.namespace("starts").await;
    let api = Api::<ConfigMap>::namespaced(plane.client(User::Admin), &namespace);
    let map =
        ConfigMap { metadata: ObjectMeta { name: Some("a".to_owned()), ..Default::default() }, ..Default::default() };
    api.create(&PostParams::default(), &map).await.unwrap();
    let out = plane.kubectl(User::Admin).args(["get", "configmaps", "-A"]).output().unwrap();
    println!("{out:?}");
    assert!(out.status.success());
}
