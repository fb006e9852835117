//! A leaf: what a replica serves.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::authority::{Authority, BACKDATE};
use crate::error::CertificateError;
use crate::validity::Validity;

/// A serving certificate and its key, which is in memory only.
pub struct Leaf {
    certified: Arc<CertifiedKey>,
    validity: Validity,
}

impl Authority {
    /// Signs a leaf for `names`, DNS names or IP addresses, that holds for `life` from `now` on and never outlives the
    /// authority.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or the authority does not hold now.
    pub fn leaf(&self, names: &[String], now: SystemTime, life: Duration) -> Result<Leaf, CertificateError> {
        let own = self.validity();
        if !own.holds(now) {
            return Err(CertificateError::Ended);
        }
        let validity =
            Validity { not_before: own.not_before.max(now - BACKDATE), not_after: own.not_after.min(now + life) };
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Make)?;
        let mut params = CertificateParams::new(names).map_err(|_| CertificateError::Name(names.join(", ")))?;
        (params.not_before, params.not_after) = validity.times();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "statusguard");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, self.issuer()).map_err(CertificateError::Make)?;
        let chain = vec![certificate.der().clone()];
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        let certified =
            CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|_| CertificateError::Unpaired)?;
        // Times in certificates have no fractions.
        let validity = Validity::of(&parsed(&certified.cert[0])?);
        Ok(Leaf { certified: Arc::new(certified), validity })
    }
}

fn parsed(certificate: &CertificateDer<'_>) -> Result<x509_parser::certificate::Validity, CertificateError> {
    use x509_parser::prelude::FromDer as _;
    let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate)
        .map_err(|error| CertificateError::Malformed(error.to_string()))?;
    Ok(parsed.validity().clone())
}

impl Leaf {
    /// What rustls serves.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// From when until when it holds.
    #[must_use]
    pub fn validity(&self) -> Validity {
        self.validity
    }
}

impl fmt::Debug for Leaf {
    /// Without the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Leaf").field("validity", &self.validity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    /// Verified as any TLS client does.
    fn accepted(leaf: &Leaf, authority: &Authority, name: &str, at: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        use rustls::client::danger::ServerCertVerifier as _;
        let [end, between @ ..] = &*leaf.certified().cert else { return false };
        verifier.verify_server_cert(end, between, &name, &[], UnixTime::since_unix_epoch(since)).is_ok()
    }

    #[test]
    fn a_leaf_is_accepted_under_its_names_while_it_holds() {
        let now = SystemTime::now();
        let [authority, other] = [(); 2].map(|()| Authority::create(now, 365 * DAY).unwrap());
        let names = ["statusguard.system.svc".to_owned(), "127.0.0.1".to_owned()];
        let leaf = authority.leaf(&names, now, 7 * DAY).unwrap();
        assert!(accepted(&leaf, &authority, "statusguard.system.svc", now));
        assert!(accepted(&leaf, &authority, "127.0.0.1", now + 6 * DAY));
        assert!(!accepted(&leaf, &authority, "other.system.svc", now));
        assert!(!accepted(&leaf, &authority, "127.0.0.1", now + 8 * DAY));
        assert!(!accepted(&leaf, &other, "127.0.0.1", now));
        // An authority that was read again signs the same.
        let read = Authority::read(authority.certificate_pem(), &authority.key_pem()).unwrap();
        assert!(accepted(&read.leaf(&names, now, DAY).unwrap(), &authority, "127.0.0.1", now));
    }

    #[test]
    fn a_leaf_never_outlives_its_authority() {
        let now = SystemTime::now();
        let authority = Authority::create(now, 3 * DAY).unwrap();
        let names = ["localhost".to_owned()];
        let leaf = authority.leaf(&names, now, 7 * DAY).unwrap();
        assert_eq!(leaf.validity().not_after, authority.validity().not_after);
        for at in [now + 4 * DAY, now - DAY] {
            assert!(matches!(authority.leaf(&names, at, DAY), Err(CertificateError::Ended)));
        }
        assert!(matches!(authority.leaf(&["é".to_owned()], now, DAY), Err(CertificateError::Name(_))));
    }
}
