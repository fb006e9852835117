//! The ways in which a peer can misbehave.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rustls::pki_types::ServerName;
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::forge::{Forge, Forged, may_answer};
use crate::edge::load::SERVER_NAME;

/// How a peer misbehaves.
#[derive(Debug, Clone, Copy)]
pub enum Way {
    /// Sends reviews that were tampered with, on kept-alive connections.
    Forged,
    /// Sends whole reviews that are dear to judge, or to answer.
    Costly,
    /// Sends a part of a body and no more.
    Slow,
    /// Connects and says nothing.
    Mute,
    /// Speaks no TLS.
    Garbage,
    /// Sends more than the guard takes.
    Huge,
    /// Asks and leaves before the answer.
    Gone,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct RequestCounts {
    pub requests: u64,
    /// Answered with a verdict.
    pub judged: u64,
    /// Answered with a failure.
    pub rejected: u64,
    /// Ended without an answer, by either side.
    pub cut_off: u64,
    /// Replies by HTTP status.
    pub codes: BTreeMap<u16, u64>,
}

/// One misbehaving peer.
pub struct Attacker {
    number: usize,
    address: SocketAddr,
    tls: TlsConnector,
    over: Arc<AtomicBool>,
    rng: StdRng,
    counts: RequestCounts,
}

/// Longer than any of the guard's own limits for one peer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Above the guard's limit for one body.
const HUGE: usize = 9 << 20;
/// More than all findings take that a reply spells out.
const LONGEST_REPLY: usize = 128 << 10;
/// Replies that a peer may get for a request that is not in order.
const REJECTIONS: [u16; 8] = [400, 404, 405, 408, 413, 415, 500, 503];

impl RequestCounts {
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.judged += other.judged;
        self.rejected += other.rejected;
        self.cut_off += other.cut_off;
        for (code, count) in &other.codes {
            *self.codes.entry(*code).or_default() += count;
        }
    }
}

impl Attacker {
    pub fn new(number: usize, address: SocketAddr, tls: TlsConnector, over: Arc<AtomicBool>) -> Self {
        let rng = StdRng::seed_from_u64(number as u64);
        Self { number, address, tls, over, rng, counts: RequestCounts::default() }
    }

    /// Misbehaves until it is over.
    ///
    /// # Errors
    /// At the first wrong answer.
    pub async fn run(mut self, way: Way) -> anyhow::Result<RequestCounts> {
        let mut forge = Forge::new()?;
        while !self.over.load(Ordering::Relaxed) {
            match way {
                Way::Forged => self.forged(&mut forge).await?,
                Way::Costly => self.costly(&mut forge).await?,
                Way::Slow => self.slow(&mut forge).await?,
                Way::Mute => self.mute().await?,
                Way::Garbage => self.garbage().await?,
                Way::Huge => self.huge().await?,
                Way::Gone => self.gone(&mut forge).await?,
            }
        }
        Ok(self.counts)
    }

