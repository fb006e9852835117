//! The harness itself, with the real thing: what it starts works, what breaks breaks as named, and nothing is left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "controlplane/faults.rs"]
mod faults;
#[path = "controlplane/lifetime.rs"]
mod lifetime;
#[path = "controlplane/stale.rs"]
mod stale;
#[path = "controlplane/webhook.rs"]
mod webhook;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{Api, DynamicObject, ListParams, ObjectMeta, PostParams};
use kube::discovery::ApiResource;
use statusguard_tests::{ControlPlane, Scope, User};

/// A ConfigMap with one entry, `value`.
fn config_map(name: &str, value: &str) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Some([("value".to_owned(), value.to_owned())].into()),
        ..ConfigMap::default()
    }
}

fn value(map: &ConfigMap) -> &str {
    &map.data.as_ref().unwrap()["value"]
}

/// The code of an answer that the API server gave.
fn code<T: std::fmt::Debug>(result: kube::Result<T>) -> u16 {
    match result {
        Err(kube::Error::Api(status)) => status.code,
        other => panic!("no refusal of the API server: {other:?}"),
    }
}

fn may_read_config_maps() -> Vec<PolicyRule> {
    vec![PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["configmaps".to_owned()]),
        verbs: vec!["get".to_owned(), "list".to_owned()],
        ..PolicyRule::default()
    }]
}

#[tokio::test]
async fn users_have_the_rights_that_a_test_gives_them() {
    let plane = ControlPlane::shared().await;
    let _logs = plane.logs_on_failure();
    let (mine, other) = (plane.namespace("rights").await, plane.namespace("rights").await);
    let carol = User::Named("carol".to_owned());
    plane.grant(&User::Alice, Scope::Namespace(&mine), may_read_config_maps()).await.unwrap();
    plane.grant(&carol, Scope::Cluster, may_read_config_maps()).await.unwrap();

    let list = async |user: &User, namespace: &str| {
        let api = Api::<ConfigMap>::namespaced(plane.client(user.clone()), namespace);
        api.list(&ListParams::default()).await
    };
    list(&User::Alice, &mine).await.unwrap();
    assert_eq!(code(list(&User::Alice, &other).await), 403);
    list(&carol, &mine).await.unwrap();
    list(&carol, &other).await.unwrap();
    assert_eq!(code(list(&User::Bob, &mine).await), 403);
    let secrets = Api::<Secret>::namespaced(plane.client(User::Alice), &mine);
    assert_eq!(code(secrets.list(&ListParams::default()).await), 403);
    list(&User::Admin, &other).await.unwrap();

    let account = User::Named(format!("system:serviceaccount:{mine}:writer"));
    plane.bind_cluster_role(&account, Scope::Namespace(&mine), "cluster-admin").await.unwrap();
    let api = Api::<ConfigMap>::namespaced(plane.client(account), &mine);
    api.create(&PostParams::default(), &config_map("by-account", "1")).await.unwrap();
}

#[tokio::test]
async fn kubectl_acts_as_its_user() {
    let plane = ControlPlane::shared().await;
    let _logs = plane.logs_on_failure();
    for user in [User::Admin, User::Alice, User::Bob, User::Named("dora".to_owned())] {
        let output = plane
            .kubectl(user.clone())
            .args(["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), user.name(), "{output:?}");
    }
    let output = plane.kubectl(User::Bob).args(["get", "namespaces"]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("Error from server (Forbidden): namespaces is forbidden"), "{printed}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_crd_is_served_when_apply_returns() {
    const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: parcels.harness.test}
spec:
  group: harness.test
  scope: Namespaced
  names: {plural: parcels, singular: parcel, kind: Parcel}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          status: {type: object, properties: {phase: {type: string}}}
";
    let plane = ControlPlane::shared().await;
    let _logs = plane.logs_on_failure();
    let namespace = plane.namespace("crd").await;
    plane.apply_crd_yaml(CRD).await.unwrap();
    plane.apply_crd_yaml(CRD).await.unwrap();

    let parcels = ApiResource {
        group: "harness.test".to_owned(),
        version: "v1".to_owned(),
        api_version: "harness.test/v1".to_owned(),
        kind: "Parcel".to_owned(),
        plural: "parcels".to_owned(),
    };
    let api = Api::<DynamicObject>::namespaced_with(plane.client(User::Admin), &namespace, &parcels);
    api.create(&PostParams::default(), &DynamicObject::new("one", &parcels)).await.unwrap();

    let refused = plane.apply_crd_yaml(&CRD.replace("kind: Parcel}", "kind: parcel space}")).await;
    let refused = format!("{:#}", refused.unwrap_err());
    assert!(refused.contains("spec.names.kind"), "{refused}");
}

#[tokio::test]
async fn metrics_are_the_api_servers() {
    let plane = ControlPlane::shared().await;
    let _logs = plane.logs_on_failure();
    let metrics = plane.metrics(0).await.unwrap();
    assert!(metrics.contains("apiserver_request_total{"), "{} bytes", metrics.len());
}
