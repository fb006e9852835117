//! An authority: a self-signed certificate that signs leaves, and its key.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use crate::error::CertificateError;
use crate::validity::Validity;

/// How long before its making a certificate begins, so that a peer whose clock is behind accepts it.
pub(crate) const BACKDATE: Duration = Duration::from_secs(60 * 60);

/// An authority that can sign.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
    validity: Validity,
}

impl Authority {
    /// Makes a new authority that holds for `life` from `now` on.
    ///
    /// # Errors
    /// When the random source fails.
    pub fn create(now: SystemTime, life: Duration) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Make)?;
        let mut params = CertificateParams::default();
        (params.not_before, params.not_after) = Validity { not_before: now - BACKDATE, not_after: now + life }.times();
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
        let validity = Validity::of(parsed.validity());
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

impl fmt::Debug for Authority {
    /// Without the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Authority").field("validity", &self.validity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn an_authority_is_read_as_it_was_written() {
        let now = SystemTime::now();
        let made = Authority::create(now, 365 * DAY).unwrap();
        let read = Authority::read(made.certificate_pem(), &made.key_pem()).unwrap();
        assert_eq!((read.certificate(), read.validity()), (made.certificate(), made.validity()));
        let validity = made.validity();
        assert!(validity.holds(now) && validity.holds(now + 364 * DAY) && !validity.holds(now + 366 * DAY));
        assert!(validity.holds(now - BACKDATE / 2) && !validity.holds(now - 2 * BACKDATE));
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_cannot_sign_is_refused() {
        let [one, other] = [(); 2].map(|()| Authority::create(SystemTime::now(), DAY).unwrap());
        let (certificate, key) = (one.certificate_pem(), one.key_pem());
        let read = |certificate: &str, key: &str| Authority::read(certificate, key).unwrap_err();
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