    async fn connect(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.address).await.context("connecting")?;
        let name = ServerName::try_from(SERVER_NAME)?;
        self.tls.connect(name, stream).await.context("TLS handshake")
    }

    /// As many calls on one connection as the guard answers.
    async fn forged(&mut self, forge: &mut Forge) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        for _ in 0..50 {
            let Forged { body, allowed } = forge.make(self.number, &mut self.rng);
            let header = self.header(body.len(), allowed.is_some());
            stream.write_all(&[header.as_bytes(), &body].concat()).await.context("sending")?;
            self.counts.requests += 1;
            let Some(reply) = self.reply(&mut stream).await? else { return Ok(()) };
            self.judge(&body, &reply, allowed)?;
            if reply.close {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn costly(&mut self, forge: &mut Forge) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        for _ in 0..20 {
            let body = forge.costly(self.number, &mut self.rng)?;
            let header = self.header(body.len(), true);
            stream.write_all(&[header.as_bytes(), &body].concat()).await.context("sending")?;
            self.counts.requests += 1;
            let Some(reply) = self.reply(&mut stream).await? else { return Ok(()) };
            ensure!(reply.body.len() <= LONGEST_REPLY, "a reply of {} bytes", reply.body.len());
            self.judge(&body, &reply, None)?;
            if reply.close {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// A header that fits the body, or one that does not.
    fn header(&mut self, length: usize, right: bool) -> String {
        let odd = |rng: &mut StdRng, most: u32| !right && rng.random_ratio(1, most);
        let method = if odd(&mut self.rng, 50) { "PUT" } else { "POST" };
        let path = match self.rng.random_range(0..40) {
            0 if !right => "/admit/other.example.org/notificationrequests",
            1 if !right => "/admit//",
            2 if !right => "/../../etc/passwd",
            3 if !right => "/admit/kubernaut.ai/notificationrequests?timeout=never",
            _ => "/admit/kubernaut.ai/notificationrequests?timeout=5s",
        };
        let kind = if odd(&mut self.rng, 50) { "text/plain" } else { "application/json" };
        let encoding = if odd(&mut self.rng, 50) { "content-encoding: gzip\r\n" } else { "" };
        format!(
            "{method} {path} HTTP/1.1\r\nhost: {SERVER_NAME}\r\ncontent-type: {kind}\r\n{encoding}content-length: {length}\r\n\r\n"
        )
    }

    async fn slow(&mut self, forge: &mut Forge) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        let Forged { body, .. } = forge.make(self.number, &mut self.rng);
        let header = self.header(body.len() + 1, true).replace("timeout=5s", "timeout=1s");
        // In three parts, the last byte never.
        for part in [header.as_bytes(), &body[..body.len() / 2], &body[body.len() / 2..]] {
            stream.write_all(part).await.context("sending")?;
            tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..50))).await;
        }
        self.counts.requests += 1;
        match self.reply(&mut stream).await? {
            Some(RawReply { code: code @ (408 | 503), .. }) => self.count(code),
            Some(reply) => bail!("HTTP {} for half a body", reply.code),
            None => self.counts.cut_off += 1,
        }
        Ok(())
    }

    async fn mute(&mut self) -> anyhow::Result<()> {
        let mut byte = [0];
        let ended = if self.rng.random() {
            let mut stream = TcpStream::connect(self.address).await.context("connecting")?;
            timeout(PATIENCE, stream.read(&mut byte)).await
        } else {
            let mut stream = self.connect().await?;
            timeout(PATIENCE, stream.read(&mut byte)).await
        };
        ensure!(ended.is_ok(), "a silent peer was kept for {} s", PATIENCE.as_secs());
        self.counts.cut_off += 1;
        Ok(())
    }

    async fn garbage(&mut self) -> anyhow::Result<()> {
        let mut stream = TcpStream::connect(self.address).await.context("connecting")?;
        let mut bytes = vec![0; self.rng.random_range(1..4096)];
        self.rng.fill_bytes(&mut bytes);
        if self.rng.random() {
            // The beginning of a TLS record.
            bytes.splice(0..0, [22, 3, 1, 0x0f, 0xff]);
        }
        // The guard may hang up while it is being sent.
        let _ = stream.write_all(&bytes).await;
        let mut rest = Vec::new();
        let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
        ensure!(ended.is_ok(), "a peer without TLS was kept for {} s", PATIENCE.as_secs());
        self.counts.cut_off += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }

    async fn huge(&mut self) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        let announced = self.rng.random_ratio(1, 2);
        let header = if announced {
            self.header(HUGE, true)
        } else {
            self.header(0, true).replace("content-length: 0", "transfer-encoding: chunked")
        };
        stream.write_all(header.as_bytes()).await.context("sending")?;
        let chunk = vec![b'x'; 64 << 10];
        for _ in 0..HUGE / chunk.len() {
            let sent = if announced {
                stream.write_all(&chunk).await
            } else {
                let framed = [format!("{:x}\r\n", chunk.len()).as_bytes(), &chunk, b"\r\n"].concat();
                stream.write_all(&framed).await
            };
            sent.context("sending much")?;
        }
        if !announced {
            stream.write_all(b"0\r\n\r\n").await.context("sending much")?;
        }
        self.counts.requests += 1;
        let reply = self.reply(&mut stream).await?.context("no reply to a large body")?;
        ensure!(matches!(reply.code, 413 | 503), "HTTP {} for a large body", reply.code);
        self.count(reply.code);
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    async fn gone(&mut self, forge: &mut Forge) -> anyhow::Result<()> {
        let mut stream = self.connect().await?;
        let Forged { body, .. } = forge.make(self.number, &mut self.rng);
        let header = self.header(body.len(), true);
        let all = [header.as_bytes(), &body].concat();
        let sent = self.rng.random_range(0..=all.len());
        stream.write_all(&all[..sent]).await.context("sending")?;
        self.counts.requests += 1;
        self.counts.cut_off += 1;
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(0..5))).await;
        Ok(())
    }

    /// The next reply; `None` when the connection ends instead.
    async fn reply(&self, stream: &mut TlsStream<TcpStream>) -> anyhow::Result<Option<RawReply>> {
        timeout(PATIENCE, RawReply::read(stream)).await.context("no reply")?
    }

    fn judge(&mut self, body: &[u8], reply: &RawReply, expected: Option<bool>) -> anyhow::Result<()> {
        self.count(reply.code);
        let text = String::from_utf8_lossy(&reply.body);
        let json: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let uid = match reply.code {
            200 => Some(json["response"]["uid"].as_str().with_context(|| format!("a verdict without a uid: {text}"))?),
            code if REJECTIONS.contains(&code) => json["details"]["uid"].as_str(),
            code => bail!("HTTP {code}: {text}"),
        };
        if let Some(uid) = uid {
            ensure!(
                may_answer(body, uid, reply.code == 200),
                "a wrong uid: {text} for {}",
                String::from_utf8_lossy(body)
            );
        }
        if let Some(allowed) = expected {
            ensure!(reply.code == 200 || reply.code == 503, "HTTP {} for a good review: {text}", reply.code);
            let answered = json["response"]["allowed"].as_bool();
            ensure!(reply.code == 503 || answered == Some(allowed), "not the decision ({allowed}): {text}");
        }
        Ok(())
    }

    fn count(&mut self, code: u16) {
        *self.counts.codes.entry(code).or_default() += 1;
        if code == 200 {
            self.counts.judged += 1;
        } else {
            self.counts.rejected += 1;
        }
    }
}

