//! One HTTP/1.1 request, read from a connection.

use std::io::{self, BufRead, Read};

/// The parts of a request that the app uses. The body has been read and discarded.
#[derive(Debug)]
pub struct Request {
    /// `GET`, `POST`, ...
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// The text after the question mark; may be empty.
    pub query: String,
    /// Whether the client wants to send another request on this connection.
    pub keep_alive: bool,
}

impl Request {
    /// Reads a request. `None` if the client has closed the connection.
    pub fn read(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next()) else {
            return Err(malformed("request line", &line));
        };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            keep_alive: version != "HTTP/1.0",
        };
        let length = request.read_headers(from)?;
        io::copy(&mut from.take(length), &mut io::sink())?;
        Ok(Some(request))
    }

    /// Reads the headers and the empty line. Returns the length of the body.
    fn read_headers(&mut self, from: &mut impl BufRead) -> io::Result<u64> {
        let mut length = 0;
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                return Ok(length);
            }
            let (name, value) = line.split_once(':').ok_or_else(|| malformed("header", line))?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().map_err(|_| malformed("header", line))?,
                "connection" => self.keep_alive = !value.eq_ignore_ascii_case("close"),
                "transfer-encoding" => return Err(malformed("header (chunks are not read here)", line)),
                _ => {}
            }
        }
    }

    /// The number after `key=` in the query.
    pub fn number(&self, key: &str) -> Option<u64> {
        self.query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, _)| *name == key)
            .and_then(|(_, value)| value.parse().ok())
    }
}

fn malformed(what: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("malformed {what}: {}", text.trim_end()))
}
