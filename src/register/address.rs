//! Where others reach a port: an address and a port that belong together. Pure.
//!
//! In this order: what the container says of itself (`SERVICE_ADDRESS`), the label named by `--use-ip-from-label`, the
//! container's own address under `--internal`, `--ip`, a specific address that the port is published on, and last the
//! address that the registry's agent advertises. A port that is published for one family is registered at an address of
//! that family.

use std::fmt;

use super::{
    instances::{Host, Skip},
    limits,
    metadata::PortMetadata,
    reach,
};
use crate::{
    core::value::{clean, number},
    docker::{Binding, Container, Port},
};

/// Where others reach a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// An IP address, or a host name that an operator gave.
    pub(super) address: String,
    /// The port that belongs to `address`.
    pub(super) port: u16,
    /// Why it is that address.
    pub(super) origin: Origin,
}

/// What an address was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The container's own word, in a variable or label of this name.
    Said(String),
    /// The label of this name, which `--use-ip-from-label` asks for.
    Label(String),
    /// The container's own address on the Docker network of this name.
    Network(String),
    /// `--ip`.
    Flag,
    /// A specific address that the port is published on.
    Binding,
    /// The address that the registry's agent advertises.
    Advertised,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Said(name) => write!(f, "from {name}"),
            Self::Label(name) => write!(f, "from the label {name}, which --use-ip-from-label asks for"),
            Self::Network(name) => write!(f, "the container's own address on the network {name:?}"),
            Self::Flag => f.write_str("from --ip"),
            Self::Binding => f.write_str("the address that the port is published on"),
            Self::Advertised => f.write_str("what the registry's agent advertises"),
        }
    }
}

/// A port of a container, with what decides about its address.
pub(super) struct Subject<'a> {
    /// The container that serves.
    pub(super) container: &'a Container,
    /// The container whose network it uses: itself, unless it was started with `--network container:ID`.
    pub(super) owner: &'a Container,
    /// The port inside.
    pub(super) port: Port,
    /// The places on the host that lead to it.
    pub(super) bindings: &'a [Binding],
    /// What the container says about the port.
    pub(super) metadata: &'a PortMetadata<'a>,
}

impl Subject<'_> {
    /// Where others reach it, or why they do not.
    pub(super) fn place(&self, host: &Host, notes: &mut Vec<String>) -> Result<Place, Skip> {
        let port = self.said_port(notes);
        let said = self.said_address(host, notes);
        if let (Some((address, origin)), Some(port)) = (&said, port) {
            return Ok(Place { address: address.clone(), port, origin: origin.clone() });
        }
        let asked = said.as_ref().map(|(address, _)| address.as_str());
        let place = if host.settings.internal { self.inside(host)? } else { self.outside(host, asked)? };
        let (address, origin) = said.unwrap_or((place.address, place.origin));
        Ok(Place { address, port: port.unwrap_or(place.port), origin })
    }

    /// Where this host reaches it, whatever the container says of itself: the published place, else its own address.
    pub(super) fn own_place(&self, host: &Host) -> Option<Place> {
        let outside = || self.outside(host, None).or_else(|_| self.inside(host));
        if host.settings.internal { self.inside(host) } else { outside() }.ok()
    }

    /// `SERVICE_ADVERTISE_PORT`.
    fn said_port(&self, notes: &mut Vec<String>) -> Option<u16> {
        let setting = self.metadata.get("advertise_port")?;
        let port = number(setting.value).filter(|port| *port != 0);
        if port.is_none() {
            notes.push(format!("{} is ignored: {:?} is no port", setting.spelled, setting.value));
        }
        port
    }

    /// `SERVICE_ADDRESS`, else the label that `--use-ip-from-label` names, without a network mask.
    fn said_address(&self, host: &Host, notes: &mut Vec<String>) -> Option<(String, Origin)> {
        let own =
            self.metadata.get("address").map(|said| (said.value, said.spelled, Origin::Said(said.spelled.to_owned())));
        let label = host.settings.use_ip_from_label.as_ref();
        let label =
            label.and_then(|name| Some((self.container.labels.get_key_value(name)?, Origin::Label(name.clone()))));
        let label = label.map(|((name, text), origin)| {
            let text = clean(text);
            (text.rsplit_once('/').map_or(text, |(ip, _mask)| ip), name.as_str(), origin)
        });
        let said = own.into_iter().chain(label).filter(|(address, ..)| !address.is_empty());
        let (usable, useless): (Vec<_>, Vec<_>) = said.partition(|(address, ..)| limits::is_host(address));
        let note = |(address, name, _): (&str, &str, Origin)| {
            format!("{name} is ignored: {address:?} is no address or host name that others reach")
        };
        notes.extend(useless.into_iter().map(note));
        usable.into_iter().next().map(|(address, _, origin)| (address.to_owned(), origin))
    }

    /// The container's own address, with the port inside.
    fn inside(&self, host: &Host) -> Result<Place, Skip> {
        if self.owner.network_mode == "host" {
            return Ok(on_host(host, self.port.number));
        }
        let (network, address) = reach::own_address(self.owner, host.settings.network.as_deref())?;
        let origin = Origin::Network(network.to_owned());
        Ok(Place { address: address.to_string(), port: self.port.number, origin })
    }

    /// The host's address, with the port there. `said` is the address that was asked for, by which the port is chosen.
    fn outside(&self, host: &Host, said: Option<&str>) -> Result<Place, Skip> {
        if self.bindings.is_empty() {
            // In the network of another container, behind no published port: reachable where that container is.
            return if self.owner.id == self.container.id { Err(Skip::NotPublished) } else { self.inside(host) };
        }
        let asked = match (said, host.forced_address()) {
            (Some(address), _) => reach::passed_on(self.bindings, address),
            (None, Some(address)) => reach::at(self.bindings, address),
            (None, None) => None,
        };
        match asked.or_else(|| reach::best(self.bindings, &host.outside_address())) {
            Some(binding) if asked.is_some() || binding.ip.is_unspecified() => Ok(on_host(host, binding.port)),
            Some(Binding { ip, port }) => Ok(Place { address: ip.to_string(), port: *port, origin: Origin::Binding }),
            None => Err(reach::nowhere(self.bindings)),
        }
    }
}

/// The address by which others know this host.
fn on_host(host: &Host, port: u16) -> Place {
    let origin = if host.forced_address().is_some() { Origin::Flag } else { Origin::Advertised };
    Place { address: host.outside_address(), port, origin }
}
