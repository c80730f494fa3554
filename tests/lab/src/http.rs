//! A small HTTP client: one request on one connection, without retries.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// A request.
pub struct Request<'a> {
    /// `GET`, `PUT`, ...
    pub method: &'a str,
    /// `http://HOST[:PORT]/PATH`
    pub url: &'a str,
    /// The value of `Host`, if it differs from the URL.
    pub host: Option<&'a str>,
    /// The body, which may be empty.
    pub body: &'a str,
    /// The timeout of the connection and of each read.
    pub limit: Duration,
}

/// A complete answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// `200`, ...
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
}

impl<'a> Request<'a> {
    /// A GET without a body, with a limit of 10 seconds.
    pub fn get(url: &'a str) -> Self {
        Self { method: "GET", url, host: None, body: "", limit: Duration::from_secs(10) }
    }

    /// A request with another method and a body.
    pub fn with(method: &'a str, url: &'a str, body: &'a str) -> Self {
        Self { method, body, ..Self::get(url) }
    }
}

impl Answer {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

/// Sends a request from the network namespace of the calling thread.
pub fn send(request: &Request<'_>) -> io::Result<Answer> {
    let (authority, path) = split(request.url)?;
    let address = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let address = address.to_socket_addrs()?.next().ok_or_else(|| invalid("no address", authority))?;
    let mut stream = TcpStream::connect_timeout(&address, request.limit)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(request.limit))?;
    let Request { method, body, .. } = request;
    let (host, length) = (request.host.unwrap_or(authority), body.len());
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(text.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes)
}

fn split(url: &str) -> io::Result<(&str, &str)> {
    let rest = url.strip_prefix("http://").ok_or_else(|| invalid("not an http URL", url))?;
    let slash = rest.find('/').ok_or_else(|| invalid("no path in the URL", url))?;
    Ok(rest.split_at(slash))
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| io::Error::new(ErrorKind::UnexpectedEof, "the connection ended before the answer"))?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.lines();
    let status_line = lines.next().unwrap_or_default();
    let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut answer =
        Answer { status: status.ok_or_else(|| invalid("no status", status_line))?, headers, body: String::new() };
    let rest = &bytes[end + 4..];
    let body = if answer.header("transfer-encoding") == Some("chunked") { unchunk(rest)? } else { rest.to_vec() };
    if let Some(length) = answer.header("content-length")
        && length != body.len().to_string()
    {
        return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("{} of {length} bytes came", body.len())));
    }
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

fn unchunk(mut rest: &[u8]) -> io::Result<Vec<u8>> {
    let torn = || io::Error::new(ErrorKind::UnexpectedEof, "the connection ended within a chunk");
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").ok_or_else(torn)?;
        let size = String::from_utf8_lossy(&rest[..line]).into_owned();
        let size = usize::from_str_radix(&size, 16).map_err(|_| invalid("not the size of a chunk", &size))?;
        rest = &rest[line + 2..];
        if size == 0 {
            return Ok(body);
        }
        body.extend(rest.get(..size).ok_or_else(torn)?);
        rest = rest.get(size + 2..).ok_or_else(torn)?;
    }
}

fn invalid(what: &str, text: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{what}: {text}"))
}
