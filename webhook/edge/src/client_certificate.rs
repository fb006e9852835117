//! Which client certificates are accepted: those of an authority, by name if names are given.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, SignatureScheme};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::error::Error;
use crate::shown::shown;

/// Accepts client certificates that one of some authorities has signed, for the usage `clientAuth` (RFC 5280, 4.2.1.12) if a
/// certificate limits its usage. With names, the common name of the subject or a DNS name among the subject alternative
/// names has to be one of them; both are compared as a whole, without regard to the case of ASCII letters.
///
/// Peers are not told which authorities are accepted: these may change, and each presents what it has.
#[derive(Debug)]
pub struct ClientVerifier {
    authorities: ArcSwap<Arc<dyn ClientCertVerifier>>,
    names: Vec<String>,
}

impl ClientVerifier {
    /// Accepts certificates of the authorities in a PEM text, with one of these names or, without any, with every name.
    ///
    /// # Errors
    /// When the text does not hold a certificate, or one that cannot be used.
    pub fn new(authorities: &[u8], names: Vec<String>) -> Result<Self, Error> {
        Ok(Self { authorities: ArcSwap::from_pointee(of_authorities(authorities)?), names })
    }

    /// Accepts certificates of these authorities instead, from the next handshake on.
    ///
    /// # Errors
    /// As of [`ClientVerifier::new`]; nothing has changed then.
    pub fn replace_authorities(&self, authorities: &[u8]) -> Result<(), Error> {
        self.authorities.store(Arc::new(of_authorities(authorities)?));
        Ok(())
    }
}

fn of_authorities(pem: &[u8]) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|source| Error::Pem("certificates", source))?;
        roots.add(certificate).map_err(Error::Authority)?;
    }
    if roots.is_empty() {
        return Err(Error::NoCertificate);
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()))
        .build()
        .map_err(Error::ClientVerifier)
}

/// A certificate of the right authority for somebody else.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is valid, but none of its names {presented} is one of {accepted:?}")]
struct OtherName {
    presented: String,
    accepted: Vec<String>,
}

impl ClientCertVerifier for ClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.authorities.load().verify_client_cert(leaf, between, now)?;
        if self.names.is_empty() {
            return Ok(verified);
        }
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| CertificateError::BadEncoding)?;
        let presented = names(&parsed);
        if presented.iter().any(|name| self.names.iter().any(|accepted| accepted.eq_ignore_ascii_case(name))) {
            return Ok(verified);
        }
        let problem =
            OtherName { presented: shown(&format!("{presented:?}")).into_owned(), accepted: self.names.clone() };
        Err(CertificateError::Other(OtherError(Arc::new(problem))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.load().verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.authorities.load().verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.load().supported_verify_schemes()
    }
}

/// Common names of the subject, and DNS names among the subject alternative names.
fn names<'c>(certificate: &'c X509Certificate<'_>) -> Vec<&'c str> {
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let extension = certificate.subject_alternative_name().ok().flatten();
    let alternative = extension.into_iter().flat_map(|extension| &extension.value.general_names);
    let dns = alternative.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        _ => None,
    });
    common.chain(dns).collect()
}
