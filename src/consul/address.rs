//! The address of an agent, in every notation that Consul's own tools and registrator accept. Pure.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    str::FromStr,
};

use reqwest::Url;
use serde::Deserialize;

use crate::ui::redact;

const DEFAULT_HOST: &str = "127.0.0.1";

/// The address of an agent. Default `http://127.0.0.1:8500`.
///
/// ```
/// use portreeve::consul::Address;
///
/// for (given, expected) in [
///     ("consul.lan:8500", "http://consul.lan:8500"),
///     ("https://consul.lan", "https://consul.lan"),
///     ("consul://", "http://127.0.0.1:8500"),
///     ("consul-tls://consul.lan", "https://consul.lan:8501"),
///     ("consul-unix:///run/consul.sock", "unix:///run/consul.sock"),
/// ] {
///     assert_eq!(given.parse::<Address>().unwrap().to_string(), expected);
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Address {
    /// HTTP or HTTPS over TCP. The path of the URL is the prefix of every call, for an agent behind a proxy.
    Url(Url),
    /// Plain HTTP over a unix socket.
    Unix(PathBuf),
}

/// Why an address is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{address:?} is not the address of a Consul agent: {problem} (write host:port, http://, https:// or unix:///path)"
)]
pub struct AddressError {
    address: String,
    problem: String,
}

/// The scheme of the URL and the default port; `None` if the scheme is unknown.
///
/// `http://` and `https://` without a port use the port of the protocol, as in Consul's own tools. All other forms use
/// the port of an agent.
fn scheme_defaults(scheme: &str) -> Option<(&'static str, Option<u16>)> {
    match scheme {
        "" | "consul" => Some(("http", Some(8500))),
        "consul-tls" => Some(("https", Some(8501))),
        "http" => Some(("http", None)),
        "https" => Some(("https", None)),
        _ => None,
    }
}

impl Address {
    /// Whether the agent is on this machine, where compressing a response takes longer than sending it.
    pub(super) fn is_local(&self) -> bool {
        let Self::Url(url) = self else { return true };
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The same address with HTTPS.
    ///
    /// # Errors
    /// The address is a unix socket.
    pub(super) fn with_tls(mut self) -> Result<Self, &'static str> {
        match &mut self {
            Self::Url(url) => {
                url.set_scheme("https").expect("both http and https are special schemes");
                Ok(self)
            }
            Self::Unix(_) => Err("TLS needs TCP, and the address is a unix socket"),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(address: &str) -> Result<Self, AddressError> {
        parse(address).map_err(|problem| AddressError { address: redact::address(address), problem })
    }
}

fn parse(address: &str) -> Result<Address, String> {
    let (scheme, rest) = address.trim().split_once("://").unwrap_or(("", address.trim()));
    let scheme = &*scheme.to_ascii_lowercase();
    if matches!(scheme, "unix" | "consul-unix") {
        return if rest.len() > 1 && rest.starts_with('/') {
            Ok(Address::Unix(rest.into()))
        } else {
            Err("the path of a unix socket starts with a slash".into())
        };
    }
    let (scheme, port) = scheme_defaults(scheme).ok_or_else(|| match scheme {
        "consulkv" | "consulkv-unix" | "etcd" | "etcd-tls" | "skydns2" | "zookeeper" | "zookeeper-path" => {
            format!("the scheme {scheme:?} is that of another registry, and Portreeve writes to Consul only")
        }
        _ => format!("the scheme {scheme:?} is unknown"),
    })?;
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    // Checked first, because the other messages could quote a part of the password (it may contain a slash).
    if rest.contains('@') {
        return Err("put user and password into CONSUL_HTTP_AUTH or [consul] http_auth, as user:password".into());
    }
    if rest.contains(['?', '#']) {
        return Err("nothing may follow the path".into());
    }
    let (host, explicit_port) = split_port(authority)?;
    let (host, port) = match host {
        // Without a host, every form means the agent on this machine.
        "" => (DEFAULT_HOST, explicit_port.or(port).or(Some(8500))),
        _ => (host, explicit_port.or(port)),
    };
    let bracketed = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let url = format!("{scheme}://{bracketed}{port}{}", path.trim_end_matches('/'));
    Url::parse(&url).map(Address::Url).map_err(|error| error.to_string())
}

/// The host without brackets, and the port.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), String> {
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Ok((authority, None));
    }
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, "")) => (host, None),
        Some((host, port)) => (host, Some(port.strip_prefix(':').ok_or("the port must follow the bracket")?)),
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map(|port| port.parse().map_err(|_| format!("{port:?} is not a port"))).transpose()?;
    Ok((host, port))
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(address: String) -> Result<Self, AddressError> {
        address.parse()
    }
}

