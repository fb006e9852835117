//! `statusguard uninstall`: switches the guard off and removes what it made.
//!
//! The ValidatingWebhookConfiguration goes first: from then on no write waits for the guard, whatever fails afterwards.
//! The guard itself, its rights, the policies and their CRD were made by an administrator, who is told how to remove
//! them.

use std::io::{BufRead as _, IsTerminal as _};

use anyhow::{Context as _, bail};
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::{Client, CustomResourceExt as _, Resource};
use statusguard_certs::SecretContent;
use statusguard_policy::StatusPolicy;

use super::certs::failure;
use super::request::answer;
use crate::args::{ObjectArgs, UninstallArgs};
use crate::cluster::configuration::SUFFIX;
use crate::cluster::{ClusterArgs, ClusterConnection, places};
use crate::exit::Exit;
use crate::output;

/// Removes it after a question.
pub async fn run(args: &UninstallArgs) -> anyhow::Result<Exit> {
    if !args.yes && !std::io::stdin().is_terminal() {
        output::remark("there is no terminal to ask on; say --yes to delete without a question");
        return Ok(Exit::Usage);
    }
    let plan = UninstallPlan::read(args).await?;
    if let Some(question) = plan.question()
        && !args.yes
        && !agreed(&question)?
    {
        output::remark("nothing was deleted");
        return Ok(Exit::Failure);
    }
    output::print(&plan.carry_out().await?)?;
    Ok(Exit::Success)
}

fn agreed(question: &str) -> anyhow::Result<bool> {
    output::remark(&format!("{question} [y/N]"));
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).context("reading the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// What is to be deleted, as it was when it was read.
pub struct UninstallPlan {
    client: Client,
    cluster: ClusterArgs,
    namespace: String,
    configuration: PlannedDeletion,
    secret: PlannedDeletion,
    /// Why the Secret is left, if it may be there.
    left: Option<String>,
    /// Policies in the cluster, if they can be counted.
    policies: Option<usize>,
}

/// One object.
struct PlannedDeletion {
    /// As it is told.
    what: String,
    name: String,
    /// Of the object that is meant; nothing if there is none.
    uid: Option<String>,
}

impl UninstallPlan {
    /// Looks at what there is.
    ///
    /// # Errors
    /// When the configuration cannot be read, or entries of others would go with it.
    pub async fn read(args: &UninstallArgs) -> anyhow::Result<Self> {
        let UninstallArgs { cluster, objects: ObjectArgs { configuration, authority_secret }, yes: _ } = args;
        let ClusterConnection { client, namespace } = cluster.connect().await?;
        let mut configuration = PlannedDeletion {
            what: format!("validatingwebhookconfiguration {configuration}"),
            name: configuration.clone(),
            uid: None,
        };
        let mut secret = PlannedDeletion {
            what: format!("secret {namespace}/{authority_secret}"),
            name: authority_secret.clone(),
            uid: None,
        };
        let api = Api::<ValidatingWebhookConfiguration>::all(client.clone());
        if let Some(found) = answer("get", &configuration.what, api.get_opt(&configuration.name)).await? {
            let webhooks = found.webhooks.unwrap_or_default();
            let others: Vec<_> = webhooks.iter().map(|entry| &*entry.name).filter(|n| !n.ends_with(SUFFIX)).collect();
            if !others.is_empty() {
                let what = &configuration.what;
                bail!("{what} holds entries of others: {}; move them to one of their own first", others.join(", "));
            }
            configuration.uid = found.metadata.uid;
        }
        let mut left = None;
        let places = places(&namespace, authority_secret, &configuration.name);
        match statusguard_certs::inspect(client.clone(), places).await.secret {
            Err(error) => left = Some(failure(&error)),
            // Whoever owns a Secret of that name, the guard has put nothing into it.
            Ok(SecretContent::Absent) => {}
            Ok(SecretContent::Readable(_) | SecretContent::Unusable(_)) => {
                let api = Api::<Secret>::namespaced(client.clone(), &namespace);
                let found = answer("get", &secret.what, api.get_metadata_opt(authority_secret)).await?;
                secret.uid = found.and_then(|found| found.metadata.uid);
            }
        }
        let policies = Api::<StatusPolicy>::all(client.clone());
        let policies = answer("list", "statuspolicies", policies.list_metadata(&ListParams::default())).await;
        let policies = policies.ok().map(|policies| policies.items.len());
        Ok(Self { client, cluster: cluster.clone(), namespace, configuration, secret, left, policies })
    }

    /// What to ask before; nothing if there is nothing to delete.
    #[must_use]
    pub fn question(&self) -> Option<String> {
        let both = [&self.configuration, &self.secret];
        let found: Vec<&str> = both.into_iter().filter(|one| one.uid.is_some()).map(|one| &*one.what).collect();
        (!found.is_empty()).then(|| format!("delete {}? Nothing is guarded any more then.", found.join(" and ")))
    }

    /// Deletes it, the configuration first. Returns what was done, and what is left to do.
    ///
    /// # Errors
    /// When something could not be deleted, and what it is.
    pub async fn carry_out(&self) -> anyhow::Result<String> {
        let configurations = Api::<ValidatingWebhookConfiguration>::all(self.client.clone());
        let mut done = self.configuration.delete(configurations).await?;
        done.push_str("Nothing is guarded any more.\n");
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &self.namespace);
        match &self.left {
            None => {
                let deleted = self.secret.delete(secrets).await;
                done.push_str(&deleted.with_context(|| done.trim_end().replace('\n', "; "))?);
            }
            Some(why) => done.push_str(&format!("{} is left: {why}\n", self.secret.what)),
        }
        Ok(done + "\n" + &self.remaining())
    }

    /// What an administrator made, and how it is removed.
    fn remaining(&self) -> String {
        let mut kubectl = "kubectl".to_owned();
        if let Some(file) = &self.cluster.kubeconfig {
            kubectl.push_str(&format!(" --kubeconfig={}", file.display()));
        }
        if let Some(context) = &self.cluster.context {
            kubectl.push_str(&format!(" --context={context}"));
        }
        let policies = match self.policies {
            Some(count) => output::counted(count, "policy", "policies"),
            None => "all policies".to_owned(),
        };
        format!(
            "A guard that still runs makes its secret again, but never the configuration. To remove the rest:\n  \
             {kubectl} delete namespace {}   # the guard, if nothing else is in it\n  \
             {kubectl} delete crd {}   # and with it {policies}\n\
             Its ClusterRole and ClusterRoleBinding go by the names that you gave them.\n",
            self.namespace,
            StatusPolicy::crd_name(),
        )
    }
}

impl PlannedDeletion {
    /// Deletes exactly what was read, and says so.
    async fn delete<K>(&self, api: Api<K>) -> anyhow::Result<String>
    where
        K: Resource + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let what = &self.what;
        let Some(uid) = &self.uid else { return Ok(format!("{what} is not there\n")) };
        let preconditions = Preconditions { uid: Some(uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        let request = async {
            match api.delete(&self.name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                deleted => deleted.map(drop),
            }
        };
        answer("delete", what, request).await?;
        Ok(format!("{what} deleted\n"))
    }
}
