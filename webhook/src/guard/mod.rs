//! `statusguard webhook`: policies, judge and edge wired into one server.
//!
//! ```text
//! policy folder ──> PolicyStore ──> PolicyJudge ──> edge ──> API server
//!                              └──> Refusals (recorder)
//! ```

pub(crate) mod certificate;
mod client_authority;
mod damping;
mod denial;
mod descriptors;
pub(crate) mod fit;
mod judge;
pub(crate) mod log;
mod log_json;
pub(crate) mod outcome;
pub(crate) mod own_policy;
pub(crate) mod policy_changes;
pub(crate) mod policy_file;
pub(crate) mod policy_folder;
mod policy_wait;
mod process;
mod refusal_log;
mod refusals;
pub(crate) mod store;
pub(crate) mod store_metrics;

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use rustls::pki_types::ServerName;
use rustls::server::ResolvesServerCert;
use statusguard_certs::{CertificateEnds, with_sources};
use statusguard_edge::{Drained, Edge, EdgeMetrics, Health, Limits, ReadinessGate, Shutdown};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::args::{LogFormat, ObjectArgs, WebhookArgs};
use crate::cluster::configuration::Backend;
use crate::cluster::{CertificateSource, ClusterConnection, ClusterNames, ClusterService};
use crate::exit::Exit;

pub use policy_changes::EntriesKeptBy;
pub use policy_file::{ActivePolicy, PolicySource};
pub use refusals::{Refusal, Refusals};
pub use store::PolicyStore;

use certificate::{CertificateFiles, CertificatePaths, CertificateServing, FileMetrics};
use client_authority::ClientAuthorityFile;
use judge::PolicyJudge;
use log::LogQueue;
use log_json::JsonLines;
use policy_wait::PolicyWait;

/// Refused writes that are kept in memory, and bytes of their texts.
const REFUSALS_KEPT: usize = 1000;
const REFUSALS_BYTES: usize = 8 << 20;
/// Time for the last log lines to be written.
const LOG_FLUSH: Duration = Duration::from_secs(1);

/// A guard whose ports are bound and whose policies are loaded.
pub struct Guard {
    admission: TcpListener,
    plain: TcpListener,
    store: Arc<PolicyStore>,
    reload_interval: Duration,
    refusals: Refusals,
    repeat_limit: u32,
    /// The certificate of files, if it is not the guard's own.
    files: Option<Arc<CertificateFiles>>,
    /// Who may connect, if client certificates are asked for.
    clients: Option<Arc<ClientAuthorityFile>>,
    cluster: Option<ClusterService>,
    limits: Limits,
    health: Health,
    /// Opens when the policy folder is usable, if there is one.
    policies: Option<ReadinessGate>,
    shutdown: Shutdown,
    log_dropped: Counter,
}

impl Guard {
    /// Loads policies and certificate and binds both ports. Policies that do not compile are
    /// logged, the others are served.
    ///
    /// # Errors
    /// When a file cannot be read, the certificate does not fit, or a port is taken.
    pub async fn bind(args: WebhookArgs) -> anyhow::Result<Self> {
        args.check()?;
        let connection = match args.static_config {
            true => None,
            false => Some(args.cluster.connect().await?),
        };
        let files = certificate_files(&args, connection.as_ref())?.map(Arc::new);
        let clients = match &args.client_ca {
            Some(file) => Some(Arc::new(ClientAuthorityFile::open(file.clone(), args.client_name.clone())?)),
            None => None,
        };
        let (cluster, entries) = match connection {
            None => (None, EntriesKeptBy::Administrator),
            Some(connection) => (Some(cluster(&args, connection, files.clone())), EntriesKeptBy::Guard),
        };
        let WebhookArgs { policy_dir, listen, plain_listen, reload_interval, repeat_limit, limits, .. } = args;
        let follows_folder = policy_dir.is_some();
        // Large policies take long to compile: not on the runtime's own threads.
        let opening = tokio::task::spawn_blocking(move || match policy_dir {
            Some(folder) => PolicyStore::open(folder, entries),
            None => Ok(PolicyStore::without_folder()),
        });
        let store = opening.await.context("loading the policies")??;
        let health = Health::new();
        let policies = follows_folder.then(|| health.gate("policies of the folder"));
        let bind = async |flag: &str, address: SocketAddr| {
            TcpListener::bind(address).await.with_context(|| format!("binding {flag} {address}"))
        };
        Ok(Self {
            admission: bind("--listen", listen).await?,
            plain: bind("--plain-listen", plain_listen).await?,
            store: Arc::new(store),
            reload_interval,
            refusals: Refusals::new(REFUSALS_KEPT, REFUSALS_BYTES),
            repeat_limit,
            files,
            clients,
            cluster,
            limits,
            health,
            policies,
            shutdown: Shutdown::new(),
            log_dropped: Counter::default(),
        })
    }

