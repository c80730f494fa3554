//! From the engine's own description of a container to ours. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{Binding, Container, Health, HealthStatus, NetworkAddress, Port, dirty::Mark, signal};
use bollard::models::{ContainerInspectResponse, EndpointSettings, HealthStatusEnum, NetworkSettings, PortBinding};

/// How many starts of a container are remembered.
const STARTS: usize = 32;

/// Takes over what matters; what the engine left out is empty. `before` and `mark` are what only events can tell.
pub(super) fn container(
    id: &str,
    inspect: ContainerInspectResponse,
    before: Option<&Container>,
    mark: &Mark,
) -> Container {
    let state = inspect.state.unwrap_or_default();
    let config = inspect.config.unwrap_or_default();
    let network = inspect.network_settings.unwrap_or_default();
    let exposed = config.exposed_ports.unwrap_or_default();
    let restarting = state.restarting.unwrap_or_default();
    let running = state.running.unwrap_or_default() && !restarting;
    let stop_signal = config.stop_signal.as_deref().and_then(signal::parse).unwrap_or(signal::DEFAULT_STOP_SIGNAL);
    let mut starts = before.map(|before| before.starts.clone()).unwrap_or_default();
    // An engine may tell of one event twice: at the end of a stream, and at the start of the next.
    starts.extend(&mark.starts);
    starts.sort_unstable();
    starts.dedup();
    starts.drain(..starts.len().saturating_sub(STARTS));
    Container {
        id: inspect.id.unwrap_or_else(|| id.to_owned()),
        name: inspect.name.unwrap_or_default().trim_start_matches('/').to_owned(),
        image: config.image.unwrap_or_default(),
        env: config.env.unwrap_or_default().iter().filter_map(|pair| pair.split_once('=')).map(owned).collect(),
        labels: config.labels.unwrap_or_default().into_iter().collect(),
        // Between two runs under a restart policy the engine says both.
        running,
        exit_code: state.exit_code.filter(|_| !running),
        health: state.health.and_then(health),
        starts,
        paused: state.paused.unwrap_or_default(),
        started_at: state.started_at.unwrap_or_default(),
        exposed: exposed.iter().filter_map(|port| Port::range(port)).flatten().collect(),
        odd_ports: odd_ports(&exposed, &network),
        bindings: bindings(&network),
        network_mode: inspect.host_config.and_then(|host| host.network_mode).unwrap_or_default(),
        networks: network.networks.unwrap_or_default().iter().map(address).collect(),
        stop_sent: mark.signals.get(&stop_signal).copied().or_else(|| before?.stop_sent),
        stop_signal,
    }
}

fn health(health: bollard::models::Health) -> Option<Health> {
    let status = match health.status? {
        HealthStatusEnum::STARTING => HealthStatus::Starting,
        HealthStatusEnum::HEALTHY => HealthStatus::Healthy,
        HealthStatusEnum::UNHEALTHY => HealthStatus::Unhealthy,
        _ => return None,
    };
    let last = health.log.unwrap_or_default().pop();
    Some(Health { status, output: last.and_then(|probe| probe.output).unwrap_or_default().trim_end().to_owned() })
}

fn owned((key, value): (&str, &str)) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn bindings(network: &NetworkSettings) -> BTreeMap<Port, Vec<Binding>> {
    let ports = network.ports.iter().flatten();
    let ports = ports.filter_map(|(port, bound)| Some((Port::range(port)?, sorted(bound.as_deref()))));
    ports.flat_map(|(ports, bound)| ports.map(move |port| (port, bound.clone()))).collect()
}

/// What stands among the ports and is none.
fn odd_ports(exposed: &[String], network: &NetworkSettings) -> Vec<String> {
    let all: BTreeSet<_> = exposed.iter().chain(network.ports.iter().flat_map(|ports| ports.keys())).collect();
    all.into_iter().filter(|port| Port::range(port).is_none()).cloned().collect()
}

fn sorted(bound: Option<&[PortBinding]>) -> Vec<Binding> {
    let mut bindings: Vec<_> = bound.into_iter().flatten().flat_map(binding).collect();
    bindings.sort_unstable();
    bindings.dedup();
    bindings
}

/// The places that a binding stands for: an engine that leaves the address out means all addresses of both families.
fn binding(bound: &PortBinding) -> Vec<Binding> {
    let port = bound.host_port.as_deref().and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let ips = match bound.host_ip.as_deref().unwrap_or_default() {
        "" => vec![IpAddr::from([0, 0, 0, 0]), IpAddr::from([0; 16])],
        ip => ip_address(ip).into_iter().collect(),
    };
    port.into_iter().flat_map(|port| ips.iter().map(move |ip| Binding { ip: *ip, port })).collect()
}

/// An address, without brackets, without the name of an interface, and IPv4 as such.
fn ip_address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches(['[', ']']);
    let text = text.split_once('%').map_or(text, |(ip, _interface)| ip);
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

fn address((name, endpoint): (&String, &EndpointSettings)) -> (String, NetworkAddress) {
    let parse = |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<IpAddr>().ok());
    let id = endpoint.network_id.clone().unwrap_or_default();
    (name.clone(), NetworkAddress { id, v4: parse(&endpoint.ip_address), v6: parse(&endpoint.global_ipv6_address) })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_that_docker_lists_for_both_families_keeps_both_bindings() {
        let inspect = serde_json::from_value(json!({
            "Id": "c0ffee", "Name": "/web",
            "State": {"Running": true, "StartedAt": "2026-11-20T10:00:00.5Z"},
            "Config": {"Image": "nginx:1", "Env": ["A=b=c", "BARE"], "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}, "StopSignal": "SIGQUIT"},
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "::", "HostPort": "32768"}, {"HostIp": "0.0.0.0", "HostPort": "32768"}], "81/tcp": null},
                "Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}},
            },
        }))
        .expect("the engine's form");
        let container = container("c0ffee", inspect, None, &Mark::default());
        assert_eq!((container.name.as_str(), container.stop_signal, container.running), ("web", 3, true));
        assert_eq!(container.env, [("A".to_owned(), "b=c".to_owned())]);
        let bound: Vec<_> = container.bindings.iter().map(|(port, bound)| (port.number, bound.len())).collect();
        assert_eq!(bound, [(80, 2), (81, 0)]);
        assert_eq!(container.networks["bridge"].v4, Some([172, 17, 0, 2].into()));
        assert_eq!(container.networks["bridge"].v6, None);
    }

    #[test]
    fn a_stop_signal_counts_for_the_run_that_got_it() {
        let inspect = |started: &str| serde_json::from_value(json!({"State": {"StartedAt": started}})).expect("valid");
        let mark = Mark { signals: [(15, "2026-11-20T10:00:00Z".parse().expect("valid"))].into(), ..Mark::default() };
        let now = "2026-11-20T10:00:05Z".parse().expect("valid");
        let stopping =
            |started| container("x", inspect(started), None, &mark).stopping_for(now).map(|time| time.as_secs());
        assert_eq!(stopping("2026-11-20T09:00:00.1Z"), Some(5));
        assert_eq!(stopping("2026-11-20T11:30:00+02:00"), Some(5), "an engine may write local time");
        assert_eq!(stopping("2026-11-20T10:00:01Z"), None);
    }
}
