//! As much of an HTTP/1.1 client as the admin API on loopback needs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// Sends one request and returns the body of a 2xx answer.
pub fn request(address: &str, method: &str, path: &str, body: &[u8]) -> Result<String> {
    let what = format!("{method} http://{address}{path}");
    let answer = exchange(address, method, path, body).with_context(|| what.clone())?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .with_context(|| format!("{what}: no HTTP"))?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if !status.starts_with('2') {
        bail!("{what}: {status} {body}");
    }
    Ok(body.to_owned())
}

fn exchange(address: &str, method: &str, path: &str, body: &[u8]) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/wasm\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
