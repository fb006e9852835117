//! What a `caBundle` holds.

use std::collections::BTreeMap;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use statusguard_rotation::{AuthorityId, Bundle, UnixTime, Validity};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use crate::authority::fingerprint;
use crate::coverage::verify;
use crate::error::CertificateError;
use crate::pem;
use crate::validity::{certificate_validity, validity};

/// The certificates of a `caBundle`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaBundle {
    /// What the rotation knows of it.
    pub(crate) facts: Bundle,
    /// Its certificates as PEM.
    pub(crate) certificates: BTreeMap<AuthorityId, String>,
}

impl CaBundle {
    /// Reads it as the API server does (Go's `CertPool.AppendCertsFromPEM`): what is not a certificate is passed over, and a
    /// text without any certificate is an error there. An empty one stands for the roots of the API server's system.
    #[must_use]
    pub fn read(text: &[u8]) -> Self {
        let (mut validities, mut certificates) = (BTreeMap::new(), BTreeMap::new());
        for certificate in CertificateDer::pem_slice_iter(text).filter_map(Result::ok) {
            if let Ok((_, parsed)) = X509Certificate::from_der(&certificate) {
                let id = fingerprint(&certificate);
                validities.insert(id, validity(&parsed));
                certificates.insert(id, pem::encode("CERTIFICATE", &certificate));
            }
        }
        let unreadable = !text.is_empty() && certificates.is_empty();
        let facts = if unreadable { Bundle::Unreadable } else { Bundle::Holds(validities) };
        Self { facts, certificates }
    }

    /// Each certificate, with its validity.
    pub fn authorities(&self) -> impl Iterator<Item = (AuthorityId, Validity)> {
        let held = match &self.facts {
            Bundle::Holds(held) => Some(held),
            Bundle::Absent | Bundle::Unreadable => None,
        };
        held.into_iter().flatten().map(|(id, validity)| (*id, *validity))
    }

    /// What the rotation knows of it.
    #[must_use]
    pub fn facts(&self) -> &Bundle {
        &self.facts
    }

    /// The certificates that hold at a time, as PEM.
    pub(crate) fn valid(&self, at: UnixTime) -> impl Iterator<Item = &String> {
        let valid = self.authorities().filter(move |(_, validity)| validity.contains(at));
        valid.filter_map(|(id, _)| self.certificates.get(&id))
    }

    /// A certificate as PEM.
    #[must_use]
    pub fn pem(&self, id: AuthorityId) -> Option<&str> {
        self.certificates.get(&id).map(String::as_str)
    }

    /// Whether the API server, which has this bundle, trusts a chain (leaf first) under a name, or under any name if none
    /// is given. Whether the leaf has ended is not asked.
    ///
    /// # Errors
    /// Why it does not.
    pub fn covers(
        &self,
        chain: &[CertificateDer<'_>],
        name: Option<&ServerName<'_>>,
        now: UnixTime,
    ) -> Result<(), CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::Pem("certificate"))?;
        let own = certificate_validity(leaf)?;
        let at = now.max(own.not_before).min(own.not_after.before(std::time::Duration::from_secs(1)));
        verify(chain, self.valid(at), at, name).map_err(CertificateError::Uncovered)
    }
}

/// The text of a bundle with these certificates.
pub(crate) fn text<'c>(certificates: impl Iterator<Item = &'c String>) -> String {
    certificates.map(|certificate| certificate.trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::SigningAuthority;
    use crate::authority::tests::days;

    #[test]
    fn a_chain_is_covered_by_an_authority_that_holds_or_by_itself() {
        let [one, other] = [(); 2].map(|()| SigningAuthority::create(days(9)).unwrap());
        let leaf = one.leaf(&["localhost".to_owned()], days(7)).unwrap();
        let chain = &*leaf.certified().cert;
        let now = UnixTime::from(std::time::SystemTime::now());
        let name = |name: &str| ServerName::try_from(name.to_owned()).unwrap();
        let covers =
            |text: &str, under: &str, now| CaBundle::read(text.as_bytes()).covers(chain, Some(&name(under)), now);
        let both = format!("{}{}", other.certificate_pem(), one.certificate_pem());
        assert!(covers(&both, "localhost", now).is_ok());
        assert!(covers(&both, "elsewhere", now).is_err());
        assert!(covers(other.certificate_pem(), "localhost", now).is_err());
        assert!(covers("", "localhost", now).is_err());
        // Its own end is not asked for, that of its authority is.
        let day = |days: u64| now.after(std::time::Duration::from_secs(86_400 * days));
        assert!(covers(&both, "localhost", day(8)).is_ok());
        let brief = SigningAuthority::create(days(0)).unwrap();
        assert!(CaBundle::read(brief.certificate_pem().as_bytes()).covers(chain, None, now).is_err());
        // As Go takes it: whoever is trusted needs no authority.
        let own = pem::encode("CERTIFICATE", &chain[0]);
        assert!(covers(&own, "localhost", now).is_ok() && covers(&own, "elsewhere", now).is_err());
        assert!(CaBundle::read(both.as_bytes()).covers(&[], None, now).is_err());
    }

    #[test]
    fn bundles_are_read_as_the_api_server_reads_them() {
        let [one, other] = [(); 2].map(|()| SigningAuthority::create(days(9)).unwrap());
        let both = format!("{}{}", one.certificate_pem(), other.certificate_pem());
        let facts = |text: &str| CaBundle::read(text.as_bytes()).facts;
        let holds = |authorities: &[&SigningAuthority]| {
            Bundle::Holds(authorities.iter().map(|authority| (authority.id(), authority.validity())).collect())
        };
        assert_eq!(facts(&both), holds(&[&one, &other]));
        assert_eq!(facts(&format!("{both}{both}hello")), holds(&[&one, &other]));
        assert_eq!(facts(&format!("{}{}", &*one.key_pem(), other.certificate_pem())), holds(&[&other]));
        assert_eq!(facts(""), holds(&[]));
        assert_eq!(facts("hello"), Bundle::Unreadable);
        assert_eq!(facts(&one.key_pem()), Bundle::Unreadable);
        // What was read is written again without a change of meaning.
        let read = CaBundle::read(both.as_bytes());
        assert_eq!(CaBundle::read(text(read.certificates.values()).as_bytes()), read);
    }
}
