//! The serving certificate: read from files, and again when the operator says so.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate in force and the files it is read from.
pub struct ServingCertificate {
    chain: PathBuf,
    key: PathBuf,
    current: ArcSwap<Resolver>,
    /// What the files held.
    contents: Mutex<Option<[Vec<u8>; 2]>>,
    /// One reading at a time, so that an older one does not replace a newer one.
    reading: Mutex<()>,
}

/// Sized, so that it can be swapped.
struct Resolver(Arc<dyn ResolvesServerCert>);

impl ServingCertificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in them cannot be used.
    pub fn open(chain: PathBuf, key: PathBuf) -> anyhow::Result<Self> {
        let current = ArcSwap::from_pointee(read(&chain, &key)?);
        let contents = Mutex::new(contents(&chain, &key));
        Ok(Self { chain, key, current, contents, reading: Mutex::default() })
    }

    /// Reads the files again if they have changed; whether they have. A pair that is half written does not fit and is
    /// looked at again.
    ///
    /// # Errors
    /// As of [`ServingCertificate::open`]; the last certificate stays in force then.
    pub fn refresh(&self) -> anyhow::Result<bool> {
        let found = contents(&self.chain, &self.key);
        if found.is_some() && *self.contents.lock().unwrap_or_else(PoisonError::into_inner) == found {
            return Ok(false);
        }
        self.reload()?;
        *self.contents.lock().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(true)
    }

    /// Reads the files again. Handshakes from now on use what they hold; connections that are open stay.
    ///
    /// # Errors
    /// As of [`ServingCertificate::open`]; the last certificate stays in force then.
    pub fn reload(&self) -> anyhow::Result<()> {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        self.current.store(Arc::new(read(&self.chain, &self.key)?));
        Ok(())
    }
}

fn contents(chain: &PathBuf, key: &PathBuf) -> Option<[Vec<u8>; 2]> {
    Some([std::fs::read(chain).ok()?, std::fs::read(key).ok()?])
}

fn read(chain: &PathBuf, key: &PathBuf) -> anyhow::Result<Resolver> {
    let certificates = std::fs::read(chain).with_context(|| format!("reading --tls-cert {}", chain.display()))?;
    let private = std::fs::read(key).with_context(|| format!("reading --tls-key {}", key.display()))?;
    let resolver = statusguard_edge::certificate(&certificates, &private)
        .with_context(|| format!("using {} and {}", chain.display(), key.display()))?;
    Ok(Resolver(resolver))
}

impl ResolvesServerCert for ServingCertificate {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.current.load().0.resolve(hello)
    }
}

impl fmt::Debug for ServingCertificate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServingCertificate").field("chain", &self.chain).finish_non_exhaustive()
    }
}
