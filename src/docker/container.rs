//! One container, reduced to what decides about its services. Pure.

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

/// What the last look at a container showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The engine described it.
    Inspected(Arc<Container>),
    /// It exists, but was not described yet, or the engine fails to: nothing may be concluded from that.
    Unreadable,
    /// A full list did not show it any more, and no event told why. The next list decides.
    Missing,
}

/// A container as the engine described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The full id.
    pub id: String,
    /// The name, without Docker's leading slash.
    pub name: String,
    /// The image as it was asked for at creation: a name with tag, a digest, or an id.
    pub image: String,
    /// Environment variables, in the order of the engine; those without `=` are left out.
    pub env: Vec<(String, String)>,
    /// Labels, those of the image included.
    pub labels: BTreeMap<String, String>,
    /// The main process runs (it may be paused).
    pub running: bool,
    /// All its processes are frozen.
    pub paused: bool,
    /// When the main process was started, as the engine wrote it.
    pub started_at: String,
    /// The exit code of the last run, if it has ended.
    pub exit_code: Option<i64>,
    /// What the container's HEALTHCHECK says, if it has one.
    pub health: Option<Health>,
    /// The last starts that events told of, the latest last.
    pub starts: Vec<Timestamp>,
    /// The ports that the image or the command line exposes.
    pub exposed_ports: BTreeSet<Port>,
    /// What the engine lists among the ports and is none: `0/tcp`, an unknown protocol.
    pub invalid_ports: Vec<String>,
    /// Where each port is published on the host; empty for a port that is not published.
    pub bindings: BTreeMap<Port, Vec<PortBinding>>,
    /// `bridge`, `host`, `none`, `container:ID`, or the name of a network.
    pub network_mode: String,
    /// Its addresses, by name of the network.
    pub networks: BTreeMap<String, NetworkAddress>,
    /// The signal that `docker stop` sends.
    pub stop_signal: i32,
    /// When the engine last sent it its stop signal. No inspection shows that: it comes from an event, and is kept here.
    pub stop_signal_sent_at: Option<Timestamp>,
}

impl Container {
    /// The first twelve characters of the id, as `docker ps` shows it.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// How long ago this run of the container got its stop signal. A signal to an earlier run does not count.
    pub fn time_since_stop_signal(&self, now: Timestamp) -> Option<Duration> {
        let sent = self.stop_signal_sent_at.filter(|sent| self.was_started_before(*sent))?;
        Some(now.duration_since(sent).try_into().unwrap_or(Duration::ZERO))
    }

    /// Whether this run of the container began before `time`.
    pub(super) fn was_started_before(&self, time: Timestamp) -> bool {
        time > Timestamp::from_str(&self.started_at).unwrap_or(Timestamp::UNIX_EPOCH)
    }
}

/// The state of a container's HEALTHCHECK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// What the last probe has written.
    pub output: String,
}

/// The verdict of a HEALTHCHECK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// No verdict yet.
    Starting,
    /// The last probe was good.
    Healthy,
    /// Several probes in a row were bad.
    Unhealthy,
}

/// A port inside a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port {
    /// The number inside the container.
    pub number: u16,
    /// The transport.
    pub protocol: Protocol,
}

/// A transport that Docker can publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// The default.
    Tcp,
    /// Datagrams.
    Udp,
    /// Rare.
    Sctp,
}

impl Protocol {
    /// As Docker writes it.
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

    /// In small letters or capitals, as images write it.
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

    /// `80/tcp`; a bare `80` is tcp. There is no port 0.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (number, protocol) = split_protocol(text);
        Ok(Self { number: port_number(number).ok_or(())?, protocol: protocol.parse()? })
    }
}

impl Port {
    /// One port, or each of a range: `33060-33061/tcp`. `None` if the text names no port.
    pub fn range(text: &str) -> Option<impl Iterator<Item = Self> + use<>> {
        let (numbers, protocol) = split_protocol(text);
        let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
        let (first, last, protocol) = (port_number(first)?, port_number(last)?, protocol.parse().ok()?);
        (first <= last).then(|| (first..=last).map(move |number| Self { number, protocol }))
    }
}

/// Number and protocol.
fn split_protocol(text: &str) -> (&str, &str) {
    let (number, protocol) = text.split_once('/').unwrap_or((text, ""));
    let protocol = Some(protocol.trim()).filter(|protocol| !protocol.is_empty());
    (number, protocol.unwrap_or("tcp"))
}

fn port_number(text: &str) -> Option<u16> {
    parse_number(text.trim()).filter(|number| *number != 0)
}

/// One place on the host where a port is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PortBinding {
    /// The host's address that was bound; unspecified (`0.0.0.0`, `::`) means all of them.
    pub ip: IpAddr,
    /// The port on the host.
    pub port: u16,
}

/// A container's addresses on one network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkAddress {
    /// The network's id; empty where the engine does not tell it.
    pub id: String,
    /// IPv4.
    pub v4: Option<IpAddr>,
    /// Global IPv6.
    pub v6: Option<IpAddr>,
    /// The properties of the network itself; empty while they are not known.
    pub network: Network,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read_as_docker_writes_them() {
        assert_eq!("80/tcp".parse(), Ok(Port { number: 80, protocol: Protocol::Tcp }));
        assert_eq!("53/udp".parse(), Ok(Port { number: 53, protocol: Protocol::Udp }));
        assert_eq!("9/sctp".parse::<Port>().map(|port| port.to_string()), Ok("9/sctp".into()));
        assert_eq!("80/TCP".parse(), Ok(Port { number: 80, protocol: Protocol::Tcp }));
        for bad in ["80/quic", "x/tcp", "0/tcp", "70000", ""] {
            assert!(bad.parse::<Port>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ranges_are_read_as_images_write_them() {
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
