//! The ports of a container, each with its bindings on the host. Pure.

use std::{collections::BTreeMap, net::IpAddr};

use crate::docker::{Container, Observation, Port, PortBinding};

/// The container whose network this one uses; `--network container:ID` may form a chain.
pub(super) fn network_owner<'a>(container: &'a Container, others: &'a BTreeMap<String, Observation>) -> &'a Container {
    let mut owner = container;
    // A chain longer than the number of containers would be a circle, which Docker does not allow.
    for _ in 0..others.len() {
        let next = owner.network_mode.strip_prefix("container:").and_then(|id| others.get(id));
        let Some(Observation::Inspected(next)) = next else { break };
        owner = next;
    }
    owner
}

/// Whether it uses the network of a container that could not be inspected, so that its published ports are unknown.
pub(super) fn is_network_unreadable(container: &Container, others: &BTreeMap<String, Observation>) -> bool {
    let owner = network_owner(container, others).network_mode.strip_prefix("container:");
    owner.is_some_and(|id| others.get(id) == Some(&Observation::Unreadable))
}

/// Every port of the container, with its bindings on the host.
///
/// With a network of its own, these are the ports that Docker published. On the host's network each exposed port is
/// open on the host, as in registrator. In the network of another container, that container publishes the ports.
pub(super) fn ports(container: &Container, owner: &Container) -> Vec<(Port, Vec<PortBinding>)> {
    let exposed = container.exposed_ports.iter().filter(|port| !container.bindings.contains_key(port)).map(|port| {
        let everywhere =
            || [IpAddr::from([0, 0, 0, 0]), IpAddr::from([0; 16])].map(|ip| PortBinding { ip, port: port.number });
        let on_host = || if owner.network_mode == "host" { everywhere().into() } else { Vec::new() };
        (*port, owner.bindings.get(port).cloned().unwrap_or_else(on_host))
    });
    let bound = container.bindings.iter().map(|(port, bindings)| (*port, bindings.clone()));
    let mut ports: Vec<_> = bound.chain(exposed).collect();
    ports.sort_unstable();
    ports
}
