//! The address of the Docker engine, in every notation that Docker's own programs accept. Pure.

use std::{net::Ipv6Addr, path::PathBuf};

use serde::Deserialize;

use crate::ui::redact;

/// The default port without TLS, as in Docker's own programs.
const PLAIN_PORT: u16 = 2375;
/// The default port with TLS.
const TLS_PORT: u16 = 2376;

/// The `[docker]` table of the configuration file, and the variables `DOCKER_*`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `unix:///path`, `tcp://host:port` or `http://host:port`. Default `unix:///var/run/docker.sock`.
    pub host: Option<String>,
    /// Use TLS for `tcp://`, and verify the engine's certificate. Default false.
    #[serde(default)]
    pub tls_verify: bool,
    /// A directory with `ca.pem`, `cert.pem` and `key.pem`. Needed with `tls_verify`.
    pub cert_path: Option<PathBuf>,
}

/// A validated address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Unix(String),
    Http(String),
    Tls { url: String, certs: PathBuf },
}

/// Why the settings are invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The host has none of the known forms. It is printed without user and password.
    #[error("Docker host {host:?} is not of the form unix:///path, tcp://host:port or http://host:port: {problem}")]
    Host {
        /// The host as given.
        host: String,
        /// What is wrong with it, and what to write.
        problem: &'static str,
    },
    /// TLS is on without a client certificate.
    #[error(
        "Docker host {0:?} with TLS needs the directory of ca.pem, cert.pem and key.pem: set DOCKER_CERT_PATH or [docker] cert_path"
    )]
    NoCertificates(String),
}

impl Settings {
    /// The address for log lines.
    pub fn address(&self) -> &str {
        self.host.as_deref().unwrap_or("unix:///var/run/docker.sock")
    }

    pub(super) fn endpoint(&self) -> Result<Endpoint, EndpointError> {
        let host = self.address().trim();
        let wrong = |problem| EndpointError::Host { host: redact::address(host), problem };
        let (scheme, host_port) = split_scheme(host).map_err(wrong)?;
        match (&*scheme.to_ascii_lowercase(), host_port) {
            ("unix", path) if path.len() > 1 && path.starts_with('/') => Ok(Endpoint::Unix(path.to_owned())),
            ("unix", _) => Err(wrong("the path of the socket starts with a slash")),
            ("tcp" | "https", host_port) if self.tls_verify => {
                let url = format!("https://{}", authority(host_port, Some(TLS_PORT)).map_err(wrong)?);
                let certs = self.cert_path.clone().ok_or_else(|| EndpointError::NoCertificates(host.to_owned()))?;
                Ok(Endpoint::Tls { url, certs })
            }
            ("https", _) => Err(wrong("TLS needs DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH")),
            ("tcp", host_port) => {
                Ok(Endpoint::Http(format!("http://{}", authority(host_port, Some(PLAIN_PORT)).map_err(wrong)?)))
            }
            ("http", host_port) => Ok(Endpoint::Http(format!("http://{}", authority(host_port, None).map_err(wrong)?))),
            ("ssh", _) => Err(wrong(
                "ssh is not supported; forward the socket with ssh -nNT -L /run/remote-docker.sock:/var/run/docker.sock \
                 USER@HOST, and use unix:///run/remote-docker.sock",
            )),
            ("npipe", _) => Err(wrong("named pipes are for Windows; Portreeve needs an engine on Linux")),
            _ => Err(wrong("the scheme is unknown")),
        }
    }
}

/// Splits into the scheme and the rest. A path is a unix socket, and `host:port` is TCP, as in Docker's own programs.
fn split_scheme(host: &str) -> Result<(&str, &str), &'static str> {
    if let Some(parts) = host.split_once("://") {
        return Ok(parts);
    }
    if host.starts_with('/') {
        return Ok(("unix", host));
    }
    if let Some(path) = host.strip_prefix("unix:").filter(|path| path.starts_with('/')) {
        return Ok(("unix", path));
    }
    match host.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => Ok(("tcp", host)),
        _ => Err("it has no scheme"),
    }
}

