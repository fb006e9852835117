//! Certificate authorities, and certificates of servers and clients for tests: made in memory, written as PEM files on request.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A self-signed authority (P-256) that lives as long as the value does.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A serving or client certificate with its key.
pub struct TestLeaf {
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key: KeyPair,
}

/// Where a [`TestLeaf`] was written, as `--tls-cert` and `--tls-key` want it.
#[derive(Debug, Clone)]
pub struct LeafFiles {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// The private key, PKCS#8 PEM, mode 0600.
    pub key: PathBuf,
}

impl Authority {
    /// A new authority; `common_name` is what error messages of TLS clients show.
    ///
    /// # Errors
    /// When the key cannot be made.
    pub fn new(common_name: &str) -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().context("making an authority's key")?;
        let issuer = CertifiedIssuer::self_signed(params, key).context("signing an authority")?;
        Ok(Self { issuer })
    }

    /// The authority's certificate as PEM: what goes into a `caBundle` or a kubeconfig.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The authority's certificate as DER.
    #[must_use]
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A serving certificate for `names`, each a DNS name or an IP address.
    ///
    /// # Errors
    /// When a name is not a legal subject alternative name.
    pub fn leaf<N: Into<String>>(&self, names: impl IntoIterator<Item = N>) -> anyhow::Result<TestLeaf> {
        self.sign(names.into_iter().map(Into::into).collect(), ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate for one DNS name, which is its common name as well.
    ///
    /// # Errors
    /// When the name is not a legal subject alternative name.
    pub fn client_leaf(&self, name: &str) -> anyhow::Result<TestLeaf> {
        self.sign(vec![name.to_owned()], ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(&self, names: Vec<String>, usage: ExtendedKeyUsagePurpose) -> anyhow::Result<TestLeaf> {
        let mut params = CertificateParams::new(names.clone())
            .with_context(|| format!("making a certificate for {}", names.join(", ")))?;
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("signing a certificate for {}", names.join(", ")))?;
        Ok(TestLeaf { certificate: certificate.der().clone(), certificate_pem: certificate.pem(), key })
    }
}

impl TestLeaf {
    /// The certificate as PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key as PKCS#8 PEM.
    #[must_use]
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// Writes `tls.crt` and `tls.key` into `directory`, which is made if it does not exist.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> anyhow::Result<LeafFiles> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let files = LeafFiles { certificate: directory.join("tls.crt"), key: directory.join("tls.key") };
        fs::write(&files.certificate, &self.certificate_pem)
            .with_context(|| format!("writing {}", files.certificate.display()))?;
        write_secret(&files.key, &self.key_pem())?;
        Ok(files)
    }

    /// What a TLS server needs to serve this certificate, offering the given ALPN protocols.
    ///
    /// # Errors
    /// When the ring provider refuses the key, which would be a defect.
    pub fn server_config(&self, alpn: &[&str]) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("choosing TLS versions")?
            .with_no_client_auth()
            .with_single_cert(vec![self.certificate.clone()], key)
            .context("loading a serving certificate")?;
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// Writes a file that only its owner may read, from its first moment on.
pub(crate) fn write_secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    // Renamed into place: another thread may be reading the file that is replaced.
    let folder = path.parent().unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", path.display()))
}
