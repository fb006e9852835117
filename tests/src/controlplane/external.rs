//! A cluster that was not started here: `STATUSGUARD_USE_CLUSTER=1` with `KUBECONFIG`.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tempfile::TempDir;

use super::assets::Assets;
use super::{Options, User, get_text, server_count};
use crate::tls::write_secret;

/// A running cluster whose kubeconfig makes its user the admin; all other users are impersonated.
pub(super) struct Cluster {
    kubeconfig: Kubeconfig,
    admin: Config,
    kubectl: PathBuf,
    folder: TempDir,
}

/// Whether the environment asks for a running cluster.
pub(super) fn wanted() -> bool {
    env::var("STATUSGUARD_USE_CLUSTER").is_ok_and(|value| !value.is_empty() && value != "0")
}

impl Cluster {
    pub(super) async fn connect(options: &Options) -> anyhow::Result<Self> {
        ensure!(
            server_count(options)? == 1 && !options.audit && options.arguments.is_empty(),
            "STATUSGUARD_USE_CLUSTER is set, but this test starts API servers of its own ({options:?})"
        );
        let kubeconfig = Kubeconfig::from_env()
            .context("reading KUBECONFIG")?
            .context("STATUSGUARD_USE_CLUSTER is set, but KUBECONFIG is not")?;
        let admin = Config::from_custom_kubeconfig(kubeconfig.clone(), &KubeConfigOptions::default())
            .await
            .context("reading KUBECONFIG")?;
        let client = Client::try_from(admin.clone()).context("making a client from KUBECONFIG")?;
        get_text(&client, "/readyz").await.with_context(|| format!("asking {}", admin.cluster_url))?;
        let folder =
            tempfile::Builder::new().prefix("statusguard-test-").tempdir().context("making a temporary folder")?;
        Ok(Self { kubeconfig, admin, kubectl: Assets::kubectl_only(), folder })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn kubectl(&self) -> &Path {
        &self.kubectl
    }

    /// # Panics
    /// For any server but the first.
    pub(super) fn config(&self, server: usize, user: &User) -> Config {
        assert_eq!(server, 0, "an external cluster is one API server");
        let mut config = self.admin.clone();
        if *user != User::Admin {
            config.auth_info.impersonate = Some(user.name().to_owned());
        }
        config
    }

    /// # Panics
    /// For any server but the first.
    pub(super) fn kubeconfig(&self, server: usize, user: &User) -> anyhow::Result<PathBuf> {
        assert_eq!(server, 0, "an external cluster is one API server");
        let mut kubeconfig = self.kubeconfig.clone();
        if *user != User::Admin {
            for entry in &mut kubeconfig.auth_infos {
                entry.auth_info.get_or_insert_default().impersonate = Some(user.name().to_owned());
            }
        }
        let path = self.folder().join(format!("kubeconfig-{}.yaml", user.file_stem()));
        // JSON is YAML, too.
        let content = serde_json::to_string_pretty(&kubeconfig).context("writing a kubeconfig")?;
        write_secret(&path, &content)?;
        Ok(path)
    }
}
