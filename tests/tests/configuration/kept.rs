//! The guard's entries get into the configuration and stay as the policies want them.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;
use serde_json::json;
use statusguard::cluster::configuration::Published;
use statusguard_tests::{Fault, eventually};

use crate::stage::Stage;

#[tokio::test]
async fn entries_are_filled_in_by_one_write_and_what_the_api_server_makes_of_them_is_not_drift() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    stage.want(&["jobs", "tasks"]);
    let bundle = stage.new_bundle();
    let mut keeper = stage.keep();
    keeper.in_sync().await;
    let counts = stage.read_again(5).await;
    assert_eq!(counts.verb("PUT"), 1, "{counts}");
    assert_eq!(counts.total(), counts.verb("PUT") + counts.verb("GET") + counts.verb("WATCH"), "{counts}");

    stage.has_entries(&["jobs", "tasks"]).await;
    let stored = stage.stored().await;
    assert_eq!(stored.metadata.labels.unwrap()["app"], "statusguard");
    assert_eq!(stored.metadata.annotations.unwrap()["admissions.enforcer/disabled"], "true");
    let managers = stored.metadata.managed_fields.unwrap();
    assert!(managers.iter().any(|fields| fields.manager.as_deref() == Some("statusguard")), "{managers:?}");
    let rules = &stored.webhooks.as_ref().unwrap()[0].rules.as_ref().unwrap()[0];
    assert_eq!(rules.scope.as_deref(), Some("Namespaced"));

    let bundles: BTreeMap<_, _> = ["jobs", "tasks"].map(|name| (stage.policy(name), bundle.clone())).into();
    assert_eq!(*keeper.published.borrow(), Published::Present { bundles, in_sync: true });
    assert_eq!(keeper.metric("statusguard_configuration_present"), 1.0);
    assert_eq!(keeper.metric("statusguard_configuration_entries"), 2.0);
    assert!(keeper.metric("statusguard_configuration_last_sync_timestamp_seconds") > 1.7e9);
}

#[tokio::test]
async fn nothing_is_written_before_policies_and_a_usable_bundle_are_known() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    let mut keeper = stage.keep();
    keeper.publishes("read", |published| *published != Published::Unknown).await;
    stage.want(&["jobs"]);
    stage.read_again(2).await;
    stage.bundle.send_replace(Some(b"hello".as_slice().into()));
    let counts = stage.read_again(2).await;
    assert_eq!(counts.verb("PUT"), 0, "{counts}");
    stage.new_bundle();
    stage.has_entries(&["jobs"]).await;

    // An unusable one later leaves the last in force, also for new entries.
    let before = stage.stored_entry("jobs").await;
    stage.bundle.send_replace(Some(b"".as_slice().into()));
    stage.want(&["jobs", "tasks"]);
    stage.has_entries(&["jobs", "tasks"]).await;
    assert_eq!(stage.stored_entry("jobs").await, before);
    let bundle = |entry: Option<ValidatingWebhook>| entry.unwrap().client_config.ca_bundle;
    assert_eq!(bundle(stage.stored_entry("tasks").await), bundle(before));
}

#[tokio::test]
async fn added_changed_and_removed_policies_and_bundles_reach_it() {
    let stage = Stage::new().await;
    let mut keeper = stage.keep_in_sync(&["jobs"]).await;
    stage.want(&["jobs", "tasks"]);
    stage.has_entries(&["jobs", "tasks"]).await;

    let selector = |value: &str| json!({ "namespaceSelector": { "matchLabels": { "guarded": value } } });
    for value in ["yes", "very"] {
        stage.want_entries(vec![stage.entry("jobs", &selector(value)), stage.entry("tasks", &json!({}))]);
        eventually("the selector is there", async || {
            let labels = stage.stored_entry("jobs").await.unwrap().namespace_selector.unwrap().match_labels;
            Ok(labels.is_some_and(|labels| labels.get("guarded").is_some_and(|has| has == value)))
        })
        .await
        .unwrap();
    }
    stage.want(&["tasks"]);
    stage.has_entries(&["tasks"]).await;
    stage.want(&["jobs", "tasks"]);
    stage.has_entries(&["tasks", "jobs"]).await;
    assert_eq!(stage.stored_entry("jobs").await.unwrap().namespace_selector.unwrap().match_labels, None);

    let bundle = stage.new_bundle();
    keeper
        .publishes("the new bundle", |published| match published {
            Published::Present { bundles, in_sync: true } => {
                bundles.values().all(|published| published.starts_with(&bundle))
            }
            _ => false,
        })
        .await;
    stage.want(&[]);
    stage.has_entries(&[]).await;
}

