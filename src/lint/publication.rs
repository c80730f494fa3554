//! The `ports:` and `expose:` of a Compose file. Pure.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{finding::Place, text::Text, yaml::Node};
use crate::docker::{Port, Protocol};

/// An item of `ports:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Publication {
    pub(super) place: Place,
    /// The ports inside the container; `None` if they depend on a variable, or cannot be read.
    pub(super) target: Option<RangeInclusive<u16>>,
    pub(super) protocol: Protocol,
    /// Where it is on the host.
    pub(super) published: Published,
    /// The address there; all addresses if none is given.
    pub(super) ip: Option<IpAddr>,
    /// The swarm's own load balancer has the host's port (`mode: ingress`), not each container.
    pub(super) ingress: bool,
}

/// The ports of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Published {
    /// Any that is free.
    Any,
    /// These.
    Fixed(RangeInclusive<u16>),
    /// They depend on a variable.
    Unknown,
}

impl Publication {
    /// Each port inside the container.
    pub(super) fn ports(&self) -> impl Iterator<Item = Port> {
        let protocol = self.protocol;
        self.target.clone().into_iter().flatten().map(move |number| Port { number, protocol })
    }
}

/// Reads the short form (`[[IP:]HOST:]CONTAINER[/PROTOCOL]`) or the long one.
pub(super) fn read(node: &Node) -> Publication {
    match node.text() {
        Some(text) => short(node.place, &Text::read(text).value),
        None => long(node),
    }
}

/// Reads an item of `expose:`, which may be a range.
pub(super) fn exposed(text: &str) -> Vec<Port> {
    let publication = short(Place::default(), &Text::read(text).value);
    publication.ports().collect()
}

fn short(place: Place, text: &str) -> Publication {
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (host, target) = text.rsplit_once(':').unwrap_or(("", text));
    let (ip, published) = match host.rsplit_once(':') {
        Some((ip, published)) => (Some(ip), published),
        // An address alone, and any port: 127.0.0.1::80.
        None => (None, host),
    };
    Publication {
        place,
        target: range(target),
        protocol: protocol.to_ascii_lowercase().parse().unwrap_or(Protocol::Tcp),
        published: self::published(published),
        ip: ip.and_then(|ip| ip.trim_start_matches('[').trim_end_matches(']').parse().ok()),
        ingress: false,
    }
}

fn long(node: &Node) -> Publication {
    let text = |key: &str| node.get(key).and_then(Node::text).map(|text| Text::read(text).value);
    Publication {
        place: node.place,
        target: text("target").as_deref().and_then(range),
        protocol: text("protocol").and_then(|protocol| protocol.parse().ok()).unwrap_or(Protocol::Tcp),
        published: published(&text("published").unwrap_or_default()),
        ip: text("host_ip").and_then(|ip| ip.parse().ok()),
        ingress: text("mode").as_deref() == Some("ingress"),
    }
}

fn published(text: &str) -> Published {
    match range(text) {
        Some(range) if *range.start() == 0 => Published::Any,
        Some(range) => Published::Fixed(range),
        None if text.is_empty() => Published::Any,
        None => Published::Unknown,
    }
}

fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some(first.parse().ok()?..=last.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lint::yaml;

    fn shown(item: &str) -> String {
        let node = yaml::read(item).expect("valid").remove(0);
        let read = read(&node);
        let target = read.target.map_or("?".to_owned(), |range| format!("{range:?}"));
        let ip = read.ip.map_or(String::new(), |ip| format!("{ip} "));
        let published = match read.published {
            Published::Any => "any".to_owned(),
            Published::Fixed(range) => format!("{range:?}"),
            Published::Unknown => "?".to_owned(),
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
            assert_eq!(shown(item), expected, "{item}");
        }
    }

    #[test]
    fn long_forms() {
        assert_eq!(shown("{target: 80}"), "any -> 80..=80/tcp");
        let full = "{target: 80, published: \"8000-8009\", protocol: udp, host_ip: 10.0.0.1, mode: host}";
        assert_eq!(shown(full), "10.0.0.1 8000..=8009 -> 80..=80/udp");
        assert_eq!(shown("{published: 1}"), "1..=1 -> ?/tcp");
    }

    #[test]
    fn exposed_ports() {
        let numbers = |text: &str| exposed(text).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(numbers("80"), ["80/tcp"]);
        assert_eq!(numbers("53-54/udp"), ["53/udp", "54/udp"]);
        assert_eq!(numbers("$X"), [""; 0]);
    }
}
