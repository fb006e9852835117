//! A kind that counts: every update adds one to a counter and an entry of its own to a list, so that a lost
//! or doubled update shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use atomic_status::{Builder, Error, StatusWriter, UpdateOutcome, WithRawStatus, increment};
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, CustomResource};
use serde::{Deserialize, Serialize};
use statusguard_tests::{ControlPlane, LogsOnFailure, User, unique};
use tokio::sync::OnceCell;

/// A CRD whose status keeps what nobody has declared, and whose counter never falls.
pub const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: tallies.atomic.statusguard.dev }
spec:
  group: atomic.statusguard.dev
  scope: Namespaced
  names: { plural: tallies, singular: tally, kind: Tally }
  versions:
  - name: v1
    served: true
    storage: true
    subresources: { status: {} }
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            x-kubernetes-preserve-unknown-fields: true
          status:
            type: object
            x-kubernetes-preserve-unknown-fields: true
            x-kubernetes-validations:
            - rule: '!has(oldSelf.counter) || (has(self.counter) && self.counter >= oldSelf.counter)'
              message: the counter never falls
              fieldPath: .counter
            properties:
              counter: { type: integer, format: int64 }
              phase: { type: string }
              log:
                type: array
                items:
                  type: object
                  x-kubernetes-preserve-unknown-fields: true
                  properties:
                    id: { type: string }
              tags:
                type: object
                additionalProperties:
                  type: object
                  x-kubernetes-preserve-unknown-fields: true
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: { name: heaps.atomic.statusguard.dev }
spec:
  group: atomic.statusguard.dev
  scope: Namespaced
  names: { plural: heaps, singular: heap, kind: Heap }
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        x-kubernetes-preserve-unknown-fields: true
"#;

#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default)]
#[kube(
    group = "atomic.statusguard.dev",
    version = "v1",
    kind = "Tally",
    plural = "tallies",
    namespaced,
    status = "TallyStatus",
    schema = "disabled"
)]
pub struct TallySpec {}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct TallyStatus {
    pub counter: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub phase: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<TallyEntry>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, Tag>,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct TallyEntry {
    pub id: String,
}

#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(default)]
pub struct Tag {
    pub seen: i64,
}

/// A tally that keeps its raw status: written without any read.
pub type RawTally = WithRawStatus<Tally, TallyStatus>;

/// What became of the updates of some callers.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Answers {
    pub acknowledged: BTreeSet<String>,
    pub unknown: BTreeSet<String>,
    pub failed: BTreeMap<String, String>,
}

/// One test's tally.
pub struct Bench<'p> {
    pub plane: &'p ControlPlane,
    pub namespace: String,
    _logs: LogsOnFailure<'p>,
}

impl Bench<'static> {
    /// On the control plane that all tests share.
    pub async fn shared() -> Self {
        static CRDS: OnceCell<()> = OnceCell::const_new();
        let plane = ControlPlane::shared().await;
        CRDS.get_or_init(async || plane.apply_crd_yaml(CRD).await.unwrap()).await;
        Bench::on(plane).await
    }
}

impl<'p> Bench<'p> {
    /// On a control plane that serves the CRD.
    pub async fn on(plane: &'p ControlPlane) -> Self {
        let logs = plane.logs_on_failure();
        Self { namespace: plane.namespace("atomic").await, plane, _logs: logs }
    }

    /// Direct access, past all faults.
    pub fn api(&self) -> Api<RawTally> {
        Api::namespaced(self.plane.client(User::Admin), &self.namespace)
    }

    pub async fn create(&self, name: &str) -> Arc<RawTally> {
        create(self.plane.client(User::Admin), &self.namespace, name).await
    }

    pub async fn read(&self, name: &str) -> TallyStatus {
        self.api().get(name).await.unwrap().into_inner().status.unwrap_or_default()
    }

