//! Answers with an invalid field, which must not affect other fields and containers.

use serde_json::{Value, json};

use super::common::{
    black_box::{Daemon, id, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

/// The fields that are read from an inspection, apart from those without which the container cannot be registered.
const FIELDS: [&str; 19] = [
    "/Id",
    "/Name",
    "/Image",
    "/RestartCount",
    "/State/Status",
    "/State/Running",
    "/State/Paused",
    "/State/Restarting",
    "/State/StartedAt",
    "/State/ExitCode",
    "/State/Health",
    "/State/Health/Status",
    "/State/Health/Log",
    "/Config/Image",
    "/Config/Labels",
    "/Config/ExposedPorts",
    "/Config/StopSignal",
    "/HostConfig/NetworkMode",
    "/NetworkSettings/Networks/bridge",
];

/// The fields of a container in a list.
const SUMMARY_FIELDS: [&str; 12] = [
    "Names",
    "Image",
    "ImageID",
    "Command",
    "Created",
    "Ports",
    "Labels",
    "State",
    "Status",
    "HostConfig",
    "NetworkSettings",
    "Mounts",
];

fn odd_values() -> [Value; 8] {
    [json!(null), json!("odd"), json!(7), json!(-1.5), json!(true), json!([]), json!([null]), json!({"odd": null})]
}

/// A container with all fields of its state.
fn full_container(name: &str, port: u16) -> Value {
    let mut full_container = container(name, port);
    full_container["State"]["ExitCode"] = json!(0);
    full_container["State"]["Health"] = json!({"Status": "healthy", "Log": [{"Output": "fine"}]});
    full_container["Config"]["StopSignal"] = json!("SIGTERM");
    full_container
}

#[test]
fn an_invalid_field_of_an_inspection_does_not_affect_others() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("good", 1));
    let mut expected = vec![("dockerhost:good:80".to_owned(), 1)];
    for (number, field) in (0..).zip(FIELDS) {
        for (kind, odd) in (0..).zip(odd_values()) {
            let (name, port) = (format!("f{number}-{kind}"), 1000 + 10 * number + kind);
            let mut inspect = full_container(&name, port);
            *inspect.pointer_mut(field).expect(field) = odd.clone();
            // These values are valid and change the registration.
            if (field, &odd) == ("/State/Restarting", &json!(true)) || (field, &odd) == ("/Name", &json!("odd")) {
                continue;
            }
            // Id and name of the inspection may be invalid; those of the list are valid.
            docker.set_as(&id(&name), inspect);
            docker.set_summary(&id(&name), json!({"Id": id(&name), "Names": [format!("/{name}")]}));
            expected.push((format!("dockerhost:{name}:80"), port));
        }
    }
    let daemon = Daemon::start(&docker, &consul, &[]);
    expected.sort();
    until("all of them", || {
        let ports = consul.ports();
        let missing: Vec<_> = expected.iter().filter(|(id, port)| ports.get(id) != Some(port)).collect();
        missing.is_empty()
    });
    drop(daemon);
}

#[test]
fn an_invalid_item_of_a_list_does_not_affect_others() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("good", 1));
    let mut count = 1;
    for field in SUMMARY_FIELDS {
        for (kind, odd) in odd_values().into_iter().enumerate() {
            let name = format!("{}-{kind}", field.to_lowercase());
            docker.set(container(&name, 2));
            docker.set_summary(&id(&name), json!({"Id": id(&name), "Names": [format!("/{name}")], field: odd}));
            count += 1;
        }
    }
    // The states of Podman.
    for state in ["stopped", "configured", "stopping", "initialized", "removing", "unknown"] {
        docker.set(container(state, 3));
        docker.set_summary(&id(state), json!({"Id": id(state), "Names": null, "Ports": null, "State": state}));
        count += 1;
    }
    // Items without a container id.
    for (kind, odd) in odd_values().into_iter().enumerate() {
        let name = format!("item-{kind}");
        docker.set(container(&name, 4));
        docker.set_summary(&id(&name), odd);
    }
    let daemon = Daemon::start(&docker, &consul, &["--resync", "200ms"]);
    until("all of them", || consul.count() == count);
    let lists = docker.count("/containers/json");
    until("more lists", || docker.count("/containers/json") > lists + 5);
    assert_eq!(consul.count(), count);
    assert!(!consul.writes().iter().any(|write| write.contains("/deregister/")), "{}", daemon.log());
}

#[test]
fn a_container_with_an_inconclusive_inspection_keeps_its_entry() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.count() == 1);
    assert_eq!(daemon.stop(), Some(0));
    let odd = [
        ("/State", json!(null)),
        ("/State", json!("running")),
        ("/State", json!({"Status": "unheard-of"})),
        ("/State", json!({"Running": 7})),
        ("/NetworkSettings", json!("odd")),
        ("/NetworkSettings/Ports", json!([])),
        ("/NetworkSettings/Ports", json!("80")),
        ("/NetworkSettings/Ports/80~1tcp", json!([{"HostIp": "0.0.0.0", "HostPort": "odd"}])),
        ("/NetworkSettings/Ports/80~1tcp", json!([{"HostIp": "odd", "HostPort": "1"}])),
        ("/NetworkSettings/Ports/80~1tcp", json!([{"HostIp": 7, "HostPort": "1"}])),
        ("/NetworkSettings/Networks/bridge/IPAddress", json!("odd")),
        ("/NetworkSettings/Networks/bridge", json!({"IPAddress": "172.17.0.2", "GlobalIPv6Address": []})),
    ];
    for (number, (field, value)) in odd.into_iter().enumerate() {
        let mut odd = container("web", 1);
        *odd.pointer_mut(field).expect(field) = value;
        docker.set_as(&id("web"), odd);
        let daemon = Daemon::start(&docker, &consul, &["--resync", "100ms"]);
        daemon.until_logged("container web: the entries stay as they are: the answer does not show whether it runs");
        let name = format!("other-{number}");
        docker.run(container(&name, 2));
        until("another one", || consul.ids().contains(&format!("dockerhost:{name}:80")));
        assert!(consul.ids().contains(&"dockerhost:web:80".to_owned()), "{}", daemon.log());
        assert_eq!(daemon.stop(), Some(0));
    }
    assert!(!consul.writes().iter().any(|write| write.contains("/deregister/")), "{:?}", consul.writes());
}

#[test]
fn an_ignored_field_is_logged_once() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let mut web = container("web", 1);
    web["Config"]["Labels"] = json!("odd");
    docker.set(web);
    let daemon = Daemon::start(&docker, &consul, &["--resync", "100ms"]);
    until("the registration", || consul.count() == 1);
    docker.event("update", &id("web"), &[]);
    let lists = docker.count("/containers/json");
    until("more lists", || docker.count("/containers/json") > lists + 5);
    assert_eq!(daemon.log().matches("/Config/Labels").count(), 1, "{}", daemon.log());
}
