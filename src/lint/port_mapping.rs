//! The `ports:` and `expose:` of a Compose file. Pure.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{
    finding::SourcePosition,
    text::ComposeText,
    yaml::{YamlNode, YamlValue},
};
use crate::docker::{Port, Protocol};

/// An item of `ports:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PortMapping {
    pub(super) position: SourcePosition,
    /// The ports inside the container; `None` if they depend on a variable, or cannot be read.
    pub(super) container_ports: Option<RangeInclusive<u16>>,
    pub(super) protocol: Protocol,
    /// The ports of the host.
    pub(super) host_ports: HostPorts,
    /// The address on the host; `None` means all addresses.
    pub(super) host_ip: Option<IpAddr>,
    /// Whether swarm's load balancer publishes the host's port (`mode: ingress`) instead of each container.
    pub(super) is_ingress: bool,
    /// Why Compose refuses it; `None` if it is valid.
    pub(super) problem: Option<String>,
}

/// The ports of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum HostPorts {
    /// Any free port.
    Any,
    /// These ports.
    Fixed(RangeInclusive<u16>),
    /// They depend on a variable.
    Unknown,
}

impl PortMapping {
    /// Each port inside the container.
    pub(super) fn ports(&self) -> impl Iterator<Item = Port> {
        let protocol = self.protocol;
        self.container_ports.clone().into_iter().flatten().map(move |number| Port { number, protocol })
    }
}

/// Reads the short form (`[[IP:]HOST:]CONTAINER[/PROTOCOL]`) or the long one.
pub(super) fn parse(node: &YamlNode) -> PortMapping {
    match node.text() {
        Some(text) => parse_short(node.position, &ComposeText::parse(text).value),
        None => parse_long(node),
    }
}

/// Reads an item of `expose:`, which may be a range. Returns its ports, and why Compose refuses it.
pub(super) fn parse_expose(text: &str) -> (Vec<Port>, Option<String>) {
    let mapping = parse_short(SourcePosition::default(), &ComposeText::parse(text).value);
    (mapping.ports().collect(), mapping.problem)
}

fn parse_short(position: SourcePosition, item: &str) -> PortMapping {
    let (text, protocol) = item.split_once('/').unwrap_or((item, "tcp"));
    let (host, target) = text.rsplit_once(':').unwrap_or(("", text));
    let (ip, published) = match host.rsplit_once(':') {
        // In `127.0.0.1::80` the port is empty, which means any free one.
        Some((ip, published)) => (Some(ip), published),
        None => (None, host),
    };
    let ip = ip.map(|ip| ip.trim_start_matches('[').trim_end_matches(']'));
    let parts = PortMappingParts { target: Some(target), published, protocol, ip: ip.unwrap_or_default() };
    let problem = parts.problem().map(|problem| format!("Compose refuses the port {item:?}: {problem}"));
    PortMapping {
        position,
        container_ports: parse_port_range(target),
        protocol: protocol.to_ascii_lowercase().parse().unwrap_or(Protocol::Tcp),
        host_ports: self::parse_host_ports(published),
        host_ip: ip.and_then(|ip| ip.parse().ok()),
        is_ingress: false,
        problem,
    }
}

fn parse_long(node: &YamlNode) -> PortMapping {
    let text = |key: &str| node.get(key).and_then(YamlNode::text).map(|text| ComposeText::parse(text).value);
    let (target, published, protocol, ip) = (text("target"), text("published"), text("protocol"), text("host_ip"));
    let parts = PortMappingParts {
        target: target.as_deref(),
        published: published.as_deref().unwrap_or_default(),
        protocol: protocol.as_deref().unwrap_or("tcp"),
        ip: ip.as_deref().unwrap_or_default(),
    };
    let problem = parts.problem().filter(|_| matches!(node.value, YamlValue::Mapping(_)));
    let problem = problem.map(|problem| format!("Compose refuses this port: {problem}"));
    PortMapping {
        position: node.position,
        container_ports: target.as_deref().and_then(parse_port_range),
        protocol: protocol.and_then(|protocol| protocol.parse().ok()).unwrap_or(Protocol::Tcp),
        host_ports: self::parse_host_ports(&published.unwrap_or_default()),
        host_ip: ip.and_then(|ip| ip.parse().ok()),
        is_ingress: text("mode").as_deref() == Some("ingress"),
        problem,
    }
}

/// The parts as they are written; empty if omitted.
struct PortMappingParts<'a> {
    /// `None` if the long form lacks it.
    target: Option<&'a str>,
    published: &'a str,
    protocol: &'a str,
    ip: &'a str,
}

