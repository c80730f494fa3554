//! Chooses the address that other hosts can reach, among port bindings and among the networks of a container. Pure.

use std::net::IpAddr;

use super::{reachable_host::is_local_only, skip_reason::SkipReason};
use crate::docker::{Container, NetworkAddress, PortBinding};

/// Networks that Docker creates for swarm's own traffic: the routing mesh, and the gateway of each host, on which
/// containers cannot reach each other.
const SWARM_NETWORKS: [&str; 2] = ["ingress", "docker_gwbridge"];

/// The drivers whose networks do not extend beyond the host or its link.
const LOCAL_DRIVERS: [&str; 3] = ["bridge", "macvlan", "ipvlan"];

/// The binding that leads to `address`, an address of this host; `None` if there is none.
///
/// In this order: a binding at that address, a binding at all addresses of its family, a binding at another address of
/// its family, which a forwarder may reach.
pub(super) fn binding_at<'a>(bindings: &'a [PortBinding], address: &str) -> Option<&'a PortBinding> {
    let Ok(ip) = address.parse::<IpAddr>() else { return binding_behind(bindings, address) };
    let rank = |binding: &&'a PortBinding| {
        let same_family = binding.ip.is_ipv6() == ip.is_ipv6();
        let rank = match binding.ip {
            same_ip if same_ip == ip => 0,
            any if same_family && any.is_unspecified() => 1,
            other if same_family && !is_local_only(other) => 2,
            any if is_any_ipv4(any) => 3,
            _ if same_family => 4,
            _ => return None,
        };
        Some((rank, **binding))
    };
    bindings.iter().filter(|binding| rank(binding).is_some()).min_by_key(rank)
}

/// The same if `address` may be that of a forwarder, which can pass the traffic on to any binding.
pub(super) fn binding_behind<'a>(bindings: &'a [PortBinding], address: &str) -> Option<&'a PortBinding> {
    let ip: Option<IpAddr> = address.parse().ok();
    bindings.iter().min_by_key(|binding| {
        let other_family = ip.is_some_and(|ip| ip.is_ipv6() != binding.ip.is_ipv6());
        let is_same = ip == Some(binding.ip);
        (
            !is_same,
            is_local_only(binding.ip),
            other_family,
            !binding.ip.is_unspecified(),
            binding.ip.is_ipv6(),
            **binding,
        )
    })
}

/// The binding that other hosts reach best, if they know this host as `known`: one of the same family first, then a
/// specific address before all addresses.
pub(super) fn best_binding<'a>(bindings: &'a [PortBinding], known: &str) -> Option<&'a PortBinding> {
    let is_v6 = known.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6());
    let reachable = bindings.iter().filter(|binding| !is_local_only(binding.ip));
    let usable =
        reachable.filter(|PortBinding { ip, .. }| !ip.is_unspecified() || ip.is_ipv6() == is_v6 || is_any_ipv4(*ip));
    usable.min_by_key(|binding| (binding.ip.is_ipv6() != is_v6, binding.ip.is_unspecified(), **binding))
}

/// Why other hosts can reach none of these bindings.
pub(super) fn unreachable_reason(bindings: &[PortBinding]) -> SkipReason {
    if bindings.iter().all(|binding| binding.ip.is_loopback()) {
        SkipReason::Loopback
    } else if bindings.iter().all(|binding| is_local_only(binding.ip)) {
        SkipReason::LinkLocal
    } else {
        SkipReason::WrongAddressFamily
    }
}

/// The network and the address of a container: the `requested` network, or else the one that it was started with, or
/// else the first in alphabetical order. A network that other hosts cannot reach is skipped unless it is requested.
pub(super) fn container_address<'a>(
    container: &'a Container,
    requested: Option<&str>,
) -> Result<(&'a str, IpAddr), SkipReason> {
    let networks = || container.networks.iter().map(|(name, address)| (name.as_str(), address));
    // Docker's `--network` accepts a name, an id, or a prefix of an id, and the engine stores it unchanged.
    let find_network = |name_or_id: &str| {
        let by_id = || networks().find(|(_, network)| is_id_prefix(name_or_id, &network.id));
        networks().find(|(name, _)| *name == name_or_id).or_else(by_id)
    };
    let address = |(name, network): (&'a str, &'a NetworkAddress)| {
        let ip = [network.v4, network.v6].into_iter().flatten().min_by_key(|ip| is_local_only(*ip))?;
        Some((name, ip, is_local_only(ip) || is_host_local_network(name, network)))
    };
    if let Some((name, ip, _)) = requested.and_then(find_network).and_then(address) {
        return Ok((name, ip));
    }
    let started_with = match container.network_mode.as_str() {
        "default" => "bridge",
        mode => mode,
    };
    let candidates: Vec<_> = find_network(started_with).into_iter().chain(networks()).filter_map(address).collect();
    let reachable = candidates.iter().find(|(.., unreachable)| !unreachable).map(|(name, ip, _)| (*name, *ip));
    reachable.ok_or(if candidates.is_empty() { SkipReason::NoNetwork } else { SkipReason::Unreachable })
}

/// Whether swarm uses a network for its own traffic.
pub(super) fn is_swarm_network(name: &str, address: &NetworkAddress) -> bool {
    SWARM_NETWORKS.contains(&name) || address.network.ingress
}

