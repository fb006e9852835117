//! The server as a process: signals, and the limit of open files.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{GuardProcess, PATIENCE};
use rustix::process::Signal;

#[test]
fn sigterm_drains() {
    let mut server = GuardProcess::start(&["--min-drain=300ms", "--drain-timeout=600ms"]);
    assert!(server.ready());
    let start = Instant::now();
    server.terminate();
    while server.ready() {
        assert!(start.elapsed() < PATIENCE, "still ready");
    }
    // Unready, it still accepts: endpoints lead here for a while.
    assert!(TcpStream::connect(server.admission).is_ok());
    assert_eq!(server.ends().code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(300));
    // Each line says which port it is about. What lies between depends on when the port looks.
    server.log_line_that("admission Serving Draining", |fields| {
        fields["message"] == "drain" && fields["port"] == "admission" && fields["to"] == "Draining"
    });
    for port in ["admission", "plain"] {
        server.log_line_that(&format!("{port} Ended"), |fields| {
            fields["message"] == "drain" && fields["port"] == port && fields["to"] == "Ended"
        });
    }
}

#[test]
fn without_an_address_it_listens_on_all() {
    let server = GuardProcess::start_at(":0", ":0");
    for port in [server.admission.port(), server.plain.port()] {
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
    }
    assert_eq!((server.admission.ip().to_string(), server.plain.ip().to_string()), ("::".into(), "::".into()));
    assert!(server.ready());
}

#[test]
fn a_second_sigterm_ends_it_at_once() {
    let mut server = GuardProcess::start(&["--drain-timeout=1h"]);
    // A connection that never says anything, which a drain would wait for.
    let silent = TcpStream::connect(server.admission).unwrap();
    server.terminate();
    while server.ready() {}
    assert!(server.child.try_wait().unwrap().is_none());
    server.terminate();
    assert_eq!(server.ends().code(), Some(0));
    drop(silent);
}

#[test]
fn sighup_makes_it_read_certificate_and_policies_again() {
    let mut server = GuardProcess::start(&["--reload-interval=1h", "--min-drain=0s"]);
    let loaded = server.metric("statusguard_policies_loaded");
    assert!(loaded > 1.0 && server.is_trusted());
    let policy = std::fs::read_dir(&server.files.policies).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_file(policy).unwrap();
    assert_eq!(server.metric("statusguard_policies_loaded"), loaded);
    server.renew_certificate();
    assert!(!server.is_trusted(), "the old one is in force");
    server.signal(Signal::HUP);
    server.wait("trusted", GuardProcess::is_trusted);
    assert_eq!(server.metric("statusguard_policies_loaded"), loaded - 1.0);

    // What cannot be used replaces nothing.
    std::fs::write(&server.files.cert, "no certificate").unwrap();
    server.signal(Signal::HUP);
    server.log_line("serving certificate unusable; the last one stays");
    assert!(server.is_trusted() && server.ready());
}

#[test]
fn other_signals_are_ignored() {
    let mut server = GuardProcess::start(&["--min-drain=0s"]);
    for (signal, line) in [(Signal::USR1, "SIGUSR1 ignored"), (Signal::USR2, "SIGUSR2 ignored")] {
        server.signal(signal);
        server.log_line(line);
    }
    assert!(server.ready());
    server.terminate();
    assert_eq!(server.ends().code(), Some(0));
}

/// It keeps descriptors for probes and files, whatever its connections take.
#[test]
fn connections_fit_in_the_limit_of_open_files() {
    const OPEN_FILES: u32 = 300;
    let mut server = GuardProcess::start_with_open_files(OPEN_FILES, &["--min-drain=0s"]);
    let line = server.log_line("--max-connections does not fit in the limit of open files (ulimit -n) and is lowered");
    assert_eq!(
        (&line["open_files"], &line["wanted"], &line["max_connections"]),
        (&300.into(), &1024.into(), &86.into())
    );
    let silent: Vec<_> = (0..2 * OPEN_FILES).map(|_| TcpStream::connect(server.admission).unwrap()).collect();
    for _ in 0..10 {
        assert!(server.ready());
    }
    server.renew_certificate();
    server.signal(Signal::HUP);
    server.wait("trusted", GuardProcess::is_trusted);
    drop(silent);
    server.terminate();
    assert_eq!(server.ends().code(), Some(0));
}
