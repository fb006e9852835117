//! A guard in this process, and the webhook configuration that makes the API server ask it.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail, ensure};
use clap::Parser as _;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::json;
use statusguard::cluster::configuration::{Backend, TargetScope, entry};
use statusguard::{Command, Guard, Refusals};
use statusguard_edge::{Drained, Shutdown};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::documents::PolicyDocument;
use crate::{Authority, ControlPlane, User, WebhookService, eventually, unique};

const SYSTEM_NAMESPACE: &str = "statusguard-system";
const SERVICE: &str = "statusguard";

/// Of the webhook configuration, and of whatever else is applied here.
const NAME: &str = "statusguard-local";

/// The file of the guard's folder that holds all policies: so that the guard reads a change of several as one.
const POLICIES: &str = "policies.yaml";

/// A guard that runs in this process.
pub struct RunningGuard {
    pub refusals: Refusals,
    shutdown: Shutdown,
    task: JoinHandle<anyhow::Result<Drained>>,
    /// Where its metrics are.
    plain: SocketAddr,
    folder: PathBuf,
    service: WebhookService,
    authority: Authority,
    /// The content of [`POLICIES`].
    staged: String,
}

impl RunningGuard {
    /// Starts a guard without policies.
    pub async fn start(plane: &ControlPlane) -> anyhow::Result<Self> {
        let folder = plane.folder().join("guard");
        let policies = folder.join("policies");
        std::fs::create_dir_all(&policies).context("making a folder for the guard")?;
        let service = WebhookService { namespace: SYSTEM_NAMESPACE.into(), name: SERVICE.into(), port: 0 };
        let authority = Authority::new(NAME)?;
        let leaf = authority.leaf([service.dns_name()])?.write(&folder)?;
        let args = statusguard::Args::try_parse_from([
            "statusguard".into(),
            "webhook".into(),
            format!("--policy-dir={}", policies.display()),
            format!("--tls-cert={}", leaf.certificate.display()),
            format!("--tls-key={}", leaf.key.display()),
            "--static-config".into(),
            format!("--listen={}:0", plane.webhook_listen_address()),
            "--plain-listen=127.0.0.1:0".into(),
            "--reload-interval=50ms".into(),
            // At the end no write is in progress, and the API server keeps its connections open.
            "--min-drain=0s".into(),
            "--drain-timeout=1s".into(),
        ])?;
        let Command::Webhook(webhook) = args.command else {
            bail!("these are not the arguments of `statusguard webhook`")
        };
        let guard = Guard::bind(*webhook).await?;
        let namespaces = Api::<Namespace>::all(plane.client(User::Admin));
        let own = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": SYSTEM_NAMESPACE } });
        namespaces
            .patch(SYSTEM_NAMESPACE, &PatchParams::apply(NAME).force(), &Patch::Apply(own))
            .await
            .context("creating the guard's namespace")?;
        Ok(Self {
            refusals: guard.refusals(),
            shutdown: guard.shutdown(),
            plain: guard.plain_address()?,
            folder: policies,
            service: WebhookService { port: guard.address()?.port(), ..service },
            authority,
            staged: String::new(),
            task: tokio::spawn(guard.serve()),
        })
    }

    /// Puts these policies in force and no others, and returns once the API server asks the guard about them.
    pub async fn enforce(&mut self, plane: &ControlPlane, policies: &[PolicyDocument]) -> anyhow::Result<()> {
        self.stage(policies).await?;
        let backend = Backend {
            namespace: self.service.namespace.clone(),
            service: self.service.name.clone(),
            port: self.service.port,
        };
        let bundle = self.authority.pem().into_bytes();
        let entries = policies.iter().map(|document| {
            let name = document.policy.name();
            entry(&document.policy, TargetScope::Any, &backend, &bundle).with_context(|| format!("policy {name}"))
        });
        let configuration = ValidatingWebhookConfiguration {
            metadata: ObjectMeta { name: Some(NAME.into()), ..ObjectMeta::default() },
            webhooks: Some(entries.collect::<Result<_, _>>()?),
        };
        plane.register_webhook(&self.service, configuration, async || Ok(true)).await?;
        self.wait_in_force(plane).await
    }