    /// The admission port's address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.admission.local_addr()
    }

    /// The plain port's address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn plain_address(&self) -> std::io::Result<SocketAddr> {
        self.plain.local_addr()
    }

    /// The writes that were not simply allowed.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.refusals.clone()
    }

    /// Ends the server: asked once it drains, asked again it ends at once.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// What reads policies and certificates again when it is called. It may take long, and blocks.
    fn reload(&self) -> impl Fn() + Clone + Send + 'static {
        let store = self.policies.is_some().then(|| Arc::clone(&self.store));
        let files = self.files.clone();
        let clients = self.clients.clone();
        move || {
            match store.as_ref().map(|store| store.refresh()) {
                None => {}
                Some(Ok(())) => tracing::info!("policies read again"),
                Some(Err(error)) => {
                    tracing::error!(error = with_sources(&error), "policies cannot be read; the last ones stay");
                }
            }
            // What came of them is said there.
            files.as_ref().map(|files| files.refresh());
            if let Some(clients) = &clients {
                clients.refresh();
            }
        }
    }

    /// Serves until a shutdown is asked for and every connection has ended.
    ///
    /// # Errors
    /// When the edge cannot be set up.
    pub async fn serve(self) -> anyhow::Result<Drained> {
        let Self {
            admission,
            plain,
            store,
            reload_interval,
            refusals,
            repeat_limit,
            files,
            clients,
            cluster,
            limits,
            health,
            policies,
            shutdown,
            log_dropped,
        } = self;
        let mut registry = Registry::default();
        let metrics = EdgeMetrics::register(&mut registry);
        store.register(&mut registry);
        registry.register("statusguard_log_dropped", "Log lines that were not written", log_dropped);
        process::register(&mut registry);
        let counted = metrics.clone();
        store.tell(move |policy| PolicyJudge::expect(&counted, policy));
        let arrived = watch::Sender::new(HashSet::new());
        let wait = cluster.is_some().then(|| PolicyWait::new(limits.policy_wait));
        let file_metrics = files.as_ref().map_or_else(FileMetrics::default, |files| files.metrics());
        file_metrics.register(&mut registry);
        let (mut tasks, certificate) = match (cluster, &files) {
            (Some(cluster), _) => cluster.start(&mut registry, &store, &health, &arrived)?,
            (None, Some(files)) => {
                let ends = CertificateEnds::register(&mut registry);
                let serving = CertificateServing::new(Arc::clone(files), None, &health, ends);
                let (served, mut tasks) = (serving.served(), JoinSet::new());
                tasks.spawn(serving.run());
                (tasks, served as Arc<dyn ResolvesServerCert>)
            }
            (None, None) => anyhow::bail!("name --tls-cert and --tls-key, or omit --static-config"),
        };
        if let Some(files) = files {
            tasks.spawn(files.follow(reload_interval));
        }
        if let Some(clients) = &clients {
            tasks.spawn(Arc::clone(clients).follow(reload_interval));
        }
        let edge = Edge {
            judge: Arc::new(PolicyJudge::new(Arc::clone(&store), repeat_limit, wait, arrived)),
            recorder: Arc::new(refusals),
            certificate,
            clients: clients.map(|clients| clients.verifier() as _),
            limits,
            health,
            metrics,
            registry: Arc::new(registry),
        };
        if let Some(policies) = policies {
            store.announce(policies);
            tasks.spawn(store.follow(reload_interval));
        }
        let drained = statusguard_edge::serve(admission, plain, edge, shutdown).await;
        drop(tasks);
        Ok(drained?)
    }
}

