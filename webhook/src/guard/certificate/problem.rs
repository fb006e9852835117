//! What can be wrong with the files of a certificate: which flag, which file, and the cure.

use std::path::PathBuf;

use statusguard_certs::CertificateError;

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    /// The operating system does not let it be read.
    #[error("cannot read {flag} {}; put the file there, readable by the guard's user", .file.display())]
    Unreadable {
        flag: &'static str,
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Nothing is in it, as in the middle of a write.
    #[error("{flag} {} is empty; write it as a whole, and rename it into place", .file.display())]
    Empty { flag: &'static str, file: PathBuf },
    /// What is in it cannot be read.
    #[error("{flag} {} cannot be used; it must hold {holds} in PEM", .file.display())]
    Malformed {
        flag: &'static str,
        file: PathBuf,
        holds: &'static str,
        #[source]
        source: Box<statusguard_edge::Error>,
    },
    /// Certificate and key of two pairs, as in the middle of a write.
    #[error(
        "--tls-key {} is not the key of the first certificate in --tls-cert {}; write both from one Secret, the leaf first",
        .key.display(), .chain.display()
    )]
    Unpaired {
        chain: PathBuf,
        key: PathBuf,
        #[source]
        source: Box<statusguard_edge::Error>,
    },
    /// The leaf cannot be read.
    #[error("--tls-cert {} cannot be used; make the certificate anew", .file.display())]
    Leaf {
        file: PathBuf,
        #[source]
        source: Box<CertificateError>,
    },
    /// The leaf has ended.
    #[error("the certificate in --tls-cert {} ended at {at}; renew it", .file.display())]
    Ended { file: PathBuf, at: String },
    /// The authority cannot be published.
    #[error("--tls-ca {} cannot be published: {problem}; it must hold certificates in PEM and nothing else", .file.display())]
    Authority { file: PathBuf, problem: String },
    /// Another authority has signed the leaf.
    #[error(
        "--tls-ca {} does not cover --tls-cert {}; it must hold the authority that signed the certificate, and --tls-cert \
         every certificate between the two",
        .authority.display(), .chain.display()
    )]
    Foreign {
        chain: PathBuf,
        authority: PathBuf,
        #[source]
        source: Box<CertificateError>,
    },
    /// The API server asks for another name.
    #[error(
        "the certificate in --tls-cert {} is not for {name}, by which the API server calls the guard; add that to its \
         dnsNames",
        .chain.display()
    )]
    Name { chain: PathBuf, name: String },
}
