//! Translates the JSON of an inspection into a [`Container`]. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use serde_json::Value;

use super::{
    Container, Health, HealthStatus, Network, NetworkAddress, Port, PortBinding,
    fields::{self, FieldType},
    inspection_queue::ContainerEvents,
    signal,
};

/// The maximum number of starts that are kept for a container.
const MAX_STARTS: usize = 32;

/// The fields that are read from an inspection.
const FIELDS: [(&str, FieldType); 22] = [
    ("/Name", FieldType::Text),
    ("/State", FieldType::Map),
    ("/State/Status", FieldType::Text),
    ("/State/Running", FieldType::Flag),
    ("/State/Paused", FieldType::Flag),
    ("/State/Restarting", FieldType::Flag),
    ("/State/StartedAt", FieldType::Text),
    ("/State/ExitCode", FieldType::Number),
    ("/State/Health", FieldType::Map),
    ("/State/Health/Status", FieldType::Text),
    ("/State/Health/Log", FieldType::List),
    ("/Config", FieldType::Map),
    ("/Config/Image", FieldType::Text),
    ("/Config/Env", FieldType::List),
    ("/Config/Labels", FieldType::Map),
    ("/Config/ExposedPorts", FieldType::Map),
    ("/Config/StopSignal", FieldType::Text),
    ("/HostConfig", FieldType::Map),
    ("/HostConfig/NetworkMode", FieldType::Text),
    ("/NetworkSettings", FieldType::Map),
    ("/NetworkSettings/Ports", FieldType::Map),
    ("/NetworkSettings/Networks", FieldType::Map),
];

/// The fields of an inspection whose values have another type than expected. They count as absent.
pub(super) fn unreadable_fields(inspect: &Value) -> Vec<&'static str> {
    let mut unreadable = fields::unreadable(inspect, &FIELDS);
    // A text in place of the object is read as the status, see `health`.
    unreadable.retain(|pointer| *pointer != "/State/Health" || !inspect["State"]["Health"].is_string());
    unreadable
}

/// Whether an inspection shows if the container runs and where it is published. If not, nothing may be concluded from
/// it; otherwise the entries of the container would be removed.
pub(super) fn is_conclusive(inspect: &Value) -> bool {
    is_running(inspect).is_some_and(|running| !running || has_readable_address(inspect))
}

/// Whether all fields with addresses and ports of a running container are valid.
fn has_readable_address(inspect: &Value) -> bool {
    let network = &inspect["NetworkSettings"];
    let (ports, networks) = (&network["Ports"], &network["Networks"]);
    let is_map = |value: &Value| value.is_null() || value.is_object();
    let is_host_ip = |ip: &Value| ip.is_null() || ip == "" || ip.as_str().is_some_and(|ip| ip_address(ip).is_some());
    let is_host_endpoint =
        |bound: &Value| fields::number::<u16>(&bound["HostPort"]).is_some() && is_host_ip(&bound["HostIp"]);
    let is_bound = |bound: &Value| bound.is_null() || bound.is_object() && is_host_endpoint(bound);
    let is_port = |bound: &Value| bound.is_null() || bound.is_array() && fields::list(bound).all(is_bound);
    let is_address = |ip: &Value| ip.is_null() || ip == "" || network_ip(ip).is_some();
    network.is_object()
        && inspect["HostConfig"].is_object()
        && is_map(ports)
        && fields::map(ports).all(|(_, bound)| is_port(bound))
        && is_map(networks)
        && fields::map(networks).all(|(_, on)| is_address(&on["IPAddress"]) && is_address(&on["GlobalIPv6Address"]))
}

/// Whether the main process runs; `None` if the inspection does not show it.
pub(super) fn is_running(inspect: &Value) -> Option<bool> {
    let state = &inspect["State"];
    // Between two runs under a restart policy, both `Running` and `Restarting` are true.
    let restarting = fields::flag(&state["Restarting"]).unwrap_or_default();
    let running = fields::flag(&state["Running"]).or_else(|| match state["Status"].as_str()? {
        "running" | "paused" => Some(true),
        "created" | "configured" | "initialized" | "restarting" | "removing" | "stopping" | "stopped" | "exited"
        | "dead" => Some(false),
        _ => None,
    })?;
    Some(running && !restarting)
}

