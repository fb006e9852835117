//! Arguments of the commands by which an operator installs, watches and removes a guard.

use std::path::PathBuf;

use clap::{Args as Group, Subcommand, ValueEnum};

use super::{ObjectArgs, OutputFormat};
use crate::address::host_and_port;
use crate::cluster::ClusterArgs;

/// Arguments of `webhook-config`.
#[derive(Debug, Group)]
pub struct WebhookConfigArgs {
    /// Folder of StatusPolicy documents (*.yaml, *.yml, *.json).
    #[arg(long, value_name = "DIR")]
    pub policy_dir: PathBuf,
    /// Certificates in PEM that the guard's serving certificate is signed by; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub ca: PathBuf,
    /// Name of the configuration.
    #[arg(long, default_value = "statusguard")]
    pub name: String,
    /// Namespace of the guard and of its Service. Objects in it are never guarded.
    #[arg(short, long, value_name = "NAME", default_value = "statusguard")]
    pub namespace: String,
    /// Service by which the API server finds the guard.
    #[arg(long, value_name = "NAME", default_value = "statusguard")]
    pub service: String,
    /// Port of that Service.
    #[arg(long, value_name = "PORT", default_value_t = 443, value_parser = clap::value_parser!(u16).range(1..))]
    pub service_port: u16,
    /// YAML or JSON.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ManifestFormat,
}

/// What to do about certificates.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Show where the rotation is, and which certificate each replica presents.
    ///
    /// Exit code 0: the rotation is stable, and the API server trusts the certificate of every replica.
    Status(CertsStatusArgs),
}

/// Arguments of `certs status`.
#[derive(Debug, Group)]
pub struct CertsStatusArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The guard's objects.
    #[command(flatten)]
    pub objects: ObjectArgs,
    /// Service whose replicas are asked, and whose name their certificates are to have.
    #[arg(long, value_name = "NAME", default_value = "statusguard")]
    pub service: String,
    /// Ask the replica at this address, in place of those of the Service; may be repeated.
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub address: Vec<String>,
    /// Table or JSON.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Arguments of `doctor`.
#[derive(Debug, Group)]
pub struct DoctorArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The guard's objects.
    #[command(flatten)]
    pub objects: ObjectArgs,
    /// Service of the guard.
    #[arg(long, value_name = "NAME", default_value = "statusguard")]
    pub service: String,
    /// Service account of the guard, whose rights are looked at.
    #[arg(long, value_name = "NAME", default_value = "statusguard")]
    pub service_account: String,
    /// Table or JSON.
    #[arg(short, long, value_enum, default_value_t)]
    pub output: OutputFormat,
}

/// Arguments of `uninstall`.
#[derive(Debug, Group)]
pub struct UninstallArgs {
    /// The cluster.
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The guard's objects.
    #[command(flatten)]
    pub objects: ObjectArgs,
    /// Delete without a question.
    #[arg(short, long)]
    pub yes: bool,
}

/// How a manifest looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ManifestFormat {
    /// One YAML document.
    #[default]
    Yaml,
    /// One JSON object.
    Json,
}
