//! How commands reach the cluster: the same flags as kubectl has.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// Which cluster, as whom, and where in it.
#[derive(Clone, Debug, Default, Args)]
pub struct ClusterArgs {
    /// Kubeconfig file. Without it and `--context`: KUBECONFIG, ~/.kube/config, or the pod's service account.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; default: its current one.
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub context: Option<String>,
    /// Namespace of the guard; default: that of the pod or of the context.
    #[arg(short, long, value_name = "NAME", help_heading = "Cluster")]
    pub namespace: Option<String>,
}

/// A client, and the namespace that is meant.
pub struct ClusterConnection {
    /// The client.
    pub client: Client,
    /// The guard's namespace.
    pub namespace: String,
}

impl ClusterArgs {
    /// A client. The API server is not asked yet.
    ///
    /// # Errors
    /// When there is no kubeconfig and no service account, or it cannot be used.
    pub async fn connect(&self) -> anyhow::Result<ClusterConnection> {
        let config = self.config().await?;
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).context("setting up the client of the API server")?;
        Ok(ClusterConnection { client, namespace })
    }

    async fn config(&self) -> anyhow::Result<Config> {
        let kubeconfig = match (&self.kubeconfig, &self.context) {
            (None, None) => {
                return Config::infer().await.context(
                    "finding the cluster: name a file with --kubeconfig, or run in a pod with a service account",
                );
            }
            (Some(file), _) => {
                Kubeconfig::read_from(file).with_context(|| format!("reading --kubeconfig {}", file.display()))?
            }
            (None, Some(_)) => Kubeconfig::read().context("reading the kubeconfig")?,
        };
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let named = self.context.as_deref().map(|name| format!(" (--context {name})")).unwrap_or_default();
        Config::from_custom_kubeconfig(kubeconfig, &options)
            .await
            .with_context(|| format!("using the kubeconfig{named}"))
    }
}
