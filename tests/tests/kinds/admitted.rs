//! The admission policies that say what the guard cannot: each refuses what it says, and nothing that is the guard's.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use anyhow::ensure;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use statusguard_tests::{Scope, User, eventually};
use tokio::sync::OnceCell;

use crate::cases::{self, Expect, POLICIES};
use crate::kind;
use crate::server::{self, ApiResponse};
use crate::stage::{Stage, Trial, stage, trials};
use crate::verb::WriteVerb;

/// `vap/tests/cases.yaml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    users: BTreeMap<String, Account>,
    cases: Vec<CaseWrite>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Account {
    name: String,
    groups: Vec<String>,
}

/// A merge patch of the status by a user.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CaseWrite {
    name: String,
    resource: String,
    user: String,
    old_status: Value,
    new_status: Value,
    code: u16,
    message: Option<String>,
}

/// A namespace for which both files of admission policies are in force, with every object that the tests write.
struct Admitted {
    stage: &'static Stage,
    namespace: String,
    file: File,
}

/// Cases that the guard allows and an admission policy refuses, because the writer is somebody else: what a person
/// signs is refused to all others, what signal intake counts to all but the administrator.
const NOT_THE_WRITER: [(&str, &str, &[&str]); 7] = [
    ("remediationapprovalrequests", "a person approves", &["admin", "controller"]),
    ("remediationapprovalrequests", "a person rejects", &["admin", "controller"]),
    (
        "remediationapprovalrequests",
        "an approval after requiredBy, before the expiry was written",
        &["admin", "controller"],
    ),
    ("remediationapprovalrequests", "decided before the first pass", &["admin", "controller"]),
    ("remediationrequests", "deduplication", &["controller"]),
    ("remediationrequests", "intake counts on", &["controller"]),
    ("workflowexecutions", "an operator clears the block", &["admin", "controller"]),
];

async fn admitted() -> &'static Admitted {
    static ADMITTED: OnceCell<Admitted> = OnceCell::const_new();
    ADMITTED.get_or_init(Admitted::set).await
}

impl Admitted {
    /// All objects come first: their old statuses are facts, not writes to be judged.
    async fn set() -> Self {
        let stage = stage().await;
        let namespace = stage.plane.namespace("admitted").await;
        let text = std::fs::read_to_string(Path::new(POLICIES).join("vap/tests/cases.yaml")).unwrap();
        let admitted = Self { stage, namespace, file: serde_saphyr::from_str(&text).unwrap() };
        let client = stage.plane.client(User::Admin);
        let numbered = admitted.file.cases.iter().enumerate().collect();
        let made = server::side_by_side(numbered, async |(number, write)| admitted.make(&client, number, write).await);
        made.await;
        for kind in kind::all() {
            let (_, cases) = cases::read(kind.plural);
            let puts = trials(&kind, &cases).into_iter().filter(|trial| admitted.has(trial)).collect();
            let prepared = server::side_by_side(puts, async |trial: Trial<'_>| {
                trial.prepare(&client, &admitted.namespace).await.unwrap();
            });
            prepared.await;
        }
        admitted.give_rights().await;
        admitted.install(&client).await;
        eventually("every admission policy is in force", async || admitted.all_are_refused().await).await.unwrap();
        admitted
    }

    async fn make(&self, client: &Client, number: usize, write: &CaseWrite) {
        let kind = kind::of(&write.resource);
        let name = object_name(number);
        server::post(client, &kind.path(&self.namespace), &kind.object(&name)).await.object(&write.name);
        if !write.old_status.is_null() {
            let path = format!("{}/{name}/status", kind.path(&self.namespace));
            let made = server::merge_patch(client, &path, &json!({ "status": write.old_status })).await;
            assert_eq!(made.object(&write.name)["status"], write.old_status, "{}", write.name);
        }
    }

    /// Everybody may write every status.
    async fn give_rights(&self) {
        let resources = kind::all().iter().map(|kind| format!("{}/status", kind.plural)).collect();
        let rule = PolicyRule {
            api_groups: Some(vec!["kubernaut.ai".to_owned()]),
            resources: Some(resources),
            verbs: vec!["patch".to_owned(), "update".to_owned()],
            ..PolicyRule::default()
        };
        let users = self.file.users.keys().map(|user| self.user(user)).filter(|user| *user != User::Admin);
        let users: HashSet<_> = users.chain(kind::all().map(|kind| owner(kind.plural))).collect();
        for user in users {
            self.stage.plane.grant(&user, Scope::Namespace(&self.namespace), vec![rule.clone()]).await.unwrap();
        }
    }

    /// Applies the two files as they are, bound to this namespace alone.
    async fn install(&self, client: &Client) {
        for file in ["invariants.yaml", "writers.yaml"] {
            let text = std::fs::read_to_string(Path::new(POLICIES).join("vap").join(file)).unwrap();
            for mut document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
                let kind = document["kind"].as_str().unwrap().to_owned();
                let name = document["metadata"]["name"].as_str().unwrap().to_owned();
                let collection = match kind.as_str() {
                    "ConfigMap" => {
                        let namespace = document["metadata"]["namespace"].as_str().unwrap();
                        let metadata = json!({ "name": namespace });
                        let made = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": metadata });
                        let path = format!("/api/v1/namespaces/{namespace}");
                        apply(client, &path, &made).await.object(&name);
                        format!("{path}/configmaps")
                    }
                    "ValidatingAdmissionPolicyBinding" => {
                        document["spec"]["matchResources"] = json!({
                            "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": self.namespace } },
                        });
                        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings".to_owned()
                    }
                    _ => "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies".to_owned(),
                };
                apply(client, &format!("{collection}/{name}"), &document).await.object(&name);
            }
        }
    }

    /// Whether all writes that are to be refused are, in a dry run.
    async fn all_are_refused(&self) -> anyhow::Result<bool> {
        for (number, write) in self.file.cases.iter().enumerate().filter(|(_, write)| write.code != 200) {
            let answer = self.write(number, write, "?dryRun=All").await;
            ensure!(answer.code != 200, "{} is allowed", write.name);
        }
        Ok(true)
    }

    async fn write(&self, number: usize, write: &CaseWrite, query: &str) -> ApiResponse {
        let path = format!("{}/{}/status{query}", kind::of(&write.resource).path(&self.namespace), object_name(number));
        let client = self.stage.plane.client(self.user(&write.user));
        server::merge_patch(&client, &path, &json!({ "status": write.new_status })).await
    }

    /// Whether there is an object for the trial. One verb is enough: an admission policy sees no difference.
    fn has(&self, trial: &Trial<'_>) -> bool {
        let possible = !self.stage.impossible.contains_key(&trial.name());
        possible && trial.verb == WriteVerb::Put && trial.case.generation == 1 && trial.case.expect != Expect::Repair
    }

    fn user(&self, key: &str) -> User {
        let Account { name, groups } = &self.file.users[key];
        if groups.iter().any(|group| group == "system:masters") {
            return User::Admin;
        }
        assert!(groups.is_empty(), "{name}: only the administrator is a member of anything");
        User::Named(name.clone())
    }
}

