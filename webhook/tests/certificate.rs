//! A certificate in files under a server that serves: how soon another one is in force, and what becomes of broken ones.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use common::{Files, GuardProcess};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

const USABLE: &str = "statusguard_certificate_files_last_read_successful";
const RELOADS: &str = "statusguard_certificate_reloads_total";
const LEAF_ENDS: &str = "statusguard_certificate_not_after_seconds{kind=\"leaf\",authority=\"\"}";
const UNUSABLE: &str = "serving certificate unusable; the last one stays";

/// A certificate that nobody else has signed.
struct TestPair {
    chain: String,
    key: String,
}

impl TestPair {
    fn new() -> Self {
        Self::holding(-3600, 3600)
    }

    /// From and until so many seconds from now.
    fn holding(from: i64, until: i64) -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let at = |seconds: i64| {
            (SystemTime::UNIX_EPOCH + Duration::from_secs(now.checked_add_signed(seconds).unwrap())).into()
        };
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (at(from), at(until));
        let key = KeyPair::generate().unwrap();
        Self { chain: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
    }

    fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

/// A mounted Secret, changed as a kubelet does it.
struct SecretMount {
    folder: PathBuf,
    version: u32,
}

impl SecretMount {
    /// Files for a server, whose certificate and key are in the mount.
    fn new(pair: &TestPair) -> (Files, Self) {
        let mut files = Files::new();
        let folder = files.policies.with_file_name("mount");
        fs::create_dir(&folder).unwrap();
        let mut mount = Self { folder, version: 0 };
        mount.update(pair);
        files.links = ["tls.crt", "tls.key"].map(|name| {
            symlink(format!("..data/{name}"), mount.folder.join(name)).unwrap();
            mount.folder.join(name)
        });
        (files, mount)
    }

    fn update(&mut self, pair: &TestPair) {
        self.update_as(&pair.chain, &pair.key);
    }

