//! The policy folder on disk: what is in it now, and whether that can be known.
//!
//! A folder without any policy file counts as unusable: that is how a mount looks that has vanished, and taking it for
//! "no policies" would end the protection of every kind at once. Who wants no policy leaves a file that holds none.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;

use crate::document;

/// Files by path.
pub type FolderContents = BTreeMap<PathBuf, Vec<u8>>;

/// A folder that is being replaced is looked at once more after this time.
const SETTLE: Duration = Duration::from_millis(100);

/// While the folder is unusable, it is said again at this pace.
const TELL_AGAIN: Duration = Duration::from_secs(300);

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The folder, or a file in it, cannot be read.
    #[error(transparent)]
    Unreadable(#[from] document::Error),
    /// No policy file is in it.
    #[error(
        "{} holds no policy file (*.yaml, *.yml or *.json); leave one without policies if none is wanted",
        .0.display()
    )]
    Empty(PathBuf),
}

/// Reads the files of a folder.
///
/// # Errors
/// When the folder cannot be used.
pub fn read(folder: &Path) -> Result<FolderContents, FolderError> {
    read_once(folder).or_else(|_| {
        thread::sleep(SETTLE);
        read_once(folder)
    })
}

fn read_once(folder: &Path) -> Result<FolderContents, FolderError> {
    let unreadable = |file: &Path, source| document::Error::Read { file: file.into(), source };
    // A folder that was replaced by a file would be read as one.
    fs::read_dir(folder).map_err(|source| unreadable(folder, source))?;
    let mut contents = FolderContents::new();
    for file in document::files(folder, false)? {
        match fs::read(&file) {
            Ok(content) => drop(contents.insert(file, content)),
            // Removed between listing and reading. A link that leads nowhere was not: those of a mounted ConfigMap do
            // so when its data is gone.
            Err(error) if error.kind() == ErrorKind::NotFound && file.symlink_metadata().is_err() => {}
            Err(source) => return Err(unreadable(&file, source).into()),
        }
    }
    if contents.is_empty() { Err(FolderError::Empty(folder.into())) } else { Ok(contents) }
}

/// Whether the folder could be used at the last look, and when it was last said that it could not.
#[derive(Default)]
pub struct FolderHealth {
    unusable: Option<FolderState>,
    /// 1 when it could be used.
    usable: Gauge,
}

#[derive(Clone, Copy)]
struct FolderState {
    since: Instant,
    told: Instant,
}

impl FolderHealth {
    /// The metric.
    pub fn usable(&self) -> Gauge {
        self.usable.clone()
    }

    /// Notes that the folder could be used; returns for how long it could not be.
    pub fn succeeded(&mut self, now: Instant) -> Option<Duration> {
        self.usable.set(1);
        self.unusable.take().map(|unusable| now.duration_since(unusable.since))
    }

    /// Notes that it could not; whether to say so now.
    pub fn failed(&mut self, now: Instant) -> bool {
        self.usable.set(0);
        let tell = self.unusable.is_none_or(|unusable| now.duration_since(unusable.told) >= TELL_AGAIN);
        if tell {
            let since = self.unusable.map_or(now, |unusable| unusable.since);
            self.unusable = Some(FolderState { since, told: now });
        }
        tell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unusable_folder_is_said_at_once_and_then_slowly() {
        let mut health = FolderHealth::default();
        let start = Instant::now();
        assert_eq!(health.succeeded(start), None);
        assert_eq!(health.usable().get(), 1);
        // A look every two seconds for eleven minutes.
        let looks = (0..330).map(|look| start + Duration::from_secs(2 * look));
        let told: Vec<_> = looks.filter(|now| health.failed(*now)).map(|now| (now - start).as_secs()).collect();
        assert_eq!(told, [0, 300, 600]);
        assert_eq!(health.usable().get(), 0);
        assert_eq!(health.succeeded(start + Duration::from_secs(660)), Some(Duration::from_secs(660)));
        assert_eq!((health.usable().get(), health.succeeded(start + Duration::from_secs(662))), (1, None));
        assert!(health.failed(start + Duration::from_secs(664)), "the next time it is said at once again");
    }
}