/// A reply, read by hand so that nothing is smoothed over.
pub struct RawReply {
    pub code: u16,
    close: bool,
    body: Vec<u8>,
}

impl RawReply {
    /// The next reply; `None` when the connection ends instead.
    ///
    /// # Errors
    /// When it is not a reply, or breaks off.
    pub async fn read(stream: &mut TlsStream<TcpStream>) -> anyhow::Result<Option<Self>> {
        let mut bytes = Vec::new();
        let mut chunk = [0; 8192];
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut response = httparse::Response::new(&mut headers);
            if let httparse::Status::Complete(start) = response.parse(&bytes).context("a reply that is no HTTP")? {
                let header = |name: &str| {
                    let found = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
                    found.map(|header| String::from_utf8_lossy(header.value).into_owned())
                };
                let length: usize = header("content-length").context("a reply without a length")?.parse()?;
                if bytes.len() >= start + length {
                    ensure!(bytes.len() == start + length, "more than one reply");
                    let close = header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
                    let code = response.code.context("a reply without a code")?;
                    return Ok(Some(Self { code, close, body: bytes[start..].to_vec() }));
                }
            }
            // A connection that closes in the middle of a reply shows here.
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) if bytes.is_empty() => return Ok(None),
                Ok(0) | Err(_) => bail!("a reply that breaks off: {}", String::from_utf8_lossy(&bytes)),
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
        }
    }
}
