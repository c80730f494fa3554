//! The health check that a container asks for. Pure.

use std::net::IpAddr;

use super::metadata::PortMetadata;
use crate::{
    docker::{Port, Protocol},
    registry::{Check, Probe},
};

/// Time between two probes unless `CHECK_INTERVAL` is given; registrator's default.
const INTERVAL: &str = "10s";

/// Registrator's order: the first of these that is set decides.
const KINDS: [&str; 7] =
    ["check_http", "check_https", "check_cmd", "check_script", "check_ttl", "check_tcp", "check_grpc"];

/// The checks for one port, at the address where others reach it. What cannot be done is noted.
pub(super) fn checks(
    metadata: &PortMetadata<'_>,
    port: Port,
    address: &str,
    published: u16,
    notes: &mut Vec<String>,
) -> Vec<Check> {
    let Some((kind, setting)) = KINDS.iter().find_map(|kind| Some((*kind, metadata.get(kind)?))) else {
        return Vec::new();
    };
    let place = host_and_port(address, published);
    let owned = |key: &str| metadata.value(key).map(str::to_owned);
    let probe = match kind {
        // Meant for the other ports of the container.
        "check_http" | "check_https" | "check_tcp" if port.protocol != Protocol::Tcp && !setting.for_port => {
            return Vec::new();
        }
        "check_http" => Probe::Http { url: url("http", &place, setting.value), method: owned("check_http_method") },
        "check_https" => Probe::Http { url: url("https", &place, setting.value), method: owned("check_https_method") },
        "check_tcp" => Probe::Tcp { address: place },
        _ => {
            notes.push(format!("{} is not carried out: only http, https and tcp checks are", setting.spelled));
            return Vec::new();
        }
    };
    vec![Check {
        probe,
        interval: owned("check_interval").unwrap_or_else(|| INTERVAL.to_owned()),
        timeout: owned("check_timeout"),
        initial_status: owned("check_initial_status"),
        deregister_after: owned("check_deregister_after"),
    }]
}

/// `10.0.0.1:80`, `[2001:db8::1]:80`.
fn host_and_port(address: &str, port: u16) -> String {
    match address.parse() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

fn url(scheme: &str, place: &str, path: &str) -> String {
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{place}{slash}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{fixture::container, metadata::Metadata};

    fn made(pairs: &[(&str, &str)], port: &str, address: &str) -> (Vec<Check>, Vec<String>) {
        let container = pairs.iter().fold(container("web"), |container, (name, value)| container.env(name, value));
        let (metadata, port, mut notes) = (Metadata::read(&container), port.parse().expect("a port"), Vec::new());
        (checks(&metadata.for_port(port), port, address, 8000, &mut notes), notes)
    }

    fn probe(pairs: &[(&str, &str)], port: &str, address: &str) -> String {
        match made(pairs, port, address).0.first().map(|check| &check.probe) {
            Some(Probe::Http { url, .. }) => url.clone(),
            Some(Probe::Tcp { address }) => address.clone(),
            None => "none".into(),
        }
    }

    #[test]
    fn probes() {
        let http: &[_] = &[("SERVICE_CHECK_HTTP", "health")];
        assert_eq!(probe(http, "80/tcp", "10.0.0.1"), "http://10.0.0.1:8000/health");
        assert_eq!(probe(http, "80/tcp", "2001:db8::1"), "http://[2001:db8::1]:8000/health");
        assert_eq!(probe(http, "53/udp", "10.0.0.1"), "none");
        assert_eq!(probe(&[("SERVICE_CHECK_HTTPS", "/h")], "80/tcp", "10.0.0.1"), "https://10.0.0.1:8000/h");
        assert_eq!(probe(&[("SERVICE_CHECK_TCP", "1")], "80/tcp", "::1"), "[::1]:8000");
        assert_eq!(probe(&[("SERVICE_53_CHECK_TCP", "1")], "53/udp", "10.0.0.1"), "10.0.0.1:8000");
        assert_eq!(probe(&[("SERVICE_CHECK_INITIAL_STATUS", "passing")], "80/tcp", "10.0.0.1"), "none");
    }

    #[test]
    fn settings_of_a_check() {
        let pairs: &[_] = &[
            ("SERVICE_CHECK_HTTP", "/"),
            ("SERVICE_CHECK_HTTP_METHOD", "HEAD"),
            ("SERVICE_CHECK_TIMEOUT", "2s"),
            ("SERVICE_CHECK_INITIAL_STATUS", "passing"),
            ("SERVICE_CHECK_DEREGISTER_AFTER", "10m"),
        ];
        let (checks, _) = made(pairs, "80/tcp", "h");
        let [check] = &checks[..] else { panic!("{checks:?}") };
        assert_eq!(check.probe, Probe::Http { url: "http://h:8000/".into(), method: Some("HEAD".into()) });
        assert_eq!((check.interval.as_str(), check.timeout.as_deref()), ("10s", Some("2s")));
        assert_eq!(
            (check.initial_status.as_deref(), check.deregister_after.as_deref()),
            (Some("passing"), Some("10m"))
        );
    }

    #[test]
    fn a_check_that_we_cannot_give_is_noted() {
        let (checks, notes) = made(&[("SERVICE_CHECK_SCRIPT", "true"), ("SERVICE_CHECK_TCP", "1")], "80/tcp", "h");
        assert_eq!(checks, []);
        assert_eq!(notes, ["SERVICE_CHECK_SCRIPT is not carried out: only http, https and tcp checks are"]);
    }
}
