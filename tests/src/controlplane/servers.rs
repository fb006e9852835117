//! One etcd and its API servers: folder, ports, flags, start, stop.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use kube::{Client, Config};
use rcgen::KeyPair;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::assets::Assets;
use super::process::{Component, Janitor, tail};
use super::stale::StaleProxy;
use super::users::{User, token_file};
use super::{Options, get_text, server_count};
use crate::tls::{Authority, write_secret};

/// What was started here. Fields are dropped in this order: servers before their etcd, the folder last.
pub(super) struct Servers {
    api_servers: Vec<ApiServer>,
    stale: Option<StaleProxy>,
    etcd: Component,
    janitor: Janitor,
    authority: Authority,
    assets: Assets,
    folder: PathBuf,
}

/// One API server; its port and folder outlive its process.
struct ApiServer {
    port: u16,
    arguments: Vec<String>,
    log: PathBuf,
    audit_log: Option<PathBuf>,
    process: Mutex<Option<Component>>,
}

/// How often a component is looked at while it starts.
const POLL: Duration = Duration::from_millis(50);

/// How long a component may take to start: a loaded machine with two cores needs some 20 s for two servers.
const START_LIMIT: Duration = Duration::from_secs(120);

/// How often a start is tried again with other ports when somebody took one in between.
const PORT_ATTEMPTS: usize = 3;

/// What the audit log records, when there is one.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: RequestResponse
";

impl Servers {
    pub(super) async fn start(options: &Options) -> anyhow::Result<Self> {
        let count = server_count(options)?;
        let assets = locate().await?;
        let mut attempt = 1;
        loop {
            match Self::start_once(assets.clone(), count, options).await {
                Err(error) if attempt < PORT_ATTEMPTS && is_port_taken(&error) => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    async fn start_once(assets: Assets, count: usize, options: &Options) -> anyhow::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("statusguard-test-").tempdir().context("making a temporary folder")?.keep();
        let janitor = Janitor::of(&folder)?;
        let authority = Authority::new("statusguard test control plane")?;
        write_common_files(&folder, &authority)?;

        let ports = free_ports(count + 2)?;
        let (client_port, peer_port) = (ports[0], ports[1]);
        let etcd_log = folder.join("etcd.log");
        let mut etcd =
            Component::start(&janitor, &assets.etcd, etcd_arguments(&folder, client_port, peer_port), &etcd_log)?;
        wait_for_etcd(&mut etcd, client_port).await?;

        let stale = match options.stale_second {
            true => Some(StaleProxy::start(client_port)?),
            false => None,
        };
        let api_servers = (0..count)
            .map(|index| {
                let etcd_port = match &stale {
                    Some(proxy) if index == 1 => proxy.port(),
                    _ => client_port,
                };
                ApiServer::new(&folder, index, ports[index + 2], etcd_port, options)
            })
            .collect();
        let servers = Self { api_servers, stale, etcd, janitor, authority, assets, folder };
        for server in &servers.api_servers {
            server.spawn(&servers)?;
        }
        for index in 0..count {
            servers.wait_until_ready(index).await?;
        }
        Ok(servers)
    }

    pub(super) fn count(&self) -> usize {
        self.api_servers.len()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn kubectl(&self) -> &Path {
        &self.assets.kubectl
    }

    pub(super) fn stale_proxy(&self) -> Option<&StaleProxy> {
        self.stale.as_ref()
    }

    pub(super) fn config(&self, server: usize, user: &User) -> Config {
        let url = self.url(server).parse().expect("a loopback address with a port is a URI");
        let mut config = Config::new(url);
        config.root_cert = Some(vec![self.authority.der().to_vec()]);
        config.auth_info = user.auth_info();
        config
    }

    pub(super) fn kubeconfig(&self, server: usize, user: &User) -> anyhow::Result<PathBuf> {
        let path = self.folder.join(format!("kubeconfig-{server}-{}.yaml", user.file_stem()));
        let name = user.name();
        let content = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{ "name": "test", "cluster": {
                "server": self.url(server),
                "certificate-authority": self.folder.join("ca.crt"),
            }}],
            "users": [{ "name": name, "user": user.credentials() }],
            "contexts": [{ "name": name, "context": { "cluster": "test", "user": name } }],
            "current-context": name,
        });
        // JSON is YAML, too.
        write_secret(&path, &format!("{content:#}\n"))?;
        Ok(path)
    }

