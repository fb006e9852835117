//! Images are whole, the same every time, and hold nothing but a static program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use flate2::read::GzDecoder;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use statusguard_manifests::image::{Image, write};

/// A program made by the C compiler with these flags.
fn program(folder: &Path, flags: &[&str]) -> PathBuf {
    let (source, made) = (folder.join("main.c"), folder.join("program"));
    fs::write(&source, "int main(void) { return 7; }").unwrap();
    assert!(Command::new("cc").args(flags).arg("-o").args([&made, &source]).status().unwrap().success());
    made
}

fn image(program: &Path) -> Image<'_> {
    Image {
        program,
        name: "sample",
        reference: "localhost/sample:1",
        labels: &[("org.opencontainers.image.revision", "abc")],
    }
}

fn entries(archive: impl std::io::Read) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(archive);
    let entry = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        assert_eq!((entry.header().mtime().unwrap(), entry.header().uid().unwrap()), (0, 0));
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), content)
    };
    archive.entries().unwrap().map(entry).collect()
}

#[test]
fn an_image_holds_the_program_and_is_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let program = program(folder.path(), &["-static"]);
    let archives = ["one.tar", "two.tar"].map(|name| folder.path().join(name));
    archives.iter().for_each(|archive| write(&image(&program), archive).unwrap());
    assert_eq!(fs::read(&archives[0]).unwrap(), fs::read(&archives[1]).unwrap());

    let files = entries(fs::File::open(&archives[0]).unwrap());
    let blob = |descriptor: &Value| {
        let sha = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let content = &files[&format!("blobs/sha256/{sha}")];
        let found: String = digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((found.as_str(), content.len() as u64), (sha, descriptor["size"].as_u64().unwrap()));
        content
    };
    let json = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
    assert_eq!(json(&files["oci-layout"])["imageLayoutVersion"], "1.0.0");
    let index = json(&files["index.json"]);
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], "localhost/sample:1");
    let manifest = json(blob(&index["manifests"][0]));
    let config = json(blob(&manifest["config"]));
    assert_eq!((&config["os"], &config["config"]["User"]), (&"linux".into(), &"65532:65532".into()));
    assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/sample"]));
    assert_eq!(config["config"]["Labels"]["org.opencontainers.image.revision"], "abc");
    let layer = entries(GzDecoder::new(&**blob(&manifest["layers"][0])));
    assert!(layer.keys().eq(["etc/", "etc/passwd", "sample"]), "{:?}", layer.keys());
    assert_eq!(layer["sample"], fs::read(&program).unwrap());
}

#[test]
fn what_would_not_start_in_an_image_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |program: &Path| {
        let error = write(&image(program), &folder.path().join("image.tar")).unwrap_err().to_string();
        assert!(error.starts_with(program.to_str().unwrap()), "{error}");
        error
    };
    assert!(refused(&program(folder.path(), &[])).contains("+crt-static"));
    assert!(refused(&folder.path().join("main.c")).contains("not a 64-bit program for Linux"));
    let cut = folder.path().join("cut");
    fs::write(&cut, &fs::read(program(folder.path(), &["-static"])).unwrap()[..70]).unwrap();
    assert!(refused(&cut).contains("not a whole program"));
    refused(&folder.path().join("absent"));
}
