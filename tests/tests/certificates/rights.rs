//! Each right removed in turn: what stops, what goes on, what is said, and what is counted.

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use statusguard_certs::Timing;
use statusguard_tests::{Scope, User, eventually, unique};

use crate::log::CapturedLog;
use crate::site::{CertificateReplica, LONG, SECRET, Site, seconds};

const SECRETS: &str = "secrets";
const CONFIGURATIONS: &str = "validatingwebhookconfigurations";
const NONE: (&str, &str) = ("", "");

/// What nobody tells of is seen after a second.
const TIMING: Timing = Timing { tick: seconds(1), ..LONG };

impl Site {
    /// The rules that the guard needs for its certificates, without one verb: those of its namespace, and the others.
    fn rules(&self, missing: (&str, &str)) -> [Vec<PolicyRule>; 2] {
        let rule = |group: &str, resource: &str, verbs: &[&str], name: Option<&str>| {
            let verbs = verbs.iter().filter(|verb| (**verb, resource) != missing).map(|verb| (*verb).to_owned());
            let rule = PolicyRule {
                api_groups: Some(vec![group.to_owned()]),
                resources: Some(vec![resource.to_owned()]),
                resource_names: name.map(|name| vec![name.to_owned()]),
                verbs: verbs.collect(),
                ..PolicyRule::default()
            };
            (!rule.verbs.is_empty()).then_some(rule)
        };
        let verbs = ["get", "list", "watch", "update"];
        let secrets = [rule("", SECRETS, &verbs, Some(SECRET)), rule("", SECRETS, &["create"], None)];
        let configuration = rule("admissionregistration.k8s.io", CONFIGURATIONS, &verbs, Some(&self.configuration));
        [secrets.into_iter().flatten().collect(), configuration.into_iter().collect()]
    }

    async fn grant(&self, user: &User, missing: (&str, &str)) {
        let [secrets, configurations] = self.rules(missing);
        self.plane.grant(user, Scope::Namespace(&self.namespace), secrets).await.unwrap();
        self.plane.grant(user, Scope::Cluster, configurations).await.unwrap();
    }

    /// A replica with all rights but one, and whom they belong to.
    async fn without(&self, verb: &str, resource: &str) -> (User, CertificateReplica) {
        let user = User::Named(unique("guard"));
        self.grant(&user, (verb, resource)).await;
        let config = self.proxy.route(self.plane.config(user.clone()));
        (user, self.replica_as(config, TIMING))
    }

    /// What the log is to say once of a missing right.
    fn is_named(&self, log: &CapturedLog, verb: &str, resource: &str) {
        let (what, group, name, place) = match resource {
            SECRETS => (format!("secret {}/{SECRET}", self.namespace), "\"\"", SECRET, &*self.namespace),
            _ => {
                let what = format!("validatingwebhookconfiguration {}", self.configuration);
                (what, "admissionregistration.k8s.io", &*self.configuration, "")
            }
        };
        let names = if verb == "create" { String::new() } else { format!(", resourceNames: [{name}]") };
        let place = if place.is_empty() { String::new() } else { format!(" in namespace {place}") };
        log.says_once(&[
            &format!("cannot {verb} {what}: "),
            &format!("the verb {verb} on {resource} (apiGroups: [{group}]{names}) by a role{place}")
                .replace('"', "\\\""),
        ]);
    }

    /// All replicas of the log have found that what a missing right held up is done.
    async fn is_over(&self, log: &CapturedLog) {
        let over = async || Ok(log.text().contains("the last problem is over"));
        eventually("the log says that the problem is over", over).await.unwrap();
        log.says_that_it_is_over();
    }

    /// A stable site, and its authority's replica is gone.
    async fn stable() -> Self {
        let site = Self::new().await;
        site.is_stable(&[site.replica(LONG)]).await;
        site
    }

    async fn secret_version(&self) -> Option<String> {
        self.secrets().get_opt(SECRET).await.unwrap().and_then(|secret| secret.metadata.resource_version)
    }
}

