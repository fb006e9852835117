//! The stale write that the guard makes itself, to see that it is refused.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhook;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::PostParams;
use statusguard_tests::{Scope, User, eventually, parcels, unique};

use super::{Serving, Stage};

const ENTRY: &str = "statuspolicies.statusguard.dev.statusguard.dev";

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}

impl Stage {
    /// Takes the canary's entry out, or puts it back.
    async fn replace_canary(&self, with: Option<ValidatingWebhook>) -> Option<ValidatingWebhook> {
        let mut object = self.configurations().get(&self.configuration).await.unwrap();
        let entries = object.webhooks.get_or_insert_default();
        let removed = entries.iter().position(|entry| entry.name == ENTRY).map(|at| entries.remove(at));
        entries.extend(with);
        self.configurations().replace(&self.configuration, &PostParams::default(), &object).await.unwrap();
        removed
    }
}

impl Serving {
    async fn success(&self) -> f64 {
        self.metric("statusguard_canary_success_timestamp_seconds").await
    }

    /// Writes that were refused.
    async fn calls(&self) -> f64 {
        const DENIED: &str = "{policy=\"statuspolicies.statusguard.dev\",outcome=\"Denied\",class=\"Stale\"}";
        self.metric(&format!("statusguard_admission_requests_total{DENIED}")).await
    }

    async fn failures(&self, cause: &str) -> f64 {
        self.metric(&format!("statusguard_canary_failures_total{{cause=\"{cause}\"}}")).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_is_ready_notices_that_its_refusals_do_not_arrive() {
    let (stage, often) = (Stage::new().await, ["--canary-interval=200ms"]);
    let guard = stage.guard_as(&stage.plane.kubeconfig(User::Admin), &often).await;
    eventually("the guard is ready", async || Ok(guard.ready().await)).await.unwrap();
    assert_eq!(guard.success().await, 0.0, "there is nothing to write to");
    stage.policy("Fail").await;
    eventually("a stale write is refused", async || Ok(guard.success().await > 0.0)).await.unwrap();
    // It is a dry run: the policy says what it said, in the same version.
    let version = async || stage.policies().get(parcels::POLICY).await.unwrap().metadata.resource_version;
    eventually("the entry is there", async || Ok(stage.condition("Enforced").await["reason"] == "WaitingForFirstCall"))
        .await
        .unwrap();
    let (before, calls) = (version().await, guard.calls().await);
    eventually("it is refused again", async || Ok(guard.calls().await > calls + 2.0)).await.unwrap();
    assert_eq!(version().await, before);
    guard.end().await;

    // The next one cannot repair what somebody removes.
    let mut entry = stage.replace_canary(None).await.unwrap();
    let user = User::Named(unique("guard"));
    let rules = vec![
        rule("statusguard.dev", "statuspolicies", &["list", "watch"]),
        rule("apiextensions.k8s.io", "customresourcedefinitions", &["get", "list", "watch"]),
        rule("admissionregistration.k8s.io", "validatingwebhookconfigurations", &["get", "list", "watch"]),
        rule("", "secrets", &["get", "list", "watch"]),
    ];
    stage.plane.grant(&user, Scope::Cluster, rules).await.unwrap();
    let guard = stage.guard_as(&stage.plane.kubeconfig(user.clone()), &often).await;
    eventually("the guard is ready", async || Ok(guard.ready().await)).await.unwrap();
    eventually("the right is missing", async || Ok(guard.failures("forbidden").await > 0.0)).await.unwrap();
    let patch = vec![rule("statusguard.dev", "statuspolicies/status", &["patch"])];
    stage.plane.grant(&user, Scope::Cluster, patch).await.unwrap();
    eventually("the write is not refused", async || Ok(guard.failures("not_refused").await > 0.0)).await.unwrap();
    assert_eq!((guard.success().await, guard.ready().await), (0.0, true));
    entry.client_config.service.as_mut().unwrap().port = Some(guard.admission.port().into());
    stage.replace_canary(Some(entry)).await;
    eventually("it is refused again", async || Ok(guard.success().await > 0.0)).await.unwrap();
    guard.end().await;
}
