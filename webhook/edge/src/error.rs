//! Why the edge could not be set up.

/// What failed before the first connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A limit is out of its range.
    #[error("{flag}: {problem}")]
    Limit {
        /// Its flag.
        flag: &'static str,
        /// What is wrong with its value.
        problem: String,
    },
    /// The PEM text holds no certificate chain or no private key that can be read.
    #[error("reading PEM {0}")]
    Pem(&'static str, #[source] rustls::pki_types::pem::Error),
    /// The PEM text holds no certificate.
    #[error("reading PEM certificates: there is none")]
    NoCertificate,
    /// Key and certificate do not fit, or the key is of an unknown kind.
    #[error("making a serving certificate")]
    Certificate(#[source] rustls::Error),
    /// rustls refused the configuration.
    #[error("configuring TLS")]
    Tls(#[source] rustls::Error),
}

impl Error {
    /// A short name for metric labels and event reasons.
    #[must_use]
    pub fn category(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "limits",
            Self::Pem(..) | Self::NoCertificate | Self::Certificate(_) => "certificate",
            Self::Tls(_) => "tls",
        }
    }
}
