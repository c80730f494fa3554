//! Where others reach a port: an address and a port that belong together. Pure.
//!
//! In this order: what the container says of itself (`SERVICE_ADDRESS`), the label named by `--use-ip-from-label`, the
//! container's own address under `--internal`, `--ip`, a specific address that the port is published on, and last the
//! address that the registry's agent advertises.

use std::net::IpAddr;

use super::{
    instances::{Host, Skip},
    metadata::PortMetadata,
};
use crate::docker::{Binding, Container, NetworkAddress, Port};

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
    pub(super) fn place(&self, host: &Host, notes: &mut Vec<String>) -> Result<(String, u16), Skip> {
        let port = self.said_port(notes);
        let said = self.metadata.value("address").or_else(|| self.labelled(host)).map(str::to_owned);
        if let (Some(address), Some(port)) = (&said, port) {
            return Ok((address.clone(), port));
        }
        let (address, published) =
            if host.settings.internal { self.inside(host)? } else { self.outside(host, said.is_some())? };
        Ok((said.unwrap_or(address), port.unwrap_or(published)))
    }

    /// `SERVICE_ADVERTISE_PORT`.
    fn said_port(&self, notes: &mut Vec<String>) -> Option<u16> {
        let setting = self.metadata.get("advertise_port")?;
        let port = setting.value.parse().ok().filter(|port| *port != 0);
        if port.is_none() {
            notes.push(format!("{} is ignored: {:?} is no port", setting.spelled, setting.value));
        }
        port
    }

    /// The label that `--use-ip-from-label` names, without a network mask.
    fn labelled(&self, host: &Host) -> Option<&str> {
        let label = self.container.labels.get(host.settings.use_ip_from_label.as_deref()?)?;
        let address = label.rsplit_once('/').map_or(label.as_str(), |(address, _mask)| address);
        (!address.is_empty()).then_some(address)
    }

    /// The container's own address, with the port inside.
    fn inside(&self, host: &Host) -> Result<(String, u16), Skip> {
        if self.owner.network_mode == "host" {
            return Ok((host.outside_address(), self.port.number));
        }
        let address = self.own_address(host).ok_or(Skip::NoNetwork)?;
        Ok((address.to_string(), self.port.number))
    }

    /// The host's address, with the port there. `address_known`: only the port is asked for.
    fn outside(&self, host: &Host, address_known: bool) -> Result<(String, u16), Skip> {
        let forced = address_known || host.settings.ip.is_some();
        let reachable = self.bindings.iter().filter(|binding| forced || !binding.ip.is_loopback());
        // A specific address before all addresses, IPv4 before IPv6; where we are told the address, any port will do.
        let best = reachable.min_by_key(|binding| {
            (binding.ip.is_loopback(), binding.ip.is_unspecified(), binding.ip.is_ipv6(), *binding)
        });
        match best {
            Some(binding) if forced || binding.ip.is_unspecified() => Ok((host.outside_address(), binding.port)),
            Some(binding) => Ok((binding.ip.to_string(), binding.port)),
            None if !self.bindings.is_empty() => Err(Skip::Loopback),
            // In the network of another container, behind no published port: reachable where that container is.
            None if self.owner.id != self.container.id => self.inside(host),
            None => Err(Skip::NotPublished),
        }
    }

    /// On the network that `--network` names; else on the only one; else on the one that the container was started with;
    /// else on the first in alphabetical order.
    fn own_address(&self, host: &Host) -> Option<IpAddr> {
        let ip = |address: &NetworkAddress| address.v4.or(address.v6);
        let networks = &self.owner.networks;
        let named = host.settings.network.as_ref().or(Some(&self.owner.network_mode));
        let named = named.and_then(|name| networks.get(name)).and_then(ip);
        named.or_else(|| networks.values().find_map(ip))
    }
}
