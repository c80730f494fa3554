//! The tagged addresses of an instance. Pure.

use std::collections::BTreeMap;

use super::{reachability, reachable_host::is_local_only};
use crate::{
    consul::limits,
    docker::{Container, Port, PortBinding},
};

/// The container's own address on each of its Docker networks, tagged with the name of the network. If the port is
/// published on specific addresses of both families, these are `lan_ipv4` and `lan_ipv6`.
///
/// A network whose name Consul uses itself is left out: it would change the address that consumers of the service use.
pub(super) fn tagged_addresses(
    container: &Container,
    port: Port,
    bindings: &[PortBinding],
    notes: &mut Vec<String>,
) -> BTreeMap<String, (String, u16)> {
    let networks = container.networks.iter().filter(|(name, address)| !reachability::is_swarm_network(name, address));
    let networks = networks.filter_map(|(name, address)| {
        let mut ips = [address.v4, address.v6].into_iter().flatten();
        let ip = ips.find(|ip| !is_local_only(*ip))?;
        if limits::is_reserved_address_name(name) {
            notes.push(format!(
                "the network {name:?} is not among the tagged addresses: Consul uses that name for something else"
            ));
            return None;
        }
        Some((name.clone(), (ip.to_string(), port.number)))
    });
    let networks: BTreeMap<_, _> = networks.collect();
    let reachable = || bindings.iter().filter(|binding| !is_local_only(binding.ip) && !binding.ip.is_unspecified());
    let family = |tag: &str, v6: bool| {
        let binding = reachable().find(|binding| binding.ip.is_ipv6() == v6)?;
        Some((tag.to_owned(), (binding.ip.to_string(), binding.port)))
    };
    let (v4, v6) = (family("lan_ipv4", false), family("lan_ipv6", true));
    // If there is only one family, it is the main address already.
    let families = v4.zip(v6).map(|(v4, v6)| [v4, v6]);
    networks.into_iter().chain(families.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{docker::NetworkAddress, register::fixture::container};

    #[test]
    fn networks_and_families() {
        let tags = |published: &[&str]| {
            let mut web = container("w").publish("80/tcp", published);
            let address = NetworkAddress { v4: Some([172, 18, 0, 2].into()), ..NetworkAddress::default() };
            web.networks = [("front".to_owned(), address), ("none".to_owned(), NetworkAddress::default())].into();
            let port = "80/tcp".parse().expect("a port");
            let tagged = tagged_addresses(&web, port, &web.bindings[&port], &mut Vec::new());
            tagged.into_iter().map(|(tag, (ip, port))| format!("{tag}={ip} {port}")).collect::<Vec<_>>()
        };
        assert_eq!(tags(&["0.0.0.0:8000", "[::]:8000"]), ["front=172.18.0.2 80"]);
        let both = tags(&["10.0.0.1:8000", "[2001:db8::1]:8001"]);
        assert_eq!(both, ["front=172.18.0.2 80", "lan_ipv4=10.0.0.1 8000", "lan_ipv6=2001:db8::1 8001"]);
    }

    #[test]
    fn a_network_with_a_reserved_name_is_left_out() {
        let mut web = container("w").publish("80/tcp", &["0.0.0.0:1"]);
        let on = |last| NetworkAddress { v4: Some([172, 18, 0, last].into()), ..NetworkAddress::default() };
        let names = ["WAN", "Lan_IPv6", "virtual", "wan2"];
        web.networks = names.map(|name| (name.to_owned(), on(2))).into();
        let (port, mut notes) = ("80/tcp".parse().expect("a port"), Vec::new());
        let tagged = tagged_addresses(&web, port, &web.bindings[&port], &mut notes);
        assert_eq!(tagged.keys().collect::<Vec<_>>(), ["wan2"]);
        assert_eq!(notes.len(), 3, "{notes:?}");
    }
}
