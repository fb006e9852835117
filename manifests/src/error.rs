//! What can go wrong between the code and the rendered files.

use std::path::PathBuf;

/// Why manifests could not be rendered, compared or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A manifest cannot be written as YAML.
    #[error("cannot render a manifest from {origin}")]
    Render {
        /// The crate that the manifest is made from.
        origin: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A folder cannot be listed.
    #[error("cannot list {}", path.display())]
    ReadFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A folder cannot be made.
    #[error("cannot create {}", path.display())]
    CreateFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    WriteFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file cannot be removed.
    #[error("cannot remove {}", path.display())]
    RemoveFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    /// A bounded name of the error.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Render { .. } => "render",
            Self::ReadFolder { .. } | Self::ReadFile { .. } => "read",
            Self::CreateFolder { .. } | Self::WriteFile { .. } | Self::RemoveFile { .. } => "write",
        }
    }
}