    pub(super) fn stop(&self, server: usize) -> anyhow::Result<()> {
        self.server(server)?.process().take();
        Ok(())
    }

    pub(super) async fn start_again(&self, server: usize) -> anyhow::Result<()> {
        self.server(server)?.spawn(self)?;
        self.wait_until_ready(server).await
    }

    pub(super) fn logs(&self, lines: usize) -> String {
        let mut all = format!("==== etcd, last lines ====\n{}\n", self.etcd.log_tail(lines));
        for (index, server) in self.api_servers.iter().enumerate() {
            all += &format!("==== kube-apiserver {index}, last lines ====\n{}\n", tail(&server.log, lines));
        }
        all
    }

    pub(super) fn audit_events(&self, server: usize) -> anyhow::Result<Vec<Value>> {
        let log = self.server(server)?.audit_log.as_ref().context("start the control plane with `audit: true`")?;
        let text = fs::read_to_string(log).with_context(|| format!("reading {}", log.display()))?;
        // A last line without its end is one that is being written.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete.lines().map(|line| serde_json::from_str(line).context("parsing an audit event")).collect()
    }

    fn server(&self, index: usize) -> anyhow::Result<&ApiServer> {
        let count = self.count();
        self.api_servers.get(index).with_context(|| format!("there are {count} API servers, none is number {index}"))
    }

    fn url(&self, server: usize) -> String {
        format!("https://127.0.0.1:{}", self.api_servers[server].port)
    }

    async fn wait_until_ready(&self, index: usize) -> anyhow::Result<()> {
        let server = self.server(index)?;
        let client = Client::try_from(self.config(index, &User::Admin)).context("making a client")?;
        let begun = Instant::now();
        loop {
            server.check_running(index)?;
            let answer = tokio::time::timeout(START_LIMIT, get_text(&client, "/readyz")).await;
            match answer {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) if begun.elapsed() > START_LIMIT => {
                    let log = tail(&server.log, 20);
                    return Err(error.context(format!("kube-apiserver {index} is not ready; its log ends:\n{log}")));
                }
                Err(_) => bail!("kube-apiserver {index} does not answer; its log ends:\n{}", tail(&server.log, 20)),
                Ok(Err(_)) => tokio::time::sleep(POLL).await,
            }
        }
    }
}

impl ApiServer {
    fn new(folder: &Path, index: usize, port: u16, etcd_port: u16, options: &Options) -> Self {
        let file = |name: &str| folder.join(name).display().to_string();
        let mut arguments: Vec<String> = [
            ("etcd-servers", format!("http://127.0.0.1:{etcd_port}")),
            ("bind-address", "127.0.0.1".to_owned()),
            ("advertise-address", "127.0.0.1".to_owned()),
            ("secure-port", port.to_string()),
            ("tls-cert-file", file("tls.crt")),
            ("tls-private-key-file", file("tls.key")),
            // Where it would make certificates of its own; it must exist, nothing is put there.
            ("cert-dir", file("unused-certificates")),
            ("service-account-issuer", "https://kubernetes.default.svc".to_owned()),
            ("service-account-key-file", file("service-accounts.pub")),
            ("service-account-signing-key-file", file("service-accounts.key")),
            ("service-cluster-ip-range", "10.0.0.0/24".to_owned()),
            ("authorization-mode", "RBAC".to_owned()),
            ("token-auth-file", file("tokens.csv")),
            ("disable-admission-plugins", "ServiceAccount".to_owned()),
            ("endpoint-reconciler-type", "none".to_owned()),
            ("allow-privileged", "true".to_owned()),
        ]
        .into_iter()
        .map(|(flag, value)| format!("--{flag}={value}"))
        .collect();
        let audit_log = options.audit.then(|| folder.join(format!("audit-{index}.log")));
        if let Some(log) = &audit_log {
            arguments.push(format!("--audit-policy-file={}", file("audit-policy.yaml")));
            arguments.push(format!("--audit-log-path={}", log.display()));
            // An event is in the file when the client has its answer.
            arguments.push("--audit-log-mode=blocking-strict".to_owned());
        }
        arguments.extend(options.arguments.iter().cloned());
        Self {
            port,
            arguments,
            log: folder.join(format!("kube-apiserver-{index}.log")),
            audit_log,
            process: Mutex::new(None),
        }
    }

