//! The instances of containers.

use std::time::Duration;

use super::*;
use crate::{
    docker::NetworkAddress,
    register::{Settings, fixture::container, traffic::next_traffic_change},
    registry::OutOfTraffic,
};

fn host() -> Host {
    Host {
        engine: "ENGINE".into(),
        hostname: "dockerhost".into(),
        data_dir: "/var/lib/docker".into(),
        advertised: "192.168.1.102".into(),
        settings: Settings::default(),
    }
}

fn with(settings: Settings) -> Host {
    Host { settings, ..host() }
}

/// `id | name | address:port | tags` for each port, or why there is none.
fn table(container: &Container, host: &Host) -> Vec<String> {
    let now = "2026-11-20T10:10:00Z".parse().expect("a time");
    let line = |outcome: PortOutcome| match outcome.instance {
        Ok(i) => format!("{} | {} | {}:{} | {}", i.id, i.name, i.address, i.port, i.tags.join(",")),
        Err(skip) => format!("{}: {skip}", outcome.port),
    };
    port_outcomes(container, &BTreeMap::new(), host, now).into_iter().map(line).collect()
}

#[test]
fn one_port_takes_the_name_of_the_image() {
    let redis = Container { image: "progrium/redis".into(), ..container("redis.0") };
    let redis = redis.publish("6379/tcp", &["0.0.0.0:10000", "[::]:10000"]);
    assert_eq!(table(&redis, &host()), ["dockerhost:redis.0:6379 | redis | 192.168.1.102:10000 | "]);
}

#[test]
fn several_ports_make_a_group() {
    let nginx = container("nginx.0").publish("443/tcp", &["0.0.0.0:4443"]).publish("80/tcp", &["0.0.0.0:8000"]);
    let lines = table(&nginx, &host());
    assert_eq!(
        lines,
        [
            "dockerhost:nginx.0:80 | nginx-80 | 192.168.1.102:8000 | ",
            "dockerhost:nginx.0:443 | nginx-443 | 192.168.1.102:4443 | ",
        ]
    );
    let named = nginx.env("SERVICE_443_NAME", "secure").env("SERVICE_443_ID", "one").env("SERVICE_TAGS", "b,a");
    let lines = table(&named, &host());
    assert_eq!(lines[1], "one | secure | 192.168.1.102:4443 | b,a");
    let ignored = named.env("SERVICE_80_IGNORE", "yes");
    assert_eq!(table(&ignored, &host())[0], "80/tcp: SERVICE_IGNORE is set");
}

#[test]
fn an_exposed_port_does_not_count() {
    let nginx = container("n").publish("443/tcp", &[]).publish("80/tcp", &["0.0.0.0:8000"]);
    let lines = table(&nginx, &host());
    assert_eq!(lines, ["dockerhost:n:80 | nginx | 192.168.1.102:8000 | ", "443/tcp: it is not published on the host"]);
}

#[test]
fn udp_and_sctp_have_ids_and_tags_of_their_own() {
    let dns = container("d").publish("53/tcp", &["0.0.0.0:1"]).publish("53/udp", &["0.0.0.0:2"]);
    let dns = dns.publish("53/sctp", &["0.0.0.0:3"]).env("SERVICE_53_NAME", "dns");
    assert_eq!(
        table(&dns, &host()),
        [
            "dockerhost:d:53 | dns | 192.168.1.102:1 | ",
            "dockerhost:d:53:udp | dns | 192.168.1.102:2 | udp",
            "dockerhost:d:53:sctp | dns | 192.168.1.102:3 | sctp",
        ]
    );
}

#[test]
fn the_address_that_other_hosts_reach_best() {
    let forced = with(Settings { ip: Some("10.1.2.3".into()), ..Settings::default() });
    let cases: [(&[&str], &str, &str); 6] = [
        (&["[::]:8000", "0.0.0.0:8000"], "192.168.1.102:8000", "10.1.2.3:8000"),
        (&["0.0.0.0:1", "10.0.0.5:2"], "10.0.0.5:2", "10.1.2.3:1"),
        (&["0.0.0.0:1", "10.1.2.3:2"], "10.1.2.3:2", "10.1.2.3:2"),
        (&["[2001:db8::5]:2", "10.0.0.5:3"], "10.0.0.5:3", "10.1.2.3:3"),
        (&["127.0.0.1:1", "0.0.0.0:2"], "192.168.1.102:2", "10.1.2.3:2"),
        (&["127.0.0.1:1"], "80/tcp: it is published on a loopback address only", "10.1.2.3:1"),
    ];
    for (addresses, expected, with_ip) in cases {
        let web = container("w").publish("80/tcp", addresses);
        assert!(table(&web, &host())[0].contains(expected), "{addresses:?}");
        assert!(table(&web, &forced)[0].contains(with_ip), "{addresses:?}");
    }
}

