//! TLS of the admission port: HTTP/1.1 alone, ring, client certificates if a verifier is given.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::error::Error;

/// The object identifier of the curve P-521 (RFC 5480, 2.1.1.1), as it stands in a PKCS #8 or SEC 1 key.
const P521: &[u8] = &[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23];

/// What only encrypted keys have in their PEM text (RFC 7468, 11, and RFC 1421, 4.6.1.1).
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// A serving certificate that does not change, from a PEM chain (leaf first) and a PEM key.
///
/// # Errors
/// As [`certified_key`].
pub fn certificate(chain: &[u8], key: &[u8]) -> Result<Arc<dyn ResolvesServerCert>, Error> {
    Ok(Arc::new(SingleCertAndKey::from(certified_key(chain, key)?)))
}

/// A certificate chain with its key, from a PEM chain (leaf first) and a PEM key.
///
/// # Errors
/// When a text does not hold a certificate or a key, the two do not belong together, or ring has no use for the key.
pub fn certified_key(chain: &[u8], key: &[u8]) -> Result<CertifiedKey, Error> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::Pem("certificates", source))?;
    if chain.is_empty() {
        return Err(Error::NoCertificate);
    }
    if ENCRYPTED.iter().any(|mark| key.windows(mark.len()).any(|bytes| bytes == *mark)) {
        return Err(Error::Encrypted);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| Error::Pem("key", source))?;
    let of_p521 = key.secret_der().windows(P521.len()).any(|bytes| bytes == P521);
    CertifiedKey::from_der(chain, key, &ring::default_provider())
        .map_err(|error| if of_p521 { Error::Curve } else { Error::Certificate(error) })
}

/// The configuration of the admission port. Offers `http/1.1` only: what the API server speaks to
/// every Service, and nothing else to anybody, so that a test by URL meets the same protocol. The
/// API server does not resume sessions, so the guard neither keeps them nor sends tickets: each connection is judged by
/// the certificates of its own handshake.
pub(crate) fn config(
    resolver: Arc<dyn ResolvesServerCert>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made for this test: nothing is secret about it.
    const KEY_ON_P521: &str = "-----BEGIN PRIVATE KEY-----
MIHuAgEAMBAGByqGSM49AgEGBSuBBAAjBIHWMIHTAgEBBEIA26Izg3ySxWSY0VoP
YZOyX+cZ5UGUrep3YP1QYLJCsuNpW/w4MuCcheKDTood3eTfma3c3t6qF2PMEHiB
8nDe4kChgYkDgYYABAB4c4+mRRnTjq2U5S8sxoY2x0zHaET7hk340C0XI2hxdXpd
gXqWFapzl+c2PgbEB3MwMKNN4S2xstkcJsIcoDWogwAN+C8rh2/H4oTa+HRdzwae
Pxi0SNfhKzWAUd3aghimwJNN1pX8O/iFfk0FAQRIOYSXZIY3IYPiZAUla0McXcMp
bQ==
-----END PRIVATE KEY-----
";

    #[test]
    fn a_key_that_cannot_be_used_is_named() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let chain = made.cert.pem();
        let key = |text: &str| certificate(chain.as_bytes(), text.as_bytes()).map(|_| ());
        assert!(matches!(key(KEY_ON_P521), Err(Error::Curve)));
        assert!(matches!(key(&rcgen::KeyPair::generate().unwrap().serialize_pem()), Err(Error::Certificate(_))));
        for encrypted in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0\n\naGVsbG8=\n-----END EC PRIVATE KEY-----\n",
        ] {
            assert!(matches!(key(encrypted), Err(Error::Encrypted)));
        }
        key(&made.signing_key.serialize_pem()).unwrap();
    }
}
