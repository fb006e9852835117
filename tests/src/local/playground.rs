//! A control plane with the user's CRDs and policies, which follows their files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use kube::api::Api;
use serde_json::Value as Json;

use super::console::{Console, told};
use super::documents::{self, CrdDocument, PolicyDocument, ReadDocuments, news};
use super::guard::RunningGuard;
use super::served;
use super::sources::{Snapshot, Sources};
use crate::{ControlPlane, Options, Scope, User, eventually};

/// How often files are looked at, and whether the API server serves what a policy waits for.
const EVERY: Duration = Duration::from_millis(500);

/// What the user has named.
#[derive(Clone)]
pub struct Inputs {
    pub crds: Sources,
    pub policies: Sources,
}

/// A running control plane with CRDs, policies and users.
pub struct Playground {
    pub plane: ControlPlane,
    pub guard: RunningGuard,
    inputs: Inputs,
    console: Console,
    client: Client,
    /// The files as they were last read.
    files: InputFiles,
    /// CRDs that were given to the API server, as they were written.
    applied: BTreeMap<String, Json>,
    policies: ReadDocuments<PolicyDocument>,
    enforced: Vec<PolicyDocument>,
    /// Policies that are not in force, and why.
    waiting: BTreeMap<String, String>,
    /// Whether the last try to put the policies in force has not come to its end.
    unfinished: bool,
    /// Kinds that alice and bob have rights on: group and resource.
    granted: BTreeSet<(String, String)>,
    /// The last error of [`Self::follow`].
    complaint: String,
}

/// The content of all files.
#[derive(Default, PartialEq)]
struct InputFiles {
    crds: Snapshot,
    policies: Snapshot,
}

impl Inputs {
    fn read(&self) -> Result<InputFiles, statusguard::document::Error> {
        Ok(InputFiles { crds: self.crds.read()?, policies: self.policies.read()? })
    }
}

impl Playground {
    /// Starts everything and puts all policies in force whose kind is served.
    ///
    /// # Errors
    /// When a document is broken, before anything is started; when the API server refuses one; when something does not
    /// start.
    pub async fn start(inputs: Inputs, console: Console) -> anyhow::Result<Self> {
        let files = inputs.read()?;
        let crds = documents::crds(&inputs.crds, &files.crds);
        let policies = documents::policies_of(&inputs.policies, &files.policies, &[]);
        let problems: Vec<&str> = crds.problems.iter().chain(&policies.problems).map(String::as_str).collect();
        ensure!(problems.is_empty(), "{}", problems.join("\n"));
        crds.remarks.iter().chain(&policies.remarks).for_each(|remark| console.say(remark));
        if policies.documents.is_empty() && !inputs.policies.is_empty() {
            console.say(format!("There is no StatusPolicy in {} yet.", inputs.policies));
        }

        console.say("Starting kube-apiserver and etcd; the first time, they are built from source.");
        let plane = ControlPlane::start(Options::default()).await?;
        let client = plane.client(User::Admin);
        eventually("the default namespace is there", async || {
            Ok(Api::<Namespace>::all(client.clone()).get_opt("default").await?.is_some())
        })
        .await?;
        let guard = RunningGuard::start(&plane).await?;
        let mut playground = Self {
            plane,
            guard,
            inputs,
            console,
            client,
            files,
            applied: BTreeMap::new(),
            policies,
            enforced: Vec::new(),
            waiting: BTreeMap::new(),
            unfinished: false,
            granted: BTreeSet::new(),
            complaint: String::new(),
        };
        console.say(format!("Applying {}.", count(crds.documents.len(), "CRD")));
        for crd in &crds.documents {
            playground.apply(crd).await?;
        }
        playground.enforce(true).await?;
        Ok(playground)
    }

    /// The policies in force.
    pub fn enforced(&self) -> &[PolicyDocument] {
        &self.enforced
    }

    /// Stops the guard. On a cluster that was not started here nothing asks it any more.
    pub async fn end(self) -> anyhow::Result<()> {
        self.guard.abandon(&self.plane).await
    }

    /// Follows the files until something fails that cannot be mended by changing them.
    pub async fn follow(&mut self) -> anyhow::Result<()> {
        loop {
            tokio::time::sleep(EVERY).await;
            if self.guard.has_ended() {
                bail!("the guard has ended");
            }
            let error = self.look().await.err();
            let complaint = error.map(|error| format!("{}; what is in force stays", told(&error))).unwrap_or_default();
            if !complaint.is_empty() && complaint != self.complaint {
                self.console.say(&complaint);
            }
            self.complaint = complaint;
        }
    }

    async fn look(&mut self) -> anyhow::Result<()> {
        let files = self.inputs.read()?;
        if files == self.files {
            let settled = self.waiting.is_empty() && !self.unfinished;
            return if settled { Ok(()) } else { self.enforce(self.unfinished).await };
        }
        let before = std::mem::replace(&mut self.files, files);
        if before.crds != self.files.crds {
            self.take_crds(&before.crds).await;
        }
        if before.policies != self.files.policies {
            self.take_policies();
        }
        self.enforce(true).await
    }

