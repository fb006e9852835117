//! What can be wrong with certificates.

/// Why a certificate or key cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The text is not PEM, or not of what was asked for.
    #[error("the {0} is not in PEM")]
    Pem(&'static str),
    /// The certificate cannot be read.
    #[error("the certificate is malformed: {0}")]
    Malformed(String),
    /// The certificate cannot sign others.
    #[error("the certificate is not that of an authority (basicConstraints CA:TRUE, keyUsage keyCertSign)")]
    NotAnAuthority,
    /// Half a pair, or halves of two.
    #[error("the key does not belong to the certificate")]
    Unpaired,
    /// The key cannot be read, or is not on P-256.
    #[error("the key cannot be used; it is a key on P-256 in PKCS #8 that the guard writes")]
    Key,
    /// A name that no certificate can have.
    #[error("`{0}` cannot be a name in a certificate")]
    Name(String),
    /// The leaf would hold while its authority does not.
    #[error("the leaf would hold while its authority does not")]
    Outlives,
    /// A time that no certificate can hold.
    #[error("a certificate cannot hold the time {0} (seconds since 1970)")]
    Time(i64),
    /// The bundle does not make the certificate trusted.
    #[error("the bundle does not cover the certificate")]
    Uncovered(#[source] rustls::Error),
    /// Making a key or a signature failed.
    #[error("cannot make a certificate")]
    Make(#[source] rcgen::Error),
}

/// An error with what caused it, in one line; a cause that the text before it has already said is left out.
#[must_use]
pub fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        source = error.source();
    }
    text
}
