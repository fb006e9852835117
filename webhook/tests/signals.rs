//! The server as a process: SIGTERM drains it, a second one ends it.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../manifests/policies/kubernaut");
/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Server {
    child: Child,
    admission: SocketAddr,
    plain: SocketAddr,
    _files: tempfile::TempDir,
}

impl Server {
    fn start(more: &[&str]) -> Self {
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
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let fields = lines
            .by_ref()
            .map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap()["fields"].take())
            .find(|fields| fields["message"] == "guard started")
            .unwrap();
        let address = |name: &str| fields[name].as_str().unwrap().parse().unwrap();
        let (admission, plain) = (address("admission"), address("plain"));
        // What it says from here on must not fill the pipe.
        std::thread::spawn(move || lines.count());
        Self { child, admission, plain, _files: files }
    }

    fn ready(&self) -> bool {
        let mut stream = TcpStream::connect(self.plain).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: guard\r\nConnection: close\r\n\r\n").unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        reply.starts_with("HTTP/1.1 200")
    }

    fn terminate(&self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
    }

    fn ends(&mut self) -> ExitStatus {
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

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended, unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn sigterm_drains() {
    let mut server = Server::start(&["--drain-spread=300ms", "--drain-grace=300ms"]);
    assert!(server.ready());
    let start = Instant::now();
    server.terminate();
    while server.ready() {
        assert!(start.elapsed() < PATIENCE, "still ready");
    }
    // Unready, it still accepts: endpoints lead here for a while.
    assert!(TcpStream::connect(server.admission).is_ok());
    assert_eq!(server.ends().code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut server = Server::start(&["--drain-grace=1h", "--handshake-timeout=1h"]);
    // A connection that never says anything, which a drain would wait for.
    let silent = TcpStream::connect(server.admission).unwrap();
    server.terminate();
    while server.ready() {}
    assert!(server.child.try_wait().unwrap().is_none());
    server.terminate();
    assert_eq!(server.ends().code(), Some(0));
    drop(silent);
}
