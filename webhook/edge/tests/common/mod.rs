//! A real server on free ports with real TLS, and a client that can misbehave.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic,
    reason = "shared by several test binaries; a test ends at the first surprise"
)]

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use rustls::server::ResolvesServerCert;
use rustls::server::danger::ClientCertVerifier;
use statusguard_edge::{
    CallContext, Cause, Decision, Denial, Drained, Edge, EdgeMetrics, Error, Health, Judge, Labels, Limits, NoRecords,
    Recorder, Review, ReviewAnswer, Shutdown, certificate, serve,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub const PATH: &str = "/admit/facts.test/deliveries?timeout=10s";

/// Longer than anything in these tests may take; only a hang gets here.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Judges by a function.
pub struct Script<F>(pub F);

impl<F, R> Judge for Script<F>
where
    F: Fn(&CallContext<'_>, &Review<'_>) -> ReviewAnswer<R> + Send + Sync + 'static,
    R: Send + 'static,
{
    type Record = R;

    fn judge(&self, call: &CallContext<'_>, review: &Review<'_>) -> ReviewAnswer<R> {
        (self.0)(call, review)
    }
}

pub fn labels(outcome: &'static str, class: &'static str) -> Labels {
    Labels {
        policy: Cow::Borrowed("deliveries.facts.test"),
        outcome: Cow::Borrowed(outcome),
        class: Cow::Borrowed(class),
    }
}

pub fn allow<R>() -> ReviewAnswer<R> {
    ReviewAnswer::new(Decision::Allow, labels("Allowed", ""))
}

pub fn stale<R>() -> ReviewAnswer<R> {
    let denial = Denial {
        code: 409,
        reason: "Conflict",
        message: "attempts fell from 3 to 2; read again and decide again".to_owned(),
        causes: vec![Cause {
            reason: Cow::Borrowed("CounterRegression"),
            message: "attempts fell from 3 to 2".to_owned(),
            field: "status.attempts".to_owned(),
        }],
    };
    let mut answer = ReviewAnswer::new(Decision::Deny(denial), labels("Denied", "Stale"));
    answer.findings.push(Cow::Borrowed("CounterRegression"));
    answer
}

/// Allows everything.
pub fn allowing() -> Script<impl Fn(&CallContext<'_>, &Review<'_>) -> ReviewAnswer<()>> {
    Script(|_: &CallContext<'_>, _: &Review<'_>| allow())
}

/// A server under test.
pub struct EdgeServer {
    pub admission: SocketAddr,
    pub plain: SocketAddr,
    pub shutdown: Shutdown,
    pub health: Health,
    pub registry: Arc<Registry>,
    pub task: JoinHandle<Result<Drained, Error>>,
    connector: TlsConnector,
}

/// Opens connections.
#[derive(Clone)]
pub struct Dialer {
    connector: TlsConnector,
    address: SocketAddr,
}

/// What came back.
#[derive(Debug)]
pub struct HttpReply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// A client's connection.
pub struct Client<T = TlsStream<TcpStream>> {
    pub io: T,
    unread: Vec<u8>,
}

pub async fn start<J: Judge>(judge: J, limits: Limits) -> EdgeServer
where
    NoRecords: Recorder<J::Record>,
{
    start_recording(judge, NoRecords, limits).await
}

pub async fn start_recording<J: Judge, C: Recorder<J::Record>>(judge: J, recorder: C, limits: Limits) -> EdgeServer {
    let (made, roots) = server_certificate();
    start_with(judge, recorder, limits, made, None, connector(roots)).await
}

/// A certificate for `localhost`, and a client that trusts it.
pub fn server_certificate() -> (Arc<dyn ResolvesServerCert>, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_pem();
    let resolver = certificate(made.cert.pem().as_bytes(), key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (resolver, roots)
}

pub async fn start_with<J: Judge, C: Recorder<J::Record>>(
    judge: J,
    recorder: C,
    limits: Limits,
    certificate: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
    connector: TlsConnector,
) -> EdgeServer {
    let mut registry = Registry::default();
    let metrics = EdgeMetrics::register(&mut registry);
    let registry = Arc::new(registry);
    let health = Health::new();
    let shutdown = Shutdown::new();
    // A backlog for the tests that open very many connections.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let bound = socket.listen(4096).unwrap();
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (admission_at, plain_at) = (bound.local_addr().unwrap(), plain.local_addr().unwrap());
    let edge = Edge {
        judge: Arc::new(judge),
        recorder: Arc::new(recorder),
        certificate,
        clients,
        limits,
        health: health.clone(),
        metrics,
        registry: Arc::clone(&registry),
    };
    EdgeServer {
        admission: admission_at,
        plain: plain_at,
        health,
        registry,
        task: tokio::spawn(serve(bound, plain, edge, shutdown.clone())),
        shutdown,
        connector,
    }
}

pub fn connector(roots: RootCertStore) -> TlsConnector {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

/// A review with a status that is judged on a thread of its own.
pub fn long_review() -> Vec<u8> {
    let mut review: serde_json::Value = serde_json::from_slice(&review("put")).unwrap();
    review["request"]["object"]["status"]["text"] = "x".repeat(64 << 10).into();
    review.to_string().into_bytes()
}

impl EdgeServer {
    pub async fn connect(&self) -> Client {
        self.try_connect().await.unwrap()
    }

    pub async fn try_connect(&self) -> std::io::Result<Client> {
        self.dialer().dial().await
    }

    /// What a client needs, for tasks of their own.
    pub fn dialer(&self) -> Dialer {
        Dialer { connector: self.connector.clone(), address: self.admission }
    }

    /// A review posted on a connection of its own.
    pub async fn post(&self, body: &[u8]) -> HttpReply {
        self.connect().await.post(PATH, body).await
    }

    pub async fn get_plain(&self, path: &str) -> HttpReply {
        self.get_plain_with(path, "").await
    }

    /// As [`TestServer::get_plain`], with more header lines, each with its end.
    pub async fn get_plain_with(&self, path: &str, headers: &str) -> HttpReply {
        let mut client = Client::new(TcpStream::connect(self.plain).await.unwrap());
        let head = format!("GET {path} HTTP/1.1\r\nHost: guard\r\n{headers}\r\n");
        client.write(head.as_bytes()).await;
        client.reply().await
    }

    /// The value of a metric line that begins with this.
    pub fn metric(&self, line: &str) -> f64 {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let value = text.lines().find_map(|known| known.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a metric has a value; only for what no reply tells.
    pub async fn metric_becomes(&self, line: &str, value: f64) {
        let waiting = async {
            while self.metric(line) != value {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = timeout(PATIENCE, waiting).await;
        assert!(waited.is_ok(), "{line} is {}, not {value}", self.metric(line));
    }

    /// Waits for the end.
    pub async fn ended(self) -> Drained {
        timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap()
    }

    /// Ends the server at once.
    pub async fn stop(self) -> Drained {
        self.shutdown.request();
        self.shutdown.request();
        self.ended().await
    }
}

impl Dialer {
    pub async fn dial(&self) -> std::io::Result<Client> {
        let tcp = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        Ok(Client::new(self.connector.connect(name, tcp).await?))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Client<T> {
    pub fn new(io: T) -> Self {
        Self { io, unread: Vec::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).await.unwrap();
    }

    pub async fn try_write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.io.write_all(bytes).await?;
        self.io.flush().await
    }

    pub async fn post(&mut self, path: &str, body: &[u8]) -> HttpReply {
        self.try_post(path, body).await.unwrap()
    }

    pub async fn try_post(&mut self, path: &str, body: &[u8]) -> std::io::Result<HttpReply> {
        let mut request = head(path, body.len(), "");
        request.extend_from_slice(body);
        self.try_write(&request).await?;
        self.try_reply().await
    }

    pub async fn reply(&mut self) -> HttpReply {
        self.try_reply().await.unwrap()
    }

    pub async fn try_reply(&mut self) -> std::io::Result<HttpReply> {
        let reply = timeout(PATIENCE, self.read_reply()).await;
        reply.map_err(|_| std::io::Error::other("no reply"))?
    }

    async fn read_reply(&mut self) -> std::io::Result<HttpReply> {
        let end = loop {
            if let Some(at) = find(&self.unread, b"\r\n\r\n") {
                break at;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.unread[..end].to_vec()).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
        while self.unread.len() < end + 4 + length {
            self.more().await?;
        }
        let rest = self.unread.split_off(end + 4 + length);
        let body = self.unread.split_off(end + 4);
        self.unread = rest;
        Ok(HttpReply { status, headers, body })
    }

    async fn more(&mut self) -> std::io::Result<()> {
        match self.io.read_buf(&mut self.unread).await? {
            0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Waits for the server to close; fails if it sends anything first.
    pub async fn closed(&mut self) {
        let end = timeout(PATIENCE, self.more()).await.unwrap();
        assert!(end.is_err(), "the server sent {:?}", String::from_utf8_lossy(&self.unread));
    }
}

impl HttpReply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// Whether the server ends the connection with this reply.
    pub fn is_last(&self) -> bool {
        self.header("connection") == Some("close")
    }
}

pub fn head(path: &str, length: usize, more: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: guard\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{more}\r\n"
    )
    .into_bytes()
}

/// A real review, as an API server sends it: without white space.
pub fn review(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/reviews/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let pretty = std::fs::read(path).unwrap();
    compact(&pretty)
}

/// A real review, as it was captured: spread over lines.
pub fn pretty_review(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/reviews/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// Keeps the order of keys, unlike a detour through a map.
pub fn compact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped) = (false, false);
    for byte in json {
        if in_string || !byte.is_ascii_whitespace() {
            out.push(*byte);
        }
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ => {}
        }
    }
    out
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