    /// What must hold after any storm: nothing acknowledged is lost, nothing is there twice, and nothing that
    /// failed is there.
    pub async fn check(&self, name: &str, answers: &Answers) {
        let status = self.read(name).await;
        let ids: BTreeSet<String> = status.log.iter().map(|entry| entry.id.clone()).collect();
        assert_eq!(ids.len(), status.log.len(), "an entry is there twice");
        assert_eq!(status.log.len() as i64, status.counter, "the list and the counter differ");
        let lost: Vec<_> = answers.acknowledged.difference(&ids).collect();
        assert_eq!(lost, [""; 0], "acknowledged and lost");
        let ghosts: Vec<_> = answers.failed.keys().filter(|id| ids.contains(*id)).collect();
        assert_eq!(ghosts, [""; 0], "failed and applied: {:?}", answers.failed);
        let (least, most) = (answers.acknowledged.len(), answers.acknowledged.len() + answers.unknown.len());
        assert!((least..=most).contains(&ids.len()), "{least} <= {} <= {most}", ids.len());
    }
}

/// Creates a tally. Its metadata can be made only by the type itself, so it is read back whole.
pub async fn create(client: Client, namespace: &str, name: &str) -> Arc<RawTally> {
    let mut tally = Tally::new(name, TallySpec {});
    tally.metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
    Api::<Tally>::namespaced(client.clone(), namespace).create(&PostParams::default(), &tally).await.unwrap();
    Arc::new(Api::<RawTally>::namespaced(client, namespace).get(name).await.unwrap())
}

pub fn builder(client: Client) -> Builder<RawTally> {
    StatusWriter::builder(client, "atomic-test")
}

/// The update that all tests make.
pub fn count(id: &str) -> impl FnMut(&mut TallyStatus) + Send + 'static {
    let id = id.to_owned();
    move |status| {
        increment(&mut status.counter);
        status.log.push(TallyEntry { id: id.clone() });
    }
}

impl Answers {
    /// Notes what a caller was told, after checking that what it was shown holds its own update.
    pub fn note(&mut self, id: String, answer: Result<UpdateOutcome<RawTally>, Error>) {
        match answer {
            Ok(UpdateOutcome::Written { object, .. }) => {
                let log = object.status.as_ref().map_or(&[][..], |status| &status.log);
                let mine = log.iter().filter(|entry| entry.id == id).count();
                assert_eq!(mine, 1, "the object shown to {id} does not hold its update");
                self.acknowledged.insert(id);
            }
            Ok(UpdateOutcome::Unchanged { .. }) => panic!("{id} changed something and is told it did not"),
            Err(Error::Unknown(_)) => drop(self.unknown.insert(id)),
            Err(error) => drop(self.failed.insert(id, error.category().to_owned())),
        }
    }

    pub fn merge(mut self, other: Self) -> Self {
        self.acknowledged.extend(other.acknowledged);
        self.unknown.extend(other.unknown);
        self.failed.extend(other.failed);
        self
    }

    #[track_caller]
    pub fn all_acknowledged(&self, updates: usize) {
        assert!(self.unknown.is_empty() && self.failed.is_empty(), "{:?} {:?}", self.unknown, self.failed);
        assert_eq!(self.acknowledged.len(), updates);
    }
}

/// So many tasks, each with so many updates one after the other, all from the first version they saw.
pub async fn storm(writer: &StatusWriter<RawTally>, object: &Arc<RawTally>, tasks: usize, updates: usize) -> Answers {
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..tasks {
        let (writer, object) = (writer.clone(), object.clone());
        running.spawn(async move {
            let mut answers = Answers::default();
            for _ in 0..updates {
                let id = unique("u");
                let answer = writer.update(&object, count(&id)).await;
                answers.note(id, answer);
            }
            answers
        });
    }
    let mut all = Answers::default();
    while let Some(answers) = running.join_next().await {
        all = all.merge(answers.unwrap());
    }
    all
}
