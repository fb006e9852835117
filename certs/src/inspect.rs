//! What there is of certificates, for people: it is read, and nothing is written.

use std::collections::BTreeMap;
use std::net::IpAddr;

use kube::Client;
use rustls::pki_types::{CertificateDer, ServerName};
use statusguard_rotation::{AuthorityId, Observation, Rotation, RotationPhase, SecretContent, UnixTime, Validity};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::bundle::CaBundle;
use crate::cluster::{Managed, Objects, Places, ReadObjects, RequestFailure};
use crate::coverage::verify;
use crate::error::CertificateError;
use crate::secret::AuthoritySecret;
use crate::validity::validity;

/// How often all is read while the Secret changes.
const LOOKS: usize = 3;

/// What the Secret and the managed configuration hold.
#[derive(Debug)]
pub struct CertificateInspection {
    /// The Secret.
    pub secret: Result<SecretContent, RequestFailure>,
    /// The guard's entries; `None`: there is no such configuration.
    pub entries: Result<Option<Vec<InspectedEntry>>, RequestFailure>,
    /// When they were read, by this machine's clock.
    pub read_at: UnixTime,
    asked_at: UnixTime,
    /// The certificates of the Secret in PEM.
    certificates: BTreeMap<AuthorityId, String>,
}

/// One of the guard's entries.
#[derive(Clone, Debug)]
pub struct InspectedEntry {
    /// Its name.
    pub name: String,
    /// Its `caBundle`.
    pub bundle: CaBundle,
}

/// A certificate that a server presents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedCertificate {
    /// Its subject alternative names.
    pub names: Vec<String>,
    /// From when until when it holds.
    pub validity: Validity,
    /// The authority of the Secret or of a bundle that signed it.
    pub issuer: Option<AuthorityId>,
    /// The entries whose bundle does not make it trusted, each with the reason.
    pub uncovered: BTreeMap<String, String>,
}

/// Reads Secret and configuration. One that cannot be read does not keep the other from being shown.
pub async fn inspect(client: Client, places: Places) -> CertificateInspection {
    let objects = Objects::new(client, places);
    let mut read = objects.read().await;
    for _ in 1..LOOKS {
        if read.same {
            break;
        }
        read = objects.read().await;
    }
    let ReadObjects { asked_at, secret, managed, read_at, .. } = read;
    let secret = secret.map(|(secret, _)| AuthoritySecret::read(secret.as_ref()));
    CertificateInspection {
        certificates: secret.as_ref().map(|secret| secret.certificates.clone()).unwrap_or_default(),
        secret: secret.map(|secret| secret.content),
        entries: managed.map(|managed| managed.as_ref().map(entries)),
        read_at,
        asked_at,
    }
}

fn entries(managed: &Managed) -> Vec<InspectedEntry> {
    let entry = |(name, bundle): (&str, &CaBundle)| InspectedEntry { name: name.to_owned(), bundle: bundle.clone() };
    managed.named().map(entry).collect()
}

impl CertificateInspection {
    /// Where the rotation is; `None` if Secret or configuration could not be read.
    #[must_use]
    pub fn phase(&self) -> Option<RotationPhase> {
        let (Ok(secret), Ok(entries)) = (&self.secret, &self.entries) else { return None };
        let observation = Observation {
            asked_at: self.asked_at,
            bundles: entries.iter().flatten().map(|entry| entry.bundle.facts.clone()).collect(),
            secret: secret.clone(),
            leaf: None,
        };
        Some(Rotation::default().phase(self.read_at, &observation))
    }

    /// Whether an entry's bundle holds exactly the authorities of the Secret; `None` if these are not known.
    #[must_use]
    pub fn in_sync(&self, entry: &InspectedEntry) -> Option<bool> {
        let Ok(SecretContent::Readable(state)) = &self.secret else { return None };
        Some(!entry.bundle.facts.is_outdated(state))
    }

