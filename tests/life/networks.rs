//! `--internal` with networks that other hosts cannot reach.

use serde_json::{Value, json};

use super::{
    WEB, changed,
    common::{
        black_box::{Daemon, id, run, until},
        fake_consul::FakeConsul,
        fake_docker::FakeDocker,
    },
    settle,
};

/// Three networks that exist, and one that will be created.
fn networks(with_new: bool) -> Value {
    let network = |name: &str, driver: &str, internal: bool| json!({"Id": id(name), "Name": name, "Driver": driver, "Scope": "local", "Internal": internal, "Ingress": false});
    let mut all = vec![
        network("aback", "bridge", true),
        network("amac", "macvlan", true),
        network("front", "bridge", false),
        json!(null),
    ];
    all.extend(with_new.then(|| network("anew", "bridge", true)));
    all.into()
}

/// A container on these networks, started on the first of them.
fn on(names: &[(&str, &str)]) -> Value {
    let endpoint = |(name, ip): &(&str, &str)| ((*name).to_owned(), json!({"NetworkID": id(name), "IPAddress": ip}));
    changed("web", 8000, |web| {
        web["HostConfig"]["NetworkMode"] = json!(names[0].0);
        web["NetworkSettings"]["Networks"] = names.iter().map(endpoint).collect();
    })
}

const FRONT: (&str, &str) = ("front", "172.20.0.2");

fn addresses(consul: &FakeConsul) -> Vec<String> {
    let registrations = consul.registrations().into_iter().filter(|body| body["ID"] == WEB);
    registrations.map(|body| body["Address"].as_str().expect("an address").to_owned()).collect()
}

#[test]
fn an_internal_network_is_never_chosen_if_there_is_another() {
    for closed in [("aback", "172.18.0.2"), ("amac", "172.19.0.2"), ("docker_gwbridge", "172.21.0.2")] {
        let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
        docker.set_networks(networks(false));
        docker.set(on(&[closed, FRONT]));
        let daemon = Daemon::start(&docker, &consul, &["--internal"]);
        until("the registration", || consul.ids() == [WEB]);
        assert_eq!(addresses(&consul), [FRONT.1], "{closed:?}");
        docker.set(on(&[closed]));
        docker.network_event("disconnect", &id("web"));
        until("the removal", || consul.ids().is_empty());
        daemon.until_logged("addresses only on networks that other hosts do not reach");
        assert_eq!(daemon.stop(), Some(0));
        let asked = run(&docker, &consul, &["--internal", "--network", closed.0, "--once"]);
        assert_eq!((asked.status.code(), addresses(&consul)), (Some(0), vec![FRONT.1.into(), closed.1.into()]));
    }
}

#[test]
fn a_new_network_is_known_immediately() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set_networks(networks(false));
    let daemon = Daemon::start(&docker, &consul, &["--internal", "--resync", "1h"]);
    daemon.until_logged("up to date");
    docker.set_networks(networks(true));
    docker.run(on(&[("anew", "172.22.0.2"), FRONT]));
    until("the registration", || consul.ids() == [WEB]);
    assert_eq!(addresses(&consul), [FRONT.1]);
}

#[test]
fn an_engine_that_does_not_list_its_networks_affects_nothing_else() {
    let closed = ("aback", "172.18.0.2");
    for hangs in [false, true] {
        let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
        docker.hang_networks(hangs);
        docker.set(on(&[closed, FRONT]));
        let daemon = Daemon::start(&docker, &consul, &["--internal", "--resync", "200ms"]);
        until("the registration", || addresses(&consul) == [closed.1]);
        settle(&docker, &consul);
        docker.set_networks(networks(false));
        docker.hang_networks(false);
        until("the move to the open network", || addresses(&consul) == [closed.1, FRONT.1]);
        // The earlier list of networks stays in use.
        docker.hang_networks(true);
        settle(&docker, &consul);
        assert_eq!(addresses(&consul), [closed.1, FRONT.1], "{}", daemon.log());
        assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
    }
}
