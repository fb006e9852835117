//! The server as a process, on free ports.

#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by several test binaries; a test ends at the first surprise"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::CertificateDer;
use serde_json::Value;

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/policies/kubernaut");
/// Far longer than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The server as a process, with a certificate of its own.
pub struct GuardProcess {
    pub child: Child,
    pub admission: SocketAddr,
    pub plain: SocketAddr,
    /// The log, a JSON object a line.
    pub log: Arc<Mutex<Vec<Value>>>,
    trusted: CertificateDer<'static>,
    _files: tempfile::TempDir,
}

impl GuardProcess {
    pub fn start(more: &[&str]) -> Self {
        let files = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (cert, key) = (files.path().join("tls.crt"), files.path().join("tls.key"));
        std::fs::write(&cert, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_statusguard"))
            .args(["webhook", "--policy-dir", POLICIES, "--log-format=json"])
            .args(["--listen=127.0.0.1:0", "--plain-listen=127.0.0.1:0", "--tls-cert"])
            .arg(cert)
            .arg("--tls-key")
            .arg(key)
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut lines = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let started = lines.by_ref().find(|line| line["fields"]["message"] == "guard started").unwrap();
        let address = |name: &str| started["fields"][name].as_str().unwrap().parse().unwrap();
        let (admission, plain) = (address("admission"), address("plain"));
        // What it says from here on must not fill the pipe.
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        let trusted = made.cert.der().clone();
        Self { child, admission, plain, log, trusted, _files: files }
    }

    pub fn ready(&self) -> bool {
        let mut stream = TcpStream::connect(self.plain).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: guard\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply.starts_with("HTTP/1.1 200")
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
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let tcp = TcpStream::connect(self.admission).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = rustls::StreamOwned::new(tls, tcp);
        let body = review.to_string();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, serde_json::from_str(body).unwrap())
    }

    /// Waits for a line of the log with this message; its fields.
    pub fn log_line(&self, message: &str) -> Value {
        let start = Instant::now();
        loop {
            if let Some(line) = self.log.lock().unwrap().iter().find(|line| line["fields"]["message"] == message) {
                return line["fields"].clone();
            }
            assert!(start.elapsed() < PATIENCE, "the server does not log `{message}`");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
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

impl Drop for GuardProcess {
    fn drop(&mut self) {
        // It has ended, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
