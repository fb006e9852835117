//! Addresses as flags give them.

use std::net::{Ipv6Addr, SocketAddr};

/// What is said of any other text.
const EXPECTED: &str =
    "an IP address and a port are expected, such as 127.0.0.1:8443 or [::1]:8443; `:8443` stands for all addresses";

/// Reads `ADDRESS:PORT`. Without the address it is every one of this machine: `[::]`, which takes IPv4 as well.
///
/// # Errors
/// What is expected.
pub fn listen_address(text: &str) -> Result<SocketAddr, &'static str> {
    match text.strip_prefix(':') {
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().map(|port| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)).map_err(|_| EXPECTED)
        }
        _ => text.parse().map_err(|_| EXPECTED),
    }
}

/// Checks `HOST:PORT`, where the host is a name or an address to connect to.
///
/// # Errors
/// What is expected.
pub fn host_and_port(text: &str) -> Result<String, &'static str> {
    let plain = |host: &str| !host.is_empty() && !host.contains(':');
    let in_brackets = |host: &str| host.starts_with('[') && host.ends_with(']');
    match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) && (plain(host) || in_brackets(host)) => {
            Ok(text.to_owned())
        }
        _ => Err("a host and a port are expected, such as localhost:8443 or [::1]:8443"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_host_and_a_port() {
        for right in ["localhost:8443", "10.0.0.1:1", "[::1]:8443"] {
            assert_eq!(host_and_port(right).as_deref(), Ok(right));
        }
        for wrong in ["", ":8443", "localhost", "localhost:", "localhost:0", "localhost:65536", "::1:8443", "a:b:1"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_an_address_all_are_meant() {
        for (text, expected) in [
            (":8443", "[::]:8443"),
            (":0", "[::]:0"),
            ("127.0.0.1:8443", "127.0.0.1:8443"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::1]:8443", "[::1]:8443"),
        ] {
            assert_eq!(listen_address(text).unwrap().to_string(), expected);
        }
        for wrong in
            ["", ":", "8443", "::8443", ":65536", ":+1", ":-1", "localhost:8443", "*:8443", "127.0.0.1", "::1:8443"]
        {
            assert_eq!(listen_address(wrong), Err(EXPECTED), "{wrong}");
        }
    }
}
