//! Resolves the address and the port at which other hosts reach a port of a container. Pure.
//!
//! In order of precedence: `SERVICE_ADDRESS`, the label named by `--use-ip-from-label`, the container's own address
//! under `--internal`, `--ip`, a specific address that the port is published on, and the address that the registry's
//! agent advertises. A port that is published for one address family is registered at an address of that family.

use std::fmt;

use super::{host::Host, metadata::PortMetadata, reachability, reachable_host, skip_reason::SkipReason};
use crate::{
    core::value::{clean, parse_number},
    docker::{Container, Port, PortBinding},
};

/// The address and port at which other hosts reach an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceAddress {
    /// An IP address, or a host name that was configured.
    pub(super) address: String,
    /// The port that belongs to `address`.
    pub(super) port: u16,
    /// Where the address was taken from.
    pub(super) source: AddressSource,
}

/// Where an address was taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressSource {
    /// A variable or label of this name.
    Metadata(String),
    /// The label of this name, given with `--use-ip-from-label`.
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

/// A port of a container, with everything that its address depends on.
pub(super) struct AddressResolver<'a> {
    /// The container that serves the port.
    pub(super) container: &'a Container,
    /// The container whose network it uses: the container itself, unless it was started with `--network container:ID`.
    pub(super) network_owner: &'a Container,
    /// The port inside the container.
    pub(super) port: Port,
    /// The bindings on the host that lead to it.
    pub(super) bindings: &'a [PortBinding],
    /// The container's metadata for the port.
    pub(super) metadata: &'a PortMetadata<'a>,
}

impl AddressResolver<'_> {
    /// The address and port at which other hosts reach it, or why they cannot.
    pub(super) fn resolve(&self, host: &Host, notes: &mut Vec<String>) -> Result<ServiceAddress, SkipReason> {
        let port = self.declared_port(notes);
        let declared = self.declared_address(host, notes);
        if let (Some((address, source)), Some(port)) = (&declared, port) {
            return Ok(ServiceAddress { address: address.clone(), port, source: source.clone() });
        }
        let requested = declared.as_ref().map(|(address, _)| address.as_str());
        let fallback =
            if host.settings.internal { self.container_address(host)? } else { self.host_address(host, requested)? };
        let (address, source) = declared.unwrap_or((fallback.address, fallback.source));
        Ok(ServiceAddress { address, port: port.unwrap_or(fallback.port), source })
    }

    /// The address and port at which this host reaches it, whatever the metadata declares: the published ones, or else
    /// the container's own.
    pub(super) fn resolve_local(&self, host: &Host) -> Option<ServiceAddress> {
        let published_or_own = || self.host_address(host, None).or_else(|_| self.container_address(host));
        if host.settings.internal { self.container_address(host) } else { published_or_own() }.ok()
    }

    /// `SERVICE_ADVERTISE_PORT`.
    fn declared_port(&self, notes: &mut Vec<String>) -> Option<u16> {
        let setting = self.metadata.get("advertise_port")?;
        let port = parse_number(setting.value).filter(|port| *port != 0);
        if port.is_none() {
            notes.push(format!("{} is ignored: {:?} is not a port", setting.name, setting.value));
        }
        port
    }

    /// `SERVICE_ADDRESS`, else the label that `--use-ip-from-label` names, without a network mask.
    fn declared_address(&self, host: &Host, notes: &mut Vec<String>) -> Option<(String, AddressSource)> {
        let own = self
            .metadata
            .get("address")
            .map(|declared| (declared.value, declared.name, AddressSource::Metadata(declared.name.to_owned())));
        let label = host.settings.use_ip_from_label.as_ref();
        let label = label
            .and_then(|name| Some((self.container.labels.get_key_value(name)?, AddressSource::Label(name.clone()))));
        let label = label.map(|((name, text), source)| {
            let text = clean(text);
            (text.rsplit_once('/').map_or(text, |(ip, _mask)| ip), name.as_str(), source)
        });
        let declared = own.into_iter().chain(label).filter(|(address, ..)| !address.is_empty());
        let (usable, unreachable): (Vec<_>, Vec<_>) =
            declared.partition(|(address, ..)| reachable_host::is_reachable_host(address));
        let note = |(address, name, _): (&str, &str, AddressSource)| {
            format!("{name} is ignored: {address:?} is not an address or host name that other hosts can reach")
        };
        notes.extend(unreachable.into_iter().map(note));
        usable.into_iter().next().map(|(address, _, source)| (address.to_owned(), source))
    }

    /// The container's own address, with the port inside.
    fn container_address(&self, host: &Host) -> Result<ServiceAddress, SkipReason> {
        if self.network_owner.network_mode == "host" {
            return Ok(advertised_host_address(host, self.port.number));
        }
        let (network, address) = reachability::container_address(self.network_owner, host.settings.network.as_deref())?;
        let source = AddressSource::Network(network.to_owned());
        Ok(ServiceAddress { address: address.to_string(), port: self.port.number, source })
    }

    /// The host's address and the published port. `declared` is the address from the metadata, by which the binding is
    /// chosen.
    fn host_address(&self, host: &Host, declared: Option<&str>) -> Result<ServiceAddress, SkipReason> {
        if self.bindings.is_empty() {
            // Without a published port, a container in the network of another one is reached at the address of that
            // one.
            return if self.network_owner.id == self.container.id {
                Err(SkipReason::NotPublished)
            } else {
                self.container_address(host)
            };
        }
        let requested = match (declared, host.configured_address()) {
            (Some(address), _) => reachability::binding_behind(self.bindings, address),
            (None, Some(address)) => reachability::binding_at(self.bindings, address),
            (None, None) => None,
        };
        match requested.or_else(|| reachability::best_binding(self.bindings, &host.external_address())) {
            Some(binding) if requested.is_some() || binding.ip.is_unspecified() => {
                Ok(advertised_host_address(host, binding.port))
            }
            Some(PortBinding { ip, port }) => {
                Ok(ServiceAddress { address: ip.to_string(), port: *port, source: AddressSource::Binding })
            }
            None => Err(reachability::unreachable_reason(self.bindings)),
        }
    }
}

/// The address at which other hosts reach this host.
fn advertised_host_address(host: &Host, port: u16) -> ServiceAddress {
    let source = if host.configured_address().is_some() { AddressSource::Flag } else { AddressSource::Advertised };
    ServiceAddress { address: host.external_address(), port, source }
}
