//! The three servers, each a process of its own on one core.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use axum::Router;
use clap::{Parser as _, ValueEnum};
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::server::NoServerSessionStorage;
use statusguard::{Command, Guard};
use tokio::io::{AsyncReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{constant, cores, typical};

/// Arguments of one server.
#[derive(clap::Args, Debug, Clone)]
pub struct Args {
    /// Which one.
    #[arg(long, value_enum)]
    pub server: BenchServer,
    /// The core that it runs on.
    #[arg(long)]
    pub core: usize,
    /// Serving certificate in PEM.
    #[arg(long)]
    pub tls_cert: PathBuf,
    /// Its key in PEM.
    #[arg(long)]
    pub tls_key: PathBuf,
}

/// What serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BenchServer {
    /// The guard, with the policies that come with the project.
    Guard,
    /// Allows everything.
    Constant,
    /// A typical webhook, written with kube.
    Typical,
}

/// Longest body, as the guard's default.
pub const BODY: usize = 8 << 20;

/// As the guard's, so that all three read in the same way: HTTP, and TLS before it.
const READ_BUFFER: usize = 64 << 10;
const READ_AHEAD: usize = 32 << 10;

impl BenchServer {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Guard => "guard",
            Self::Constant => "constant",
            Self::Typical => "typical",
        }
    }
}

/// Serves until standard input ends; prints the address on standard output, and the guard's plain one after it.
///
/// # Errors
/// When it cannot be set up.
pub fn run(args: Args) -> anyhow::Result<()> {
    let Args { server, core, tls_cert, tls_key } = args;
    // Before the runtime: its threads inherit it, and there are as many as cores.
    cores::pin(core)?;
    // As the guard's own command does.
    tracing_subscriber::fmt().with_env_filter("info").with_ansi(false).with_writer(std::io::stderr).init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let serving = async {
            match server {
                BenchServer::Guard => guard(&tls_cert, &tls_key).await,
                BenchServer::Constant => serve(constant::routes(), &tls_cert, &tls_key).await,
                BenchServer::Typical => serve(typical::routes(), &tls_cert, &tls_key).await,
            }
        };
        tokio::select! {
            result = serving => result,
            _ = async { tokio::io::stdin().read(&mut [0]).await } => Ok(()),
        }
    })?;
    // The reader of standard input may hold a thread.
    runtime.shutdown_background();
    Ok(())
}

async fn guard(tls_cert: &Path, tls_key: &Path) -> anyhow::Result<()> {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("../manifests/policies/kubernaut");
    let args = statusguard::Args::try_parse_from([
        "statusguard".to_owned(),
        "webhook".to_owned(),
        format!("--policy-dir={}", policies.display()),
        format!("--tls-cert={}", tls_cert.display()),
        format!("--tls-key={}", tls_key.display()),
        "--static-config".to_owned(),
        "--listen=127.0.0.1:0".to_owned(),
        "--plain-listen=127.0.0.1:0".to_owned(),
    ])?;
    let Command::Webhook(webhook) = args.command else { bail!("the server's own arguments are not the server's") };
    let guard = Guard::bind(*webhook).await?;
    println!("{} {}", guard.address()?, guard.plain_address()?);
    guard.serve().await?;
    Ok(())
}

/// The guard's stack without the guard: the same TLS, the same HTTP, the same router.
async fn serve(routes: Router, tls_cert: &Path, tls_key: &Path) -> anyhow::Result<()> {
    let read = |path: &Path| std::fs::read(path).with_context(|| format!("reading {}", path.display()));
    let certificate = statusguard_edge::certificate(&read(tls_cert)?, &read(tls_key)?)?;
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    let tls = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.context("binding")?;
    println!("{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await.context("accepting")?;
        stream.set_nodelay(true).context("setting TCP_NODELAY")?;
        let (tls, routes) = (tls.clone(), routes.clone());
        tokio::spawn(async move {
            // The client reports how a connection ended.
            let stream = BufReader::with_capacity(READ_AHEAD, stream);
            let Ok(stream) = tls.accept(stream).await else { return };
            let connection = http1::Builder::new()
                .max_buf_size(READ_BUFFER)
                .header_read_timeout(None)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes));
            let _ = connection.await;
        });
    }
}
