//! The server as a process, on free ports.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by several test binaries; a test ends at the first surprise"
)]

use std::fmt::Display;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::client::WantsClientCert;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/policies/kubernaut");
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
/// Far longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The path of the policy that [`stale_review`] is for.
pub const PATH: &str = "/admit/kubernaut.ai/notificationrequests?timeout=10s";

/// A write that a guard refuses: what was sent is pending again.
pub fn stale_review() -> Value {
    let object = |phase: &str| json!({ "metadata": { "name": "n1" }, "status": { "phase": phase } });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "UPDATE", "subResource": "status", "name": "n1", "namespace": "web",
            "kind": { "group": "kubernaut.ai", "version": "v1alpha1", "kind": "NotificationRequest" },
            "resource": { "group": "kubernaut.ai", "version": "v1alpha1", "resource": "notificationrequests" },
            "object": object("Pending"), "oldObject": object("Sent"),
        },
    })
}

/// The server as a process, with a certificate of its own.
pub struct GuardProcess {
    pub child: Child,
    pub admission: SocketAddr,
    pub plain: SocketAddr,
    /// The log, a JSON object a line.
    pub log: Arc<Mutex<Vec<Value>>>,
    /// Its standard error, when nobody reads it.
    pub unread: Option<LogLines>,
    pub files: Files,
    client: Arc<rustls::ClientConfig>,
}

/// The lines of a log.
pub type LogLines = std::io::Lines<BufReader<ChildStderr>>;

/// Certificate, key and policies of a server.
pub struct Files {
    /// A folder of its own, to be changed.
    pub policies: PathBuf,
    pub cert: PathBuf,
    pub key: PathBuf,
    /// As they are named to the server: links in a folder of their own, so that its watch sees no change of the files.
    pub links: [PathBuf; 2],
    trusted: CertificateDer<'static>,
    _folder: tempfile::TempDir,
}

impl Files {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (cert, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let trusted = Self::renew(&cert, &key);
        let linked = folder.path().join("links");
        std::fs::create_dir(&linked).unwrap();
        let links = [(&cert, linked.join("tls.crt")), (&key, linked.join("tls.key"))];
        let links = links.map(|(file, link)| {
            std::os::unix::fs::symlink(file, &link).unwrap();
            link
        });
        let policies = folder.path().join("policies");
        std::fs::create_dir(&policies).unwrap();
        for file in std::fs::read_dir(POLICIES).unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
            std::fs::copy(file.path(), policies.join(file.file_name())).unwrap();
        }
        Self { policies, cert, key, links, trusted, _folder: folder }
    }

    /// Writes a new certificate and key.
    fn renew(cert: &Path, key: &Path) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(cert, made.cert.pem()).unwrap();
        std::fs::write(key, made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    /// The command that serves with them.
    pub fn command(&self, admission: impl Display, plain: impl Display, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_statusguard"));
        command
            .args(["webhook", "--log-format=json", "--policy-dir"])
            .arg(&self.policies)
            .args([&format!("--listen={admission}"), &format!("--plain-listen={plain}"), "--tls-cert"])
            .arg(&self.links[0])
            .arg("--static-config")
            .arg("--tls-key")
            .arg(&self.links[1])
            .args(more);
        command
    }
}

/// A client that trusts a certificate.
fn client(trusted: &CertificateDer<'static>) -> Arc<rustls::ClientConfig> {
    Arc::new(trusting(trusted).with_no_client_auth())
}

