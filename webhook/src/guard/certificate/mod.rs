//! A certificate that is brought by the user: its files are followed, and what handshakes get of them is decided.
//!
//! ```text
//! files ──▶ CertificateFiles ──pair──▶ CertificateServing ──▶ ServedCertificate ──▶ rustls
//!   │ FolderWatch    └──authority──▶ ConfigurationKeeper ──published──▲
//! ```

mod choice;
mod files;
mod folder_watch;
mod metrics;
mod problem;
mod serving;

pub use files::{CertificateFiles, CertificatePaths};
pub use metrics::FileMetrics;
pub use serving::{CertificateServing, PublishedInput};
