//! A leaf: what a replica serves.

use std::fmt;
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::sign::CertifiedKey;
use statusguard_rotation::{AuthorityId, Validity};

use crate::authority::SigningAuthority;
use crate::error::CertificateError;
use crate::validity::set_validity;

/// A serving certificate and its key, which is in memory only.
pub struct SignedLeaf {
    certified: Arc<CertifiedKey>,
    authority: AuthorityId,
    validity: Validity,
}

impl SigningAuthority {
    /// Signs a leaf for `names`, DNS names or IP addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate, or the leaf would hold while the authority does not.
    pub fn leaf(&self, names: &[String], validity: Validity) -> Result<SignedLeaf, CertificateError> {
        let own = self.validity();
        if validity.not_before < own.not_before || validity.not_after > own.not_after {
            return Err(CertificateError::Outlives);
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Make)?;
        let mut params = CertificateParams::new(names).map_err(|_| CertificateError::Name(names.join(", ")))?;
        set_validity(&mut params, validity)?;
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
        Ok(SignedLeaf { certified: Arc::new(certified), authority: self.id(), validity })
    }
}

impl SignedLeaf {
    /// What rustls serves.
    #[must_use]
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// What the rotation knows of it.
    #[must_use]
    pub fn facts(&self) -> statusguard_rotation::Leaf {
        statusguard_rotation::Leaf { authority: self.authority, validity: self.validity }
    }
}

impl fmt::Debug for SignedLeaf {
    /// Without the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SignedLeaf").field("validity", &self.validity).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::authority::tests::days;

    /// Verified as any TLS client does, so many days from now.
    fn accepted(leaf: &SignedLeaf, authority: &SigningAuthority, name: &str, day: u64) -> bool {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let [end, between @ ..] = &*leaf.certified().cert else { return false };
        let since = Duration::from_secs(UnixTime::now().as_secs() + 86_400 * day);
        verifier.verify_server_cert(end, between, &name, &[], UnixTime::since_unix_epoch(since)).is_ok()
    }

    #[test]
    fn a_leaf_is_accepted_under_its_names_while_it_holds() {
        let [authority, other] = [(); 2].map(|()| SigningAuthority::create(days(365)).unwrap());
        let names = ["statusguard.system.svc".to_owned(), "127.0.0.1".to_owned()];
        let leaf = authority.leaf(&names, days(7)).unwrap();
        assert_eq!(leaf.facts(), statusguard_rotation::Leaf { authority: authority.id(), validity: days(7) });
        assert!(accepted(&leaf, &authority, "statusguard.system.svc", 0));
        assert!(accepted(&leaf, &authority, "127.0.0.1", 6));
        assert!(!accepted(&leaf, &authority, "other.system.svc", 0));
        assert!(!accepted(&leaf, &authority, "127.0.0.1", 8));
        assert!(!accepted(&leaf, &other, "127.0.0.1", 0));
        // An authority that was read again signs the same.
        let read = SigningAuthority::read(authority.certificate_pem(), &authority.key_pem()).unwrap();
        assert!(accepted(&read.leaf(&names, days(1)).unwrap(), &authority, "127.0.0.1", 0));
    }

    #[test]
    fn a_leaf_never_outlives_its_authority() {
        let authority = SigningAuthority::create(days(3)).unwrap();
        let leaf = |name: &str, validity| authority.leaf(&[name.to_owned()], validity);
        assert!(leaf("localhost", days(3)).is_ok());
        assert!(matches!(leaf("localhost", days(4)), Err(CertificateError::Outlives)));
        assert!(matches!(leaf("é", days(1)), Err(CertificateError::Name(_))));
    }
}