/// The certificate that the flags name, if they name one.
fn certificate_files(
    args: &WebhookArgs,
    connection: Option<&ClusterConnection>,
) -> anyhow::Result<Option<CertificateFiles>> {
    let (Some(chain), Some(key)) = (args.tls_cert.clone(), args.tls_key.clone()) else { return Ok(None) };
    let name = connection.map(|connection| format!("{}.{}.svc", args.service, connection.namespace));
    let name = name.map(ServerName::try_from).transpose().context("the name of --service in --namespace")?;
    Ok(Some(CertificateFiles::open(CertificatePaths { chain, key, authority: args.tls_ca.clone() }, name)?))
}

/// What is kept in the cluster that the flags name.
fn cluster(args: &WebhookArgs, connection: ClusterConnection, files: Option<Arc<CertificateFiles>>) -> ClusterService {
    let backend =
        Backend { namespace: connection.namespace.clone(), service: args.service.clone(), port: args.service_port };
    let ObjectArgs { configuration, authority_secret: secret } = args.objects.clone();
    let names = ClusterNames { backend, configuration, secret };
    let source = match files {
        Some(files) => CertificateSource::Files { files, spread: args.spread, retention: args.retention() },
        None => CertificateSource::Own(args.timing()),
    };
    ClusterService::new(connection, names, source, args.canary_interval)
}

/// Runs the server until SIGTERM or SIGINT; a second one ends it at once. SIGHUP makes it read policies and certificates
/// again; SIGUSR1 and SIGUSR2 are ignored.
pub fn run(mut args: WebhookArgs) -> anyhow::Result<Exit> {
    let log = start_log(&args)?;
    descriptors::make_room(&mut args.limits);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let exit = runtime.block_on(serve(args, log.dropped()));
    // A folder that is being read is not waited for.
    runtime.shutdown_background();
    log.flush(LOG_FLUSH);
    exit
}

async fn serve(args: WebhookArgs, log_dropped: Counter) -> anyhow::Result<Exit> {
    // Before anything is announced: a signal that comes early must not end the process as it would by itself.
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut hangup = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
    // Caught, so that they do not end the process.
    let mut ignored = (
        signal(SignalKind::user_defined1()).context("listening for SIGUSR1")?,
        signal(SignalKind::user_defined2()).context("listening for SIGUSR2")?,
    );
    let guard = Guard { log_dropped, ..Guard::bind(args).await? };
    tracing::info!(admission = %guard.address()?, plain = %guard.plain_address()?, "guard started");
    let (shutdown, reload) = (guard.shutdown(), guard.reload());
    let signals = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {
                    tracing::info!("SIGTERM");
                    shutdown.request();
                }
                _ = interrupt.recv() => {
                    tracing::info!("SIGINT");
                    shutdown.request();
                }
                _ = hangup.recv() => {
                    tracing::info!("SIGHUP");
                    tokio::task::spawn_blocking(reload.clone());
                }
                _ = ignored.0.recv() => tracing::info!("SIGUSR1 ignored"),
                _ = ignored.1.recv() => tracing::info!("SIGUSR2 ignored"),
            }
        }
    });
    let drained = guard.serve().await;
    signals.abort();
    drained.map(|_| Exit::Success)
}

/// Sets up the log, panics included.
fn start_log(args: &WebhookArgs) -> anyhow::Result<LogQueue> {
    let filter = tracing_subscriber::EnvFilter::try_new(&args.log)
        .with_context(|| format!("--log {}: use `level` or `target=level,...`", args.log))?;
    let queue = LogQueue::start(std::io::stderr(), Counter::default()).context("starting the log's thread")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(queue.clone());
    let set = match args.log_format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.event_format(JsonLines).try_init(),
    };
    set.map_err(|error| anyhow::anyhow!("setting up the log: {error}"))?;
    std::panic::set_hook(Box::new(|panic| tracing::error!(%panic, "panicked")));
    Ok(queue)
}
