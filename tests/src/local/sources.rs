//! Files and folders that the user named, and what is in them at one moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use statusguard::document;

/// Files by path, with their content.
pub type Snapshot = BTreeMap<PathBuf, Vec<u8>>;

/// What the user named with one flag.
#[derive(Clone)]
pub struct Sources {
    names: Vec<PathBuf>,
}

impl Sources {
    pub fn new(names: Vec<PathBuf>) -> Self {
        Self { names }
    }

    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether a file was named itself, so that it must hold what the flag is for. A folder may hold other files, too.
    pub fn names(&self, file: &Path) -> bool {
        self.names.iter().any(|name| name == file)
    }

    /// All files. Contents are compared with the ones before, not times: an editor may replace a file or write into it.
    ///
    /// # Errors
    /// When a file or folder cannot be read.
    pub fn read(&self) -> Result<Snapshot, document::Error> {
        let mut snapshot = Snapshot::new();
        for name in &self.names {
            for file in document::files(name, false)? {
                match std::fs::read(&file) {
                    Ok(content) => {
                        snapshot.insert(file, content);
                    }
                    // Removed between listing and reading.
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound && !self.names(&file) => {}
                    Err(source) => return Err(document::Error::Read { file, source }),
                }
            }
        }
        Ok(snapshot)
    }
}

impl std::fmt::Display for Sources {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<String> = self.names.iter().map(|name| name.display().to_string()).collect();
        out.write_str(&names.join(", "))
    }
}