/// Translates an inspection. Absent fields are empty. `before` (the previous description) and `events` supply what only
/// events report.
pub(super) fn container(
    id: &str,
    inspect: &Value,
    before: Option<&Arc<Container>>,
    events: &ContainerEvents,
) -> Container {
    let (state, config, network) = (&inspect["State"], &inspect["Config"], &inspect["NetworkSettings"]);
    let text = |value: &Value| fields::text(value).unwrap_or_default();
    let running = is_running(inspect).unwrap_or_default();
    let stop_signal = fields::text(&config["StopSignal"])
        .and_then(|text| signal::parse(&text))
        .unwrap_or(signal::DEFAULT_STOP_SIGNAL);
    let mut starts = before.map(|before| before.starts.clone()).unwrap_or_default();
    // An engine may send an event twice: at the end of a stream, and at the start of the next.
    starts.extend(&events.starts);
    starts.sort_unstable();
    starts.dedup();
    starts.drain(..starts.len().saturating_sub(MAX_STARTS));
    let pairs = fields::list(&config["Env"]).filter_map(|pair| pair.as_str()?.split_once('='));
    let labels = fields::map(&config["Labels"]).filter_map(|(key, value)| Some((key.clone(), fields::text(value)?)));
    let exposed = || fields::map(&config["ExposedPorts"]).map(|(port, _)| port);
    let published = fields::map(&network["Ports"]).map(|(port, _)| port);
    Container {
        id: id.to_owned(),
        // A number or boolean is not accepted as a name, because the list contains the name too.
        name: inspect["Name"].as_str().unwrap_or_default().trim_start_matches('/').to_owned(),
        image: text(&config["Image"]),
        env: pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        labels: labels.collect(),
        running,
        exit_code: fields::number(&state["ExitCode"]).filter(|_| !running),
        health: health(&state["Health"], before.and_then(|before| before.health.as_ref())),
        starts,
        paused: fields::flag(&state["Paused"]).unwrap_or(state["Status"] == "paused"),
        started_at: text(&state["StartedAt"]),
        exposed_ports: exposed().filter_map(|port| Port::range(port)).flatten().collect(),
        invalid_ports: invalid_ports(exposed().chain(published)),
        bindings: bindings(&network["Ports"]),
        network_mode: text(&inspect["HostConfig"]["NetworkMode"]),
        networks: fields::map(&network["Networks"]).map(network_address).collect(),
        stop_signal_sent_at: events.signals.get(&stop_signal).copied().or_else(|| before?.stop_signal_sent_at),
        stop_signal,
    }
}

/// The health. An unknown status must not count as healthy: the previous health is kept; without one, the container is
/// starting.
fn health(health: &Value, before: Option<&Health>) -> Option<Health> {
    let status = match health {
        Value::Null => return None,
        Value::String(status) => status,
        _ => health["Status"].as_str().unwrap_or("unknown"),
    };
    let status = match status.to_ascii_lowercase().as_str() {
        "" | "none" => return None,
        "starting" => HealthStatus::Starting,
        "healthy" => HealthStatus::Healthy,
        "unhealthy" => HealthStatus::Unhealthy,
        _ if before.is_some() => return before.cloned(),
        _ => HealthStatus::Starting,
    };
    let last = fields::list(&health["Log"]).last();
    let output = last.and_then(|probe| fields::text(&probe["Output"])).unwrap_or_default();
    Some(Health { status, output: output.trim_end().to_owned() })
}

fn bindings(ports: &Value) -> BTreeMap<Port, Vec<PortBinding>> {
    let ports = fields::map(ports).filter_map(|(port, bound)| Some((Port::range(port)?, sorted_bindings(bound))));
    ports.flat_map(|(ports, bound)| ports.map(move |port| (port, bound.clone()))).collect()
}

/// The items among the ports that are not ports.
fn invalid_ports<'a>(ports: impl Iterator<Item = &'a String>) -> Vec<String> {
    let odd: BTreeSet<_> = ports.filter(|port| Port::range(port).is_none()).collect();
    odd.into_iter().cloned().collect()
}

fn sorted_bindings(bound: &Value) -> Vec<PortBinding> {
    let mut bindings: Vec<_> = fields::list(bound).flat_map(expand_binding).collect();
    bindings.sort_unstable();
    bindings.dedup();
    bindings
}

/// The bindings of one item. Without an address, it stands for all addresses of both families.
fn expand_binding(bound: &Value) -> Vec<PortBinding> {
    let port = fields::number(&bound["HostPort"]).filter(|port| *port != 0);
    let ips = match fields::text(&bound["HostIp"]).unwrap_or_default().as_str() {
        "" => vec![IpAddr::from([0, 0, 0, 0]), IpAddr::from([0; 16])],
        ip => ip_address(ip).into_iter().collect(),
    };
    port.into_iter().flat_map(|port| ips.iter().map(move |ip| PortBinding { ip: *ip, port })).collect()
}

