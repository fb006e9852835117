//! An authority: a self-signed certificate that signs leaves, and its key.

use std::fmt;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use statusguard_rotation::{AuthorityId, Validity};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use crate::error::CertificateError;
use crate::validity::{set_validity, validity};

/// An authority that can sign.
pub struct SigningAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    validity: Validity,
}

impl SigningAuthority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// When the random source fails, or the validity is none that a certificate can have.
    pub fn create(validity: Validity) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Make)?;
        let mut params = CertificateParams::default();
        set_validity(&mut params, validity)?;
        // A name of its own: a verifier that looks for the issuer by name finds one.
        let id: String = key.public_key_raw().iter().rev().take(8).map(|byte| format!("{byte:02x}")).collect();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("statusguard authority {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(CertificateError::Make)?;
        let (pem, key) = (certificate.pem(), Zeroizing::new(key.serialize_pem()));
        Self::read(&pem, &key)
    }

    /// Reads an authority from PEM texts, such as a Secret holds.
    ///
    /// # Errors
    /// When a text cannot be read, the two do not belong together, or the certificate cannot sign.
    pub fn read(certificate: &str, key: &str) -> Result<Self, CertificateError> {
        let der =
            CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(|_| CertificateError::Pem("certificate"))?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|error| CertificateError::Malformed(error.to_string()))?;
        let signs = parsed.key_usage().ok().flatten().is_some_and(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !signs {
            return Err(CertificateError::NotAnAuthority);
        }
        let key = KeyPair::from_pem(key).map_err(|_| CertificateError::Key)?;
        if !key.is_compatible(&PKCS_ECDSA_P256_SHA256) {
            return Err(CertificateError::Key);
        }
        if *parsed.public_key().subject_public_key.data != *key.public_key_raw() {
            return Err(CertificateError::Unpaired);
        }
        let validity = validity(&parsed);
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(CertificateError::Make)?;
        Ok(Self { issuer, pem: certificate.to_owned(), certificate: der.into_owned(), validity })
    }

    /// The certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The certificate as DER.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Its fingerprint.
    #[must_use]
    pub fn id(&self) -> AuthorityId {
        fingerprint(&self.certificate)
    }

    /// The key as PKCS #8 PEM, for the Secret alone.
    #[must_use]
    pub fn key_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(self.issuer.key().serialize_pem())
    }

    /// From when until when it holds.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }

    pub(crate) fn issuer(&self) -> &Issuer<'static, KeyPair> {
        &self.issuer
    }
}

impl fmt::Debug for SigningAuthority {
    /// Without the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SigningAuthority").field("validity", &self.validity).finish_non_exhaustive()
    }
}

/// The SHA-256 fingerprint of a certificate.
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> AuthorityId {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    AuthorityId::from(bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use statusguard_rotation::UnixTime;

    use super::*;

    /// From two hours ago, for so many days.
    pub(crate) fn days(days: i64) -> Validity {
        let now = UnixTime::from(std::time::SystemTime::now()).seconds();
        let time = |seconds| UnixTime::from_seconds(seconds);
        Validity { not_before: time(now - 7200), not_after: time(now + 86_400 * days) }
    }

    #[test]
    fn an_authority_is_read_as_it_was_written() {
        let made = SigningAuthority::create(days(365)).unwrap();
        let read = SigningAuthority::read(made.certificate_pem(), &made.key_pem()).unwrap();
        assert_eq!((read.certificate(), read.validity(), read.id()), (made.certificate(), days(365), made.id()));
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_cannot_sign_is_refused() {
        let [one, other] = [(); 2].map(|()| SigningAuthority::create(days(1)).unwrap());
        assert_ne!(one.id(), other.id());
        let (certificate, key) = (one.certificate_pem(), one.key_pem());
        let read = |certificate: &str, key: &str| SigningAuthority::read(certificate, key).unwrap_err();
        assert!(matches!(read(certificate, &other.key_pem()), CertificateError::Unpaired));
        assert!(matches!(read("", &key), CertificateError::Pem("certificate")));
        assert!(matches!(read("hello", &key), CertificateError::Pem("certificate")));
        assert!(matches!(read(&key, &key), CertificateError::Pem("certificate")));
        assert!(matches!(read(certificate, ""), CertificateError::Key));
        assert!(matches!(read(certificate, certificate), CertificateError::Key));
        let body = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        assert!(matches!(read(body, &key), CertificateError::Malformed(_)));
        let leaf = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = leaf.signing_key.serialize_pem();
        assert!(matches!(read(&leaf.cert.pem(), &key), CertificateError::NotAnAuthority));
    }
}
