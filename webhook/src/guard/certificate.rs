//! A certificate that is brought by the user: what is served, and its authority, which the guard publishes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::watch;

/// The files of a certificate, and what was made of them when they were last read.
pub struct CertificateFiles {
    chain: PathBuf,
    key: PathBuf,
    authority: Option<PathBuf>,
    current: ArcSwap<Resolver>,
    bundle: watch::Sender<Option<Arc<[u8]>>>,
    /// What chain and key held. One reading at a time, so that an older one does not replace a newer one.
    pair: Mutex<[Vec<u8>; 2]>,
}

/// Sized, so that it can be swapped.
struct Resolver(Arc<dyn ResolvesServerCert>);

impl CertificateFiles {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in them cannot be used.
    pub fn open(chain: PathBuf, key: PathBuf, authority: Option<PathBuf>) -> anyhow::Result<Self> {
        let pair = read_pair(&chain, &key)?;
        let current = ArcSwap::from_pointee(resolver(&chain, &key, &pair)?);
        let files = Self { chain, key, authority, current, bundle: watch::Sender::default(), pair: Mutex::new(pair) };
        files.refresh_authority()?;
        Ok(files)
    }

    /// What is to be published; nothing without a file of the authority.
    pub fn bundle(&self) -> watch::Receiver<Option<Arc<[u8]>>> {
        self.bundle.subscribe()
    }

    /// Reads the files again; whether chain or key have changed. Handshakes from now on use what they hold; connections
    /// that are open stay. A pair that is half written does not fit and is looked at again.
    ///
    /// # Errors
    /// As of [`CertificateFiles::open`]; what was read before stays in force then.
    pub fn refresh(&self) -> anyhow::Result<bool> {
        let mut pair = self.pair.lock().unwrap_or_else(PoisonError::into_inner);
        let found = read_pair(&self.chain, &self.key)?;
        let changed = *pair != found;
        if changed {
            self.current.store(Arc::new(resolver(&self.chain, &self.key, &found)?));
            *pair = found;
        }
        self.refresh_authority()?;
        Ok(changed)
    }

    fn refresh_authority(&self) -> anyhow::Result<()> {
        let Some(file) = &self.authority else { return Ok(()) };
        let content: Arc<[u8]> =
            std::fs::read(file).with_context(|| format!("reading --tls-ca {}", file.display()))?.into();
        let changed = |bundle: &mut Option<Arc<[u8]>>| bundle.replace(Arc::clone(&content)).as_ref() != Some(&content);
        self.bundle.send_if_modified(changed);
        Ok(())
    }
}

fn read_pair(chain: &Path, key: &Path) -> anyhow::Result<[Vec<u8>; 2]> {
    let certificates = std::fs::read(chain).with_context(|| format!("reading --tls-cert {}", chain.display()))?;
    let private = std::fs::read(key).with_context(|| format!("reading --tls-key {}", key.display()))?;
    Ok([certificates, private])
}

fn resolver(chain: &Path, key: &Path, [certificates, private]: &[Vec<u8>; 2]) -> anyhow::Result<Resolver> {
    let resolver = statusguard_edge::certificate(certificates, private)
        .with_context(|| format!("using {} and {}", chain.display(), key.display()))?;
    Ok(Resolver(resolver))
}

impl ResolvesServerCert for CertificateFiles {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().0.resolve(hello)
    }
}

impl fmt::Debug for CertificateFiles {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CertificateFiles").field("chain", &self.chain).finish_non_exhaustive()
    }
}
