//! Why handshakes fail, and whose client certificates are accepted: with peers that really fail like this.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{Client, EdgeServer, PATH, PATIENCE, allowing, connector, review, server_certificate, start, start_with};
use prometheus_client::encoding::text::encode;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls::crypto::cipher::{OutboundChunks, OutboundPlainMessage};
use rustls::crypto::ring::{self, cipher_suite};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ConnectionTrafficSecrets, ContentType, ProtocolVersion, RootCertStore, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use statusguard_edge::{ClientVerifier, Limits, NoRecords};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A ClientHello of TLS 1.1 (RFC 4346, 7.4.1.2) without a session, for one cipher, with 32 bytes of randomness.
const HELLO_OF_TLS11: &[u8] =
    b"\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x0201234567890123456789012345678901\x00\x00\x02\xc0\x13\x01\x00";

/// All series with what they count.
fn counted(server: &EdgeServer) -> BTreeMap<String, u64> {
    let mut text = String::new();
    encode(&mut text, &server.registry).unwrap();
    let series = text.lines().filter_map(|line| line.strip_prefix("statusguard_handshake_failures_total{cause=\""));
    let series = series.map(|rest| rest.split_once("\"} ").unwrap());
    series.map(|(cause, count)| (cause.to_owned(), count.parse().unwrap())).collect()
}

