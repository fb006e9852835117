//! The plain port of a guard: probes and metrics.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The answer of a plain port to a GET, with its head.
///
/// # Errors
/// When nobody answers there, or not in UTF-8.
pub async fn plain_answer(plain: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(plain).await?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: guard\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
