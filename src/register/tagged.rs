//! Addresses beside the main one. Pure.

use std::collections::BTreeMap;

use crate::docker::{Binding, Container, Port};

/// The container's own address on each of its Docker networks, under the name of the network; and where the port is
/// published on specific addresses of both families, those as `lan_ipv4` and `lan_ipv6`.
pub(super) fn tagged_addresses(
    container: &Container,
    port: Port,
    bindings: &[Binding],
) -> BTreeMap<String, (String, u16)> {
    let networks = container.networks.iter().filter_map(|(name, address)| {
        let ip = address.v4.or(address.v6)?;
        Some((name.clone(), (ip.to_string(), port.number)))
    });
    let reachable = || bindings.iter().filter(|binding| !binding.ip.is_loopback() && !binding.ip.is_unspecified());
    let family = |tag: &str, v6: bool| {
        let binding = reachable().find(|binding| binding.ip.is_ipv6() == v6)?;
        Some((tag.to_owned(), (binding.ip.to_string(), binding.port)))
    };
    let (v4, v6) = (family("lan_ipv4", false), family("lan_ipv6", true));
    // One family alone is the main address already.
    let families = v4.zip(v6).map(|(v4, v6)| [v4, v6]);
    networks.chain(families.into_iter().flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{docker::NetworkAddress, register::fixture::container};

    #[test]
    fn networks_and_families() {
        let tags = |places: &[&str]| {
            let mut web = container("w").publish("80/tcp", places);
            let address = NetworkAddress { v4: Some([172, 18, 0, 2].into()), v6: None };
            web.networks = [("front".to_owned(), address), ("none".to_owned(), NetworkAddress::default())].into();
            let port = "80/tcp".parse().expect("a port");
            let tagged = tagged_addresses(&web, port, &web.bindings[&port]);
            tagged.into_iter().map(|(tag, (ip, port))| format!("{tag}={ip} {port}")).collect::<Vec<_>>()
        };
        assert_eq!(tags(&["0.0.0.0:8000", "[::]:8000"]), ["front=172.18.0.2 80"]);
        let both = tags(&["10.0.0.1:8000", "[2001:db8::1]:8001"]);
        assert_eq!(both, ["front=172.18.0.2 80", "lan_ipv4=10.0.0.1 8000", "lan_ipv6=2001:db8::1 8001"]);
    }
}
