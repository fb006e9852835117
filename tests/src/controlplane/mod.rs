//! A real kube-apiserver with a real etcd for tests: started in seconds, gone with the process.
//!
//! ```text
//! kubectl, clients ──▶ API server 0 ──────────────────────▶ etcd
//!     │                    ▲                                 ▲
//!     ├──▶ FaultProxy ─────┘                                 │
//!     └───────────────▶ API server 1 ──▶ StaleProxy ─────────┘
//! ```
//! Every server has the same users, the same authority for its certificate, and a port that stays the same
//! over restarts. No controllers run: a namespace is never emptied, a Service has no endpoints, the
//! ClusterRoles `admin`, `edit` and `view` are empty, and there are no default ServiceAccounts.
//!
//! With `STATUSGUARD_USE_CLUSTER=1` the cluster of `KUBECONFIG` takes the place of all this.

mod assets;
mod external;
mod gobuild;
mod objects;
mod process;
mod servers;
mod stale;
mod users;
mod webhook;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Request;
use kube::{Client, Config};
use serde_json::Value;
use tokio::sync::OnceCell;

pub use self::assets::cache_folder;
use self::external::Cluster;
pub use self::gobuild::go;
use self::servers::Servers;
pub use self::stale::StaleProxy;
pub use self::users::{Scope, User};
pub use self::webhook::WebhookService;

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many API servers share the etcd; at least one.
    pub api_servers: usize,
    /// The second API server reaches etcd through a [`StaleProxy`]. Implies two API servers.
    pub stale_second: bool,
    /// Every server writes an audit log with requests and responses, see [`ControlPlane::audit_events`].
    pub audit: bool,
    /// Further arguments of every API server.
    pub arguments: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { api_servers: 1, stale_second: false, audit: false, arguments: Vec::new() }
    }
}

/// A running control plane. Dropping it ends everything it started and removes its folder; the same happens
/// when the process ends in any other way. When dropped by a panic it first prints the ends of all logs.
pub struct ControlPlane {
    source: Source,
}

/// Where the API servers are.
enum Source {
    Started(Box<Servers>),
    External(Box<Cluster>),
}

/// Prints the ends of a control plane's logs if it is dropped by a panic: for tests that share one.
pub struct LogsOnFailure<'a> {
    plane: &'a ControlPlane,
}

/// The control plane of this process, or why there is none.
static SHARED: OnceCell<Result<ControlPlane, String>> = OnceCell::const_new();

/// How long [`eventually`] waits: far longer than anything takes, because a slow machine is not a failure.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many lines of each log a failure shows.
const SHOWN_LINES: usize = 40;

