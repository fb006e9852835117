//! The files of a certificate, and what was made of them when they could last be used.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use statusguard_certs::{CaBundle, CertificateError, UnixTime, Validity, certificate_validity, rfc3339, with_sources};
use statusguard_edge::certified_key;
use tokio::sync::watch;

use super::folder_watch::FolderWatch;
use super::metrics::FileMetrics;
use super::problem::FileProblem;
use crate::cluster::configuration::check_bundle;

const CERT: &str = "--tls-cert";
const KEY: &str = "--tls-key";
const CA: &str = "--tls-ca";

/// Files that cannot be used are read once more after this time: they may be in the middle of a write.
const SETTLE: Duration = Duration::from_millis(100);

/// Where the files are.
#[derive(Clone, Debug)]
pub struct CertificatePaths {
    /// The certificate chain, leaf first.
    pub chain: PathBuf,
    /// The leaf's key.
    pub key: PathBuf,
    /// The authority that is published.
    pub authority: Option<PathBuf>,
}

/// A certificate chain with its key.
pub struct FilePair {
    pub certified: Arc<CertifiedKey>,
    /// When the leaf holds.
    pub validity: Validity,
}

/// The files of a certificate.
pub struct CertificateFiles {
    paths: CertificatePaths,
    /// By which the API server calls, if that is known.
    name: Option<ServerName<'static>>,
    pair: watch::Sender<Arc<FilePair>>,
    bundle: watch::Sender<Option<Arc<[u8]>>>,
    /// One reading at a time, so that an older one does not replace a newer one.
    state: Mutex<ReadState>,
    metrics: FileMetrics,
    /// Of their folders, until somebody follows it.
    watch: Mutex<Option<FolderWatch>>,
}

struct ReadState {
    /// What the files in force held.
    contents: FileContents,
    /// The problem that was said last, if it is still there.
    said: String,
}

#[derive(PartialEq, Eq)]
struct FileContents {
    chain: Vec<u8>,
    key: Vec<u8>,
    authority: Option<Arc<[u8]>>,
}

impl CertificateFiles {
    /// Watches the folders and reads the files for the first time; needs the runtime. A leaf that has ended is in force until
    /// there is a better one.
    ///
    /// # Errors
    /// When a file cannot be read, or what is in them cannot be used.
    pub fn open(paths: CertificatePaths, name: Option<ServerName<'static>>) -> Result<Self, FileProblem> {
        let files = [Some(&paths.chain), Some(&paths.key), paths.authority.as_ref()];
        let watch = FolderWatch::new(files.into_iter().flatten().map(|file| folder(file)));
        let contents = FileContents::read(&paths)?;
        let pair = contents.pair(&paths, name.as_ref())?;
        let files = Self {
            bundle: watch::Sender::new(contents.authority.clone()),
            pair: watch::Sender::new(Arc::new(pair)),
            state: Mutex::new(ReadState { contents, said: String::new() }),
            metrics: FileMetrics::default(),
            watch: Mutex::new(Some(watch)),
            paths,
            name,
        };
        let read = files.unless_ended(files.pair.borrow().validity).map(|()| None);
        files.note(&mut files.lock(), read);
        Ok(files)
    }

    fn lock(&self) -> MutexGuard<'_, ReadState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last pair that could be used.
    pub fn pair(&self) -> watch::Receiver<Arc<FilePair>> {
        self.pair.subscribe()
    }

    /// What is to be published; nothing without a file of the authority.
    pub fn bundle(&self) -> watch::Receiver<Option<Arc<[u8]>>> {
        self.bundle.subscribe()
    }

