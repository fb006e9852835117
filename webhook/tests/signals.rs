//! The server as a process: SIGTERM drains it, a second one ends it.

#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use common::{GuardProcess, PATIENCE};

#[test]
fn sigterm_drains() {
    let mut server = GuardProcess::start(&["--min-drain=300ms", "--drain-timeout=300ms"]);
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