    /// Applies the CRDs that are new or changed. A CRD whose file is gone stays: its removal would remove all objects.
    async fn take_crds(&mut self, before: &Snapshot) {
        let before = documents::crds(&self.inputs.crds, before);
        let now = documents::crds(&self.inputs.crds, &self.files.crds);
        news(&now.problems, &before.problems).for_each(|problem| self.console.say(problem));
        news(&now.remarks, &before.remarks).for_each(|remark| self.console.say(remark));
        for crd in &now.documents {
            if self.applied.get(&crd.name) == Some(&crd.document) {
                continue;
            }
            match self.apply(crd).await {
                Ok(()) => self.console.say(format!("Applied CRD {} from {}.", crd.name, crd.file.display())),
                Err(error) => self.console.say(told(&error)),
            }
        }
    }

    async fn apply(&mut self, crd: &CrdDocument) -> anyhow::Result<()> {
        // Also what is refused is not tried again until it changes.
        self.applied.insert(crd.name.clone(), crd.document.clone());
        self.plane
            .apply_crd_document(&crd.name, &crd.document)
            .await
            .with_context(|| crd.file.display().to_string())?;
        let spec = &crd.document["spec"];
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        self.grant([(text(&spec["group"]), text(&spec["names"]["plural"]))]).await
    }

    fn take_policies(&mut self) {
        let now = documents::policies_of(&self.inputs.policies, &self.files.policies, &self.policies.documents);
        let new_problems: Vec<_> = news(&now.problems, &self.policies.problems).collect();
        new_problems.iter().for_each(|problem| self.console.say(problem));
        if !new_problems.is_empty() {
            self.console.say("The last good version of each policy stays in force.");
        }
        news(&now.remarks, &self.policies.remarks).for_each(|remark| self.console.say(remark));
        self.policies = now;
    }

    /// Puts the policies in force whose kind is served, says what has changed, and gives rights on their kinds. With
    /// `changed`, the API server is asked anew about all kinds, and not only about those that are waited for.
    async fn enforce(&mut self, changed: bool) -> anyhow::Result<()> {
        self.unfinished = true;
        let (mut served, mut waiting) = (Vec::new(), BTreeMap::new());
        for document in &self.policies.documents {
            let name = document.policy.name();
            let ask = changed || self.waiting.contains_key(name);
            match if ask { self.obstacle(document).await? } else { None } {
                None => served.push(document.clone()),
                Some(obstacle) => {
                    if self.waiting.get(name) != Some(&obstacle) {
                        let file = document.file.display();
                        self.console.say(format!("Not in force yet: StatusPolicy {name} ({file}): {obstacle}."));
                    }
                    waiting.insert(name.to_owned(), obstacle);
                }
            }
        }
        self.waiting = waiting;
        let lines = changes(&self.enforced, &served);
        if !lines.is_empty() {
            let targets = served.iter().map(|document| &document.policy.spec().target);
            let kinds: Vec<_> = targets.map(|target| (target.group.clone(), target.resource.clone())).collect();
            self.grant(kinds).await?;
            self.guard.enforce(&self.plane, &served).await?;
            self.enforced = served;
            lines.iter().for_each(|line| self.console.say(line));
        }
        self.unfinished = false;
        Ok(())
    }

    async fn obstacle(&self, document: &PolicyDocument) -> anyhow::Result<Option<String>> {
        if document.policy.unconfirmed_core() {
            return Ok(Some("it is one of Kubernetes' own kinds: write `core: true` in the target".to_owned()));
        }
        served::obstacle(&self.client, &document.policy.spec().target)
            .await
            .context("asking what the API server serves")
    }

    /// Gives alice and bob all rights on kinds that they have none on.
    async fn grant(&mut self, kinds: impl IntoIterator<Item = (String, String)>) -> anyhow::Result<()> {
        let new: BTreeSet<_> = kinds.into_iter().filter(|kind| !self.granted.contains(kind)).collect();
        let rules: Vec<PolicyRule> = new
            .iter()
            .map(|(group, resource)| PolicyRule {
                api_groups: Some(vec![group.clone()]),
                resources: Some(vec![resource.clone(), format!("{resource}/status")]),
                verbs: vec!["*".to_owned()],
                ..PolicyRule::default()
            })
            .collect();
        if !rules.is_empty() {
            for user in [User::Alice, User::Bob] {
                self.plane.grant(&user, Scope::Cluster, rules.clone()).await?;
            }
        }
        self.granted.extend(new);
        Ok(())
    }
}

/// What becomes different when `now` replaces `before`, a line each.
fn changes(before: &[PolicyDocument], now: &[PolicyDocument]) -> Vec<String> {
    let find = |policies: &[PolicyDocument], name: &str| policies.iter().position(|it| it.policy.name() == name);
    let mut lines = Vec::new();
    for document in now {
        let (name, file) = (document.policy.name(), document.file.display());
        let verb = match find(before, name) {
            None => "In force",
            Some(index) if before[index].document != document.document => "In force, changed",
            Some(_) => continue,
        };
        lines.push(format!("{verb}: StatusPolicy {name} ({file}), mode {:?}.", document.policy.spec().mode));
    }
    for document in before {
        let name = document.policy.name();
        if find(now, name).is_none() {
            lines.push(format!("No longer in force: StatusPolicy {name} ({}).", document.file.display()));
        }
    }
    lines
}

/// `1 CRD`, `2 CRDs`.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
