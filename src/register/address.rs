//! Where others reach a port: an address and a port that belong together. Pure.
//!
//! In this order: what the container says of itself (`SERVICE_ADDRESS`), the label named by `--use-ip-from-label`, the
//! container's own address under `--internal`, `--ip`, a specific address that the port is published on, and last the
//! address that the registry's agent advertises. A port that is published for one family is registered at an address of
//! that family.

use std::fmt;

use super::{host::Host, metadata::PortMetadata, reachability, reachable_host, skip_reason::SkipReason};
use crate::{
    core::value::{clean, parse_number},
    docker::{Container, Port, PortBinding},
};

/// Where others reach a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceAddress {
    /// An IP address, or a host name that an operator gave.
    pub(super) address: String,
    /// The port that belongs to `address`.
    pub(super) port: u16,
    /// Why it is that address.
    pub(super) source: AddressSource,
}

/// What an address was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// The container's own word, in a variable or label of this name.
    Metadata(String),
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

impl fmt::Display for AddressSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(name) => write!(f, "from {name}"),
            Self::Label(name) => write!(f, "from the label {name}, which --use-ip-from-label asks for"),
            Self::Network(name) => write!(f, "the container's own address on the network {name:?}"),
            Self::Flag => f.write_str("from --ip"),
            Self::Binding => f.write_str("the address that the port is published on"),
            Self::Advertised => f.write_str("what the registry's agent advertises"),
        }
    }
}

/// A port of a container, with what decides about its address.
pub(super) struct AddressResolver<'a> {
    /// The container that serves.
    pub(super) container: &'a Container,
    /// The container whose network it uses: itself, unless it was started with `--network container:ID`.
    pub(super) network_owner: &'a Container,
    /// The port inside.
    pub(super) port: Port,
    /// The places on the host that lead to it.
    pub(super) bindings: &'a [PortBinding],
    /// What the container says about the port.
    pub(super) metadata: &'a PortMetadata<'a>,
}

impl AddressResolver<'_> {
    /// Where others reach it, or why they do not.
    pub(super) fn resolve(&self, host: &Host, notes: &mut Vec<String>) -> Result<ServiceAddress, SkipReason> {
        let port = self.declared_port(notes);
        let said = self.declared_address(host, notes);
        if let (Some((address, origin)), Some(port)) = (&said, port) {
            return Ok(ServiceAddress { address: address.clone(), port, source: origin.clone() });
        }
        let asked = said.as_ref().map(|(address, _)| address.as_str());
        let place =
            if host.settings.internal { self.container_address(host)? } else { self.host_address(host, asked)? };
        let (address, origin) = said.unwrap_or((place.address, place.source));
        Ok(ServiceAddress { address, port: port.unwrap_or(place.port), source: origin })
    }

    /// Where this host reaches it, whatever the container says of itself: the published place, else its own address.
    pub(super) fn resolve_local(&self, host: &Host) -> Option<ServiceAddress> {
        let outside = || self.host_address(host, None).or_else(|_| self.container_address(host));
        if host.settings.internal { self.container_address(host) } else { outside() }.ok()
    }

    /// `SERVICE_ADVERTISE_PORT`.
    fn declared_port(&self, notes: &mut Vec<String>) -> Option<u16> {
        let setting = self.metadata.get("advertise_port")?;
        let port = parse_number(setting.value).filter(|port| *port != 0);
        if port.is_none() {
            notes.push(format!("{} is ignored: {:?} is no port", setting.name, setting.value));
        }
        port
    }

    /// `SERVICE_ADDRESS`, else the label that `--use-ip-from-label` names, without a network mask.
    fn declared_address(&self, host: &Host, notes: &mut Vec<String>) -> Option<(String, AddressSource)> {
        let own = self
            .metadata
            .get("address")
            .map(|said| (said.value, said.name, AddressSource::Metadata(said.name.to_owned())));
        let label = host.settings.use_ip_from_label.as_ref();
        let label = label
            .and_then(|name| Some((self.container.labels.get_key_value(name)?, AddressSource::Label(name.clone()))));
        let label = label.map(|((name, text), origin)| {
            let text = clean(text);
            (text.rsplit_once('/').map_or(text, |(ip, _mask)| ip), name.as_str(), origin)
        });
        let said = own.into_iter().chain(label).filter(|(address, ..)| !address.is_empty());
        let (usable, useless): (Vec<_>, Vec<_>) =
            said.partition(|(address, ..)| reachable_host::is_reachable_host(address));
        let note = |(address, name, _): (&str, &str, AddressSource)| {
            format!("{name} is ignored: {address:?} is no address or host name that others reach")
        };
        notes.extend(useless.into_iter().map(note));
        usable.into_iter().next().map(|(address, _, origin)| (address.to_owned(), origin))
    }

    /// The container's own address, with the port inside.
    fn container_address(&self, host: &Host) -> Result<ServiceAddress, SkipReason> {
        if self.network_owner.network_mode == "host" {
            return Ok(advertised_host_address(host, self.port.number));
        }
        let (network, address) = reachability::container_address(self.network_owner, host.settings.network.as_deref())?;
        let origin = AddressSource::Network(network.to_owned());
        Ok(ServiceAddress { address: address.to_string(), port: self.port.number, source: origin })
    }

    /// The host's address, with the port there. `said` is the address that was asked for, by which the port is chosen.
    fn host_address(&self, host: &Host, said: Option<&str>) -> Result<ServiceAddress, SkipReason> {
        if self.bindings.is_empty() {
            // In the network of another container, behind no published port: reachable where that container is.
            return if self.network_owner.id == self.container.id {
                Err(SkipReason::NotPublished)
            } else {
                self.container_address(host)
            };
        }
        let asked = match (said, host.configured_address()) {
            (Some(address), _) => reachability::binding_behind(self.bindings, address),
            (None, Some(address)) => reachability::binding_at(self.bindings, address),
            (None, None) => None,
        };
        match asked.or_else(|| reachability::best_binding(self.bindings, &host.external_address())) {
            Some(binding) if asked.is_some() || binding.ip.is_unspecified() => {
                Ok(advertised_host_address(host, binding.port))
            }
            Some(PortBinding { ip, port }) => {
                Ok(ServiceAddress { address: ip.to_string(), port: *port, source: AddressSource::Binding })
            }
            None => Err(reachability::unreachable_reason(self.bindings)),
        }
    }
}

/// The address by which others know this host.
fn advertised_host_address(host: &Host, port: u16) -> ServiceAddress {
    let origin = if host.configured_address().is_some() { AddressSource::Flag } else { AddressSource::Advertised };
    ServiceAddress { address: host.external_address(), port, source: origin }
}
