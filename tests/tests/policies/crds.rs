//! What the API server serves of a policy's target changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use statusguard_tests::Fault;

use crate::stage::Stage;

#[tokio::test]
async fn a_crd_that_comes_later_goes_and_comes_again() {
    let stage = Stage::new().await;
    stage.guard("jobs", "a").await;
    let mut watching = stage.watch();
    let message = stage.says("jobs", "Compiled", "False", "ResourceNotServed").await;
    assert!(message.starts_with(&format!("the API server does not serve {}", stage.name("jobs"))), "{message}");
    watching.ready().await;
    assert_eq!((watching.field(&stage, "jobs"), watching.count("cluster", "not_served")), (None, 1.0));
    watching.serves(&stage, &[]).await;

    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    watching.serves(&stage, &[("jobs", true)]).await;
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("a"));

    stage.delete_crd("jobs").await;
    stage.says("jobs", "Compiled", "False", "ResourceNotServed").await;
    watching.serves(&stage, &[]).await;

    let mut crd = stage.crd("jobs", &["v1"], &["a"]);
    crd["spec"]["scope"] = "Cluster".into();
    stage.apply_crd(&crd).await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    watching.serves(&stage, &[("jobs", false)]).await;
}

/// Discovery is brought up to date after the CRD has gone, and nothing tells of it.
#[tokio::test]
async fn what_discovery_still_lists_of_a_deleted_crd_is_not_believed_for_long() {
    const STALE: &str = r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"example.org/v1","resources":[
        {"name":"jobs","singularName":"job","namespaced":true,"kind":"Job","verbs":["get"]},
        {"name":"jobs/status","singularName":"","namespaced":true,"kind":"Job","verbs":["get"]}]}"#;
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    let mut watching = stage.watch();
    watching.serves(&stage, &[("jobs", true)]).await;
    let (discovery, asked) = (format!("/apis/{}/v1", stage.group), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&asked);
    stage.proxy.set_faults(move |parts| {
        let first = parts.uri.path() == discovery && counted.fetch_add(1, Ordering::SeqCst) == 0;
        if first { Fault::Page(STALE) } else { Fault::Pass }
    });
    stage.delete_crd("jobs").await;
    stage.says("jobs", "Compiled", "False", "ResourceNotServed").await;
    watching.serves(&stage, &[]).await;
    assert!(asked.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn a_schema_that_changes_is_compiled_against_again() {
    let stage = Stage::new().await;
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "b").await;
    let watching = stage.watch();
    let message = stage.says("jobs", "Compiled", "False", "Invalid").await;
    assert!(message.contains("spec.monotone[0].path"), "{message}");
    assert_eq!(watching.field(&stage, "jobs"), None);

    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a", "b"])).await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    watching.in_force(&stage, "jobs", Some("b")).await;

    let mut crd = stage.crd("jobs", &["v1"], &["a"]);
    let status = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
    crd.pointer_mut(status).unwrap()["b"] = json!({ "type": "boolean" });
    stage.apply_crd(&crd).await;
    stage.says("jobs", "Compiled", "False", "Invalid").await;
    assert_eq!(watching.field(&stage, "jobs").as_deref(), Some("b"), "the last good version stays");
}

#[tokio::test]
async fn versions_and_subresources_that_are_not_served_are_named() {
    let stage = Stage::new().await;
    let with = |change: fn(&mut Value)| {
        let mut crd = stage.crd("jobs", &["v1", "v2"], &["a"]);
        change(&mut crd["spec"]["versions"]);
        crd
    };
    stage.apply_crd(&with(|versions| versions[1]["served"] = false.into())).await;
    let mut policy = stage.policy("jobs", &crate::stage::guards("a"));
    policy["spec"]["target"]["version"] = "v2".into();
    stage.apply(&policy).await;
    let mut watching = stage.watch();
    let message = stage.says("jobs", "Compiled", "False", "VersionNotServed").await;
    assert!(message.contains("version `v2`") && message.ends_with("name one of v1"), "{message}");
    stage.apply_crd(&with(|versions| versions[1]["subresources"] = json!({}))).await;
    let message = stage.says("jobs", "Compiled", "False", "SubresourceNotServed").await;
    assert!(message.contains("subresource: \"\""), "{message}");
    watching.serves(&stage, &[]).await;
    stage.apply_crd(&with(|_| {})).await;
    // It is not the version that is stored.
    stage.says("jobs", "Compiled", "True", "CompiledWithWarnings").await;
    watching.serves(&stage, &[("jobs", true)]).await;
    // A new version of the policy that is not served leaves the old one in force, and its entry.
    policy["spec"]["target"]["version"] = "v3".into();
    stage.apply(&policy).await;
    stage.says("jobs", "Compiled", "False", "VersionNotServed").await;
    watching.serves(&stage, &[("jobs", true)]).await;
    assert_eq!(watching.store.get(&stage.group, "jobs").unwrap().policy.spec().target.version, "v2");
}
