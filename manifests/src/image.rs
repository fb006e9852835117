//! A container image of one static program, as an OCI archive (OCI image layout 1.1 in a tar file), written without a
//! container engine.
//!
//! The same program makes the same bytes: times are 0, owners are root, nothing depends on the machine.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use oci_spec::image::{
    Arch, Config, ConfigBuilder, Descriptor, DescriptorBuilder, ImageConfigurationBuilder, ImageIndexBuilder,
    ImageManifestBuilder, MediaType, OciLayoutBuilder, Os, RootFsBuilder, Sha256Digest,
};
use ring::digest::{SHA256, digest};
use serde::Serialize;
use tar::{Builder, EntryType, Header};

/// The user of the program: nobody's, and not root.
pub(crate) const USER: u32 = 65532;

/// What an image holds, and what it is called.
#[derive(Clone, Debug)]
pub struct Image<'i> {
    /// The program, linked statically.
    pub program: &'i Path,
    /// Its name in the image, below the root.
    pub name: &'i str,
    /// The image's name and tag, such as `localhost/statusguard:0.1.0`.
    pub reference: &'i str,
    /// Labels beside those of the OCI's annotations that are made from the package.
    pub labels: &'i [(&'i str, &'i str)],
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A file cannot be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It would not start in an image that holds nothing else.
    #[error("{}: {problem}", path.display())]
    Program {
        /// The program.
        path: PathBuf,
        /// What it is not, and the cure.
        problem: &'static str,
    },
    /// The archive's parts do not fit the specification.
    #[error("describing the image")]
    Describe(#[from] oci_spec::OciSpecError),
}

/// Writes the archive.
///
/// # Errors
/// When the program cannot be read or is not static, or the archive cannot be written.
pub fn write(image: &Image<'_>, archive: &Path) -> Result<(), ImageError> {
    let program = std::fs::read(image.program).map_err(|source| file(image.program, source))?;
    let architecture =
        architecture(&program).map_err(|problem| ImageError::Program { path: image.program.to_owned(), problem })?;
    let mut blobs = Blobs::default();

    let layer = layer(image.name, &program).map_err(|source| file(archive, source))?;
    let diff_id = format!("sha256:{}", sha256(&layer));
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&layer).map_err(|source| file(archive, source))?;
    let packed = packed.finish().map_err(|source| file(archive, source))?;
    let layer = blobs.add(MediaType::ImageLayerGzip, packed)?;

    let config = ImageConfigurationBuilder::default()
        .architecture(architecture)
        .os(Os::Linux)
        .config(config(image)?)
        .rootfs(RootFsBuilder::default().typ("layers").diff_ids(vec![diff_id]).build()?)
        .history(Vec::new())
        .build()?;
    let config = blobs.add_json(MediaType::ImageConfig, &config)?;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageManifest)
        .config(config)
        .layers(vec![layer])
        .build()?;
    let mut manifest = blobs.add_json(MediaType::ImageManifest, &manifest)?;
    let tag = image.reference.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    manifest.set_annotations(Some(HashMap::from([
        ("org.opencontainers.image.ref.name".to_owned(), tag.to_owned()),
        ("io.containerd.image.name".to_owned(), image.reference.to_owned()),
    ])));
    let index = ImageIndexBuilder::default()
        .schema_version(2_u32)
        .media_type(MediaType::ImageIndex)
        .manifests(vec![manifest])
        .build()?;
    let layout = OciLayoutBuilder::default().image_layout_version("1.0.0").build()?;
    blobs.write(&json(&layout)?, &json(&index)?, archive).map_err(|source| file(archive, source))
}

fn config(image: &Image<'_>) -> Result<Config, ImageError> {
    let labels = [
        ("org.opencontainers.image.title", image.name),
        ("org.opencontainers.image.version", env!("CARGO_PKG_VERSION")),
        ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE")),
    ];
    let labels = labels.iter().chain(image.labels).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Ok(ConfigBuilder::default()
        .user(format!("{USER}:{USER}"))
        .entrypoint(vec![format!("/{}", image.name)])
        .labels(labels.collect::<HashMap<_, _>>())
        .build()?)
}

