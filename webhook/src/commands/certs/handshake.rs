//! Which certificate a server presents, whoever signed it.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use statusguard_certs::with_sources;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What to do where the addresses of pods lead nowhere.
const OUTSIDE: &str = "from outside of the cluster, forward a port of each pod and name it by --address";

/// Time for connection and handshake.
const LONGEST: Duration = Duration::from_secs(5);

/// The chain that the server at `address` presents to who asks for `name`, leaf first. Nothing is sent to it, not even a
/// client certificate: in TLS 1.3 a server that wants one presents its own first (RFC 8446, 2), and the handshake is
/// complete for this side before the other refuses it.
///
/// # Errors
/// Why none was seen.
pub async fn presented(address: &str, name: &ServerName<'static>) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = async {
        let stream =
            TcpStream::connect(address).await.map_err(|error| format!("cannot connect: {error}; {OUTSIDE}"))?;
        let handshake = TlsConnector::from(Arc::new(config()?)).connect(name.clone(), stream).await;
        let stream = handshake.map_err(|error| format!("the TLS handshake failed: {}", with_sources(&error)))?;
        let (_, session) = stream.get_ref();
        let chain = session.peer_certificates().unwrap_or_default();
        Ok(chain.iter().map(|certificate| certificate.clone().into_owned()).collect())
    };
    match tokio::time::timeout(LONGEST, chain).await {
        Ok(chain) => chain,
        Err(_) => Err(format!("no certificate within {} s; {OUTSIDE}", LONGEST.as_secs())),
    }
}

fn config() -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("choosing TLS versions: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(config)
}

/// Takes every certificate whose key the server has: it is to be shown, and nothing is trusted to the server.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
