//! The addresses of instances.

use crate::{
    hold, run,
    subject::{Subject, a1, web},
};

#[test]
fn addresses_and_ports() {
    const HERE: &str = "dockerhost:a1:80 nginx 192.168.1.102:8000";
    let at = |places: &[&str]| vec![a1().publish("80/tcp", places)];
    let host = || a1().publish("80/tcp", &[]).publish("443/tcp", &[]).network("host", &[("host", "")]);
    let compose =
        || a1().publish("80/tcp", &["0.0.0.0:32768"]).network("proj_default", &[("proj_default", "172.18.0.5")]);
    let ip: &[&str] = &["-ip", "10.1.2.3"];
    hold(&[
        ("what the agent advertises", at(&["0.0.0.0:8000", "[::]:8000"]), &[], &[HERE]),
        ("the order of bindings means nothing", at(&["[::]:8000", "0.0.0.0:8000"]), &[], &[HERE]),
        ("IPv6 alone, known by an IPv4 address", at(&["[::]:8000"]), &[], &[]),
        ("the same with --ip", at(&["[::]:8000"]), ip, &[]),
        (
            "IPv6 alone, known by such an address",
            at(&["[::]:8000"]),
            &["-ip", "2001:db8::1"],
            &["dockerhost:a1:80 nginx 2001:db8::1:8000"],
        ),
        (
            "the binding of the family wins",
            at(&["0.0.0.0:8000", "[::]:9000"]),
            &["-ip", "2001:db8::1"],
            &["dockerhost:a1:80 nginx 2001:db8::1:9000"],
        ),
        (
            "a specific IPv6 address is reached, whatever --ip says",
            at(&["[2001:db8::5]:9000"]),
            ip,
            &["dockerhost:a1:80 nginx 2001:db8::5:9000"],
        ),
        ("link-local alone is no service", at(&["169.254.3.4:8000", "[fe80::1]:8000"]), &[], &[]),
        (
            "a specific address before all addresses",
            at(&["0.0.0.0:8000", "10.0.0.5:9000"]),
            &[],
            &["dockerhost:a1:80 nginx 10.0.0.5:9000"],
        ),
        (
            "IPv4 before IPv6",
            at(&["[2001:db8::5]:8000", "10.0.0.5:9000"]),
            &[],
            &["dockerhost:a1:80 nginx 10.0.0.5:9000"],
        ),
        ("a loopback address does not count", at(&["127.0.0.1:1", "0.0.0.0:8000"]), &[], &[HERE]),
        ("loopback alone is no service", at(&["127.0.0.1:8000"]), &[], &[]),
        ("--ip", at(&["10.0.0.5:9000"]), ip, &["dockerhost:a1:80 nginx 10.1.2.3:9000"]),
        (
            "--ip takes the port that is open there",
            at(&["0.0.0.0:8000", "10.0.0.5:9000"]),
            ip,
            &["dockerhost:a1:80 nginx 10.1.2.3:8000"],
        ),
        ("an empty --ip is none", at(&["0.0.0.0:8000"]), &["-ip="], &[HERE]),
        (
            "a network of one's own: never the container's address with a port of the host",
            vec![compose()],
            &[],
            &["dockerhost:a1:80 nginx 192.168.1.102:32768"],
        ),
        ("the same with --ip", vec![compose()], ip, &["dockerhost:a1:80 nginx 10.1.2.3:32768"]),
        (
            "the host's network: exposed ports are open",
            vec![host()],
            &[],
            &["dockerhost:a1:443 nginx-443 192.168.1.102:443", "dockerhost:a1:80 nginx-80 192.168.1.102:80"],
        ),
        (
            "the host's network with --internal",
            vec![host()],
            &["-internal"],
            &["dockerhost:a1:443 nginx-443 192.168.1.102:443", "dockerhost:a1:80 nginx-80 192.168.1.102:80"],
        ),
        ("no network", vec![a1().expose("80/tcp").network("none", &[("none", "")])], &[], &[]),
        (
            "no network, with --internal",
            vec![a1().expose("80/tcp").network("none", &[("none", "")])],
            &["-internal"],
            &[],
        ),
    ]);
}

#[test]
fn the_containers_own_address() {
    let inside = "dockerhost:a1:80 nginx 172.17.0.2:80";
    let two = || a1().expose("80/tcp").network("back", &[("back", "172.18.0.5"), ("front", "172.19.0.5")]);
    let both = || a1().expose("80/tcp").network("default", &[("app", "172.18.0.5"), ("bridge", "172.17.0.2")]);
    let lost = || a1().expose("80/tcp").network("gone", &[("b", "172.18.0.5"), ("a", "172.19.0.5")]);
    hold(&[
        ("published or not", vec![a1().expose("80/tcp")], &["-internal"], &[inside]),
        ("the port inside", vec![web()], &["-internal"], &[inside]),
        ("--ip does not count", vec![web()], &["-internal", "-ip", "10.1.2.3"], &[inside]),
        (
            "unpublished ports make a group",
            vec![web().expose("443/tcp")],
            &["-internal"],
            &["dockerhost:a1:443 nginx-443 172.17.0.2:443", "dockerhost:a1:80 nginx-80 172.17.0.2:80"],
        ),
        (
            "on the network that it was started with",
            vec![two()],
            &["-internal"],
            &["dockerhost:a1:80 nginx 172.18.0.5:80"],
        ),
        ("the default network is the bridge", vec![both()], &["-internal"], &[inside]),
        (
            "on the network that is named",
            vec![two()],
            &["-internal", "--network", "front"],
            &["dockerhost:a1:80 nginx 172.19.0.5:80"],
        ),
        (
            "not on the network that is named",
            vec![two()],
            &["-internal", "--network", "c"],
            &["dockerhost:a1:80 nginx 172.18.0.5:80"],
        ),
        (
            "a mode that is the id of a network",
            vec![two().network_mode_by_id("front", &"b".repeat(64))],
            &["-internal"],
            &["dockerhost:a1:80 nginx 172.19.0.5:80"],
        ),
        ("else the first by name", vec![lost()], &["-internal"], &["dockerhost:a1:80 nginx 172.19.0.5:80"]),
    ]);
}

