//! A cluster with three replicas that keep their own certificates, and one policy that fails closed.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, PostParams};
use statusguard_tests::{ControlPlane, User, WebhookService, eventually, parcels, unique};

use super::balancer::Balancer;
use super::replica::ReplicaProcess;

/// How many replicas.
pub const REPLICAS: usize = 3;
const SERVICE: &str = "statusguard";
const SECRET: &str = "statusguard-authority";

/// Lifetimes that are as short as they can be, and a drain that fits to them.
const FLAGS: [&str; 8] = [
    "--spread=1s",
    "--leaf-life=6s",
    "--authority-life=51s",
    "--clock-skew=1s",
    "--certificate-tick=1s",
    "--min-drain=1s",
    "--drain-timeout=6s",
    "--idle-close-after=1s",
];

/// All of it. Replicas end with it.
pub struct Site {
    pub plane: ControlPlane,
    pub replicas: Vec<ReplicaProcess>,
    /// Where objects of the guarded kind are.
    pub namespace: String,
    home: String,
    configuration: String,
    _balancer: Balancer,
}

impl Site {
    /// Makes what an administrator makes, starts the replicas, and returns once the policy is in force.
    ///
    /// # Errors
    /// When something does not start.
    pub async fn start(plane: ControlPlane, logs: &Path) -> anyhow::Result<Self> {
        let configuration = unique("statusguard");
        parcels::prepare(&plane, &configuration).await?;
        let (home, namespace) = (plane.namespace("home").await, plane.namespace("shop").await);
        let balancer = Balancer::start(plane.webhook_listen_address(), REPLICAS).await?;
        let reached = WebhookService { namespace: home.clone(), name: SERVICE.into(), port: balancer.port() };
        plane.apply_webhook_service(&reached).await?;
        let flags: Vec<String> = [
            format!("--kubeconfig={}", plane.kubeconfig(User::Admin).display()),
            format!("--namespace={home}"),
            format!("--service={SERVICE}"),
            format!("--service-port={}", balancer.port()),
            format!("--configuration={configuration}"),
            format!("--authority-secret={SECRET}"),
        ]
        .into_iter()
        .chain(FLAGS.map(str::to_owned))
        .collect();
        let replicas = (0..REPLICAS)
            .map(|number| {
                let log = logs.join(format!("replica-{number}.log"));
                ReplicaProcess::new(number, flags.clone(), log, balancer.backends())
            })
            .collect();
        let mut site = Self { plane, replicas, namespace, home, configuration, _balancer: balancer };
        parcels::guard(&site.plane, &site.namespace, "Fail").await?;
        for replica in &mut site.replicas {
            replica.start().await?;
        }
        eventually("the policy is in force", async || Ok(site.is_ready() && site.fails_closed().await?)).await?;
        Ok(site)
    }

    /// Whether every replica is ready.
    pub fn is_ready(&self) -> bool {
        self.replicas.iter().all(ReplicaProcess::is_ready)
    }

    async fn fails_closed(&self) -> anyhow::Result<bool> {
        let object = self.configurations().get(&self.configuration).await?;
        let entries = object.webhooks.unwrap_or_default();
        Ok(entries.first().is_some_and(|entry| entry.failure_policy.as_deref() == Some("Fail")))
    }

    fn configurations(&self) -> Api<ValidatingWebhookConfiguration> {
        Api::all(self.plane.client(User::Admin))
    }

    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.plane.client(User::Admin), &self.home)
    }

    /// Deletes the authority's Secret.
    ///
    /// # Errors
    /// When there is none.
    pub async fn delete_secret(&self) -> anyhow::Result<()> {
        self.secrets().delete(SECRET, &kube::api::DeleteParams::default()).await.context("deleting the Secret")?;
        Ok(())
    }

    /// What the API server trusts.
    ///
    /// # Errors
    /// When it cannot be read, or the policy has no entry.
    pub async fn bundle(&self) -> anyhow::Result<String> {
        let object = self.configurations().get(&self.configuration).await.context("reading the configuration")?;
        let entry = object.webhooks.unwrap_or_default().into_iter().next().context("the policy has no entry")?;
        Ok(String::from_utf8(entry.client_config.ca_bundle.unwrap_or_default().0)?)
    }

    /// Whether one authority is published, and not that of `earlier`.
    ///
    /// # Errors
    /// As [`Self::bundle`].
    pub async fn is_renewed_since(&self, earlier: &str) -> anyhow::Result<bool> {
        let bundle = self.bundle().await?;
        Ok(bundle.matches("BEGIN CERTIFICATE").count() == 1 && !earlier.contains(bundle.trim()))
    }

    /// Overwrites what the API server trusts.
    ///
    /// # Errors
    /// When the guard writes all the time, too.
    pub async fn overwrite_bundle(&self, bundle: &str) -> anyhow::Result<()> {
        for _ in 0..10 {
            let mut object =
                self.configurations().get(&self.configuration).await.context("reading the configuration")?;
            let entries = object.webhooks.iter_mut().flatten();
            entries.for_each(|entry| entry.client_config.ca_bundle = Some(ByteString(bundle.as_bytes().to_vec())));
            let written = self.configurations().replace(&self.configuration, &PostParams::default(), &object).await;
            match written {
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                written => return written.map(|_| ()).context("overwriting the bundle"),
            }
        }
        bail!("the configuration changes all the time")
    }
}

/// Asks every 20 ms until the answer is yes; an error counts as a no.
///
/// # Errors
/// When it takes longer than three minutes.
pub async fn until(what: &str, mut probe: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let asking = async {
        while !probe().await.unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(180), asking).await.with_context(|| format!("waited until {what}"))
}
