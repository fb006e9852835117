//! Each right removed in turn: what stops, what goes on, and what is counted.

use std::time::Duration;

use k8s_openapi::api::rbac::v1::PolicyRule;
use statusguard_tests::{Scope, User, eventually, unique};

use crate::stage::{Stage, Watching};

const POLICIES: &str = "statuspolicies";
const STATUS: &str = "statuspolicies/status";
const CRDS: &str = "customresourcedefinitions";

/// The rules that the guard needs for this, without one verb on one resource.
fn rules(missing: (&str, &str)) -> Vec<PolicyRule> {
    let rule = |group: &str, resource: &str, verbs: &[&str]| PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().filter(|verb| (**verb, resource) != missing).map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    };
    let rules = [
        rule("statusguard.dev", POLICIES, &["list", "watch"]),
        rule("statusguard.dev", STATUS, &["patch"]),
        rule("apiextensions.k8s.io", CRDS, &["get", "list", "watch"]),
    ];
    rules.into_iter().filter(|rule| !rule.verbs.is_empty()).collect()
}

/// A stage with a policy whose watch has all rights but one, and whom they belong to.
async fn without(verb: &str, resource: &str) -> (Stage, User, Watching) {
    let mut stage = Stage::new().await;
    stage.settings.resync = Duration::from_millis(20);
    stage.apply_crd(&stage.crd("jobs", &["v1"], &["a"])).await;
    stage.guard("jobs", "a").await;
    let user = User::Named(unique("guard"));
    stage.plane.grant(&user, Scope::Cluster, rules((verb, resource))).await.unwrap();
    let watching = stage.watch_as(stage.proxy.route(stage.plane.config(user.clone())), None);
    (stage, user, watching)
}

async fn is_counted(watching: &Watching, verb: &str, resource: &str) {
    let what = format!("the missing right to {verb} {resource} is counted");
    eventually(&what, async || Ok(watching.errors(verb, resource) >= 1.0)).await.unwrap();
}

#[tokio::test]
async fn these_rights_are_enough() {
    let (stage, _, mut watching) = without("none", "").await;
    watching.serves(&stage, &[("jobs", true)]).await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    for (verb, resource) in
        [("list", POLICIES), ("watch", POLICIES), ("patch", STATUS), ("get", CRDS), ("list", CRDS), ("watch", CRDS)]
    {
        assert_eq!(watching.errors(verb, resource), 0.0, "{verb} {resource}");
    }
}

#[tokio::test]
async fn without_list_there_are_no_policies_until_it_is_granted() {
    let (stage, user, watching) = without("list", POLICIES).await;
    is_counted(&watching, "list", POLICIES).await;
    assert_eq!((watching.field(&stage, "jobs"), watching.health.missing()), (None, vec!["cluster-policies"]));
    stage.plane.grant(&user, Scope::Cluster, rules(("none", ""))).await.unwrap();
    watching.in_force(&stage, "jobs", Some("a")).await;
}

/// All is listed again from time to time.
#[tokio::test]
async fn without_watch_changes_are_noticed_late() {
    let (stage, _, watching) = without("watch", POLICIES).await;
    is_counted(&watching, "watch", POLICIES).await;
    watching.in_force(&stage, "jobs", Some("a")).await;
    stage.delete("jobs").await;
    watching.in_force(&stage, "jobs", None).await;
}

#[tokio::test]
async fn without_patch_policies_are_in_force_all_the_same() {
    let (stage, user, mut watching) = without("patch", STATUS).await;
    watching.serves(&stage, &[("jobs", true)]).await;
    is_counted(&watching, "patch", STATUS).await;
    assert_eq!(stage.condition("jobs", "Compiled").await, None);
    stage.plane.grant(&user, Scope::Cluster, rules(("none", ""))).await.unwrap();
    stage.says("jobs", "Compiled", "True", "Compiled").await;
}

#[tokio::test]
async fn without_get_of_crds_discovery_tells_what_is_served() {
    let (stage, _, mut watching) = without("get", CRDS).await;
    is_counted(&watching, "get", CRDS).await;
    watching.serves(&stage, &[("jobs", true)]).await;
    stage.guard("jobs", "not-in-the-schema").await;
    stage.says("jobs", "Compiled", "True", "Compiled").await;
    watching.in_force(&stage, "jobs", Some("not-in-the-schema")).await;
}

#[tokio::test]
async fn without_list_or_watch_of_crds_changes_are_noticed_at_the_next_look() {
    for verb in ["list", "watch"] {
        let (stage, _, watching) = without(verb, CRDS).await;
        is_counted(&watching, verb, CRDS).await;
        stage.guard("jobs", "b").await;
        stage.says("jobs", "Compiled", "False", "Invalid").await;
        stage.apply_crd(&stage.crd("jobs", &["v1"], &["a", "b"])).await;
        stage.says("jobs", "Compiled", "True", "Compiled").await;
    }
}
