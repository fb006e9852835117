//! The second API server lags exactly while it is frozen.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, ListParams, PostParams};
use statusguard_tests::{ControlPlane, Options, User};

use super::{code, config_map, value};

#[tokio::test]
async fn a_frozen_server_serves_old_objects_and_catches_up() {
    let plane = ControlPlane::start(Options { stale_second: true, ..Options::default() }).await.unwrap();
    let namespace = plane.namespace("stale").await;
    let current = Api::<ConfigMap>::namespaced(plane.client_of(0, User::Admin), &namespace);
    let lagging = Api::<ConfigMap>::namespaced(plane.client_of(1, User::Admin), &namespace);
    let post = PostParams::default();
    let old = current.create(&post, &config_map("a", "old")).await.unwrap();
    plane.wait_cached(1, &old).await.unwrap();

    plane.stale_proxy().unwrap().freeze();
    let new = ConfigMap { data: config_map("a", "new").data, ..old.clone() };
    let new = current.replace("a", &post, &new).await.unwrap();
    plane.wait_cached(0, &new).await.unwrap();
    assert_eq!(value(&plane.cached(1, &old).await.unwrap()), "old", "the cache of the frozen server");

    // What goes to etcd itself is current, in both directions.
    assert_eq!(value(&lagging.get("a").await.unwrap()), "new", "a live read at the frozen server");
    assert_eq!(code(lagging.replace("a", &post, &old).await), 409, "a stale write at the frozen server");
    let newest = ConfigMap { data: config_map("a", "newest").data, ..new.clone() };
    let newest = lagging.replace("a", &post, &newest).await.unwrap();
    lagging.create(&post, &config_map("b", "made while frozen")).await.unwrap();
    assert_eq!(value(&current.get("a").await.unwrap()), "newest");
    let cached = lagging.list(&ListParams::default().match_any().at("0")).await.unwrap();
    assert_eq!(cached.items.len(), 1, "the cached list of the frozen server");
    assert_eq!(value(&cached.items[0]), "old");
    // A consistent list waits for the cache in vain and then asks etcd.
    let consistent = lagging.list(&ListParams::default()).await.unwrap();
    assert_eq!(consistent.items.len(), 2, "the consistent list of the frozen server");
    assert_eq!(value(&plane.cached(1, &old).await.unwrap()), "old", "the frozen cache is what it was");

    plane.stale_proxy().unwrap().thaw();
    plane.wait_cached(1, &newest).await.unwrap();
    assert_eq!(value(&plane.cached(1, &old).await.unwrap()), "newest", "the thawed cache");
}
