//! The authority of client certificates, which the API server presents: `--client-ca` and `--client-name`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

/// The file of the authorities, and what was made of it when it was last read.
#[derive(Debug)]
pub struct ClientAuthorityFile {
    file: PathBuf,
    names: Vec<String>,
    current: ArcSwap<CurrentVerifier>,
    content: Mutex<FileContent>,
}

/// Sized, so that it can be swapped.
#[derive(Debug)]
struct CurrentVerifier(Arc<dyn ClientCertVerifier>);

/// One reading at a time, so that an older one does not replace a newer one.
#[derive(Debug)]
struct FileContent {
    /// In force.
    bytes: Vec<u8>,
    /// The last problem that was logged; none since the file could be used.
    said: Option<String>,
}

impl ClientAuthorityFile {
    /// Reads the file for the first time. Without names, every certificate of its authorities is accepted.
    ///
    /// # Errors
    /// When the file cannot be read, or what is in it cannot be used.
    pub fn open(file: PathBuf, names: Vec<String>) -> anyhow::Result<Self> {
        let bytes = read(&file)?;
        let current = ArcSwap::from_pointee(verifier(&file, &bytes, &names)?);
        Ok(Self { file, names, current, content: Mutex::new(FileContent { bytes, said: None }) })
    }

    /// Reads the file again, and says in the log if it has changed, or, once, why it cannot be used; the last authorities
    /// stay in force then. Handshakes from now on are judged by what it holds; connections that are open stay.
    pub fn refresh(&self) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        match self.changed(&content.bytes) {
            Ok(None) => {
                if content.said.take().is_some() {
                    tracing::warn!("--client-ca can be used again");
                }
            }
            Ok(Some((bytes, verifier))) => {
                self.current.store(Arc::new(verifier));
                *content = FileContent { bytes, said: None };
                tracing::info!("--client-ca read again");
            }
            Err(error) => {
                let problem = format!("{error:#}");
                if content.said.as_ref() != Some(&problem) {
                    tracing::error!(error = problem, "--client-ca unusable; the last authorities stay in force");
                    content.said = Some(problem);
                }
            }
        }
    }

    /// What the file holds, if that is not what is in force.
    fn changed(&self, in_force: &[u8]) -> anyhow::Result<Option<(Vec<u8>, CurrentVerifier)>> {
        let bytes = read(&self.file)?;
        if bytes == in_force {
            return Ok(None);
        }
        let verifier = verifier(&self.file, &bytes, &self.names)?;
        Ok(Some((bytes, verifier)))
    }

    /// Looks at the file again and again: a mounted Secret is swapped as a whole, which watches on files miss.
    pub async fn follow(self: Arc<Self>, interval: Duration) {
        loop {
            tokio::time::sleep(interval.max(Duration::from_millis(10))).await;
            let read = Arc::clone(&self);
            // It is awaited: one reading at a time.
            let _ = tokio::task::spawn_blocking(move || read.refresh()).await;
        }
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("reading --client-ca {}", file.display()))
}

fn verifier(file: &Path, bytes: &[u8], names: &[String]) -> anyhow::Result<CurrentVerifier> {
    let verifier = statusguard_edge::client_verifier(bytes, names).with_context(|| {
        format!(
            "using --client-ca {}, which has to hold, in PEM, the certificates of the authorities that sign the API \
             server's client certificate",
            file.display()
        )
    })?;
    Ok(CurrentVerifier(verifier))
}

impl ClientCertVerifier for ClientAuthorityFile {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // None: those of a file that may change cannot be lent, and a client that is told none presents what it has.
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.current.load().0.verify_client_cert(leaf, between, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.current.load().0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.current.load().0.supported_verify_schemes()
    }
}
