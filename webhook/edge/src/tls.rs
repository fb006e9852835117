//! TLS of the admission port: HTTP/1.1 alone, ring, no client certificates.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use crate::error::Error;

/// A serving certificate that does not change, from a PEM chain (leaf first) and a PEM key.
///
/// # Errors
/// When a text does not hold a certificate or a key, or the two do not belong together.
pub fn certificate(chain: &[u8], key: &[u8]) -> Result<Arc<dyn ResolvesServerCert>, Error> {
    let chain = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| Error::Pem("certificates", source))?;
    if chain.is_empty() {
        return Err(Error::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| Error::Pem("key", source))?;
    let certified = CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(Error::Certificate)?;
    Ok(Arc::new(SingleCertAndKey::from(certified)))
}

/// The configuration of the admission port. Offers `http/1.1` only: what the API server speaks to
/// every Service, and nothing else to anybody, so that a test by URL meets the same protocol. The
/// API server does not resume sessions, so the guard neither keeps them nor sends tickets.
pub(crate) fn config(resolver: Arc<dyn ResolvesServerCert>) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Error::Tls)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
