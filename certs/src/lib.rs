//! Certificates of the guard.
//!
//! A [`SigningAuthority`] signs the [`SignedLeaf`] of each replica. Authorities are kept in a Secret and published in the
//! `caBundle`s of the webhook configuration; leaves stay in memory. All keys are on P-256, and no key is ever printed.
//!
//! ```text
//! Secret, caBundles ──observe──▶ CertificateKeeper ──▶ statusguard_rotation ──step──▶ Secret, caBundles
//!                                      └──▶ ServingLeaf ──▶ rustls
//! ```

mod authority;
mod bundle;
mod changes;
mod cluster;
mod coverage;
mod error;
mod inspect;
mod keeper;
mod leaf;
mod metrics;
mod pem;
mod secret;
mod serving;
mod validity;

pub use authority::SigningAuthority;
pub use bundle::CaBundle;
pub use cluster::{Places, RequestFailure, missing_right};
pub use error::{CertificateError, with_sources};
pub use inspect::{CertificateInspection, InspectedEntry, PresentedCertificate, inspect};
pub use keeper::{CertificateKeeper, CertificateSettings, CertificateStatus};
pub use leaf::SignedLeaf;
pub use metrics::{CertificateEnds, CertificateMetrics};
pub use serving::ServingLeaf;
pub use statusguard_rotation::{
    AuthorityId, AuthorityRecord, Bundle, Role, RotationPhase, SecretContent, Timing, UnixTime, Validity,
};
pub use validity::{certificate_validity, from_rfc3339, rfc3339};
