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
    /// The PEM text does not hold a certificate chain or a private key that can be read.
    #[error("reading PEM {0}")]
    Pem(&'static str, #[source] rustls::pki_types::pem::Error),
    /// The PEM text does not hold a certificate.
    #[error("reading PEM certificates: the text does not hold one")]
    NoCertificate,
    /// The key is encrypted: PKCS #8 (RFC 5958, 3) or the older form of OpenSSL.
    #[error(
        "the key is encrypted, and nobody is there to give its password; decrypt it: `openssl pkey -in KEY -out DECRYPTED`"
    )]
    Encrypted,
    /// The key is on a curve that ring does not sign with.
    #[error(
        "the key is on the curve P-521, which cannot be used; make an ECDSA key on P-256 or P-384, an Ed25519 or an RSA key"
    )]
    Curve,
    /// Key and certificate do not fit, or the key is of an unknown kind.
    #[error("making a serving certificate")]
    Certificate(#[source] rustls::Error),
    /// The operating system gave no thread or no runtime for the plain port.
    #[error("starting the plain port")]
    PlainPort(#[source] std::io::Error),
    /// A certificate cannot be that of an authority.
    #[error("a certificate in it cannot be used")]
    Authority(#[source] rustls::Error),
    /// rustls has no use for the authorities of client certificates.
    #[error("making a verifier of client certificates")]
    ClientVerifier(#[source] rustls::server::VerifierBuilderError),
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
            Self::Pem(..) | Self::NoCertificate | Self::Encrypted | Self::Curve | Self::Certificate(_) => "certificate",
            Self::Authority(_) | Self::ClientVerifier(_) => "client_authority",
            Self::PlainPort(_) => "plain_port",
            Self::Tls(_) => "tls",
        }
    }
}