#[test]
fn on_the_hosts_network_exposed_ports_are_registered() {
    let mut web = container("w");
    web.network_mode = "host".into();
    web.exposed_ports = ["80/tcp".parse().expect("a port"), "443/tcp".parse().expect("a port")].into();
    let lines = table(&web, &host());
    assert_eq!(lines[0], "dockerhost:w:80 | nginx-80 | 192.168.1.102:80 | ");
    assert_eq!(lines.len(), 2);
}

#[test]
fn without_an_image_name_the_container_name_is_used() {
    let by_id = Container { image: "sha256:1234".into(), ..container("web-1") }.publish("80/tcp", &["0.0.0.0:1"]);
    assert!(table(&by_id, &host())[0].contains("| web-1 |"));
}

#[test]
fn the_metadata_may_set_the_address() {
    let web = container("w").publish("80/tcp", &["0.0.0.0:8000"]).env("SERVICE_ADDRESS", "edge.example");
    assert!(table(&web, &host())[0].contains("| edge.example:8000 |"));
    let web = web.env("SERVICE_80_ADVERTISE_PORT", "443");
    assert!(table(&web, &host())[0].contains("| edge.example:443 |"));
    let wrong = container("w").publish("80/tcp", &["0.0.0.0:8000"]).env("SERVICE_ADVERTISE_PORT", "many");
    let outcome = port_outcomes(&wrong, &BTreeMap::new(), &host(), Timestamp::now()).remove(0);
    assert_eq!(outcome.notes, ["SERVICE_ADVERTISE_PORT is ignored: \"many\" is not a port"]);
    assert_eq!(outcome.instance.map(|instance| instance.port), Ok(8000));
}

#[test]
fn an_address_that_other_hosts_cannot_reach_is_ignored() {
    for address in ["0.0.0.0", "::", "127.0.0.1", "::1", "localhost", "http://x:80/", "x;}evil"] {
        let web = container("w").publish("80/tcp", &["0.0.0.0:8000"]).env("SERVICE_ADDRESS", address);
        let outcome = port_outcomes(&web, &BTreeMap::new(), &host(), Timestamp::now()).remove(0);
        assert_eq!(
            outcome.notes,
            [format!(
                "SERVICE_ADDRESS is ignored: {address:?} is not an address or host name that other hosts can reach"
            )]
        );
        assert_eq!(outcome.instance.map(|instance| instance.address), Ok("192.168.1.102".into()));
    }
    let web = container("w").publish("80/tcp", &["0.0.0.0:8000"]);
    let empty = Settings { ip: Some(String::new()), ..Settings::default() };
    assert!(table(&web, &with(empty))[0].contains("| 192.168.1.102:8000 |"), "an empty --ip counts as unset");
}

#[test]
fn an_address_from_a_label() {
    let mut web = container("w").publish("80/tcp", &["0.0.0.0:8000"]);
    let settings = Settings { use_ip_from_label: Some("ip".into()), ip: Some("1.2.3.4".into()), ..Settings::default() };
    assert!(table(&web, &with(settings.clone()))[0].contains("| 1.2.3.4:8000 |"), "without the label: --ip");
    web.labels.insert("ip".into(), "10.42.1.9/16".into());
    assert!(table(&web, &with(settings.clone()))[0].contains("| 10.42.1.9:8000 |"));
    web.networks
        .insert("bridge".into(), NetworkAddress { v4: Some([172, 17, 0, 2].into()), ..NetworkAddress::default() });
    assert!(table(&web, &with(Settings { internal: true, ..settings }))[0].contains("| 10.42.1.9:80 |"));
}