    /// Gives the policies to the guard and waits until it has read them.
    async fn stage(&mut self, policies: &[PolicyDocument]) -> anyhow::Result<()> {
        let documents: String = policies.iter().map(|document| format!("---\n{}\n", document.document)).collect();
        if documents == self.staged {
            return Ok(());
        }
        let reloads = async || self.metric("statusguard_policy_reloads_total").await;
        let before = reloads().await?;
        let file = self.folder.join(POLICIES);
        if documents.is_empty() {
            std::fs::remove_file(&file).context("removing the policies")?;
        } else {
            // Never half a file: the guard does not look at hidden ones.
            let hidden = self.folder.join(format!(".{POLICIES}"));
            std::fs::write(&hidden, &documents).and_then(|()| std::fs::rename(&hidden, &file)).context("writing")?;
        }
        eventually("the guard has read the policies", async || Ok(reloads().await? > before)).await?;
        self.staged = documents;
        Ok(())
    }

    /// Until the API server uses the last configuration that was written.
    ///
    /// It takes configurations over in the order in which they were written. So a second one is registered that makes
    /// a dry run in the guard's own namespace fail; when it fails, the first is in force, too.
    async fn wait_in_force(&self, plane: &ControlPlane) -> anyhow::Result<()> {
        let probe = unique("probe");
        let configuration = json!({
            "metadata": { "name": probe },
            "webhooks": [{
                "name": format!("{probe}.statusguard.dev"),
                "clientConfig": {
                    "service": { "namespace": SYSTEM_NAMESPACE, "name": SERVICE, "path": "/none" },
                    "caBundle": k8s_openapi::ByteString(self.authority.pem().into_bytes()),
                },
                "rules": [{
                    "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"],
                }],
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": SYSTEM_NAMESPACE } },
                "failurePolicy": "Fail", "sideEffects": "None", "timeoutSeconds": 5, "admissionReviewVersions": ["v1"],
            }],
        });
        let configuration = serde_json::from_value(configuration).context("making a webhook configuration")?;
        let api = Api::<ConfigMap>::namespaced(plane.client(User::Admin), SYSTEM_NAMESPACE);
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        let object = ConfigMap {
            metadata: ObjectMeta { name: Some(probe.clone()), ..ObjectMeta::default() },
            ..ConfigMap::default()
        };
        let is_refused = async || match api.create(&dry, &object).await {
            Err(kube::Error::Api(status)) => Ok(status.message.contains(&probe)),
            Err(error) => Err(error.into()),
            Ok(_) => Ok(false),
        };
        let registered = plane.register_webhook(&self.service, configuration, is_refused).await;
        plane.remove_webhook(&probe, async || Ok(true)).await?;
        registered
    }

    /// Of a metric without labels.
    async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let stream = TcpStream::connect(self.plain).await.context("connecting to the guard")?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::get("/metrics").header("Host", "guard").body(Empty::<Bytes>::new())?;
        let body = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        connection.abort();
        let text = String::from_utf8_lossy(&body);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("the guard has no metric {name}"))
    }

    /// Whether it does not serve any more.
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Stops the guard as a rolling update would.
    pub async fn end(self) -> anyhow::Result<()> {
        self.shutdown.request();
        let drained = self.task.await??;
        ensure!(drained.cut == 0, "calls were cut off at the end");
        Ok(())
    }

    /// Takes back the webhook configuration where the API server outlives this process, and stops the guard at once.
    pub async fn abandon(self, plane: &ControlPlane) -> anyhow::Result<()> {
        let removed = match plane.is_external() {
            true => {
                let api = Api::<ValidatingWebhookConfiguration>::all(plane.client(User::Admin));
                api.delete(NAME, &DeleteParams::default()).await.map(drop)
            }
            false => Ok(()),
        };
        self.shutdown.request();
        self.shutdown.request();
        // It was told to break off: how it ended says nothing.
        let _ = self.task.await;
        match removed {
            // There was no policy, or the user has deleted it.
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            removed => removed.context("removing the webhook configuration"),
        }
    }
}
