//! Addresses to listen on, as flags give them.

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

#[cfg(test)]
mod tests {
    use super::*;

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