/// A client that trusts a certificate, but for what it presents.
fn trusting(trusted: &CertificateDer<'static>) -> rustls::ConfigBuilder<rustls::ClientConfig, WantsClientCert> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

impl GuardProcess {
    pub fn start(more: &[&str]) -> Self {
        Self::start_unread(more).read_log()
    }

    fn read_log(mut self) -> Self {
        let lines = self.unread.take().unwrap();
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            let lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
            lines.for_each(|line| log.lock().unwrap().push(line));
        });
        self
    }

    /// Of its log nothing is read once it has started.
    pub fn start_unread(more: &[&str]) -> Self {
        Self::start_unread_with(Files::new(), more)
    }

    /// With these files.
    pub fn start_with(files: Files, more: &[&str]) -> Self {
        Self::start_unread_with(files, more).read_log()
    }

    fn start_unread_with(files: Files, more: &[&str]) -> Self {
        let command = files.command(ANY, ANY, more);
        Self::spawn(files, command)
    }

    /// At addresses as its flags are given.
    pub fn start_at(admission: &str, plain: &str) -> Self {
        let files = Files::new();
        let command = files.command(admission, plain, &[]);
        Self::spawn(files, command).read_log()
    }

    /// It may have so many files open.
    pub fn start_with_open_files(most: u32, more: &[&str]) -> Self {
        let files = Files::new();
        let command = files.command(ANY, ANY, more);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -n {most} && exec \"$0\" \"$@\"")]);
        shell.arg(command.get_program()).args(command.get_args());
        Self::spawn(files, shell).read_log()
    }

    fn spawn(files: Files, mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let parsed = lines.by_ref().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let mut log = Vec::new();
        for line in parsed {
            let last = line["fields"]["message"] == "guard started";
            log.push(line);
            if last {
                break;
            }
        }
        let started = log.last().unwrap();
        let address = |name: &str| started["fields"][name].as_str().unwrap().parse().unwrap();
        let (admission, plain) = (address("admission"), address("plain"));
        let client = client(&files.trusted);
        Self { child, admission, plain, log: Arc::new(Mutex::new(log)), unread: Some(lines), files, client }
    }

    /// Its log goes to a full disk.
    pub fn start_on_full_disk(more: &[&str]) -> Self {
        let files = Files::new();
        // Ports that were free a moment ago: the log does not say which they are.
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (admission, plain) = (free(), free());
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut child = files.command(admission, plain, more).stderr(full).spawn().unwrap();
        let start = Instant::now();
        while TcpStream::connect(plain).is_err() {
            assert!(start.elapsed() < PATIENCE && child.try_wait().unwrap().is_none(), "the server does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
        let client = client(&files.trusted);
        Self { child, admission, plain, log: Arc::default(), unread: None, files, client }
    }

    pub fn ready(&self) -> bool {
        self.get("/readyz").starts_with("HTTP/1.1 200")
    }

    /// Asks the plain port; the whole reply.
    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.plain).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: guard\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply
    }

    /// Sends a review that is judged; the response in the reply.
    pub fn admit(&self, path: &str, review: &Value) -> Value {
        self.admit_with(path, "", review)
    }

    /// As [`GuardProcess::admit`], with more header lines, each with its end.
    pub fn admit_with(&self, path: &str, headers: &str, review: &Value) -> Value {
        let (code, mut reply) = self.call(path, headers, review);
        assert_eq!(code, 200, "{reply}");
        reply["response"].take()
    }

    /// Sends a review on a connection of its own; the reply's code and body.
    pub fn call(&self, path: &str, headers: &str, review: &Value) -> (u16, Value) {
        let reply = self.send(&request(path, &format!("Connection: close\r\n{headers}"), review));
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, serde_json::from_str(body).unwrap())
    }

    /// Sends a review so often, on one connection; the replies as they came.
    pub fn call_often(&self, path: &str, review: &Value, times: usize) -> String {
        let mut requests = request(path, "", review).repeat(times - 1);
        requests.push_str(&request(path, "Connection: close\r\n", review));
        self.send(&requests)
    }

    /// Sends what ends a connection; what came back.
    fn send(&self, requests: &str) -> String {
        self.try_send(requests).unwrap()
    }

    /// Whether a review is answered: the handshake may fail.
    pub fn is_served(&self) -> bool {
        let replies = self.try_send(&request(PATH, "Connection: close\r\n", &stale_review()));
        replies.is_ok_and(|replies| replies.starts_with("HTTP/1.1 200"))
    }

    fn try_send(&self, requests: &str) -> std::io::Result<String> {
        let tls = rustls::ClientConnection::new(Arc::clone(&self.client), "localhost".try_into().unwrap()).unwrap();
        let tcp = TcpStream::connect(self.admission).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, tcp);
        stream.write_all(requests.as_bytes())?;
        let mut replies = String::new();
        stream.read_to_string(&mut replies)?;
        Ok(replies)
    }

    /// From now on clients present this certificate.
    pub fn present(&mut self, certificate: CertificateDer<'static>, key: PrivateKeyDer<'static>) {
        let config = trusting(&self.files.trusted).with_client_auth_cert(vec![certificate], key).unwrap();
        self.client = Arc::new(config);
    }

    /// Waits for a line of the log with this message; its fields.
    pub fn log_line(&self, message: &str) -> Value {
        self.log_line_that(message, |fields| fields["message"] == message)
    }

    /// Waits for a line of the log whose fields are such; the first.
    pub fn log_line_that(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            if let Some(line) = self.log.lock().unwrap().iter().find(|line| holds(&line["fields"])) {
                return line["fields"].clone();
            }
            assert!(start.elapsed() < PATIENCE, "the server does not log `{what}`");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The level of the first line of the log with this message.
    pub fn log_level(&self, message: &str) -> String {
        let log = self.log.lock().unwrap();
        let line = log.iter().find(|line| line["fields"]["message"] == message).unwrap();
        line["level"].as_str().unwrap().to_owned()
    }

    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Writes a new certificate, which clients trust from now on in place of the old one.
    pub fn renew_certificate(&mut self) {
        self.client = client(&Files::renew(&self.files.cert, &self.files.key));
    }

    /// Whether a client trusts what the server shows.
    pub fn is_trusted(&self) -> bool {
        self.shows(&self.client).is_some()
    }

    /// Whether a client that trusts this certificate alone is shown it.
    pub fn shows_certificate(&self, certificate: &CertificateDer<'static>) -> bool {
        self.shows(&client(certificate)).as_ref() == Some(certificate)
    }

    /// The leaf that a client is shown in a handshake of its own, if it trusts it.
    fn shows(&self, client: &Arc<rustls::ClientConfig>) -> Option<CertificateDer<'static>> {
        let mut tls = rustls::ClientConnection::new(Arc::clone(client), "localhost".try_into().unwrap()).unwrap();
        let mut tcp = TcpStream::connect(self.admission).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        tls.complete_io(&mut tcp).ok()?;
        tls.peer_certificates()?.first().map(|leaf| leaf.clone().into_owned())
    }

    /// The value of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let reply = self.get("/metrics");
        let line = reply.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until something holds.
    pub fn wait(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "not {what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn ends(&mut self) -> ExitStatus {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn request(path: &str, headers: &str, review: &Value) -> String {
    let body = review.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         {headers}\r\n{body}",
        body.len()
    )
}

impl Drop for GuardProcess {
    fn drop(&mut self) {
        // It has ended, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