impl ControlPlane {
    /// Starts a control plane, or connects to the one that the environment names.
    ///
    /// # Errors
    /// When there are no programs to start and none can be built, when a component does not start (with the
    /// end of its log), or when the options ask for more than an external cluster offers.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        // Another provider installed earlier serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let source = if external::wanted() {
            Source::External(Box::new(Cluster::connect(&options).await?))
        } else {
            Source::Started(Box::new(Servers::start(&options).await?))
        };
        Ok(Self { source })
    }

    /// The control plane that all tests of this process share: one API server, no audit log. It ends with
    /// the process. What tests do to it must not disturb each other: own namespaces, own cluster-scoped
    /// names, no restarts.
    ///
    /// # Panics
    /// When it cannot be started; every test that wants it then fails with the same words.
    pub async fn shared() -> &'static Self {
        let shared = SHARED
            .get_or_init(|| async { Self::start(Options::default()).await.map_err(|error| format!("{error:?}")) })
            .await;
        match shared {
            Ok(plane) => plane,
            #[expect(clippy::panic, reason = "a test harness: without a control plane no test can go on")]
            Err(error) => panic!("no control plane: {error}"),
        }
    }

    /// A client of API server 0. It belongs to the tokio runtime it is made in.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn client(&self, user: User) -> Client {
        self.client_of(0, user)
    }

    /// A client of API server `server`.
    ///
    /// # Panics
    /// When there is no such server, or outside a tokio runtime.
    #[must_use]
    pub fn client_of(&self, server: usize, user: User) -> Client {
        Client::try_from(self.config_of(server, user)).expect("the configuration was made for this client")
    }

    /// A client configuration for API server 0.
    #[must_use]
    pub fn config(&self, user: User) -> Config {
        self.config_of(0, user)
    }

    /// A client configuration for API server `server`.
    ///
    /// # Panics
    /// When there is no such server.
    #[must_use]
    pub fn config_of(&self, server: usize, user: User) -> Config {
        match &self.source {
            Source::Started(servers) => servers.config(server, &user),
            Source::External(cluster) => cluster.config(server, &user),
        }
    }

    /// A kubeconfig file for API server 0; it disappears with the control plane.
    ///
    /// # Panics
    /// When the temporary folder is not writable any more.
    #[must_use]
    pub fn kubeconfig(&self, user: User) -> PathBuf {
        self.kubeconfig_of(0, user)
    }

    /// A kubeconfig file for API server `server`.
    ///
    /// # Panics
    /// When there is no such server, or the temporary folder is not writable any more.
    #[must_use]
    pub fn kubeconfig_of(&self, server: usize, user: User) -> PathBuf {
        let file = match &self.source {
            Source::Started(servers) => servers.kubeconfig(server, &user),
            Source::External(cluster) => cluster.kubeconfig(server, &user),
        };
        file.expect("the temporary folder of this process is writable")
    }

    /// The real kubectl, as `user` at API server 0, with a home folder of its own.
    ///
    /// # Panics
    /// When the temporary folder is not writable any more.
    #[must_use]
    pub fn kubectl(&self, user: User) -> Command {
        let (program, home) = match &self.source {
            Source::Started(servers) => (servers.kubectl(), servers.folder()),
            Source::External(cluster) => (cluster.kubectl(), cluster.folder()),
        };
        let mut kubectl = Command::new(program);
        kubectl.env("KUBECONFIG", self.kubeconfig(user)).env("HOME", home);
        kubectl
    }

    /// Where API server `server` listens, `https://host:port`.
    ///
    /// # Panics
    /// When there is no such server.
    #[must_use]
    pub fn url(&self, server: usize) -> String {
        self.config_of(server, User::Admin).cluster_url.to_string().trim_end_matches('/').to_owned()
    }

    /// How many API servers there are.
    #[must_use]
    pub fn api_servers(&self) -> usize {
        match &self.source {
            Source::Started(servers) => servers.count(),
            Source::External(_) => 1,
        }
    }

    /// Whether this is a cluster that was not started here.
    #[must_use]
    pub fn is_external(&self) -> bool {
        matches!(self.source, Source::External(_))
    }

    /// A folder for a test's own files; it disappears with the control plane.
    #[must_use]
    pub fn folder(&self) -> &Path {
        match &self.source {
            Source::Started(servers) => servers.folder(),
            Source::External(cluster) => cluster.folder(),
        }
    }

    /// The proxy that makes the second API server stale.
    ///
    /// # Errors
    /// When it was not started with [`Options::stale_second`].
    pub fn stale_proxy(&self) -> anyhow::Result<&StaleProxy> {
        self.started()?.stale_proxy().context("start the control plane with `stale_second: true`")
    }

    /// Kills an API server (`kill -9`). Its port stays reserved for its return.
    ///
    /// # Errors
    /// On an external cluster, and when there is no such server.
    pub fn stop_api_server(&self, server: usize) -> anyhow::Result<()> {
        self.started()?.stop(server)
    }

    /// Starts an API server that was stopped, at its old port, and waits until it is ready. One that runs is
    /// left alone.
    ///
    /// # Errors
    /// On an external cluster, when there is no such server, or when it does not come up.
    pub async fn start_api_server(&self, server: usize) -> anyhow::Result<()> {
        self.started()?.start_again(server).await
    }

    /// Kills an API server and starts it again. Its watch cache begins anew, so that a watch from an older
    /// resource version ends in 410.
    ///
    /// # Errors
    /// As [`Self::stop_api_server`] and [`Self::start_api_server`].
    pub async fn restart_api_server(&self, server: usize) -> anyhow::Result<()> {
        self.stop_api_server(server)?;
        self.start_api_server(server).await
    }

    /// The metrics of an API server in the Prometheus text format.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn metrics(&self, server: usize) -> anyhow::Result<String> {
        get_text(&self.client_of(server, User::Admin), "/metrics").await
    }

    /// The ends of all components' logs, with headings.
    #[must_use]
    pub fn logs(&self) -> String {
        match &self.source {
            Source::Started(servers) => servers.logs(SHOWN_LINES),
            Source::External(_) => "the logs of an external cluster are its own".to_owned(),
        }
    }

    /// A guard for the length of a test that shares a control plane: if the test fails, the logs are shown.
    #[must_use]
    pub fn logs_on_failure(&self) -> LogsOnFailure<'_> {
        LogsOnFailure { plane: self }
    }

    /// The audit events of API server `server` so far, oldest first, at level RequestResponse.
    ///
    /// # Errors
    /// When it was not started with [`Options::audit`].
    pub fn audit_events(&self, server: usize) -> anyhow::Result<Vec<Value>> {
        self.started()?.audit_events(server)
    }

    /// The address that a test's webhook server has to listen on to be reached by the API server.
    #[must_use]
    pub fn webhook_listen_address(&self) -> IpAddr {
        match &self.source {
            Source::Started(_) => IpAddr::from([127, 0, 0, 1]),
            Source::External(_) => IpAddr::from([0, 0, 0, 0]),
        }
    }

    fn started(&self) -> anyhow::Result<&Servers> {
        match &self.source {
            Source::Started(servers) => Ok(servers),
            Source::External(_) => {
                Err(anyhow::anyhow!("this needs a control plane that was started here: unset STATUSGUARD_USE_CLUSTER"))
            }
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        drop(self.logs_on_failure());
    }
}

