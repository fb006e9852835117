//! Whether certificates of authorities make a chain trusted, as the API server decides it.

use std::time::Duration;

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use statusguard_rotation::UnixTime;

/// Verifies a chain, leaf first, at a time and, if one is given, under a name. Whether the trusted certificates hold then is
/// not asked. A leaf that is among the trusted
/// certificates (in PEM) is trusted as Go does it, whatever has signed it.
pub(crate) fn verify<'c>(
    chain: &[CertificateDer<'_>],
    trusted: impl Iterator<Item = &'c String>,
    at: UnixTime,
    name: Option<&ServerName<'_>>,
) -> Result<(), rustls::Error> {
    let (leaf, between) = chain.split_first().ok_or(rustls::Error::NoCertificatesPresented)?;
    let parsed = ParsedCertificate::try_from(leaf)?;
    let read = trusted.filter_map(|certificate| CertificateDer::from_pem_slice(certificate.as_bytes()).ok());
    let trusted: Vec<CertificateDer<'_>> = read.collect();
    if !trusted.contains(leaf) {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted);
        let seconds = u64::try_from(at.seconds()).unwrap_or_default();
        let at = rustls::pki_types::UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = ring::default_provider().signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, between, at, algorithms)?;
    }
    name.map_or(Ok(()), |name| verify_server_name(&parsed, name))
}