#[tokio::test]
async fn two_keepers_agree_without_a_fight() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    stage.want(&["jobs"]);
    stage.new_bundle();
    let (mut one, mut two) = (stage.keep(), stage.keep());
    join(one.in_sync(), two.in_sync()).await;
    let mut changes = 1.0;
    for resources in [&["jobs", "tasks"][..], &["tasks"], &["tasks", "jobs", "steps"]] {
        stage.want(resources);
        eventually("all entries are there", async || {
            Ok(stage.stored().await.webhooks.is_some_and(|entries| entries.len() == resources.len()))
        })
        .await
        .unwrap();
        stage.read_again(4).await;
        changes += 1.0;
    }
    // Who comes second finds it done: on reading, or by a conflict.
    assert_eq!(stage.stored().await.metadata.generation, Some(1 + changes as i64));
    eventually("all writes are counted", async || Ok(one.writes() + two.writes() == changes)).await.unwrap();
}

#[tokio::test]
async fn a_lost_write_is_decided_again_on_what_is_there_then() {
    let stage = Stage::new().await;
    stage.want(&["jobs"]);
    stage.new_bundle();
    // The API server gets each write twice and refuses the second.
    stage.proxy.set_faults(|parts| if parts.method == "PUT" { Fault::Repeat } else { Fault::Pass });
    let mut keeper = stage.keep();
    keeper.in_sync().await;
    assert_eq!(keeper.metric("statusguard_configuration_conflicts_total"), 1.0);
    assert_eq!(stage.proxy.counts().verb("PUT"), 1);
    stage.has_entries(&["jobs"]).await;
}

/// Somebody writes labels all the time: no label is lost, and every bundle gets in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn races_with_other_writers_lose_nothing() {
    let stage = Stage::new().await;
    let _keeper = stage.keep_in_sync(&["jobs"]).await;
    for _ in 0..3 {
        let bundle = stage.new_bundle();
        let (mut number, mut seen) = (0, false);
        while !seen {
            number += 1;
            stage.merge(json!({ "metadata": { "labels": { "number": number.to_string() } } })).await;
            let stored = stage.stored().await;
            assert_eq!(stored.metadata.labels.unwrap()["number"], number.to_string());
            seen = stored.webhooks.unwrap()[0].client_config.ca_bundle.as_ref().unwrap().0.starts_with(&bundle);
        }
    }
}

/// A policy whose selector the API server does not take must not keep the bundle of all others from being renewed.
#[tokio::test]
async fn an_entry_that_the_api_server_refuses_does_not_hold_up_the_others() {
    let stage = Stage::new().await;
    let odd = json!({ "objectSelector": { "matchExpressions": [{ "key": "a", "operator": "Resembles" }] } });
    stage.want_entries(vec![stage.entry("jobs", &odd), stage.entry("tasks", &json!({}))]);
    stage.new_bundle();
    let mut keeper = stage.keep();
    stage.has_entries(&["tasks"]).await;
    assert_eq!(keeper.errors("update"), 1.0);
    let bundle = stage.new_bundle();
    keeper
        .publishes("the new bundle, but not all entries", |published| match published {
            Published::Present { bundles, in_sync: false } => {
                bundles.values().all(|published| published.starts_with(&bundle))
            }
            _ => false,
        })
        .await;
    stage.want(&["jobs", "tasks"]);
    stage.has_entries(&["tasks", "jobs"]).await;
    keeper.in_sync().await;
}