    /// By which the API server calls, if that is known.
    pub fn name(&self) -> Option<&ServerName<'static>> {
        self.name.as_ref()
    }

    pub fn metrics(&self) -> FileMetrics {
        self.metrics.clone()
    }

    /// Reads the files again; whether they can be used. If they cannot, what was read before stays in force, and the log
    /// says so once. It blocks.
    pub fn refresh(&self) -> bool {
        let mut state = self.lock();
        let read = self.read(&state.contents).or_else(|problem| match problem {
            FileProblem::Ended { .. } => Err(problem),
            // Somebody may be writing.
            _ => {
                thread::sleep(SETTLE);
                self.read(&state.contents)
            }
        });
        self.note(&mut state, read)
    }

    /// Puts in force what was read, if it is something else, and says what is wrong; whether the files can be used.
    fn note(&self, state: &mut ReadState, read: Result<Option<(FileContents, FilePair)>, FileProblem>) -> bool {
        self.metrics.usable.set(read.is_ok().into());
        match read {
            Ok(new) => {
                if !std::mem::take(&mut state.said).is_empty() {
                    tracing::warn!("the files of the serving certificate can be used again");
                }
                if let Some((contents, pair)) = new {
                    // Whoever sees the pair sees its authority.
                    self.bundle.send_if_modified(|bundle| {
                        let changed = *bundle != contents.authority;
                        bundle.clone_from(&contents.authority);
                        changed
                    });
                    tracing::info!(not_after = rfc3339(pair.validity.not_after), "serving certificate read again");
                    self.pair.send_replace(Arc::new(pair));
                    self.metrics.reloads.inc();
                    state.contents = contents;
                }
                true
            }
            Err(problem) => {
                let error = with_sources(&problem);
                if state.said != error {
                    tracing::error!(error, "serving certificate unusable; the last one stays");
                    state.said = error;
                }
                false
            }
        }
    }

    /// What the files hold, if it has changed.
    fn read(&self, before: &FileContents) -> Result<Option<(FileContents, FilePair)>, FileProblem> {
        let contents = FileContents::read(&self.paths)?;
        let read = match contents == *before {
            true => None,
            false => Some((contents.pair(&self.paths, self.name.as_ref())?, contents)),
        };
        self.unless_ended(read.as_ref().map_or_else(|| self.pair.borrow().validity, |(pair, _)| pair.validity))?;
        Ok(read.map(|(pair, contents)| (contents, pair)))
    }

    fn unless_ended(&self, Validity { not_after, .. }: Validity) -> Result<(), FileProblem> {
        match not_after <= UnixTime::from(SystemTime::now()) {
            true => Err(FileProblem::Ended { file: self.paths.chain.clone(), at: rfc3339(not_after) }),
            false => Ok(()),
        }
    }

    /// Reads the files whenever something changes in their folders, and at this interval. Returns at once if they are
    /// followed already.
    pub async fn follow(self: Arc<Self>, interval: Duration) {
        let Some(mut watch) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        loop {
            tokio::select! {
                () = watch.changed() => {}
                () = tokio::time::sleep(interval.max(Duration::from_millis(10))) => {}
            }
            let files = Arc::clone(&self);
            // What went wrong was said.
            drop(tokio::task::spawn_blocking(move || files.refresh()).await);
        }
    }
}

/// Which file is to blame.
fn unusable(chain: &Path, key: &Path, error: statusguard_edge::Error) -> FileProblem {
    use statusguard_edge::Error;
    let in_chain = matches!(error, Error::Pem("certificates", _) | Error::NoCertificate);
    let in_both = matches!(error, Error::Certificate(_));
    let source = Box::new(error);
    match (in_chain, in_both) {
        (true, _) => FileProblem::Malformed { flag: CERT, file: chain.into(), holds: "certificates", source },
        (_, true) => FileProblem::Unpaired { chain: chain.into(), key: key.into(), source },
        _ => FileProblem::Malformed { flag: KEY, file: key.into(), holds: "a private key", source },
    }
}

/// The folder that a file is in.
fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
        Some(folder) => folder.to_owned(),
        None => file.to_owned(),
    }
}

impl FileContents {
    fn read(paths: &CertificatePaths) -> Result<Self, FileProblem> {
        let read = |flag, file: &PathBuf| match std::fs::read(file) {
            Ok(content) if content.is_empty() => Err(FileProblem::Empty { flag, file: file.clone() }),
            read => read.map_err(|source| FileProblem::Unreadable { flag, file: file.clone(), source }),
        };
        Ok(Self {
            chain: read(CERT, &paths.chain)?,
            key: read(KEY, &paths.key)?,
            authority: paths.authority.as_ref().map(|file| read(CA, file)).transpose()?.map(Into::into),
        })
    }

    /// The pair, if it is one and the authority covers it.
    fn pair(&self, paths: &CertificatePaths, name: Option<&ServerName<'_>>) -> Result<FilePair, FileProblem> {
        let CertificatePaths { chain, key, authority } = paths;
        let certified = certified_key(&self.chain, &self.key).map_err(|error| unusable(chain, key, error))?;
        let leaf = certified.cert.first().ok_or(CertificateError::Pem("certificate"));
        let validity = leaf.and_then(certificate_validity);
        let validity = validity.map_err(|error| FileProblem::Leaf { file: chain.clone(), source: error.into() })?;
        if let (Some(file), Some(content)) = (authority, &self.authority) {
            check_bundle(content).map_err(|problem| FileProblem::Authority { file: file.clone(), problem })?;
            let (bundle, now) = (CaBundle::read(content), SystemTime::now().into());
            bundle.covers(&certified.cert, None, now).map_err(|error| FileProblem::Foreign {
                chain: chain.clone(),
                authority: file.clone(),
                source: error.into(),
            })?;
            if let Some(name) = name
                && bundle.covers(&certified.cert, Some(name), now).is_err()
            {
                return Err(FileProblem::Name { chain: chain.clone(), name: name.to_str().into_owned() });
            }
        }
        Ok(FilePair { certified: Arc::new(certified), validity })
    }
}

impl fmt::Debug for FilePair {
    /// Without the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("FilePair").field("validity", &self.validity).finish_non_exhaustive()
    }
}

impl fmt::Debug for CertificateFiles {
    /// Without the key.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("CertificateFiles").field("paths", &self.paths).finish_non_exhaustive()
    }
}
