//! What the configuration is made from, as others tell it.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::sync::watch;

use super::entry::PolicyEntry;
use super::plan::Wanted;

/// How the first line of every private key in PEM ends.
const PRIVATE_KEY: &[u8] = b"PRIVATE KEY-----";

/// The latest that is known.
pub struct KeeperInputs {
    entries: watch::Receiver<Option<Arc<[PolicyEntry]>>>,
    bundle: watch::Receiver<Option<Arc<[u8]>>>,
    arrived: watch::Receiver<HashSet<String>>,
    /// The last bundle that was looked at, and the last that can be published.
    checked: Option<Arc<[u8]>>,
    usable: Option<Arc<[u8]>>,
    bundles_are_published: bool,
}

impl KeeperInputs {
    pub fn new(
        entries: watch::Receiver<Option<Arc<[PolicyEntry]>>>,
        bundle: watch::Receiver<Option<Arc<[u8]>>>,
        arrived: watch::Receiver<HashSet<String>>,
        bundles_are_published: bool,
    ) -> Self {
        Self { entries, bundle, arrived, checked: None, usable: None, bundles_are_published }
    }

    /// What is wanted, once it is known, with the last bundle that can be published.
    pub fn wanted(&mut self) -> Option<Wanted> {
        let entries = self.entries.borrow_and_update().clone();
        let bundle = self.bundle.borrow_and_update().clone();
        if let Some(bundle) = bundle
            && self.checked.as_ref() != Some(&bundle)
        {
            match check(&bundle) {
                Ok(()) => self.usable = Some(Arc::clone(&bundle)),
                Err(problem) => tracing::error!(
                    problem,
                    "the CA bundle is unusable, and every call would fail with it; the last usable one stays"
                ),
            }
            self.checked = Some(bundle);
        }
        let bundle = if self.bundles_are_published { Arc::default() } else { self.usable.clone()? };
        Some(Wanted { entries: entries?, bundle })
    }

    /// The policies of which a dry-run write was seen to arrive.
    pub fn arrived(&mut self) -> HashSet<String> {
        self.arrived.borrow_and_update().clone()
    }

    /// Until one of them changes. One whose sender is gone never does.
    pub async fn changed(&mut self) {
        async fn of<T>(receiver: &mut watch::Receiver<T>) {
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        tokio::select! {
            () = of(&mut self.entries) => {}
            () = of(&mut self.bundle) => {}
            () = of(&mut self.arrived) => {}
        }
    }
}

/// Whether a bundle can be published: every certificate in it can be read, and there is one.
///
/// # Errors
/// What makes the bundle unusable.
pub fn check(bundle: &[u8]) -> Result<(), String> {
    // Everybody may read what is published.
    if bundle.windows(PRIVATE_KEY.len()).any(|bytes| bytes == PRIVATE_KEY) {
        return Err("there is a private key in it, which must not be published".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(bundle) {
        let certificate = certificate.map_err(|error| format!("it is not PEM: {error}"))?;
        roots.add(certificate).map_err(|error| format!("a certificate in it: {error}"))?;
    }
    if roots.is_empty() { Err("there is no certificate in it".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_of_certificates_can_be_published_and_nothing_else() {
        let authority = || {
            let mut parameters = rcgen::CertificateParams::new([]).unwrap();
            parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem()
        };
        let (one, two) = (authority(), authority());
        let garbage = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        for (bundle, usable) in [
            (one.clone(), true),
            (format!("{one}{two}"), true),
            (format!("# old\n{one}\n# new\n{two}"), true),
            (String::new(), false),
            ("hello".to_owned(), false),
            (garbage.to_owned(), false),
            (format!("{one}{garbage}"), false),
            (format!("{one}{}", rcgen::KeyPair::generate().unwrap().serialize_pem()), false),
        ] {
            assert_eq!(check(bundle.as_bytes()).is_ok(), usable, "{bundle}");
        }
    }
}
