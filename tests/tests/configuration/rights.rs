//! Each right removed in turn: what stops, what goes on, and what is counted.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use statusguard::cluster::configuration::Published;
use statusguard_tests::{Scope, User, eventually, unique};

use crate::stage::{Keeper, NEVER, Stage};

const VERBS: [&str; 4] = ["get", "list", "watch", "update"];

/// The rules that the guard needs for this, without one verb.
fn rules(stage: &Stage, missing: &str) -> Vec<PolicyRule> {
    let rule = |group: &str, resource: &str, verbs: &[&str], names: Option<Vec<String>>| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        resource_names: names,
        verbs: verbs.iter().filter(|verb| **verb != missing).map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    let configurations =
        rule("admissionregistration.k8s.io", "validatingwebhookconfigurations", &VERBS, Some(vec![stage.name.clone()]));
    let events = rule("events.k8s.io", "events", &["create"], None);
    [configurations, events].into_iter().filter(|rule| !rule.verbs.is_empty()).collect()
}

/// A stage whose keeper has all rights but one, and whom they belong to.
async fn without(missing: &str, resync: Duration) -> (Stage, User, Keeper) {
    let mut stage = Stage::new().await;
    stage.timing.resync = resync;
    stage.want(&["jobs"]);
    stage.new_bundle();
    let user = User::Named(unique("guard"));
    stage.plane.grant(&user, Scope::Cluster, rules(&stage, missing)).await.unwrap();
    let keeper = stage.keep_as(stage.proxy.route(stage.plane.config(user.clone())));
    (stage, user, keeper)
}

async fn is_counted(keeper: &Keeper, verb: &str) {
    eventually(&format!("the missing right to {verb} is counted"), async || Ok(keeper.errors(verb) >= 1.0))
        .await
        .unwrap();
}

async fn is_repaired(stage: &Stage) {
    stage.meddle("meddler", |entries| entries[0].timeout_seconds = Some(1)).await;
    eventually("the time-out is back", async || {
        Ok(stage.stored_entry("jobs").await.unwrap().timeout_seconds == Some(5))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn these_rights_are_enough() {
    let (stage, _, mut keeper) = without("none", NEVER).await;
    keeper.in_sync().await;
    is_repaired(&stage).await;
    eventually("the repair is told", async || Ok(keeper.repairs("meddler") == 1.0)).await.unwrap();
    for verb in ["get", "list", "watch", "update", "create"] {
        assert_eq!(keeper.errors(verb), 0.0, "{verb}");
    }
}

#[tokio::test]
async fn without_get_nothing_is_written_until_it_is_granted() {
    let (stage, user, mut keeper) = without("get", NEVER).await;
    is_counted(&keeper, "get").await;
    assert_eq!(*keeper.published.borrow(), Published::Unknown);
    assert_eq!(stage.proxy.counts().verb("PUT"), 0);
    stage.plane.grant(&user, Scope::Cluster, rules(&stage, "none")).await.unwrap();
    keeper.in_sync().await;
}

#[tokio::test]
async fn without_list_or_watch_changes_are_noticed_at_the_next_reading() {
    for verb in ["list", "watch"] {
        let (stage, _, mut keeper) = without(verb, Duration::from_millis(20)).await;
        keeper.in_sync().await;
        is_counted(&keeper, verb).await;
        is_repaired(&stage).await;
    }
}

#[tokio::test]
async fn without_update_it_stays_as_it_is_until_the_right_is_granted() {
    let (stage, user, mut keeper) = without("update", NEVER).await;
    is_counted(&keeper, "update").await;
    keeper.publishes("read", |published| matches!(published, Published::Present { in_sync: false, .. })).await;
    assert_eq!(stage.stored().await.metadata.generation, Some(1));
    stage.plane.grant(&user, Scope::Cluster, rules(&stage, "none")).await.unwrap();
    keeper.in_sync().await;
}

#[tokio::test]
async fn a_write_that_is_refused_is_not_repeated_at_each_reading() {
    let mut stage = Stage::new().await;
    stage.timing.resync = Duration::from_millis(1);
    stage.timing.slowest_retry = NEVER;
    stage.want(&["jobs"]);
    stage.new_bundle();
    let user = User::Named(unique("guard"));
    stage.plane.grant(&user, Scope::Cluster, rules(&stage, "update")).await.unwrap();
    let keeper = stage.keep_as(stage.proxy.route(stage.plane.config(user)));
    is_counted(&keeper, "update").await;
    for number in 0..3 {
        stage.merge(serde_json::json!({ "metadata": { "labels": { "number": number.to_string() } } })).await;
        stage.read_again(1).await;
    }
    assert_eq!((stage.proxy.counts().verb("PUT"), keeper.errors("update")), (1, 1.0));
}

#[tokio::test]
async fn without_the_right_to_create_events_repairs_go_on() {
    let (stage, _, mut keeper) = without("create", NEVER).await;
    keeper.in_sync().await;
    is_repaired(&stage).await;
    is_counted(&keeper, "create").await;
    is_repaired(&stage).await;
}
