//! `statusguard uninstall`: what goes, in which order, and what is left alone.

use clap::Parser as _;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use statusguard::{Args, Command, UninstallArgs, UninstallPlan};
use statusguard_tests::{Scope, User, eventually, unique};

use super::Stage;

const SECRET: &str = "statusguard-authority";

impl Stage {
    fn removal(&self, user: &User) -> UninstallArgs {
        let args = [
            "statusguard".to_owned(),
            "uninstall".to_owned(),
            format!("--kubeconfig={}", self.plane.kubeconfig(user.clone()).display()),
            format!("--namespace={}", self.home),
            format!("--configuration={}", self.configuration),
        ];
        let Command::Uninstall(args) = Args::try_parse_from(args).unwrap().command else { unreachable!("the command") };
        args
    }

    async fn plan(&self) -> UninstallPlan {
        UninstallPlan::read(&self.removal(&User::Admin)).await.unwrap()
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.plane.client(User::Admin), &self.home)
    }

    /// One who may switch the guard off, and do this with Secrets.
    async fn operator(&self, secrets: &[&str]) -> User {
        let user = User::Named(unique("operator"));
        let rule = |group: &str, resource: &str, verbs: &[&str]| PolicyRule {
            api_groups: Some(vec![group.to_owned()]),
            resources: Some(vec![resource.to_owned()]),
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
            ..PolicyRule::default()
        };
        let mut rules =
            vec![rule("admissionregistration.k8s.io", "validatingwebhookconfigurations", &["get", "delete"])];
        rules.extend((!secrets.is_empty()).then(|| rule("", "secrets", secrets)));
        self.plane.grant(&user, Scope::Cluster, rules).await.unwrap();
        user
    }

    /// Whether the configuration and the Secret are there.
    async fn there(&self) -> (bool, bool) {
        let configuration = self.configurations().get_opt(&self.configuration).await.unwrap();
        (configuration.is_some(), self.secrets().get_opt(SECRET).await.unwrap().is_some())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_and_authority_go_and_the_rest_is_named() {
    let stage = Stage::new().await;
    let guard = stage.guard("statusguard").await;
    eventually("there is an authority", async || Ok(stage.there().await == (true, true))).await.unwrap();
    guard.end().await;
    let plan = stage.plan().await;
    let question = plan.question().unwrap();
    for part in [&stage.configuration, &format!("secret {}/{SECRET}", stage.home)] {
        assert!(question.contains(part.as_str()), "{question}");
    }
    assert_eq!(stage.there().await, (true, true), "a plan deletes nothing");
    let said = plan.carry_out().await.unwrap();
    assert_eq!(stage.there().await, (false, false));
    let first = format!("validatingwebhookconfiguration {} deleted\n", stage.configuration);
    assert!(said.starts_with(&first), "{said}");
    assert!(said.contains(&format!("delete namespace {}", stage.home)), "{said}");
    assert!(said.contains("delete crd statuspolicies.statusguard.dev"), "{said}");
    // A second time there is nothing to do.
    let plan = stage.plan().await;
    assert_eq!(plan.question(), None);
    assert!(plan.carry_out().await.unwrap().contains("is not there"));
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_and_secrets_of_others_stay() {
    let stage = Stage::new().await;
    // One of the same name that the guard has put nothing into.
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": SECRET }, "stringData": { "password": "x" },
    }))
    .unwrap();
    stage.secrets().create(&PostParams::default(), &secret).await.unwrap();
    let entry = json!({
        "name": "others.example.org", "sideEffects": "None", "admissionReviewVersions": ["v1"],
        "clientConfig": { "url": "https://127.0.0.1:1/" }, "failurePolicy": "Ignore",
        "rules": [{
            "apiGroups": ["none.example.org"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["none"],
        }],
    });
    let patch = |webhooks| Patch::Merge(json!({ "webhooks": webhooks }));
    let (configurations, params) = (stage.configurations(), PatchParams::default());
    configurations.patch(&stage.configuration, &params, &patch(json!([entry]))).await.unwrap();
    let Err(error) = UninstallPlan::read(&stage.removal(&User::Admin)).await else { panic!("an entry would be lost") };
    assert!(error.to_string().contains("entries of others: others.example.org"), "{error}");
    configurations.patch(&stage.configuration, &params, &patch(json!([]))).await.unwrap();
    stage.plan().await.carry_out().await.unwrap();
    assert_eq!(stage.there().await, (false, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_again_meanwhile_is_not_deleted() {
    let stage = Stage::new().await;
    let plan = stage.plan().await;
    let found = stage.configurations().get(&stage.configuration).await.unwrap();
    stage.configurations().delete(&stage.configuration, &Default::default()).await.unwrap();
    let mut again = found;
    (again.metadata.uid, again.metadata.resource_version) = (None, None);
    stage.configurations().create(&PostParams::default(), &again).await.unwrap();
    let error = plan.carry_out().await.unwrap_err();
    assert!(error.to_string().starts_with("cannot delete validatingwebhookconfiguration"), "{error}");
    assert_eq!(stage.there().await, (true, false));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_see_the_secret_the_guard_is_switched_off_all_the_same() {
    let stage = Stage::new().await;
    let user = stage.operator(&[]).await;
    let plan = UninstallPlan::read(&stage.removal(&user)).await.unwrap();
    let said = plan.carry_out().await.unwrap();
    assert!(said.contains("is left: cannot get secret"), "{said}");
    assert_eq!(stage.there().await, (false, false));
    // Nor is anything deleted by one who may not even look.
    let nobody = User::Named(unique("nobody"));
    let Err(error) = UninstallPlan::read(&stage.removal(&nobody)).await else { panic!("no rights") };
    assert!(error.to_string().contains("you need the right to `get` it"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_goes_first() {
    let stage = Stage::new().await;
    // Garbage, but the guard's.
    let secret: Secret = serde_json::from_value(json!({
        "metadata": { "name": SECRET }, "stringData": { "rotation.json": "{" },
    }))
    .unwrap();
    stage.secrets().create(&PostParams::default(), &secret).await.unwrap();
    let user = stage.operator(&["get"]).await;
    let error = UninstallPlan::read(&stage.removal(&user)).await.unwrap().carry_out().await.unwrap_err();
    let said = format!("{error:#}");
    let done = format!("validatingwebhookconfiguration {} deleted; Nothing is guarded any more.", stage.configuration);
    assert!(said.starts_with(&done) && said.contains("you need the right to `delete` it"), "{said}");
    assert_eq!(stage.there().await, (false, true));
    // Whoever may, goes on from there.
    stage.plan().await.carry_out().await.unwrap();
    assert_eq!(stage.there().await, (false, false));
}
