//! The authority of client certificates, which the API server presents: `--client-ca` and `--client-name`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use statusguard_edge::ClientVerifier;

/// The file of the authorities, and what was made of it when it was last read.
#[derive(Debug)]
pub struct ClientAuthorityFile {
    file: PathBuf,
    verifier: Arc<ClientVerifier>,
    content: Mutex<FileContent>,
}

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
        let verifier = Arc::new(ClientVerifier::new(&bytes, names).with_context(|| unusable(&file))?);
        Ok(Self { file, verifier, content: Mutex::new(FileContent { bytes, said: None }) })
    }

    /// What judges client certificates.
    pub fn verifier(&self) -> Arc<ClientVerifier> {
        Arc::clone(&self.verifier)
    }

    /// Reads the file again, and says in the log if it has changed, or, once, why it cannot be used; the last authorities
    /// stay in force then. Handshakes from now on are judged by what it holds; connections that are open stay.
    pub fn refresh(&self) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        match self.take_over(&content.bytes) {
            Ok(None) => {
                if content.said.take().is_some() {
                    tracing::warn!("--client-ca can be used again");
                }
            }
            Ok(Some(bytes)) => {
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

    /// Puts in force what the file holds, and returns it, if it is not in force already.
    fn take_over(&self, in_force: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let bytes = read(&self.file)?;
        if bytes == in_force {
            return Ok(None);
        }
        self.verifier.replace_authorities(&bytes).with_context(|| unusable(&self.file))?;
        Ok(Some(bytes))
    }

    /// Looks at the file again and again. A change may be seen late: the API server's certificate is in use for long.
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

fn unusable(file: &Path) -> String {
    format!(
        "using --client-ca {}, which has to hold, in PEM, the certificates of the authorities that sign the API server's \
         client certificate",
        file.display()
    )
}
