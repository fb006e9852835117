//! The API server's part: kept-alive HTTPS/1.1 connections, each with one call at a time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::review::RequestBody;
use crate::figures::Latencies;

/// The name in the servers' certificate.
pub const SERVER_NAME: &str = "statusguard.statusguard-system.svc";

/// Connections to one server.
pub struct Load {
    connections: Vec<SendRequest<Full<Bytes>>>,
    /// Whether every answer must allow; else refuse.
    allowed: bool,
}

/// What was asked and answered in one go.
#[derive(Default)]
pub struct Answered {
    pub requests: u64,
    pub latencies: Latencies,
}

/// TLS as the API server speaks it: Go prefers AES-128.
///
/// # Errors
/// Never, but for a mistake in it.
pub fn tls(authority: CertificateDer<'static>) -> anyhow::Result<TlsConnector> {
    let mut provider = ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| *suite != ring::cipher_suite::TLS13_AES_128_GCM_SHA256);
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Load {
    /// Opens connections. Every answer must allow, or every one refuse.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub async fn open(
        address: SocketAddr,
        tls: &TlsConnector,
        connections: usize,
        allowed: bool,
    ) -> anyhow::Result<Self> {
        let name = ServerName::try_from(SERVER_NAME)?;
        let open = (0..connections).map(|_| async {
            let stream = TcpStream::connect(address).await.context("connecting")?;
            stream.set_nodelay(true)?;
            let stream = tls.connect(name.clone(), stream).await.context("TLS handshake")?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await.context("HTTP handshake")?;
            // The calls see how it ends.
            tokio::spawn(connection);
            anyhow::Ok(sender)
        });
        Ok(Self { connections: try_join_all(open).await?, allowed })
    }

    /// Calls on all connections, one after the other on each, until the time has come; then waits for the answers
    /// that are still due.
    ///
    /// # Errors
    /// When an answer is missing or is not the answer to its call.
    pub async fn run(&mut self, bodies: &[RequestBody], until: Instant) -> anyhow::Result<Answered> {
        let allowed = self.allowed;
        let calls = self.connections.iter_mut().enumerate().map(|(index, connection)| async move {
            let mut answered = Answered::default();
            for body in bodies.iter().cycle().skip(index) {
                let begun = Instant::now();
                if begun >= until {
                    break;
                }
                call(connection, body, allowed).await?;
                answered.requests += 1;
                answered.latencies.add(u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX));
            }
            anyhow::Ok(answered)
        });
        let mut sum = Answered::default();
        for answered in try_join_all(calls).await? {
            sum.requests += answered.requests;
            sum.latencies.append(&answered.latencies);
        }
        Ok(sum)
    }
}

async fn call(connection: &mut SendRequest<Full<Bytes>>, body: &RequestBody, allowed: bool) -> anyhow::Result<()> {
    let request = Request::post("/admit/kubernaut.ai/notificationrequests?timeout=5s")
        .header(HOST, SERVER_NAME)
        .header(USER_AGENT, "kube-apiserver-admission")
        .header(ACCEPT, "application/json, */*")
        .header(ACCEPT_ENCODING, "gzip")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(body.bytes.clone()))?;
    connection.ready().await.context("a connection was closed")?;
    let response = connection.send_request(request).await.context("calling")?;
    let code = response.status();
    let reply = response.into_body().collect().await.context("reading a reply")?.to_bytes();
    ensure!(code == StatusCode::OK, "HTTP {code}: {}", String::from_utf8_lossy(&reply));
    let has = |part: &str| reply.windows(part.len()).any(|window| window == part.as_bytes());
    ensure!(has(&body.uid), "a reply without its uid: {}", String::from_utf8_lossy(&reply));
    ensure!(has(&format!("\"allowed\":{allowed}")), "not the expected decision: {}", String::from_utf8_lossy(&reply));
    Ok(())
}