fn object_name(number: usize) -> String {
    format!("write-{number:03}")
}

async fn apply(client: &Client, path: &str, object: &Value) -> ApiResponse {
    let path = format!("{path}?fieldManager=statusguard-tests&force=true");
    server::patch(client, &path, "application/apply-patch+yaml", object).await
}

/// The controller of a kind, by the name that the ConfigMap beside the policies gives it.
fn owner(plural: &str) -> User {
    let controller = match plural {
        "signalprocessings" => "signalprocessing",
        "aianalyses" => "aianalysis",
        "workflowexecutions" => "workflowexecution",
        _ => "remediationorchestrator",
    };
    User::Named(format!("system:serviceaccount:kubernaut-system:{controller}-controller"))
}

/// Whether an admission policy refused.
fn is_of_a_policy(answer: &ApiResponse) -> bool {
    answer.code >= 400 && answer.message().contains("ValidatingAdmissionPolicy '")
}

#[tokio::test]
async fn each_admission_policy_refuses_what_it_says_and_allows_the_rest() {
    let admitted = admitted().await;
    for (number, write) in admitted.file.cases.iter().enumerate() {
        let answer = admitted.write(number, write, "").await;
        let name = &write.name;
        assert_eq!(answer.code, write.code, "{name}: {answer:?}");
        match &write.message {
            Some(message) => {
                let reason = if write.code == 403 { "Forbidden" } else { "Invalid" };
                assert_eq!(answer.reason(), reason, "{name}");
                assert!(is_of_a_policy(&answer) && answer.message().contains(message), "{name}: {}", answer.message());
            }
            None => assert!(answer.code == 200 && answer.warnings.is_empty(), "{name}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn no_stale_write_meets_an_admission_policy() {
    let admitted = admitted().await;
    let reader = admitted.stage.plane.client(User::Admin);
    let mut allowed_refused = BTreeSet::new();
    let mut stale = 0;
    for kind in kind::all() {
        let (_, cases) = cases::read(kind.plural);
        for user in [User::Admin, owner(kind.plural)] {
            let writer = admitted.stage.plane.client(user.clone());
            let puts = trials(&kind, &cases).into_iter().filter(|trial| admitted.has(trial)).collect();
            let answers = server::side_by_side(puts, async |trial: Trial<'_>| {
                let path = format!("{}/{}", kind.path(&admitted.namespace), trial.name());
                let mut object = server::get(&reader, &path).await.object(&trial.case.name);
                object["status"] = trial.case.new_status.clone();
                let answer = server::put(&writer, &format!("{path}/status?dryRun=All"), &object).await;
                (trial, answer)
            });
            for (trial, answer) in answers.await {
                let what = format!("{} writes {} ({})", user.name(), trial.name(), trial.case.name);
                let refused = is_of_a_policy(&answer);
                assert!(answer.code == 200 || refused || answer.is_of_the_schema(), "{what}: {answer:?}");
                if trial.case.expect == Expect::Stale {
                    assert_eq!(answer.code, 200, "{what}: {answer:?}");
                    stale += 1;
                }
                if trial.case.expect == Expect::Allow && refused {
                    let who = if user == User::Admin { "admin" } else { "controller" };
                    allowed_refused.insert((kind.plural, trial.case.name.clone(), who));
                }
            }
        }
    }
    println!("{stale} stale writes");
    assert!(stale > 300, "{stale} stale writes");
    let expected = NOT_THE_WRITER
        .iter()
        .flat_map(|(plural, case, whom)| whom.iter().map(move |who| (*plural, (*case).to_owned(), *who)));
    assert_eq!(allowed_refused, expected.collect());
}
