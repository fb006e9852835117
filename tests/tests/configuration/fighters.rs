//! Others who write the configuration: what is theirs stays, what is the guard's is repaired, and nobody makes a storm.

use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;
use kube::api::{Api, ListParams};
use statusguard_tests::{User, eventually};

use crate::stage::Stage;

#[tokio::test]
async fn a_changed_field_is_changed_back_and_its_author_is_named() {
    let stage = Stage::new().await;
    let keeper = stage.keep_in_sync(&["jobs"]).await;
    stage.meddle("meddler", |entries| entries[0].timeout_seconds = Some(1)).await;
    eventually("the time-out is back", async || {
        Ok(stage.stored_entry("jobs").await.unwrap().timeout_seconds == Some(5))
    })
    .await
    .unwrap();
    eventually("the repair is counted", async || Ok(keeper.repairs("meddler") == 1.0)).await.unwrap();

    let events = Api::<Event>::namespaced(stage.plane.client(User::Admin), "default");
    let about = ListParams::default().fields(&format!("involvedObject.name={}", stage.name));
    eventually("an Event tells of it", async || {
        let told = events.list(&about).await?.items;
        let tells = |event: &Event| {
            let message = event.message.clone().unwrap_or_default();
            message.contains("meddler") && message.contains("timeoutSeconds")
        };
        Ok(told.iter().any(|event| event.reason.as_deref() == Some("ConfigurationRepaired") && tells(event)))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_removed_entry_is_added_again_and_a_foreign_one_stays() {
    let stage = Stage::new().await;
    let _keeper = stage.keep_in_sync(&["jobs"]).await;
    let foreign = format!("hook.{}.example.org", stage.name);
    stage
        .meddle("meddler", |entries| {
            entries[0].name.clone_from(&foreign);
            entries[0].timeout_seconds = Some(2);
        })
        .await;
    stage.has_entries(&["jobs"]).await;
    let entries = stage.stored().await.webhooks.unwrap();
    assert_eq!((entries[0].name.as_str(), entries[0].timeout_seconds), (foreign.as_str(), Some(2)));
    assert_eq!(entries.len(), 2);
}

/// What the admissions enforcer of AKS does to every webhook.
fn enforce(entries: &mut Vec<ValidatingWebhook>) {
    for entry in entries {
        let terms = entry.namespace_selector.get_or_insert_default().match_expressions.get_or_insert_default();
        for key in ["control-plane", "kubernetes.azure.com/managedby"] {
            if terms.iter().all(|term| term.key != key) {
                let operator = "DoesNotExist".to_owned();
                terms.insert(0, LabelSelectorRequirement { key: key.to_owned(), operator, values: None });
            }
        }
    }
}

#[tokio::test]
async fn no_write_follows_the_terms_that_the_enforcer_of_aks_adds() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    let keeper = stage.keep_in_sync(&["jobs", "tasks"]).await;
    stage.meddle("admissionsenforcer", enforce).await;
    let enforced = stage.stored().await;
    let counts = stage.read_again(5).await;
    assert_eq!((counts.verb("PUT"), keeper.writes()), (1, 1.0), "{counts}");
    assert_eq!(stage.stored().await, enforced);

    // Nor does a write of the guard's own give the enforcer anything to do.
    let bundle = stage.new_bundle();
    eventually("the new bundle is there", async || {
        let entry = stage.stored_entry("tasks").await.unwrap();
        Ok(entry.client_config.ca_bundle.unwrap().0.starts_with(&bundle))
    })
    .await
    .unwrap();
    let selectors = |entries: Option<Vec<ValidatingWebhook>>| -> Vec<_> {
        entries.unwrap().into_iter().map(|entry| entry.namespace_selector).collect()
    };
    assert_eq!(selectors(stage.stored().await.webhooks), selectors(enforced.webhooks));
}

#[tokio::test]
async fn a_tool_that_resets_the_guards_fields_all_the_time_makes_no_storm() {
    let mut stage = Stage::new().await;
    stage.timing.second_repair = Duration::from_millis(500);
    stage.timing.slowest_repair = Duration::from_secs(60);
    let keeper = stage.keep_in_sync(&["jobs"]).await;
    let begun = Instant::now();
    // At once, after half a second, after another second.
    let mut fights = 0;
    while keeper.repairs("fighter") < 3.0 {
        if stage.stored_entry("jobs").await.unwrap().timeout_seconds == Some(5) {
            stage.meddle("fighter", |entries| entries[0].timeout_seconds = Some(1)).await;
            fights += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(1500), "three repairs within {:?}", begun.elapsed());
    assert!(fights >= 3);
    eventually("a repair waits", async || {
        stage.meddle("fighter", |entries| entries[0].timeout_seconds = Some(1)).await;
        Ok(keeper.metric("statusguard_configuration_repair_pending") == 1.0)
    })
    .await
    .unwrap();

    // What is wanted anew gets in all the same.
    let bundle = stage.new_bundle();
    eventually("the new bundle is there", async || {
        let entry = stage.stored_entry("jobs").await.unwrap();
        Ok(entry.client_config.ca_bundle.unwrap().0.starts_with(&bundle))
    })
    .await
    .unwrap();
}
