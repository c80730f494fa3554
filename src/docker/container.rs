//! The properties of a container that its instances depend on. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    net::IpAddr,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::Network;
use crate::core::value::parse_number;

/// The result of the last inspection of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The inspection succeeded.
    Inspected(Arc<Container>),
    /// The container exists, but it was not inspected yet or the inspection fails. Nothing may be concluded from that.
    Unreadable,
    /// The container is missing from a full list, and no event has reported why. The next list decides.
    Missing,
}

/// The description of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name, without Docker's leading slash.
    pub name: String,
    /// The image as given at the creation: a name with tag, a digest, or an id.
    pub image: String,
    /// The environment variables, in the order of the engine. Those without `=` are left out.
    pub env: Vec<(String, String)>,
    /// The labels, including those of the image.
    pub labels: BTreeMap<String, String>,
    /// Whether the main process runs (it may be paused).
    pub running: bool,
    /// Whether all processes are frozen.
    pub paused: bool,
    /// The start time of the main process, in the notation of the engine.
    pub started_at: String,
    /// The exit code of the last run; `None` while it runs.
    pub exit_code: Option<i64>,
    /// The state of the HEALTHCHECK; `None` without one.
    pub health: Option<Health>,
    /// The times of the last starts, from events, in ascending order.
    pub starts: Vec<Timestamp>,
    /// The ports that the image or the command line exposes.
    pub exposed_ports: BTreeSet<Port>,
    /// The invalid items among the ports, such as `0/tcp` or an unknown protocol.
    pub invalid_ports: Vec<String>,
    /// The bindings of each port on the host. Empty for a port that is not published.
    pub bindings: BTreeMap<Port, Vec<PortBinding>>,
    /// `bridge`, `host`, `none`, `container:ID`, or the name of a network.
    pub network_mode: String,
    /// The addresses of the container, by the name of the network.
    pub networks: BTreeMap<String, NetworkAddress>,
    /// The signal that `docker stop` sends.
    pub stop_signal: i32,
    /// When the engine last sent the stop signal. Only an event reports that, so it is copied to the next description.
    pub stop_signal_sent_at: Option<Timestamp>,
}

/// The first twelve characters of a container's id, as `docker ps` shows it.
pub fn short_id(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

impl Container {
    /// See [`short_id`].
    pub fn short_id(&self) -> &str {
        short_id(&self.id)
    }

    /// The time since the current run of the container received its stop signal; `None` if it did not. A signal to an
    /// earlier run does not count.
    pub fn time_since_stop_signal(&self, now: Timestamp) -> Option<Duration> {
        let sent = self.stop_signal_sent_at.filter(|sent| self.was_started_before(*sent))?;
        Some(now.duration_since(sent).try_into().unwrap_or(Duration::ZERO))
    }

    /// Whether the current run of the container began before `time`.
    pub(super) fn was_started_before(&self, time: Timestamp) -> bool {
        time > Timestamp::from_str(&self.started_at).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The state of a container's HEALTHCHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The status.
    pub status: HealthStatus,
    /// The output of the last probe.
    pub output: String,
}

/// The status of a HEALTHCHECK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// There is no result yet.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// Several probes in a row failed.
    Unhealthy,
}

/// A port inside a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The port number.
    pub number: u16,
    /// The transport protocol.
    pub protocol: Protocol,
}

/// A transport protocol that Docker can publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// The name in Docker's notation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

impl FromStr for Protocol {
    type Err = ();

    /// Parses a name. Upper and lower case are equivalent, because images use both.
    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Tcp, Self::Udp, Self::Sctp];
        all.into_iter().find(|protocol| protocol.as_str().eq_ignore_ascii_case(text)).ok_or(())
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.protocol.as_str())
    }
}

impl FromStr for Port {
    type Err = ();

    /// Parses `80/tcp`, or `80`, which is TCP. 0 is not a port.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, protocol) = split_protocol(text);
        Ok(Self { number: port_number(number).ok_or(())?, protocol: protocol.parse()? })
    }
}

impl Port {
    /// The ports of `80/tcp` or of a range such as `33060-33061/tcp`; `None` if the text is neither.
    pub fn range(text: &str) -> Option<impl Iterator<Item = Self> + use<>> {
        let (numbers, protocol) = split_protocol(text);
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (first, last, protocol) = (port_number(first)?, port_number(last)?, protocol.parse().ok()?);
        (first <= last).then(|| (first..=last).map(move |number| Self { number, protocol }))
    }
}

/// Splits into number and protocol. The default protocol is tcp.
fn split_protocol(text: &str) -> (&str, &str) {
    let (number, protocol) = text.split_once('/').unwrap_or((text, ""));
    let protocol = Some(protocol.trim()).filter(|protocol| !protocol.is_empty());
    (number, protocol.unwrap_or("tcp"))
}

fn port_number(text: &str) -> Option<u16> {
    parse_number(text.trim()).filter(|number| *number != 0)
}

/// An address and a port of the host at which a container port is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortBinding {
    /// The address of the host. The unspecified address (`0.0.0.0`, `::`) means all addresses.
    pub ip: IpAddr,
    /// The port on the host.
    pub port: u16,
}

/// The addresses of a container in one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkAddress {
    /// The id of the network; empty if the engine does not report it.
    pub id: String,
    /// The IPv4 address.
    pub v4: Option<IpAddr>,
    /// The global IPv6 address.
    pub v6: Option<IpAddr>,
    /// The properties of the network; empty while they are unknown.
    pub network: Network,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_parsed_in_the_notation_of_docker() {
        assert_eq!("80/tcp".parse(), Ok(Port { number: 80, protocol: Protocol::Tcp }));
        assert_eq!("53/udp".parse(), Ok(Port { number: 53, protocol: Protocol::Udp }));
        assert_eq!("9/sctp".parse::<Port>().map(|port| port.to_string()), Ok("9/sctp".into()));
        assert_eq!("80/TCP".parse(), Ok(Port { number: 80, protocol: Protocol::Tcp }));
        for bad in ["80/quic", "x/tcp", "0/tcp", "70000", ""] {
            assert!(bad.parse::<Port>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn port_ranges_are_parsed() {
        let read = |text: &str| Port::range(text).map(|ports| ports.map(|port| port.to_string()).collect::<Vec<_>>());
        assert_eq!(read("33060-33061/Tcp"), Some(vec!["33060/tcp".into(), "33061/tcp".into()]));
        assert_eq!(read("8080"), Some(vec!["8080/tcp".into()]));
        assert_eq!(read("53/"), Some(vec!["53/tcp".into()]));
        assert_eq!(read("65535-65535/UDP"), Some(vec!["65535/udp".into()]));
        for bad in ["2-1/tcp", "0-3/tcp", "1-x", "-", "1-2-3", "65535-65536"] {
            assert!(read(bad).is_none(), "{bad:?}");
        }
    }
}
