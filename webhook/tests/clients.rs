//! Client certificates: the files and flags of a server as a process, and what its log says.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{Files, GuardProcess};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustix::process::Signal;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

const REFUSED: &str = "statusguard_handshake_failures_total{cause=\"client_certificate_refused\"}";
const MISSING: &str = "statusguard_handshake_failures_total{cause=\"client_certificate_missing\"}";
const UNTRUSTED: &str = "statusguard_handshake_failures_total{cause=\"untrusted\"}";
const UNUSABLE: &str = "--client-ca unusable; the last authorities stay in force";

/// Who signs client certificates, and a file for its own certificate.
struct Issuer {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Issuer {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("client-ca.crt");
        std::fs::write(&file, issuer.pem()).unwrap();
        Self { issuer, file, _folder: folder }
    }

    fn flag(&self) -> String {
        format!("--client-ca={}", self.file.display())
    }

    fn certificate(&self, name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }
}

/// Presents a certificate of this issuer for this name.
fn present(server: &mut GuardProcess, issuer: &Issuer, name: &str) {
    let (certificate, key) = issuer.certificate(name);
    server.present(certificate, key);
}

#[test]
fn a_replaced_authority_holds_for_the_next_handshake() {
    let (issuer, next) = (Issuer::new(), Issuer::new());
    let mut server = GuardProcess::start(&[&issuer.flag(), "--reload-interval=20ms"]);
    assert!(!server.is_served(), "without a certificate");
    server.wait("counted", |server| server.metric(MISSING) == 1.0);
    present(&mut server, &issuer, "kube-apiserver");
    assert!(server.is_served());

    std::fs::write(&issuer.file, next.issuer.pem()).unwrap();
    server.log_line("--client-ca read again");
    assert!(!server.is_served(), "of the authority that was replaced");
    server.wait("counted", |server| server.metric(REFUSED) == 1.0);
    present(&mut server, &next, "kube-apiserver");
    assert!(server.is_served());

    // Both, while one takes the place of the other.
    std::fs::write(&issuer.file, issuer.issuer.pem() + &next.issuer.pem()).unwrap();
    server.wait("read again", |server| lines(server, "--client-ca read again") == 2);
    assert!(server.is_served());
    present(&mut server, &issuer, "kube-apiserver");
    assert!(server.is_served());
}

fn lines(server: &GuardProcess, message: &str) -> usize {
    server.log.lock().unwrap().iter().filter(|line| line["fields"]["message"] == message).count()
}

#[test]
fn an_authority_that_cannot_be_used_replaces_nothing_and_is_said_once() {
    let issuer = Issuer::new();
    let mut server = GuardProcess::start(&[&issuer.flag(), "--reload-interval=5ms"]);
    present(&mut server, &issuer, "kube-apiserver");
    for (bad, problem) in [("", "the text does not hold one"), ("-----BEGIN CERTIFICATE-----\nMII", "reading PEM")] {
        std::fs::write(&issuer.file, bad).unwrap();
        server.log_line_that(problem, |fields| {
            fields["message"] == UNUSABLE && fields["error"].as_str().is_some_and(|error| error.contains(problem))
        });
        assert!(server.is_served(), "{bad:?}");
    }
    std::fs::remove_file(&issuer.file).unwrap();
    server.log_line_that("the file is gone", |fields| {
        fields["error"].as_str().is_some_and(|error| error.contains("reading --client-ca"))
    });
    assert!(server.is_served());
    let said = lines(&server, UNUSABLE);
    assert!((3..=4).contains(&said), "a file may be seen while it is written, but nothing is said twice: {said}");
    assert_eq!(server.log_level(UNUSABLE), "ERROR");
    // As it was: nothing is read again.
    std::fs::write(&issuer.file, issuer.issuer.pem()).unwrap();
    assert!(server.is_served());
}

#[test]
fn sighup_makes_it_read_the_authority_again() {
    let (issuer, next) = (Issuer::new(), Issuer::new());
    let mut server = GuardProcess::start(&[&issuer.flag(), "--reload-interval=1h"]);
    std::fs::write(&issuer.file, next.issuer.pem()).unwrap();
    present(&mut server, &next, "kube-apiserver");
    assert!(!server.is_served(), "the old one is in force");
    server.signal(Signal::HUP);
    server.log_line("--client-ca read again");
    assert!(server.is_served());
}

#[test]
fn warnings_name_cause_and_cure_once_a_minute() {
    let issuer = Issuer::new();
    let mut server = GuardProcess::start(&[&issuer.flag(), "--client-name=kube-apiserver"]);
    present(&mut server, &issuer, "somebody");
    for _ in 0..5 {
        assert!(!server.is_served());
    }
    server.wait("counted", |server| server.metric(REFUSED) == 5.0);
    let message = "the client certificate of a peer was refused";
    let line = server.log_line(message);
    assert_eq!(line["cause"], "client_certificate_refused");
    assert_eq!(line["left_out"], 0);
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
    let error = line["error"].as_str().unwrap();
    let expected = r#"the certificate is valid, but none of its names ["somebody"] is one of ["kube-apiserver"]"#;
    assert_eq!(error, expected);
    assert!(line["cure"].as_str().unwrap().contains("--client-name"), "{line}");
    assert_eq!((server.log_level(message).as_str(), lines(&server, message)), ("WARN", 1));
    present(&mut server, &issuer, "kube-apiserver");
    assert!(server.is_served());

    // As an API server with another caBundle.
    server.renew_certificate();
    assert!(!server.is_trusted());
    let line = server.log_line("a peer refused the serving certificate");
    assert!(line["cure"].as_str().unwrap().contains("caBundle"), "{line}");
    server.wait("counted", |server| server.metric(UNTRUSTED) == 1.0);
}

#[test]
fn flags_that_cannot_be_used_are_named_at_the_start() {
    let files = Files::new();
    let text = files.policies.parent().unwrap().join("text");
    std::fs::write(&text, "hello").unwrap();
    let (text, absent) = (text.display().to_string(), text.with_extension("absent").display().to_string());
    let fails = |flags: &[&str]| {
        let mut command: Command = files.command("127.0.0.1:0", "127.0.0.1:0", flags);
        let output = command.stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = fails(&[&format!("--client-ca={absent}")]);
    assert!(code == 1 && said.contains(&format!("reading --client-ca {absent}: No such file")), "{code}: {said}");
    let (code, said) = fails(&[&format!("--client-ca={text}")]);
    let expected = format!("using --client-ca {text}, which has to hold, in PEM, the certificates of the authorities");
    assert!(code == 1 && said.contains(&expected) && said.contains("the text does not hold one"), "{code}: {said}");
    let (code, said) = fails(&["--client-name=kube-apiserver"]);
    assert!(code == 2 && said.contains("--client-ca <FILE>"), "{code}: {said}");
    let (code, said) = fails(&[&format!("--client-ca={text}"), "--client-name="]);
    assert!(code == 2 && said.contains("--client-name <NAME>"), "{code}: {said}");
}