    /// Starts the process unless it runs.
    fn spawn(&self, servers: &Servers) -> anyhow::Result<()> {
        let mut process = self.process();
        if process.is_none() {
            let component =
                Component::start(&servers.janitor, &servers.assets.kube_apiserver, &self.arguments, &self.log)?;
            *process = Some(component);
        }
        Ok(())
    }

    fn check_running(&self, index: usize) -> anyhow::Result<()> {
        let mut process = self.process();
        let component = process.as_mut().with_context(|| format!("kube-apiserver {index} was stopped"))?;
        if let Some(status) = component.ended()? {
            bail!("kube-apiserver {index} ended with {status}; its log ends:\n{}", component.log_tail(20));
        }
        Ok(())
    }

    /// A panic of another holder leaves nothing half done: the value is set or taken in one step.
    fn process(&self) -> MutexGuard<'_, Option<Component>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// On a thread that is not joined: a caller that gives up is not held up by a build of minutes, or by another
/// process's lock.
async fn locate() -> anyhow::Result<Assets> {
    let (sender, receiver) = oneshot::channel();
    // A receiver that is gone has given up.
    thread::spawn(move || drop(sender.send(Assets::locate())));
    receiver.await.context("looking for the control plane's programs")?
}

/// What all API servers read.
fn write_common_files(folder: &Path, authority: &Authority) -> anyhow::Result<()> {
    let write = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    write("ca.crt", &authority.pem())?;
    authority.leaf(["127.0.0.1", "localhost"])?.write(folder)?;
    let service_accounts = KeyPair::generate().context("making the service accounts' key")?;
    write_secret(&folder.join("service-accounts.key"), &service_accounts.serialize_pem())?;
    write("service-accounts.pub", &service_accounts.public_key_pem())?;
    write_secret(&folder.join("tokens.csv"), &token_file())?;
    write("audit-policy.yaml", AUDIT_POLICY)
}

fn etcd_arguments(folder: &Path, client_port: u16, peer_port: u16) -> Vec<String> {
    let client = format!("http://127.0.0.1:{client_port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    vec![
        "--name=test".to_owned(),
        format!("--data-dir={}", folder.join("etcd").display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=test={peer}"),
        // The data lives no longer than the machine is up.
        "--unsafe-no-fsync".to_owned(),
    ]
}

/// Until etcd accepts connections; it answers them once it has elected itself.
async fn wait_for_etcd(etcd: &mut Component, port: u16) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        if let Some(status) = etcd.ended()? {
            bail!("etcd ended with {status}; its log ends:\n{}", etcd.log_tail(20));
        }
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
            return Ok(());
        }
        ensure!(begun.elapsed() < START_LIMIT, "etcd does not listen; its log ends:\n{}", etcd.log_tail(20));
        tokio::time::sleep(POLL).await;
    }
}

/// Ports that nobody listens on, from below the range that outgoing connections take theirs from: a port must
/// still be free when its server returns from a restart.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut held = Vec::new();
    for _ in 0..1000 {
        let port = rand::random_range(20_000..32_000);
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
        if held.len() == count {
            return Ok(held.into_iter().map(|(port, _)| port).collect());
        }
    }
    bail!("found no {count} free ports between 20000 and 32000")
}

fn is_port_taken(error: &anyhow::Error) -> bool {
    format!("{error:#}").contains("address already in use")
}