impl PortMappingParts<'_> {
    /// Why Compose refuses them. Parts that contain a variable may be valid.
    fn problem(&self) -> Option<String> {
        let is_bad = |text: &str| parse_port_range(text).is_none() && !text.contains(ComposeText::UNKNOWN_VALUE);
        let no_port = |text: &str| format!("{text:?} is not a port or a range of ports from 1 to 65535");
        let Some(target) = self.target else {
            return Some("it has no target, the port inside the container".to_owned());
        };
        if target.is_empty() {
            return Some("the port inside the container is missing".to_owned());
        }
        if is_bad(target) || parse_port_range(target).is_some_and(|range| *range.start() == 0) {
            return Some(no_port(target));
        }
        if !self.published.is_empty() && is_bad(self.published) {
            let address = self.published.parse::<IpAddr>().ok();
            let hint = address.map(|ip| format!("{ip} is an address: any port of it is {ip}::{target}"));
            return Some(hint.unwrap_or_else(|| no_port(self.published)));
        }
        if !(self.ip.is_empty() || self.ip.contains(ComposeText::UNKNOWN_VALUE)) && self.ip.parse::<IpAddr>().is_err() {
            return Some(format!("{:?} is not an IP address", self.ip));
        }
        if !self.protocol.contains(ComposeText::UNKNOWN_VALUE) && self.protocol.parse::<Protocol>().is_err() {
            return Some(format!("{:?} is not a protocol: write tcp, udp or sctp", self.protocol));
        }
        let (inside, outside) = (parse_port_range(target)?.count(), parse_port_range(self.published)?.count());
        (inside > 1 && inside != outside).then(|| format!("{inside} ports do not fit {outside} ports of the host"))
    }
}

fn parse_host_ports(text: &str) -> HostPorts {
    match parse_port_range(text) {
        Some(range) if *range.start() == 0 => HostPorts::Any,
        Some(range) => HostPorts::Fixed(range),
        None if text.is_empty() => HostPorts::Any,
        None => HostPorts::Unknown,
    }
}

/// A port or a range of ports; `None` if it is neither.
fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse().ok().filter(|_| text.starts_with(|first: char| first.is_ascii_digit()));
    Some(number(first)?..=number(last)?).filter(|range: &RangeInclusive<u16>| !range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::yaml;

    fn mapping_text(item: &str) -> String {
        let node = yaml::parse_documents(item).expect("valid").remove(0);
        let read = parse(&node);
        let target = read.container_ports.map_or("?".to_owned(), |range| format!("{range:?}"));
        let ip = read.host_ip.map_or(String::new(), |ip| format!("{ip} "));
        let published = match read.host_ports {
            HostPorts::Any => "any".to_owned(),
            HostPorts::Fixed(range) => format!("{range:?}"),
            HostPorts::Unknown => "?".to_owned(),
        };
        format!("{ip}{published} -> {target}/{}", read.protocol.as_str())
    }

    #[test]
    fn short_forms() {
        let cases = [
            ("'80'", "any -> 80..=80/tcp"),
            ("'8000:80'", "8000..=8000 -> 80..=80/tcp"),
            ("3000-3005", "any -> 3000..=3005/tcp"),
            ("'9090-9091:8080-8081'", "9090..=9091 -> 8080..=8081/tcp"),
            ("'127.0.0.1:8001:8001'", "127.0.0.1 8001..=8001 -> 8001..=8001/tcp"),
            ("'127.0.0.1::5000'", "127.0.0.1 any -> 5000..=5000/tcp"),
            ("'[::1]:6000:6000/udp'", "::1 6000..=6000 -> 6000..=6000/udp"),
            ("'${PORT:-8000}:80'", "? -> 80..=80/tcp"),
            ("'8000:${PORT}'", "8000..=8000 -> ?/tcp"),
            ("'0:80'", "any -> 80..=80/tcp"),
        ];
        for (item, expected) in cases {
            assert_eq!(mapping_text(item), expected, "{item}");
        }
    }

    #[test]
    fn long_forms() {
        assert_eq!(mapping_text("{target: 80}"), "any -> 80..=80/tcp");
        let full = "{target: 80, published: \"8000-8009\", protocol: udp, host_ip: 10.0.0.1, mode: host}";
        assert_eq!(mapping_text(full), "10.0.0.1 8000..=8009 -> 80..=80/udp");
        assert_eq!(mapping_text("{published: 1}"), "1..=1 -> ?/tcp");
    }

    #[test]
    fn mappings_that_compose_refuses() {
        let problem = |item: &str| parse(&yaml::parse_documents(item).expect("valid").remove(0)).problem;
        for (item, expected) in [
            ("'70000:1'", "\"70000\" is not a port"),
            ("x", "\"x\" is not a port"),
            ("'80:'", "is missing"),
            ("'0'", "\"0\" is not a port"),
            ("'+80'", "\"+80\" is not a port"),
            ("'90-80'", "\"90-80\" is not a port"),
            ("'127.0.0.1:80'", "127.0.0.1::80"),
            ("'a:80:80'", "\"a\" is not an IP address"),
            ("'80:80/xyz'", "\"xyz\" is not a protocol"),
            ("'8000-8001:80-82'", "3 ports do not fit 2 ports"),
            ("{published: 80}", "has no target"),
            ("{target: 80, published: many}", "\"many\" is not a port"),
            ("{target: 80, host_ip: here}", "\"here\" is not an IP address"),
        ] {
            assert!(problem(item).is_some_and(|problem| problem.contains(expected)), "{item}: {:?}", problem(item));
        }
        for good in ["'80'", "'0:80'", "'8000-8009:80'", "'${A}:80/${B}'", "'${IP}::80'", "'[::1]:80:80/TCP'", "~"] {
            assert_eq!(problem(good), None, "{good}");
        }
    }

    #[test]
    fn exposed_ports() {
        let numbers = |text: &str| parse_expose(text).0.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(numbers("80"), ["80/tcp"]);
        assert_eq!(numbers("53-54/udp"), ["53/udp", "54/udp"]);
        assert_eq!(numbers("$X"), [""; 0]);
    }
}