impl Drop for LogsOnFailure<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The test runner keeps this and shows it with the failed test.
            eprintln!("{}", self.plane.logs());
        }
    }
}

/// Asks until the answer is yes. An error counts as a no, and is told if no yes ever comes.
///
/// # Errors
/// When it does not return true within a minute.
pub async fn eventually(what: &str, mut probe: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let answer = match tokio::time::timeout(PATIENCE, probe()).await {
            Ok(Ok(true)) => return Ok(()),
            Ok(Ok(false)) => None,
            Ok(Err(error)) => Some(error),
            Err(_) => Some(anyhow::anyhow!("no answer")),
        };
        if begun.elapsed() >= PATIENCE {
            let error = answer.unwrap_or_else(|| anyhow::anyhow!("the answer is still no"));
            return Err(error.context(format!("waited {} s until {what}", PATIENCE.as_secs())));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// A name that no other test of any process uses: `<prefix>-<random>-<number>`.
#[must_use]
pub fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static RUN: std::sync::LazyLock<u32> = std::sync::LazyLock::new(rand::random);
    format!("{prefix}-{:08x}-{}", *RUN, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// GETs a path as text.
async fn get_text(client: &Client, path: &str) -> anyhow::Result<String> {
    let request = Request::get(path).body(Vec::new()).with_context(|| format!("asking for {path}"))?;
    client.request_text(request).await.with_context(|| format!("asking for {path}"))
}

/// The sum of what was asked for, once it makes sense.
fn server_count(options: &Options) -> anyhow::Result<usize> {
    ensure!(options.api_servers >= 1, "a control plane has at least one API server");
    Ok(if options.stale_second { options.api_servers.max(2) } else { options.api_servers })
}