/// Waits until so many handshakes have failed, and compares why.
async fn failed(server: &EdgeServer, expected: &[(&str, u64)]) {
    let sum: u64 = expected.iter().map(|(_, count)| count).sum();
    let waiting = async {
        while counted(server).values().sum::<u64>() < sum {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{:?}, not {expected:?}", counted(server));
    let found = counted(server);
    let found: Vec<_> =
        found.iter().filter(|(_, count)| **count > 0).map(|(cause, count)| (&**cause, *count)).collect();
    assert_eq!(found, expected);
}

/// Sends bytes; waits for the end of the connection.
async fn send(server: &EdgeServer, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server.admission).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
}

async fn connect(server: &EdgeServer, config: ClientConfig) -> std::io::Result<Client> {
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(server.admission).await?;
    Ok(Client::new(TlsConnector::from(Arc::new(config)).connect(name, stream).await?))
}

/// In TLS 1.3 a client learns with the first reply what the server thinks of its certificate.
async fn is_served(server: &EdgeServer, config: ClientConfig) -> bool {
    match connect(server, config).await {
        Ok(mut client) => client.try_post(PATH, &review("put")).await.is_ok_and(|reply| reply.status == 200),
        Err(_) => false,
    }
}

/// A client that trusts somebody else.
fn distrusting(version: &'static SupportedProtocolVersion) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(authority().der().clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[tokio::test]
async fn every_series_is_there_from_the_start() {
    let server = start(allowing(), Limits::default()).await;
    let causes: Vec<_> = counted(&server).into_iter().collect();
    let expected = [
        "client_certificate_missing",
        "client_certificate_refused",
        "disconnected",
        "no_certificate",
        "not_tls",
        "other",
        "protocol",
        "untrusted",
    ];
    assert_eq!(causes, expected.map(|cause| (cause.to_owned(), 0)));
    server.stop().await;
}

#[tokio::test]
async fn bytes_that_are_not_tls() {
    let server = start(allowing(), Limits::default()).await;
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"SSH-2.0-OpenSSH_9.6\r\n", &[0; 64]] {
        send(&server, bytes).await;
    }
    failed(&server, &[("not_tls", 3)]).await;
    server.stop().await;
}

#[tokio::test]
async fn nothing_in_common() {
    let server = start(allowing(), Limits::default()).await;
    send(&server, HELLO_OF_TLS11).await;
    failed(&server, &[("protocol", 1)]).await;
    let mut config = ClientConfig::clone(connector(server_certificate().1).config());
    config.alpn_protocols = vec![b"h2".to_vec()];
    connect(&server, config).await.map(drop).unwrap_err();
    failed(&server, &[("protocol", 2)]).await;
    server.stop().await;
}

#[tokio::test]
async fn nothing_to_serve() {
    #[derive(Debug)]
    struct WithoutCertificate;
    impl ResolvesServerCert for WithoutCertificate {
        fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
            None
        }
    }
    let (resolver, connector) = (Arc::new(WithoutCertificate), connector(server_certificate().1));
    let server = start_with(allowing(), NoRecords, Limits::default(), resolver, None, connector).await;
    for (count, version) in (1..).zip(VERSIONS) {
        connect(&server, distrusting(version)).await.map(drop).unwrap_err();
        failed(&server, &[("no_certificate", count)]).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_leaves() {
    let server = start(allowing(), Limits::default()).await;
    // As the TCP probe of a load balancer.
    drop(TcpStream::connect(server.admission).await.unwrap());
    failed(&server, &[("disconnected", 1)]).await;
    // In the middle of its first message, by a FIN and by an RST.
    for linger in [None, Some(std::time::Duration::ZERO)] {
        let mut stream = TcpStream::connect(server.admission).await.unwrap();
        stream.write_all(&HELLO_OF_TLS11[..20]).await.unwrap();
        if linger.is_some() {
            stream.set_zero_linger().unwrap();
        }
    }
    failed(&server, &[("disconnected", 3)]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules() {
    let server = start(allowing(), Limits::default()).await;
    // Data of an application before any handshake.
    send(&server, b"\x17\x03\x03\x00\x05hello").await;
    failed(&server, &[("other", 1)]).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate() {
    let server = start(allowing(), Limits::default()).await;
    for (count, version) in (1..).zip(VERSIONS) {
        connect(&server, distrusting(version)).await.map(drop).unwrap_err();
        failed(&server, &[("untrusted", count)]).await;
    }
    // The certificate that it trusts has the same name and another key.
    let other = connector(server_certificate().1);
    connect(&server, ClientConfig::clone(other.config())).await.map(drop).unwrap_err();
    failed(&server, &[("untrusted", 3)]).await;
    server.stop().await;
}

/// Some clients look at the certificate when their handshake is complete, and so is the server's.
#[tokio::test]
async fn a_client_that_refuses_the_certificate_after_the_handshake() {
    const ALERT: [u8; 2] = [2, 42];
    let (resolver, roots) = server_certificate();
    let connector = connector(roots);
    let mut config = ClientConfig::clone(connector.config());
    config.enable_secret_extraction = true;
    let server = start_with(allowing(), NoRecords, Limits::default(), resolver, None, connector).await;
    let alert_after = async |reviews: usize| {
        let mut client = connect(&server, config.clone()).await.unwrap();
        for _ in 0..reviews {
            assert_eq!(client.post(PATH, &review("put")).await.status, 200);
        }
        let (mut stream, session) = client.io.into_inner();
        let (sequence, secrets) = session.dangerous_extract_secrets().unwrap().tx;
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!("another cipher") };
        let SupportedCipherSuite::Tls13(suite) = cipher_suite::TLS13_AES_256_GCM_SHA384 else { panic!("TLS 1.3") };
        let (typ, version) = (ContentType::Alert, ProtocolVersion::TLSv1_2);
        let alert = OutboundPlainMessage { typ, version, payload: OutboundChunks::Single(&ALERT) };
        let record = suite.aead_alg.encrypter(key, iv).encrypt(alert, sequence).unwrap();
        stream.write_all(&record.encode()).await.unwrap();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.unwrap();
    };
    alert_after(0).await;
    failed(&server, &[("untrusted", 1)]).await;
    // Who has sent a review trusts the certificate, whatever it says later.
    alert_after(1).await;
    server.metric_becomes("statusguard_connections", 0.0).await;
    failed(&server, &[("untrusted", 1)]).await;
    server.stop().await;
}

/// What a client certificate says.
struct ClientCertificate {
    common_name: Option<&'static str>,
    dns_names: &'static [&'static str],
    usage: ExtendedKeyUsagePurpose,
    ends: i32,
}

const VALID: ClientCertificate =
    ClientCertificate { common_name: None, dns_names: &[], usage: ExtendedKeyUsagePurpose::ClientAuth, ends: 4000 };

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "clients");
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

impl ClientCertificate {
    fn signed_by(self, authority: &CertifiedIssuer<'_, KeyPair>) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params =
            CertificateParams::new(self.dns_names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = self.common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.extended_key_usages = vec![self.usage];
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(self.ends, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, authority).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

/// A server that asks for client certificates, and what makes a client of one.
async fn asking(
    authority: &CertifiedIssuer<'_, KeyPair>,
    names: &[&str],
) -> (
    EdgeServer,
    impl Fn(&SupportedProtocolVersion, Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> ClientConfig,
) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let clients = Arc::new(ClientVerifier::new(authority.pem().as_bytes(), names).unwrap());
    let (resolver, roots) = server_certificate();
    let connector = connector(roots.clone());
    let server = start_with(allowing(), NoRecords, Limits::default(), resolver, Some(clients), connector).await;
    let config = move |version: &SupportedProtocolVersion, presented: Option<_>| {
        let version = VERSIONS.into_iter().find(|known| known.version == version.version).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone());
        match presented {
            Some((certificate, key)) => builder.with_client_auth_cert(vec![certificate], key).unwrap(),
            None => builder.with_no_client_auth(),
        }
    };
    (server, config)
}

#[tokio::test]
async fn certificates_of_the_authority_are_accepted_and_no_others() {
    let authority = authority();
    let (server, config) = asking(&authority, &[]).await;
    let mut refused = 0;
    for (missing, version) in (1..).zip(VERSIONS) {
        assert!(is_served(&server, config(version, Some(VALID.signed_by(&authority)))).await, "{version:?}");
        assert!(!is_served(&server, config(version, None)).await, "{version:?}: without a certificate");
        for (what, presented) in [
            ("another authority of the same name", VALID.signed_by(&self::authority())),
            ("expired", ClientCertificate { ends: 2001, ..VALID }.signed_by(&authority)),
            (
                "for servers",
                ClientCertificate { usage: ExtendedKeyUsagePurpose::ServerAuth, ..VALID }.signed_by(&authority),
            ),
        ] {
            assert!(!is_served(&server, config(version, Some(presented))).await, "{version:?}: {what}");
            refused += 1;
        }
        let expected = [("client_certificate_missing", missing), ("client_certificate_refused", refused)];
        failed(&server, &expected).await;
    }
    // A handshake that fails leaves no call behind.
    let calls = "statusguard_admission_requests_total{policy=\"deliveries.facts.test\",outcome=\"Allowed\",class=\"\"}";
    assert_eq!(server.metric(calls), 2.0);
    server.stop().await;
}

#[tokio::test]
async fn one_of_the_names_is_needed() {
    let authority = authority();
    let (server, config) = asking(&authority, &["kube-apiserver", "apiserver.example.org"]).await;
    let named = |common_name, dns_names| {
        let certificate = ClientCertificate { common_name, dns_names, ..VALID };
        config(&TLS13, Some(certificate.signed_by(&authority)))
    };
    assert!(is_served(&server, named(Some("kube-apiserver"), &[])).await);
    assert!(is_served(&server, named(Some("other"), &["other.example.org", "APIserver.example.org"])).await);
    assert!(!is_served(&server, named(Some("other"), &["other.example.org"])).await);
    assert!(!is_served(&server, named(Some("kube-apiserver2"), &["sub.apiserver.example.org"])).await);
    assert!(!is_served(&server, named(None, &[])).await);
    failed(&server, &[("client_certificate_refused", 3)]).await;
    // The right name of another authority.
    let certificate = ClientCertificate { common_name: Some("kube-apiserver"), ..VALID }.signed_by(&self::authority());
    assert!(!is_served(&server, config(&TLS13, Some(certificate))).await);
    failed(&server, &[("client_certificate_refused", 4)]).await;
    server.stop().await;
}