/// The files of the image, as a tar archive.
fn layer(name: &str, program: &[u8]) -> std::io::Result<Vec<u8>> {
    let passwd = format!("root:x:0:0:root:/:/\nnonroot:x:{USER}:{USER}:nonroot:/:/\n");
    let mut tar = Builder::new(Vec::new());
    for (path, kind, mode, content) in [
        ("etc/", EntryType::Directory, 0o755, &[][..]),
        ("etc/passwd", EntryType::Regular, 0o644, passwd.as_bytes()),
        (name, EntryType::Regular, 0o755, program),
    ] {
        append(&mut tar, path, kind, mode, content)?;
    }
    tar.into_inner()
}

fn append(
    tar: &mut Builder<impl std::io::Write>,
    path: &str,
    kind: EntryType,
    mode: u32,
    content: &[u8],
) -> std::io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    tar.append_data(&mut header, path, content)
}

/// The architecture of a program that needs nothing beside itself.
fn architecture(program: &[u8]) -> Result<Arch, &'static str> {
    /// Of a program header (ELF, figure 2-2): the program is started by another one, the dynamic linker.
    const PT_INTERP: u32 = 3;
    let number = |at: usize, length: usize| {
        let bytes = program.get(at..at.checked_add(length)?)?;
        Some(bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let at = |at: usize, length: usize| number(at, length).and_then(|number| usize::try_from(number).ok());
    // 64 bits, little-endian.
    if !program.starts_with(b"\x7fELF\x02\x01") {
        return Err("not a 64-bit program for Linux; build it for x86_64-unknown-linux-gnu");
    }
    let headers = || Some((at(32, 8)?, at(54, 2)?, at(56, 2)?));
    let Some((start, size, count)) = headers() else { return Err("not a whole program; build it again") };
    for header in 0..count {
        match size.checked_mul(header).and_then(|offset| number(start.checked_add(offset)?, 4)) {
            None => return Err("not a whole program; build it again"),
            Some(kind) if kind == u64::from(PT_INTERP) => {
                return Err("linked dynamically; build it with RUSTFLAGS=\"-C target-feature=+crt-static\"");
            }
            Some(_) => {}
        }
    }
    match number(18, 2) {
        Some(62) => Ok(Arch::Amd64),
        Some(183) => Ok(Arch::ARM64),
        _ => Err("for a processor that is not known here; build it for x86_64 or aarch64"),
    }
}

/// Contents by their digests.
#[derive(Default)]
struct Blobs(Vec<(String, Vec<u8>)>);

impl Blobs {
    fn add(&mut self, kind: MediaType, content: Vec<u8>) -> Result<Descriptor, ImageError> {
        let sha = sha256(&content);
        let descriptor = DescriptorBuilder::default()
            .media_type(kind)
            .digest(sha.parse::<Sha256Digest>()?)
            .size(content.len() as u64)
            .build()?;
        self.0.push((sha, content));
        Ok(descriptor)
    }

    fn add_json(&mut self, kind: MediaType, content: &impl Serialize) -> Result<Descriptor, ImageError> {
        self.add(kind, json(content)?)
    }

    fn write(mut self, layout: &[u8], index: &[u8], archive: &Path) -> std::io::Result<()> {
        self.0.sort();
        let mut tar = Builder::new(BufWriter::new(File::create(archive)?));
        append(&mut tar, "oci-layout", EntryType::Regular, 0o644, layout)?;
        append(&mut tar, "index.json", EntryType::Regular, 0o644, index)?;
        for folder in ["blobs/", "blobs/sha256/"] {
            append(&mut tar, folder, EntryType::Directory, 0o755, &[])?;
        }
        for (sha, content) in &self.0 {
            append(&mut tar, &format!("blobs/sha256/{sha}"), EntryType::Regular, 0o644, content)?;
        }
        tar.into_inner()?.flush()
    }
}

/// With sorted keys: maps of the types have none of their own.
fn json(content: &impl Serialize) -> Result<Vec<u8>, ImageError> {
    let sorted = serde_json::to_value(content).map_err(oci_spec::OciSpecError::SerDe)?;
    Ok(sorted.to_string().into_bytes())
}

fn sha256(content: &[u8]) -> String {
    digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn file(path: &Path, source: std::io::Error) -> ImageError {
    ImageError::File { path: path.to_owned(), source }
}