impl Default for Address {
    fn default() -> Self {
        parse("").expect("an empty address is the local agent")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url.as_str().trim_end_matches('/')),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_notation_is_parsed() {
        for (given, expected) in [
            ("", "http://127.0.0.1:8500"),
            (" 10.0.0.1:8500 ", "http://10.0.0.1:8500"),
            ("consul.lan", "http://consul.lan:8500"),
            (":8600", "http://127.0.0.1:8600"),
            ("host:80", "http://host"),
            ("::1", "http://[::1]:8500"),
            ("[::1]", "http://[::1]:8500"),
            ("[::1]:8600", "http://[::1]:8600"),
            ("http://", "http://127.0.0.1:8500"),
            ("http://:8600", "http://127.0.0.1:8600"),
            ("http://host", "http://host"),
            ("http://host:8500/", "http://host:8500"),
            ("https://host/behind/proxy/", "https://host/behind/proxy"),
            ("https://[fe80::1]:8501", "https://[fe80::1]:8501"),
            ("consul://", "http://127.0.0.1:8500"),
            ("consul://host", "http://host:8500"),
            ("consul://host:8600", "http://host:8600"),
            ("CONSUL://host", "http://host:8500"),
            ("Http://host", "http://host"),
            ("UNIX:///run/Consul.sock", "unix:///run/Consul.sock"),
            ("consul-tls://host:8501", "https://host:8501"),
            ("consul-tls://host", "https://host:8501"),
            ("unix:///run/consul.sock", "unix:///run/consul.sock"),
            ("consul-unix:///run/consul.sock", "unix:///run/consul.sock"),
        ] {
            let address: Address = given.parse().expect(given);
            assert_eq!(address.to_string(), expected, "{given:?}");
            assert_eq!(expected.parse::<Address>().as_ref(), Ok(&address), "{given:?}: printing and parsing");
        }
    }

    #[test]
    fn invalid_addresses_are_refused_with_a_reason() {
        for (given, reason) in [
            ("etcd://host:2379", "scheme \"etcd\""),
            ("host:port", "\"port\" is not a port"),
            ("host:70000", "\"70000\" is not a port"),
            ("http://user:pass@host:8500", "http_auth"),
            ("consul://user:my/pass@host:8500", "http_auth"),
            ("user:pass@host:8500", "http_auth"),
            ("http://host:8500/?dc=x", "follow the path"),
            ("http://host:8500/?token=my/pass@", "http_auth"),
            ("http://host:8500?token=my-pass", "follow the path"),
            ("unix://run/consul.sock", "starts with a slash"),
            ("unix:///", "starts with a slash"),
            ("[::1]8500", "follow the bracket"),
            ("ho st:8500", "invalid"),
        ] {
            let error = given.parse::<Address>().expect_err(given).to_string();
            assert!(error.contains(reason) && !error.contains("my") && !error.contains("pass@"), "{given:?}: {error}");
        }
    }

    #[test]
    fn local_addresses_are_recognized() {
        let local = |address: &str| address.parse::<Address>().expect("an address").is_local();
        assert!(["", "localhost:8500", "https://127.0.0.2", "[::1]:8500", "unix:///s"].into_iter().all(local));
        assert!(!["10.0.0.1:8500", "https://consul.lan", "[fe80::1]:8500"].into_iter().any(local));
    }

    #[test]
    fn tls_keeps_the_port() {
        let secured =
            |address: &str| address.parse::<Address>().expect("an address").with_tls().map(|it| it.to_string());
        assert_eq!(secured("127.0.0.1:8500").as_deref(), Ok("https://127.0.0.1:8500"));
        assert_eq!(secured("https://host").as_deref(), Ok("https://host"));
        assert!(secured("unix:///run/consul.sock").is_err());
    }
}