    /// A new folder, a link to it, renamed over `..data`; the folder before goes.
    fn update_as(&mut self, chain: &str, key: &str) {
        let before = fs::read_link(self.folder.join("..data")).ok();
        self.version += 1;
        let name = format!("..2026_12_01_{}", self.version);
        let folder = self.folder.join(&name);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("tls.crt"), chain).unwrap();
        fs::write(folder.join("tls.key"), key).unwrap();
        symlink(&name, self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        if let Some(before) = before {
            fs::remove_dir_all(self.folder.join(before)).unwrap();
        }
    }
}

#[test]
fn a_mounted_secret_that_is_swapped_is_in_force_at_once() {
    let first = TestPair::new();
    let (files, mut mount) = SecretMount::new(&first);
    let server = GuardProcess::start_with(files, &["--reload-interval=1h"]);
    assert!(server.ready() && server.shows_certificate(&first.certificate()));
    for swap in 1..=3 {
        let pair = TestPair::new();
        mount.update(&pair);
        server.wait("the new certificate", |server| server.shows_certificate(&pair.certificate()));
        server.wait("counted once", |server| server.metric(RELOADS) == f64::from(swap));
    }
    assert_eq!(server.metric(USABLE), 1.0);
    let log = server.log.lock().unwrap();
    let problem = |line: &&Value| line["level"] != "INFO" && line["target"].as_str().unwrap().contains("certificate");
    assert_eq!(log.iter().find(problem), None);
}

#[test]
fn a_folder_that_is_deleted_and_made_again_is_watched_again() {
    let (files, mount) = SecretMount::new(&TestPair::new());
    let server = GuardProcess::start_with(files, &["--reload-interval=1h"]);
    for _ in 0..2 {
        fs::remove_dir_all(&mount.folder).unwrap();
        server.wait("unreadable", |server| server.metric(USABLE) == 0.0);
        assert!(server.ready());
        let pair = TestPair::new();
        fs::create_dir(&mount.folder).unwrap();
        fs::write(mount.folder.join("tls.crt"), &pair.chain).unwrap();
        fs::write(mount.folder.join("tls.key"), &pair.key).unwrap();
        server.wait("the new certificate", |server| server.shows_certificate(&pair.certificate()));
        // A file that is written in place is seen, too.
        let pair = TestPair::new();
        fs::write(mount.folder.join("tls.key"), &pair.key).unwrap();
        fs::write(mount.folder.join("tls.crt"), &pair.chain).unwrap();
        server.wait("the next certificate", |server| server.shows_certificate(&pair.certificate()));
    }
}

#[test]
fn polling_alone_finds_what_no_watch_can_see() {
    // The links stay as they are, and the files are elsewhere.
    let mut server = GuardProcess::start(&["--reload-interval=1h"]);
    server.renew_certificate();
    std::thread::sleep(Duration::from_secs(1));
    assert!(!server.is_trusted(), "nobody could have told");

    let mut server = GuardProcess::start(&["--reload-interval=20ms"]);
    for _ in 0..2 {
        server.renew_certificate();
        server.wait("trusted", GuardProcess::is_trusted);
    }
}

#[test]
fn files_that_cannot_be_used_change_nothing_and_are_named() {
    let good = TestPair::new();
    let (files, mut mount) = SecretMount::new(&good);
    let [chain, key] = files.links.clone().map(|file| file.display().to_string());
    let server = GuardProcess::start_with(files, &["--reload-interval=1h"]);
    let (other, ended) = (TestPair::new(), TestPair::holding(-7200, -60));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\naGVsbG8=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let hollow = "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
    for (broken_chain, broken_key, says) in [
        (
            &*other.chain,
            &*good.key,
            format!("--tls-key {key} is not the key of the first certificate in --tls-cert {chain};"),
        ),
        (&good.chain, "", format!("--tls-key {key} is empty;")),
        ("", &good.key, format!("--tls-cert {chain} is empty;")),
        ("hello", &good.key, format!("--tls-cert {chain} cannot be used; it must hold certificates in PEM")),
        (hollow, &good.key, format!("--tls-cert {chain}")),
        (&good.chain, "hello", format!("--tls-key {key} cannot be used; it must hold a private key in PEM")),
        (&good.chain, encrypted, format!("--tls-key {key} cannot be used;")),
        (&good.chain[..good.chain.len() / 2], &good.key, format!("--tls-cert {chain} cannot be used;")),
        (&ended.chain, &ended.key, format!("the certificate in --tls-cert {chain} ended at 20")),
    ] {
        mount.update_as(broken_chain, broken_key);
        server.log_line_that(&says, |fields| {
            fields["message"] == UNUSABLE && fields["error"].as_str().is_some_and(|error| error.contains(&says))
        });
        assert_eq!((server.metric(USABLE), server.metric(RELOADS)), (0.0, 0.0), "{says}");
        assert!(server.shows_certificate(&good.certificate()) && server.ready(), "{says}");
        server.log.lock().unwrap().clear();
    }
    mount.update(&good);
    server.wait("usable again", |server| server.metric(USABLE) == 1.0);
    server.log_line("the files of the serving certificate can be used again");
    assert_eq!(server.metric(RELOADS), 0.0, "nothing has changed");

    // Not to be read at all.
    fs::remove_file(mount.folder.join("tls.key")).unwrap();
    server.log_line_that("the key is gone", |fields| {
        let says =
            format!("cannot read --tls-key {key}; put the file there, readable by the guard's user: No such file");
        fields["error"].as_str().is_some_and(|error| error.starts_with(&says))
    });
    assert!(server.metric(USABLE) == 0.0 && server.ready() && server.shows_certificate(&good.certificate()));
    fs::create_dir(mount.folder.join("tls.key")).unwrap();
    fs::set_permissions(mount.folder.join("tls.key"), fs::Permissions::from_mode(0o700)).unwrap();
    server.log_line_that("it is a folder", |fields| {
        fields["error"]
            .as_str()
            .is_some_and(|error| error.contains(&key) && error.ends_with("Is a directory (os error 21)"))
    });
    fs::remove_dir(mount.folder.join("tls.key")).unwrap();
    let pair = TestPair::new();
    mount.update(&pair);
    symlink("..data/tls.key", mount.folder.join("tls.key")).unwrap();
    server.wait("the new certificate", |server| server.shows_certificate(&pair.certificate()));
    assert_eq!((server.metric(USABLE), server.metric(RELOADS)), (1.0, 1.0));
}

#[test]
fn a_certificate_that_ends_makes_it_unready_until_it_is_renewed() {
    let short = TestPair::holding(-3600, 10);
    let (files, mut mount) = SecretMount::new(&short);
    let server = GuardProcess::start_with(files, &["--reload-interval=100ms"]);
    assert!(server.ready() && server.metric(LEAF_ENDS) > 1.7e9);
    server.wait("unready", |server| !server.ready());
    let answer = server.get("/readyz");
    assert!(answer.contains("serving certificate"), "{answer}");
    assert!(server.get("/livez").starts_with("HTTP/1.1 200"));
    server.log_line_that("it has ended", |fields| {
        fields["error"].as_str().is_some_and(|error| error.starts_with("the certificate in --tls-cert "))
    });
    server.wait("said by the metric", |server| server.metric(USABLE) == 0.0);
    // One that does not hold yet does not help.
    let early = TestPair::holding(3600, 7200);
    mount.update(&early);
    server.wait("read", |server| server.metric(RELOADS) == 1.0);
    assert!(!server.ready());
    let next = TestPair::new();
    mount.update(&next);
    server.wait("ready", GuardProcess::ready);
    assert!(server.shows_certificate(&next.certificate()));
    assert!(server.metric(LEAF_ENDS) > 1.7e9 && server.metric(USABLE) == 1.0);
}

#[test]
fn a_guard_that_starts_with_a_certificate_that_has_ended_lives_and_is_not_ready() {
    let (files, mut mount) = SecretMount::new(&TestPair::holding(-7200, -3600));
    let server = GuardProcess::start_with(files, &["--reload-interval=1h"]);
    assert!(!server.ready() && server.get("/livez").starts_with("HTTP/1.1 200"));
    assert!(server.get("/readyz").contains("serving certificate"));
    assert_eq!(server.metric(USABLE), 0.0);
    let pair = TestPair::new();
    mount.update(&pair);
    server.wait("ready", GuardProcess::ready);
    assert!(server.shows_certificate(&pair.certificate()) && server.metric(USABLE) == 1.0);
}

/// One that holds already is not given up for one that does not hold yet.
#[test]
fn a_certificate_that_does_not_hold_yet_waits() {
    let first = TestPair::new();
    let (files, mut mount) = SecretMount::new(&first);
    let server = GuardProcess::start_with(files, &["--reload-interval=1h"]);
    let next = TestPair::holding(8, 3600);
    mount.update(&next);
    server.wait("read", |server| server.metric(RELOADS) == 1.0);
    assert!(server.shows_certificate(&first.certificate()) && server.ready());
    server.wait("the new certificate", |server| server.shows_certificate(&next.certificate()));
    assert!(server.ready());
}