#[tokio::test]
async fn these_rights_are_enough() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let (_, replica) = site.without("", "").await;
    let replica = [replica];
    site.is_stable(&replica).await;
    assert_eq!(log.problems(), Vec::<String>::new());
    assert_eq!(replica[0].failures("refused"), 0);
    site.overwrite_a_bundle().await;
    site.is_stable(&replica).await;
    assert_eq!(replica[0].failures("refused"), 0);
}

/// Without knowing both, nothing can be decided.
#[tokio::test]
async fn without_get_nothing_is_served_or_written_until_it_is_granted() {
    for resource in [SECRETS, CONFIGURATIONS] {
        let (site, log) = (Site::new().await, CapturedLog::start());
        let (user, replica) = site.without("get", resource).await;
        replica.fails("refused", 3).await;
        site.is_named(&log, "get", resource);
        let counts = site.proxy.counts();
        assert_eq!((counts.verb("POST"), counts.verb("PUT")), (0, 0), "{counts}");
        assert!(!replica.status.borrow().serves);
        site.grant(&user, NONE).await;
        site.is_stable(std::slice::from_ref(&replica)).await;
        site.is_over(&log).await;
    }
}

/// A right that is withdrawn from a replica that serves.
#[tokio::test]
async fn a_leaf_is_served_on_without_get() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let user = User::Named(unique("guard"));
    site.grant(&user, NONE).await;
    let replica = [site.replica_as(site.plane.config(user.clone()), TIMING)];
    site.is_stable(&replica).await;
    let (leaf, version) = (replica[0].leaf(), site.secret_version().await);
    let roles =
        Api::<k8s_openapi::api::rbac::v1::RoleBinding>::namespaced(site.plane.client(User::Admin), &site.namespace);
    roles.delete_collection(&Default::default(), &Default::default()).await.unwrap();
    replica[0].fails("refused", 2).await;
    assert_eq!((replica[0].leaf(), site.secret_version().await), (leaf, version));
    assert!(replica[0].status.borrow().serves);
    let said = log.problems();
    assert_eq!(said.iter().filter(|line| line.contains("the verb get on secrets")).count(), 1, "{said:#?}");
}

#[tokio::test]
async fn without_list_or_watch_of_the_secret_changes_are_noticed_at_the_next_tick() {
    changes_are_noticed_without(["list", "watch"], SECRETS).await;
}

#[tokio::test]
async fn without_list_or_watch_of_the_configuration_changes_are_noticed_at_the_next_tick() {
    changes_are_noticed_without(["list", "watch"], CONFIGURATIONS).await;
}

async fn changes_are_noticed_without(verbs: [&str; 2], resource: &str) {
    for verb in verbs {
        let (site, log) = (Site::stable().await, CapturedLog::start());
        let (_, replica) = site.without(verb, resource).await;
        replica.fails("refused", 2).await;
        site.is_named(&log, verb, resource);
        let replica = [replica];
        site.is_stable(&replica).await;
        match resource {
            SECRETS => {
                let before = replica[0].signer().unwrap();
                site.delete_secret().await;
                site.has_another_authority(&replica[0], before).await;
            }
            _ => {
                site.overwrite_a_bundle().await;
                site.is_stable(&replica).await;
            }
        }
    }
}

#[tokio::test]
async fn without_create_a_lost_secret_stays_lost_and_the_leaf_is_served_on() {
    let (site, log) = (Site::stable().await, CapturedLog::start());
    let (user, replica) = site.without("create", SECRETS).await;
    let replica = [replica];
    site.is_stable(&replica).await;
    let (leaf, bundles) = (replica[0].leaf(), site.our_bundles().await);
    site.delete_secret().await;
    replica[0].fails("refused", 3).await;
    site.is_named(&log, "create", SECRETS);
    assert_eq!((replica[0].leaf(), site.our_bundles().await), (leaf, bundles));
    assert!(replica[0].status.borrow().serves);
    let before = replica[0].signer().unwrap();
    site.grant(&user, NONE).await;
    site.has_another_authority(&replica[0], before).await;
}

