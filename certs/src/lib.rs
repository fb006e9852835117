//! Certificates of the guard.
//!
//! An [`Authority`] signs the [`Leaf`] of each replica. Authorities are kept in a Secret and published in the `caBundle` of
//! the webhook configuration; leaves stay in memory. All keys are on P-256, and no key is ever printed.

mod authority;
mod error;
mod leaf;
mod validity;

pub use authority::Authority;
pub use error::CertificateError;
pub use leaf::Leaf;
pub use validity::Validity;