/// Whether other hosts cannot reach the containers of a network.
fn is_host_local_network(name: &str, address: &NetworkAddress) -> bool {
    let network = &address.network;
    let is_local = network.scope == "local" || LOCAL_DRIVERS.contains(&network.driver.as_str());
    is_swarm_network(name, address) || network.internal && is_local
}

/// Whether it is `0.0.0.0`, which older engines report for all addresses of both families.
fn is_any_ipv4(ip: IpAddr) -> bool {
    ip.is_unspecified() && ip.is_ipv4()
}

/// Whether `text` is an id or a prefix of one.
fn is_id_prefix(text: &str, id: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()) && id.starts_with(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        docker::{Network, NetworkAddress},
        register::fixture::container,
    };

    fn bindings(addresses: &[&str]) -> Vec<PortBinding> {
        let socket = |socket: &&str| socket.parse().map(|socket: std::net::SocketAddr| (socket.ip(), socket.port()));
        addresses.iter().map(|text| socket(text).expect("ip:port")).map(|(ip, port)| PortBinding { ip, port }).collect()
    }

    #[test]
    fn the_binding_of_the_family_wins() {
        type BindingCase<'a> = (&'a [&'a str], &'a str, Option<u16>, Option<u16>);
        let cases: [BindingCase<'_>; 9] = [
            (&["[::]:1"], "10.0.0.1", None, None),
            (&["[::]:1"], "2001:db8::1", Some(1), Some(1)),
            (&["0.0.0.0:1", "[::]:2"], "2001:db8::1", Some(2), Some(2)),
            (&["0.0.0.0:1", "[::]:2"], "10.0.0.1", Some(1), Some(1)),
            (&["0.0.0.0:1"], "2001:db8::1", Some(1), Some(1)),
            (&["[::1]:1"], "10.0.0.1", None, None),
            (&["127.0.0.1:1"], "10.0.0.1", Some(1), None),
            (&["169.254.1.1:1"], "10.0.0.1", Some(1), None),
            (&["[2001:db8::5]:2", "0.0.0.0:1"], "10.0.0.1", Some(1), Some(1)),
        ];
        for (addresses, address, requested, known) in cases {
            let bindings = bindings(addresses);
            let port = |binding: Option<&PortBinding>| binding.map(|binding| binding.port);
            assert_eq!(port(binding_at(&bindings, address)), requested, "--ip {address}, {addresses:?}");
            assert_eq!(port(best_binding(&bindings, address)), known, "advertised {address}, {addresses:?}");
        }
    }

    #[test]
    fn a_network_is_found_by_its_id_and_an_unreachable_one_is_skipped() {
        let id = |digit: &str| digit.repeat(64);
        let on = |digit: &str, ip: [u8; 4]| NetworkAddress {
            id: id(digit),
            v4: Some(ip.into()),
            ..NetworkAddress::default()
        };
        let mut web = container("w");
        web.networks =
            [("backup".to_owned(), on("a", [172, 18, 0, 2])), ("intra".to_owned(), on("b", [172, 19, 0, 2]))].into();
        let name = |web: &Container, requested: Option<&str>| {
            container_address(web, requested).map(|(name, _)| name.to_owned())
        };
        for (mode, expected) in [(id("b"), "intra"), ("b".repeat(12), "intra"), ("nope".into(), "backup")] {
            web.network_mode = mode;
            assert_eq!(name(&web, None), Ok(expected.into()), "{}", web.network_mode);
        }
        assert_eq!(name(&web, Some(&id("b"))), Ok("intra".into()));
        let network = |driver: &str, scope: &str, internal| NetworkAddress {
            network: Network { driver: driver.into(), scope: scope.into(), internal, ingress: false },
            ..on("c", [10, 0, 0, 3])
        };
        let mesh = NetworkAddress {
            network: Network { ingress: true, ..Network::default() },
            ..network("overlay", "swarm", false)
        };
        let unreachable = [
            ("ingress", on("c", [10, 0, 0, 3])),
            ("my_mesh", mesh),
            ("docker_gwbridge", network("bridge", "local", false)),
            ("back", network("bridge", "local", true)),
            ("back", network("macvlan", "swarm", true)),
            ("back", network("ipvlan", "", true)),
            ("back", network("a-plugin", "local", true)),
            ("back", on("c", [169, 254, 0, 3])),
        ];
        for (unreachable, address) in unreachable {
            web.networks = [(unreachable.to_owned(), address), ("z".to_owned(), on("d", [172, 20, 0, 2]))].into();
            web.network_mode = unreachable.into();
            assert_eq!(name(&web, None), Ok("z".into()), "{:?}", web.networks);
            assert_eq!(name(&web, Some(unreachable)), Ok(unreachable.into()), "it was requested");
            web.networks.remove("z");
            assert_eq!(name(&web, None), Err(SkipReason::Unreachable), "{:?}", web.networks);
        }
        let open = [
            ("front", network("bridge", "local", false)),
            ("over", network("overlay", "swarm", true)),
            ("over", network("a-plugin", "global", true)),
        ];
        for (open, address) in open {
            web.networks = [(open.to_owned(), address)].into();
            assert_eq!(name(&web, None), Ok(open.into()), "{:?}", web.networks);
        }
        web.networks = [("none".to_owned(), NetworkAddress::default())].into();
        assert_eq!(name(&web, None), Err(SkipReason::NoNetwork));
    }
}