#[tokio::test]
async fn without_update_of_the_secret_it_stays_as_it_is_and_the_leaf_is_served_on() {
    let (site, log) = (Site::stable().await, CapturedLog::start());
    let (user, replica) = site.without("update", SECRETS).await;
    let replica = [replica];
    site.is_stable(&replica).await;
    let leaf = replica[0].leaf();
    site.merge_secret(json!({ "stringData": { "rotation.json": "hello" } })).await;
    let version = site.secret_version().await;
    replica[0].fails("refused", 2).await;
    let said = log.problems();
    assert_eq!(said.iter().filter(|line| line.contains("the verb update on secrets")).count(), 1, "{said:#?}");
    assert_eq!((replica[0].leaf(), site.secret_version().await), (leaf, version));
    let before = replica[0].signer().unwrap();
    site.grant(&user, NONE).await;
    site.has_another_authority(&replica[0], before).await;
}

/// At the first start: the authority is there, and its state cannot be written any further.
#[tokio::test]
async fn without_update_of_the_secret_the_first_authority_waits_for_the_right() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let (user, replica) = site.without("update", SECRETS).await;
    replica.fails("refused", 3).await;
    site.is_named(&log, "update", SECRETS);
    assert_eq!((replica.steps("add_authority"), replica.leaf()), (1, None));
    site.grant(&user, NONE).await;
    site.is_stable(std::slice::from_ref(&replica)).await;
    site.is_over(&log).await;
}

#[tokio::test]
async fn without_update_of_the_configuration_one_authority_waits_for_the_right() {
    let (site, log) = (Site::new().await, CapturedLog::start());
    let (user, replica) = site.without("update", CONFIGURATIONS).await;
    replica.fails("refused", 3).await;
    site.is_named(&log, "update", CONFIGURATIONS);
    assert_eq!((replica.steps("add_authority"), replica.steps("write_state"), replica.leaf()), (1, 0, None));
    site.grant(&user, NONE).await;
    site.is_stable(std::slice::from_ref(&replica)).await;
    site.is_over(&log).await;
}

/// What others do is seen at once all the same, so that a bundle that they mend is relied on at once.
#[tokio::test]
async fn a_step_that_is_refused_is_tried_ever_more_rarely_while_changes_are_noticed_at_once() {
    let (site, log) = (Site::stable().await, CapturedLog::start());
    let (_, replica) = site.without("update", CONFIGURATIONS).await;
    let replica = [replica];
    site.is_stable(&replica).await;
    let good = site.our_bundles().await;
    site.overwrite_a_bundle().await;
    // 0.2 s, 0.4 s, 0.8 s and 1.6 s: the next attempt follows after 3.2 s.
    replica[0].fails("refused", 5).await;
    assert_eq!((replica[0].leaf(), replica[0].status.borrow().serves), (None, false));
    let attempts = site.proxy.counts().verb("PUT");
    let params = PatchParams::default();
    for number in 0..5 {
        let looks = site.proxy.counts().of("GET", &site.configuration);
        let label = json!({ "metadata": { "labels": { "number": number.to_string() } } });
        site.configurations().patch(&site.configuration, &params, &Patch::Merge(label)).await.unwrap();
        eventually("it is seen", async || Ok(site.proxy.counts().of("GET", &site.configuration) > looks))
            .await
            .unwrap();
    }
    assert!(site.proxy.counts().verb("PUT") <= attempts + 1);
    // A person, who has the right.
    let mut object = site.configurations().get(&site.configuration).await.unwrap();
    let bundle = k8s_openapi::ByteString(good[0].clone().into_bytes());
    object.webhooks.as_mut().unwrap()[0].client_config.ca_bundle = Some(bundle);
    site.configurations().replace(&site.configuration, &PostParams::default(), &object).await.unwrap();
    site.is_stable(&replica).await;
    let said = log.problems();
    assert_eq!(said.iter().filter(|line| line.contains("the verb update on")).count(), 1, "{said:#?}");
    site.is_over(&log).await;
}
