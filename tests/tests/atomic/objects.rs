//! Kinds of every sort: what types do not know survives, with and without a subresource.

use atomic_status::{Dynamic, StatusWriter, WithRawStatus};
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus};
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};
use statusguard_tests::{FaultProxy, User};

use crate::tally::{Bench, RawTally, Tally, TallyStatus, builder, count};

/// With a field that the type does not know in the status, in an entry of a list and in a map.
fn rich() -> Value {
    json!({
        "counter": 1, "new": {"deep": [1, 2.5]},
        "log": [{"id": "a", "new": 1}],
        "tags": {"t": {"seen": 1, "new": 1}},
    })
}

fn edit(status: &mut TallyStatus) {
    count("b")(status);
    status.tags.entry("t".into()).or_default().seen += 1;
}

fn edited() -> Value {
    json!({
        "counter": 2, "new": {"deep": [1, 2.5]},
        "log": [{"id": "a", "new": 1}, {"id": "b"}],
        "tags": {"t": {"seen": 2, "new": 1}},
    })
}

impl Bench<'_> {
    async fn rich(&self, name: &str) -> RawTally {
        self.create(name).await;
        let patch = Patch::Merge(json!({ "status": rich() }));
        self.api().patch_status(name, &PatchParams::default(), &patch).await.unwrap()
    }
}

#[tokio::test]
async fn unknown_fields_survive_a_whole_and_a_typed_object() {
    let bench = Bench::shared().await;
    let proxy = FaultProxy::start(bench.plane.config(User::Admin)).await.unwrap();
    let whole = bench.rich("whole").await;
    builder(proxy.client()).build().unwrap().update(&whole, edit).await.unwrap();
    assert_eq!(bench.api().get("whole").await.unwrap().status_as_sent(), Some(&edited()));
    assert_eq!((proxy.counts().total(), proxy.counts().verb("PUT")), (1, 1));

    let typed: Tally = bench.rich("typed").await.into_inner();
    let writer = StatusWriter::<Tally>::builder(proxy.client(), "typed").build().unwrap();
    writer.update(&typed, edit).await.unwrap();
    assert_eq!(bench.api().get("typed").await.unwrap().status_as_sent(), Some(&edited()));
}

#[tokio::test]
async fn a_dynamic_object_is_written_like_any_other() {
    let bench = Bench::shared().await;
    let kind =
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("atomic.statusguard.dev", "v1", "Tally"), "tallies");
    let client = bench.plane.client(User::Admin);
    bench.rich("dynamic").await;
    let api: Api<Dynamic> = Api::namespaced_with(client.clone(), &bench.namespace, &kind);
    let object = api.get("dynamic").await.unwrap();
    let writer = StatusWriter::<Dynamic>::builder_with(client, "dynamic", kind).build().unwrap();
    writer.update(&object, |status| status["phase"] = "B".into()).await.unwrap();
    let mut expected = rich();
    expected["phase"] = "B".into();
    assert_eq!(bench.api().get("dynamic").await.unwrap().status_as_sent(), Some(&expected));
}

#[tokio::test]
async fn a_kind_without_subresource_keeps_its_spec() {
    let bench = Bench::shared().await;
    let kind = ApiResource::from_gvk(&GroupVersionKind::gvk("atomic.statusguard.dev", "v1", "Heap"));
    let client = bench.plane.client(User::Admin);
    let api: Api<Dynamic> = Api::namespaced_with(client.clone(), &bench.namespace, &kind);
    let heap = json!({
        "apiVersion": "atomic.statusguard.dev/v1", "kind": "Heap", "metadata": {"name": "heap"},
        "spec": {"of": ["hay"]}, "status": rich(), "extra": 1,
    });
    let heap = api.create(&PostParams::default(), &serde_json::from_value(heap).unwrap()).await.unwrap();
    let writer = StatusWriter::<Dynamic>::builder_with(client, "heaper", kind).main_resource().build().unwrap();
    let outcome = writer.update(&heap, |status| status["counter"] = 2.into()).await.unwrap();
    writer.update(outcome.object(), |status| status["counter"] = 3.into()).await.unwrap();
    let now = api.get("heap").await.unwrap();
    assert_eq!((&now.data["spec"], &now.data["extra"]), (&json!({"of": ["hay"]}), &json!(1)));
    assert_eq!(now.status_as_sent().unwrap()["counter"], 3);
    assert_eq!(now.status_as_sent().unwrap()["log"], rich()["log"]);
}

#[tokio::test]
async fn a_kind_of_kubernetes_itself_is_written_too() {
    let bench = Bench::shared().await;
    let client = bench.plane.client(User::Admin);
    type Deployed = WithRawStatus<Deployment, DeploymentStatus>;
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "annotations": {"a": "b"}},
        "spec": {
            "selector": {"matchLabels": {"app": "d"}},
            "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    });
    let api: Api<Deployed> = Api::namespaced(client.clone(), &bench.namespace);
    let mut object = api.create(&PostParams::default(), &serde_json::from_value(deployment).unwrap()).await.unwrap();
    // As a cache may hold it; the API server would take this over with the status.
    object.meta_mut().annotations = None;
    let writer = StatusWriter::<Deployed>::builder(client, "deployer").build().unwrap();
    writer.update(&object, |status| status.observed_generation = Some(7)).await.unwrap();
    let now = api.get("d").await.unwrap();
    assert_eq!(now.status.as_ref().unwrap().observed_generation, Some(7));
    assert_eq!(now.annotations().get("a").map(String::as_str), Some("b"));
}