/// Normalizes to `host:port` with IPv6 in brackets. An empty host is this machine.
fn authority(host_port: &str, port: Option<u16>) -> Result<String, &'static str> {
    // Checked first, because the other messages could quote a part of the password.
    if host_port.contains('@') {
        return Err("a user and password are not supported");
    }
    let host_port = host_port.strip_suffix('/').unwrap_or(host_port);
    if host_port.contains(['/', '?', '#']) || host_port.contains(char::is_whitespace) {
        return Err("nothing may follow the port");
    }
    let (host, explicit_port) = match host_port.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("the port must follow the bracket")?)),
        None if host_port.parse::<Ipv6Addr>().is_ok() => (host_port, None),
        None => host_port.rsplit_once(':').map_or((host_port, None), |(host, port)| (host, Some(port))),
    };
    let explicit_port = explicit_port.map(|port| {
        port.parse::<u16>().ok().filter(|port| *port != 0).ok_or("the port is not a number from 1 to 65535")
    });
    let port = explicit_port.transpose()?.or(port).map(|port| format!(":{port}")).unwrap_or_default();
    match host {
        "" if has_no_host(host_port) => Err("it has no host"),
        "" => Ok(format!("127.0.0.1{port}")),
        _ if host.contains(':') && host.parse::<Ipv6Addr>().is_err() => Err("the host is not an IPv6 address"),
        _ if host.contains(':') => Ok(format!("[{host}]{port}")),
        _ => Ok(format!("{host}{port}")),
    }
}

fn has_no_host(host_port: &str) -> bool {
    host_port.is_empty() || host_port == "[]"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(host: &str, tls_verify: bool, certs: Option<&str>) -> Result<Endpoint, EndpointError> {
        Settings { host: Some(host.into()), tls_verify, cert_path: certs.map(Into::into) }.endpoint()
    }

    #[test]
    fn every_notation_of_a_host_is_parsed() {
        assert_eq!(Settings::default().endpoint(), Ok(Endpoint::Unix("/var/run/docker.sock".into())));
        for socket in ["unix:///tmp/d.sock", "unix:/tmp/d.sock", "/tmp/d.sock", " unix:///tmp/d.sock\r"] {
            assert_eq!(endpoint(socket, true, None), Ok(Endpoint::Unix("/tmp/d.sock".into())), "{socket:?}");
        }
        let plain = [
            ("tcp://h:2375", "http://h:2375"),
            ("tcp://h", "http://h:2375"),
            ("tcp://h/", "http://h:2375"),
            ("tcp://[::1]", "http://[::1]:2375"),
            ("tcp://::1", "http://[::1]:2375"),
            ("tcp://[2001:db8::1]:99", "http://[2001:db8::1]:99"),
            ("tcp://:99", "http://127.0.0.1:99"),
            ("h:99", "http://h:99"),
            ("http://h:99", "http://h:99"),
            ("http://h", "http://h"),
            ("TCP://h", "http://h:2375"),
        ];
        for (host, url) in plain {
            assert_eq!(endpoint(host, false, None), Ok(Endpoint::Http(url.into())), "{host}");
        }
        for (host, url) in
            [("tcp://h:99", "https://h:99"), ("tcp://h", "https://h:2376"), ("https://h", "https://h:2376")]
        {
            let tls = Endpoint::Tls { url: url.into(), certs: "/c".into() };
            assert_eq!(endpoint(host, true, Some("/c")), Ok(tls), "{host}");
        }
        assert!(matches!(endpoint("tcp://h:2376", true, None), Err(EndpointError::NoCertificates(_))));
    }

    #[test]
    fn invalid_hosts_are_refused_with_a_reason_and_without_the_password() {
        for (host, reason) in [
            ("", "no scheme"),
            ("localhost", "no scheme"),
            ("ssh://bob:s3cret@h", "ssh -nNT -L"),
            ("npipe:////./pipe/docker_engine", "Windows"),
            ("unix://", "starts with a slash"),
            ("unix://rel", "starts with a slash"),
            ("tcp://", "no host"),
            ("tcp://bob:s3cret@h:2375", "not supported"),
            ("tcp://h:99999", "port is not a number"),
            ("tcp://h:2375/v1", "follow the port"),
            ("https://h", "DOCKER_TLS_VERIFY"),
            ("fd://", "unknown"),
        ] {
            let error = endpoint(host, false, None).expect_err(host).to_string();
            assert!(error.contains(reason) && !error.contains("s3cret"), "{host:?}: {error}");
        }
    }
}