#[test]
fn in_the_network_of_another_container() {
    let pause = |name: &str| a1().named(name).network("default", &[("bridge", "172.17.0.9")]);
    let app = |owner: &Subject| a1().expose("80/tcp").network(&format!("container:{}", owner.id()), &[]);
    let user = || pause("p").network("mynet", &[("mynet", "172.20.0.9")]);
    let middle = || pause("m").network(&format!("container:{}", pause("p").id()), &[]);
    let published = || pause("p").publish("80/tcp", &["0.0.0.0:8000"]).env("SERVICE_IGNORE=1");
    let on_host = || pause("p").network("host", &[("host", "")]);
    hold(&[
        ("on the bridge", vec![pause("p"), app(&pause("p"))], &[], &["dockerhost:a1:80 nginx 172.17.0.9:80"]),
        ("on a network of one's own", vec![user(), app(&user())], &[], &["dockerhost:a1:80 nginx 172.20.0.9:80"]),
        ("through a chain", vec![pause("p"), middle(), app(&middle())], &[], &["dockerhost:a1:80 nginx 172.17.0.9:80"]),
        (
            "what the owner has published",
            vec![published(), app(&published())],
            &[],
            &["dockerhost:a1:80 nginx 192.168.1.102:8000"],
        ),
        ("on the host's network", vec![on_host(), app(&on_host())], &[], &["dockerhost:a1:80 nginx 192.168.1.102:80"]),
    ]);
}

#[test]
fn requested_addresses() {
    const HERE: &str = "dockerhost:a1:80 nginx 192.168.1.102:8000";
    let label: &[&str] = &["-useIpFromLabel", "ip"];
    let all: &[&str] = &["-useIpFromLabel", "ip", "-ip", "1.2.3.4", "-internal"];
    hold(&[
        (
            "an address",
            vec![web().env("SERVICE_ADDRESS=edge.example")],
            &["-ip", "1.2.3.4"],
            &["dockerhost:a1:80 nginx edge.example:8000"],
        ),
        ("a port", vec![web().env("SERVICE_ADVERTISE_PORT=443")], &[], &["dockerhost:a1:80 nginx 192.168.1.102:443"]),
        (
            "both, for a port that is published nowhere",
            vec![a1().expose("80/tcp").env("SERVICE_80_ADDRESS=10.9.9.9").env("SERVICE_80_ADVERTISE_PORT=443")],
            &[],
            &["dockerhost:a1:80 nginx 10.9.9.9:443"],
        ),
        (
            "an address before the label",
            vec![web().env("SERVICE_ADDRESS=10.9.9.9").label("ip", "10.42.1.9")],
            label,
            &["dockerhost:a1:80 nginx 10.9.9.9:8000"],
        ),
        (
            "a label, without its mask",
            vec![web().label("ip", "10.42.1.9/16")],
            label,
            &["dockerhost:a1:80 nginx 10.42.1.9:8000"],
        ),
        (
            "a label beats --ip and --internal, and the port stays theirs",
            vec![web().label("ip", "10.42.1.9")],
            all,
            &["dockerhost:a1:80 nginx 10.42.1.9:80"],
        ),
        ("no label", vec![web()], label, &[HERE]),
        ("an empty label", vec![web().label("ip", "")], label, &[HERE]),
        ("an address that nobody else reaches", vec![web().env("SERVICE_ADDRESS=0.0.0.0")], &[], &[HERE]),
        ("an address that is none", vec![web().env("SERVICE_ADDRESS=999.1.1.1")], &[], &[HERE]),
        ("an address with a port", vec![web().env("SERVICE_ADDRESS=10.0.0.5:8080")], &[], &[HERE]),
        ("a port that is none", vec![web().env("SERVICE_ADVERTISE_PORT=http")], &[], &[HERE]),
    ]);
}

#[test]
fn tagged_addresses() {
    let tagged = |subject: Subject| run(&[subject], &[]).bodies.remove(0)["TaggedAddresses"].to_string();
    assert_eq!(tagged(web()), r#"{"bridge":{"Address":"172.17.0.2","Port":80}}"#);
    let reserved = web().network("wan", &[("wan", "172.18.0.5"), ("lan_ipv6", "172.19.0.5"), ("front", "172.20.0.5")]);
    assert_eq!(tagged(reserved), r#"{"front":{"Address":"172.20.0.5","Port":80}}"#, "Consul has names of its own");
    let both = a1().publish("80/tcp", &["10.0.0.5:1", "[2001:db8::5]:2"]).network("none of ours", &[]);
    let expected = r#"{"lan_ipv4":{"Address":"10.0.0.5","Port":1},"lan_ipv6":{"Address":"2001:db8::5","Port":2}}"#;
    assert_eq!(tagged(both), expected);
}
