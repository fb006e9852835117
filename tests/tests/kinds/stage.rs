//! What all tests of the six kinds begin with: the CRDs, and an object in its old status for every case and verb.
//!
//! The objects come from the time of a newer version of the CRDs, which lets the spec change and knows more enum
//! values than this one. That makes two things real that this version alone cannot bring about: a generation above 1,
//! and a status that an older release finds after a rollback. Every write under test meets the CRDs as they are.

use std::collections::BTreeMap;
use std::process::Command;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use serde_json::{Value, json};
use statusguard_tests::{ControlPlane, User, eventually};
use tokio::sync::OnceCell;

use crate::cases::{self, KindCase};
use crate::kind::{self, Kind};
use crate::server;
use crate::verb::{VERBS, WriteVerb};

/// Keeps an object that is being deleted.
const FINALIZER: &str = "statusguard.dev/test";

/// The control plane with the CRDs, and the objects.
pub struct Stage {
    pub plane: &'static ControlPlane,
    /// The namespace of all cases' objects.
    pub namespace: String,
    /// Why the old status of a case could not be stored, by object name. All others wait in their old status.
    pub impossible: BTreeMap<String, String>,
    kubectl: Command,
}

/// One case by one verb.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    pub kind: &'a Kind,
    pub case: &'a KindCase,
    pub verb: WriteVerb,
    number: usize,
}

/// The stage of this process: set up once, by the first test that asks.
pub async fn stage() -> &'static Stage {
    static STAGE: OnceCell<Stage> = OnceCell::const_new();
    STAGE.get_or_init(Stage::set).await
}

/// All trials of a kind.
pub fn trials<'a>(kind: &'a Kind, cases: &'a [KindCase]) -> Vec<Trial<'a>> {
    let numbered = cases.iter().enumerate();
    numbered.flat_map(|(number, case)| VERBS.map(|verb| Trial { kind, case, verb, number })).collect()
}

impl Trial<'_> {
    /// The object's name.
    pub fn name(&self) -> String {
        format!("{}-{:03}-{}", self.kind.plural, self.number, self.verb.label())
    }

    /// Makes the object and brings it to the old status; why not, if that cannot be.
    pub async fn prepare(&self, client: &Client, namespace: &str) -> Result<(), String> {
        let Self { kind, case, verb, .. } = self;
        if let Some(operation) = &case.operation {
            return Err(format!("the operation is {operation}"));
        }
        let (name, collection) = (self.name(), kind.path(namespace));
        let path = format!("{collection}/{name}");
        let mut object = kind.object(&name);
        if case.deleting {
            object["metadata"]["finalizers"] = json!([FINALIZER]);
        }
        server::post(client, &collection, &object).await.object(&name);
        for generation in 2..=case.generation {
            let change = kind.spec_change(&format!("text of generation {generation}"));
            let changed = server::merge_patch(client, &path, &change).await.object(&name);
            assert_eq!(changed["metadata"]["generation"], generation, "{name}");
        }
        if !case.old_status.is_null() {
            // Only an applied status is owned field by field; between the others there is no difference.
            let way = if *verb == WriteVerb::Apply { WriteVerb::Apply } else { WriteVerb::MergePatch };
            let answer = way.write(client, kind, namespace, &name, (&Value::Null, &case.old_status)).await;
            if answer.is_of_the_schema() {
                return Err(format!("the schema refuses the old status: {}", answer.message()));
            }
            let stored = answer.object(&name);
            assert_eq!(stored["status"], case.old_status, "{name}: something of the status was not stored");
        }
        if case.deleting {
            let deleted = server::delete(client, &path).await.object(&name);
            assert!(deleted["metadata"]["deletionTimestamp"].is_string(), "{name}: {deleted}");
        }
        Ok(())
    }
}

impl Stage {
    /// The real kubectl, as the admin. Made once and copied, because making one writes its kubeconfig anew, under the
    /// eyes of those that run.
    pub fn kubectl(&self) -> tokio::process::Command {
        let mut copy = tokio::process::Command::new(self.kubectl.get_program());
        copy.envs(self.kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
        copy
    }

    async fn set() -> Self {
        let plane = ControlPlane::shared().await;
        let _logs = plane.logs_on_failure();
        let client = plane.client(User::Admin);
        let namespace = plane.namespace("cases").await;
        let mut impossible = BTreeMap::new();
        let kinds = kind::all();
        let probe = |kind: &Kind| format!("{}/probe", kind.path(&namespace));
        server::side_by_side(kinds.iter().collect(), async |kind| {
            plane.apply_crd(&of_a_newer_version(kind.crd())).await.unwrap();
            server::post(&client, &kind.path(&namespace), &kind.object("probe")).await.object("a probe");
            wait_for_spec_change(&client, kind, &probe(kind), true).await;
        })
        .await;
        for kind in &kinds {
            let (_, cases) = cases::read(kind.plural);
            let prepared = server::side_by_side(trials(kind, &cases), async |trial| {
                (trial.name(), trial.prepare(&client, &namespace).await)
            });
            let refused = prepared.await.into_iter().filter_map(|(name, result)| Some((name, result.err()?)));
            impossible.extend(refused);
        }
        server::side_by_side(kinds.iter().collect(), async |kind| {
            plane.apply_crd(&kind.crd()).await.unwrap();
            wait_for_spec_change(&client, kind, &probe(kind), false).await;
            server::delete(&client, &probe(kind)).await.object("a probe");
        })
        .await;
        Self { plane, namespace, impossible, kubectl: plane.kubectl(User::Admin) }
    }
}

/// Until a change of the spec is possible, or is not: that tells the two versions of the CRD apart.
async fn wait_for_spec_change(client: &Client, kind: &Kind, probe: &str, possible: bool) {
    let change = kind.spec_change("another text");
    eventually(&format!("a change of the spec of {} is possible: {possible}", kind.plural), async || {
        let answer = server::merge_patch(client, &format!("{probe}?dryRun=All"), &change).await;
        Ok(if possible { answer.code == 200 } else { answer.is_of_the_schema() })
    })
    .await
    .unwrap();
}

/// The CRD with a spec that may change and with any value in the enums of the status' own fields.
fn of_a_newer_version(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut crd.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        let properties = schema.and_then(|schema| schema.properties.as_mut()).unwrap();
        let rules = properties.get_mut("spec").unwrap().x_kubernetes_validations.take();
        assert_eq!(rules.map(|rules| rules.len()), Some(1), "the rule of the spec and no other");
        let status = properties.get_mut("status").unwrap();
        for field in status.properties.as_mut().unwrap().values_mut() {
            field.enum_ = None;
        }
    }
    crd
}
