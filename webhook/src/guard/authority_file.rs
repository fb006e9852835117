//! The authority of a certificate that is brought by the user: what the guard publishes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

/// The file, and what it held when it was last read; nothing if there is no such file.
pub struct AuthorityFile {
    file: Option<PathBuf>,
    bundle: watch::Sender<Option<Arc<[u8]>>>,
}

impl AuthorityFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let authority = Self { file, bundle: watch::Sender::new(None) };
        authority.refresh()?;
        Ok(authority)
    }

    /// What is to be published.
    pub fn bundle(&self) -> watch::Receiver<Option<Arc<[u8]>>> {
        self.bundle.subscribe()
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// As of [`AuthorityFile::open`]; what was read before is published on.
    pub fn refresh(&self) -> anyhow::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let content: Arc<[u8]> =
            std::fs::read(file).with_context(|| format!("reading --tls-ca {}", file.display()))?.into();
        let changed = |bundle: &mut Option<Arc<[u8]>>| bundle.replace(Arc::clone(&content)).as_ref() != Some(&content);
        self.bundle.send_if_modified(changed);
        Ok(())
    }
}