    /// What there is to know of a chain that a server presents under `name`, leaf first, and whether the API server
    /// would trust it.
    ///
    /// # Errors
    /// When there is no certificate in it, or it cannot be read.
    pub fn presented(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
    ) -> Result<PresentedCertificate, CertificateError> {
        let malformed = |error: &dyn std::fmt::Display| CertificateError::Malformed(error.to_string());
        let leaf = chain.first().ok_or_else(|| malformed(&"there is none"))?;
        let (_, parsed) = X509Certificate::from_der(leaf).map_err(|error| malformed(&error))?;
        let validity = validity(&parsed);
        let published = self.entries.iter().flatten().flatten();
        // Also of a leaf that has ended.
        let signed = |(_, certificate): &(&AuthorityId, &String)| {
            verify(chain, [*certificate].into_iter(), validity.not_before, None).is_ok()
        };
        let known = published.clone().flat_map(|entry| &entry.bundle.certificates).chain(&self.certificates);
        let issuer = known.into_iter().find(signed).map(|(id, _)| *id);
        let uncovered = published.filter_map(|entry| {
            let problem = verify(chain, entry.bundle.valid(self.read_at), self.read_at, Some(name)).err()?;
            Some((entry.name.clone(), problem.to_string()))
        });
        Ok(PresentedCertificate { names: names(&parsed), validity, issuer, uncovered: uncovered.collect() })
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match **bytes {
                [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
                _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            },
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::authority::SigningAuthority;
    use crate::authority::tests::days;

    fn inspection(
        secret: &[&SigningAuthority],
        entries: &[(&str, &[&SigningAuthority])],
        read_at: UnixTime,
    ) -> CertificateInspection {
        let entry = |(name, held): &(&str, &[&SigningAuthority])| {
            let text: String = held.iter().map(|authority| authority.certificate_pem()).collect();
            InspectedEntry { name: (*name).to_owned(), bundle: CaBundle::read(text.as_bytes()) }
        };
        CertificateInspection {
            secret: Ok(SecretContent::Absent),
            entries: Ok(Some(entries.iter().map(entry).collect())),
            read_at,
            asked_at: read_at,
            certificates: secret.iter().map(|one| (one.id(), one.certificate_pem().to_owned())).collect(),
        }
    }

    #[test]
    fn a_leaf_is_covered_by_the_bundles_that_make_it_trusted() {
        let [one, other, foreign] = [(); 3].map(|()| SigningAuthority::create(days(365)).unwrap());
        let name = "statusguard.home.svc";
        let now = UnixTime::from(SystemTime::now());
        let leaf = |authority: &SigningAuthority| {
            let leaf = authority.leaf(&[name.to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()], days(7)).unwrap();
            leaf.certified().cert.clone()
        };
        let presented = |inspection: &CertificateInspection, authority: &SigningAuthority, name: &str| {
            inspection.presented(&leaf(authority), &ServerName::try_from(name.to_owned()).unwrap()).unwrap()
        };
        let published: [(&str, &[&SigningAuthority]); 3] = [("a", &[&one, &other]), ("b", &[&other]), ("c", &[])];
        let seen = inspection(&[&one], &published, now);

        let found = presented(&seen, &one, name);
        assert_eq!(found.names, [name, "127.0.0.1", "::1"]);
        assert_eq!((found.validity, found.issuer), (days(7), Some(one.id())));
        assert_eq!(found.uncovered.keys().collect::<Vec<_>>(), ["b", "c"]);
        assert!(found.uncovered["b"].contains("UnknownIssuer"), "{}", found.uncovered["b"]);
        // Known by a bundle alone, and not at all.
        assert_eq!(presented(&seen, &other, name).issuer, Some(other.id()));
        assert_eq!(presented(&seen, &foreign, name).issuer, None);
        // Under another name than the API server's.
        let found = presented(&seen, &one, "other.home.svc");
        assert_eq!((found.issuer, found.uncovered.len()), (Some(one.id()), 3));
        // After its end it is covered by nothing, and its authority is known all the same.
        let later = inspection(&[], &published, now.after(Duration::from_secs(8 * 86_400)));
        let found = presented(&later, &one, name);
        assert_eq!((found.issuer, found.uncovered.len()), (Some(one.id()), 3));
        assert!(found.uncovered["a"].contains("xpired"), "{}", found.uncovered["a"]);
    }

    #[test]
    fn without_a_readable_certificate_there_is_an_error() {
        let seen = inspection(&[], &[], UnixTime::from(SystemTime::now()));
        let name = ServerName::try_from("localhost").unwrap();
        assert!(matches!(seen.presented(&[], &name), Err(CertificateError::Malformed(_))));
        let garbage = [CertificateDer::from(vec![1, 2, 3])];
        assert!(matches!(seen.presented(&garbage, &name), Err(CertificateError::Malformed(_))));
    }
}