#[test]
fn internal_means_the_containers_own_address_and_port() {
    let v4 = |last| NetworkAddress { v4: Some([172, 18, 0, last].into()), ..NetworkAddress::default() };
    let mut web = container("w").publish("80/tcp", &["0.0.0.0:8000"]).publish("81/tcp", &[]).env("SERVICE_NAME", "web");
    let internal = Settings { internal: true, ..Settings::default() };
    assert_eq!(table(&web, &with(internal.clone()))[0], "80/tcp: the container has no address of its own");
    web.networks = [("a".to_owned(), v4(1)), ("b".to_owned(), v4(2))].into();
    let lines = table(&web, &with(internal.clone()));
    assert_eq!(lines[1], "dockerhost:w:81 | web-81 | 172.18.0.1:81 | ", "not published, but reachable there");
    web.network_mode = "b".into();
    assert!(table(&web, &with(internal.clone()))[0].contains("| 172.18.0.2:80 |"));
    let named = Settings { network: Some("a".into()), ..internal.clone() };
    assert!(table(&web, &with(named))[0].contains("| 172.18.0.1:80 |"));
    let elsewhere = Settings { network: Some("c".into()), ..internal.clone() };
    assert!(table(&web, &with(elsewhere))[0].contains("| 172.18.0.2:80 |"), "it is not on that network");
    web.networks.insert("bridge".into(), v4(3));
    web.network_mode = "default".into();
    assert!(table(&web, &with(internal.clone()))[0].contains("| 172.18.0.3:80 |"));
    web.network_mode = "host".into();
    assert!(table(&web, &with(internal))[0].contains("| 192.168.1.102:80 |"));
}

#[test]
fn in_the_network_of_another_container() {
    let pause = container("pause").publish("80/tcp", &["0.0.0.0:8000"]);
    let mut middle = container("middle");
    middle.network_mode = format!("container:{}", pause.id);
    let mut app = container("app").publish("80/tcp", &[]).publish("9/tcp", &[]);
    app.network_mode = format!("container:{}", middle.id);
    app.bindings.clear();
    let address_of_each_port = |pause: Container| {
        let all = [pause, middle.clone(), app.clone()]
            .map(|c| (c.id.clone(), Observation::Inspected(std::sync::Arc::new(c))));
        let lines = port_outcomes(&app, &all.into(), &host(), Timestamp::now()).into_iter().map(|outcome| {
            outcome.instance.map_or_else(|skip| skip.to_string(), |i| format!("{} {}:{}", i.name, i.address, i.port))
        });
        lines.collect::<Vec<_>>()
    };
    assert_eq!(
        address_of_each_port(pause.clone())[1],
        "nginx-80 192.168.1.102:8000",
        "what the owner of the network published"
    );
    let mut own = pause;
    own.networks
        .insert("mynet".into(), NetworkAddress { v4: Some([172, 20, 0, 9].into()), ..NetworkAddress::default() });
    assert_eq!(address_of_each_port(own)[0], "nginx-9 172.20.0.9:9");
}

#[test]
fn explicit_requires_a_name() {
    let settings = Settings { explicit: true, ..Settings::default() };
    let web = container("w").publish("443/tcp", &["0.0.0.0:1"]).publish("80/tcp", &["0.0.0.0:2"]);
    let lines = table(&web.env("SERVICE_80_NAME", "web"), &with(settings));
    assert_eq!(lines[0], "dockerhost:w:80 | web | 192.168.1.102:2 | ");
    assert_eq!(lines[1], "443/tcp: it has no SERVICE_NAME, and --explicit asks for one");
}

#[test]
fn out_of_traffic_while_it_stops_or_is_paused() {
    let web = container("w").publish("80/tcp", &["0.0.0.0:1"]);
    let out = |container: &Container, now: &str| {
        port_outcomes(container, &BTreeMap::new(), &host(), now.parse().expect("a time"))[0]
            .instance
            .as_ref()
            .expect("registered")
            .out_of_traffic
    };
    let now = "2026-11-20T12:00:05Z";
    assert_eq!(out(&web, now), None);
    let stopping = Container { stop_signal_sent_at: "2026-11-20T12:00:00Z".parse().ok(), ..web.clone() };
    assert_eq!(out(&stopping, now), stopping.stop_signal_sent_at.map(|since| OutOfTraffic::Draining { since }));
    assert_eq!(next_traffic_change(&stopping, &host(), now.parse().expect("a time")), Some(Duration::from_secs(595)));
    assert_eq!(out(&stopping, "2026-11-20T12:10:00Z"), None, "it did not stop");
    assert_eq!(out(&Container { paused: true, ..web.clone() }, now), Some(OutOfTraffic::Paused));
    assert_eq!(port_outcomes(&Container { running: false, ..web }, &BTreeMap::new(), &host(), Timestamp::now()), []);
}