/// Parses an address. Brackets and the name of an interface are removed, and an IPv4-mapped address becomes IPv4.
fn ip_address(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches(['[', ']']);
    let text = text.split_once('%').map_or(text, |(ip, _interface)| ip);
    text.parse().ok().map(|ip: IpAddr| ip.to_canonical())
}

fn network_address((name, endpoint): (&String, &Value)) -> (String, NetworkAddress) {
    let address = |key: &str| network_ip(&endpoint[key]);
    let id = fields::text(&endpoint["NetworkID"]).unwrap_or_default();
    let (v4, v6) = (address("IPAddress"), address("GlobalIPv6Address"));
    (name.clone(), NetworkAddress { id, v4, v6, network: Network::default() })
}

/// Parses an address with or without a prefix length.
fn network_ip(value: &Value) -> Option<IpAddr> {
    let text = value.as_str()?;
    text.split_once('/').map_or(text, |(ip, _bits)| ip).parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_port_that_docker_lists_for_both_families_keeps_both_bindings() {
        let inspect = json!({
            "Id": "c0ffee", "Name": "/web",
            "State": {"Running": true, "StartedAt": "2026-11-20T10:00:00.5Z"},
            "Config": {"Image": "nginx:1", "Env": ["A=b=c", "BARE"], "ExposedPorts": {"80/tcp": {}, "81/tcp": {}}, "StopSignal": "SIGQUIT"},
            "HostConfig": {"NetworkMode": "default"},
            "NetworkSettings": {
                "Ports": {"80/tcp": [{"HostIp": "::", "HostPort": "32768"}, {"HostIp": "0.0.0.0", "HostPort": "32768"}], "81/tcp": null},
                "Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}},
            },
        });
        let container = container("c0ffee", &inspect, None, &ContainerEvents::default());
        assert_eq!((container.name.as_str(), container.stop_signal, container.running), ("web", 3, true));
        assert_eq!(container.env, [("A".to_owned(), "b=c".to_owned())]);
        let bound: Vec<_> = container.bindings.iter().map(|(port, bound)| (port.number, bound.len())).collect();
        assert_eq!(bound, [(80, 2), (81, 0)]);
        assert_eq!(container.networks["bridge"].v4, Some([172, 17, 0, 2].into()));
        assert_eq!(container.networks["bridge"].v6, None);
    }

    #[test]
    fn a_stop_signal_counts_for_the_run_that_got_it() {
        let inspect = |started: &str| json!({"State": {"Running": true, "StartedAt": started}});
        let events = ContainerEvents {
            signals: [(15, "2026-11-20T10:00:00Z".parse().expect("valid"))].into(),
            ..ContainerEvents::default()
        };
        let now = "2026-11-20T10:00:05Z".parse().expect("valid");
        let stopping = |started| {
            let container = container("x", &inspect(started), None, &events);
            container.time_since_stop_signal(now).map(|time| time.as_secs())
        };
        assert_eq!(stopping("2026-11-20T09:00:00.1Z"), Some(5));
        assert_eq!(stopping("2026-11-20T11:30:00+02:00"), Some(5), "an engine may use local time");
        assert_eq!(stopping("2026-11-20T10:00:01Z"), None);
    }

    /// An inspection as from Docker 29, with all fields that are read.
    fn full_inspection() -> Value {
        json!({
            "Id": "c0ffee", "Name": "/web",
            "State": {"Status": "running", "Running": true, "Paused": false, "Restarting": false, "ExitCode": 0,
                "StartedAt": "2026-11-20T10:00:00.5Z",
                "Health": {"Status": "healthy", "FailingStreak": 0, "Log": [{"ExitCode": 0, "Output": "fine\n"}]}},
            "Config": {"Image": "nginx:1", "Env": ["A=b"], "Labels": {"a": "b"}, "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGQUIT"},
            "HostConfig": {"NetworkMode": "bridge"},
            "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "32768"}]},
                "Networks": {"bridge": {"IPAddress": "172.17.0.2", "GlobalIPv6Address": ""}}},
        })
    }

    fn read(inspect: &Value) -> Container {
        container("c0ffee", inspect, None, &ContainerEvents::default())
    }

    #[test]
    fn an_invalid_field_does_not_affect_the_others() {
        let odd =
            [json!(null), json!("odd"), json!(-70_000), json!(true), json!([]), json!([null, 7]), json!({"a": null})];
        let good = read(&full_inspection());
        assert_eq!(unreadable_fields(&full_inspection()), [""; 0]);
        for (pointer, kind) in FIELDS {
            for odd in &odd {
                let mut inspect = full_inspection();
                *inspect.pointer_mut(pointer).expect(pointer) = odd.clone();
                let container = read(&inspect);
                assert!(is_running(&inspect).is_some() || pointer == "/State", "{pointer} {odd}");
                let fits = unreadable_fields(&inspect).is_empty();
                assert!(fits || unreadable_fields(&inspect) == [pointer], "{pointer} {odd}");
                assert!(!odd.is_null() || fits, "null is absent: {pointer}");
                assert!(kind != FieldType::List || fits || !odd.is_array(), "{pointer} {odd}");
                // All other fields are unchanged.
                let unchanged = [
                    ("/State", good.running == container.running),
                    ("/State", good.started_at == container.started_at),
                    ("/State", good.health == container.health),
                    ("/Name", good.name == container.name),
                    ("/Config", good.env == container.env),
                    ("/Config", good.labels == container.labels),
                    ("/Config", good.exposed_ports == container.exposed_ports),
                    ("/Config", good.image == container.image),
                    ("/HostConfig", good.network_mode == container.network_mode),
                    ("/NetworkSettings", good.bindings == container.bindings),
                    ("/NetworkSettings", good.networks == container.networks),
                ];
                for (part, unchanged) in unchanged {
                    assert!(
                        unchanged || pointer.starts_with(part),
                        "{pointer} {odd} affects other fields: {container:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn an_invalid_item_of_a_field_does_not_affect_the_others() {
        let mut inspect = full_inspection();
        inspect["Config"]["Env"] = json!([null, 7, "A=b", "BARE", ["C=d"]]);
        inspect["Config"]["Labels"] = json!({"a": "b", "n": null, "seven": 7, "yes": true, "list": []});
        inspect["NetworkSettings"]["Ports"] = json!({"80/tcp": [null, "odd", {"HostIp": null, "HostPort": 8080},
            {"HostIp": "odd", "HostPort": "1"}, {"HostPort": "odd"}], "81/tcp": "odd", "odd": [], "82/tcp": null});
        inspect["NetworkSettings"]["Networks"] =
            json!({"a": {"IPAddress": "172.17.0.2"}, "b": null, "c": {"IPAddress": 7}});
        let container = read(&inspect);
        assert_eq!(container.env, [("A".to_owned(), "b".to_owned())]);
        let labels: Vec<_> = container.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert_eq!(labels, [("a", "b"), ("seven", "7"), ("yes", "true")]);
        let bound: Vec<_> = container.bindings.iter().map(|(port, bound)| (port.number, bound.len())).collect();
        // Without an address: all addresses of both families.
        assert_eq!(bound, [(80, 2), (81, 0), (82, 0)]);
        assert_eq!(container.networks.len(), 3);
        assert!(container.networks["a"].v4.is_some() && container.networks["c"].v4.is_none());
        assert!(!is_conclusive(&inspect), "the address of a running container is unknown");
    }

    #[test]
    fn a_running_container_needs_a_readable_address() {
        let cases = [
            ("/NetworkSettings", json!(null), false),
            ("/NetworkSettings", json!("odd"), false),
            ("/NetworkSettings", json!({}), true),
            ("/HostConfig", json!(null), false),
            ("/HostConfig", json!([]), false),
            ("/HostConfig", json!({}), true),
            ("/NetworkSettings/Ports/80~1tcp", json!(null), true),
            ("/NetworkSettings/Ports/80~1tcp", json!([]), true),
            ("/NetworkSettings/Ports/80~1tcp", json!([null]), true),
            ("/NetworkSettings/Ports/80~1tcp", json!([{"HostPort": 8080}]), true),
            ("/NetworkSettings/Ports/80~1tcp", json!([{"HostPort": "0"}]), true),
            ("/NetworkSettings/Ports/80~1tcp", json!([{"HostPort": "65536"}]), false),
            ("/NetworkSettings/Ports/80~1tcp", json!([{"HostPort": ""}]), false),
            ("/NetworkSettings/Ports/80~1tcp", json!([{"HostIp": "0.0.0.0"}]), false),
            ("/NetworkSettings/Ports/80~1tcp", json!(["odd"]), false),
            ("/NetworkSettings/Ports/80~1tcp", json!({"HostPort": "80"}), false),
            ("/NetworkSettings/Networks", json!(null), true),
            ("/NetworkSettings/Networks", json!([]), false),
            ("/NetworkSettings/Networks/bridge", json!(null), true),
            ("/NetworkSettings/Networks/bridge/IPAddress", json!(null), true),
            ("/NetworkSettings/Networks/bridge/IPAddress", json!(""), true),
            ("/NetworkSettings/Networks/bridge/IPAddress", json!("172.17.0.2/16"), true),
            ("/NetworkSettings/Networks/bridge/IPAddress", json!("fd00::2"), true),
            ("/NetworkSettings/Networks/bridge/IPAddress", json!("odd"), false),
            ("/NetworkSettings/Networks/bridge/IPAddress", json!(7), false),
        ];
        for (pointer, value, conclusive) in cases {
            let mut inspect = full_inspection();
            *inspect.pointer_mut(pointer).expect(pointer) = value.clone();
            assert_eq!(is_conclusive(&inspect), conclusive, "{pointer} {value}");
            inspect["State"] = json!({"Status": "exited", "Running": false});
            assert!(is_conclusive(&inspect), "a container that does not run has no address: {pointer} {value}");
        }
        let mut inspect = full_inspection();
        inspect["NetworkSettings"]["Networks"]["bridge"]["IPAddress"] = json!("172.17.0.2/16");
        assert_eq!(read(&inspect).networks, read(&full_inspection()).networks);
    }

    #[test]
    fn an_unknown_health_is_never_healthy() {
        use HealthStatus::{Healthy, Starting, Unhealthy};
        // The health, the expected status without a previous one, and the expected status after `unhealthy`.
        let cases = [
            (json!(null), None, None),
            (json!(""), None, None),
            (json!({"Status": ""}), None, None),
            (json!({"Status": "None"}), None, None),
            (json!({"Status": "Healthy"}), Some(Healthy), Some(Healthy)),
            (json!({"Status": "Unhealthy"}), Some(Unhealthy), Some(Unhealthy)),
            (json!("unhealthy"), Some(Unhealthy), Some(Unhealthy)),
            (json!("STARTING"), Some(Starting), Some(Starting)),
            (json!({"Status": null, "Log": [{"Output": "bad"}]}), Some(Starting), Some(Unhealthy)),
            (json!({"Status": "degraded"}), Some(Starting), Some(Unhealthy)),
            (json!("degraded"), Some(Starting), Some(Unhealthy)),
            (json!([]), Some(Starting), Some(Unhealthy)),
        ];
        let before = Health { status: Unhealthy, output: "down".to_owned() };
        for (value, alone, after) in cases {
            assert_eq!(health(&value, None).map(|health| health.status), alone, "{value}");
            assert_eq!(health(&value, Some(&before)).map(|health| health.status), after, "{value}");
        }
        assert_eq!(unreadable_fields(&json!({"State": {"Health": "unhealthy"}})), [""; 0]);
    }

    #[test]
    fn ports_of_an_unknown_form_are_not_an_empty_list() {
        for (ports, conclusive) in [(json!(null), true), (json!({}), true), (json!("odd"), false), (json!([]), false)] {
            let mut inspect = full_inspection();
            inspect["NetworkSettings"]["Ports"] = ports.clone();
            assert_eq!(is_conclusive(&inspect), conclusive, "{ports}");
        }
    }

    #[test]
    fn the_running_state_is_read_from_either_field() {
        let cases = [
            (json!({"Running": true, "Status": "odd"}), Some(true)),
            (json!({"Running": "true"}), Some(true)),
            (json!({"Running": null, "Status": "running"}), Some(true)),
            (json!({"Running": [], "Status": "paused"}), Some(true)),
            (json!({"Running": true, "Restarting": true}), Some(false)),
            (json!({"Status": "stopped"}), Some(false)),
            (json!({"Status": "configured"}), Some(false)),
            (json!({"Status": "odd"}), None),
            (json!({"Running": 7}), None),
            (json!(null), None),
            (json!("running"), None),
        ];
        for (state, expected) in cases {
            assert_eq!(is_running(&json!({"State": state})), expected, "{state}");
            let inspect = json!({"State": state, "HostConfig": {}, "NetworkSettings": {}});
            assert_eq!(is_conclusive(&inspect), expected.is_some(), "{state}");
        }
    }
}
