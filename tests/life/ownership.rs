//! The ownership of entries when the engine's id changes, and when two engines share an agent.

use serde_json::{Value, json};

use crate::{
    changed,
    common::{
        black_box::{Daemon, run, until},
        fake_consul::FakeConsul,
        fake_docker::{FakeDocker, container},
    },
};

/// Waits for `more` further reads from the agent.
fn reads(consul: &FakeConsul, more: usize) {
    let before = consul.reads().len();
    until("many resyncs", || consul.reads().len() >= before + more);
}

fn deregistered(consul: &FakeConsul) -> Vec<String> {
    let deregister = "PUT /v1/agent/service/deregister/";
    consul.writes().iter().filter_map(|write| Some(write.strip_prefix(deregister)?.to_owned())).collect()
}

#[test]
fn an_engine_with_a_new_id_keeps_its_entries() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    for (name, port) in [("stays", 8000), ("moves", 8001), ("goes", 8002)] {
        docker.set(container(name, port));
    }
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("three", || consul.count() == 3);
    drop(daemon);
    docker.set_info("ID", "NEW:ENGINE");
    docker.unset(&crate::id("goes"));
    docker.unset(&crate::id("moves"));
    docker.set(changed("moves", 9001, |moves| moves["Id"] = json!("f".repeat(64))));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the one that moved", || consul.ports().get("dockerhost:moves:80") == Some(&9001));
    until("the end of the one that has gone", || consul.count() == 2);
    assert_eq!(deregistered(&consul), ["dockerhost:goes:80"]);
    assert_eq!(consul.registrations_of("dockerhost:stays:80"), 1, "the engine's id alone is no reason to write");
    daemon.until_logged("is gone, it was of the former engine FAKE:ENGINE");

    // An engine that reports a new id at each request counts as the same engine.
    drop(daemon);
    let writes = consul.writes();
    for number in 0..4 {
        docker.set_info("ID", &format!("ID:{number}"));
        assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    }
    assert_eq!(consul.writes(), writes);
}

/// Entries that reappear with our owner fields are ours, not those of another Portreeve.
#[test]
fn a_host_that_gets_its_name_back_keeps_its_entries() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "50ms"]);
    until("the registration", || consul.ids() == ["dockerhost:web:80"]);
    docker.rename_host("other");
    until("the new name", || consul.ids() == ["other:web:80"]);
    docker.rename_host("dockerhost");
    until("the old name", || consul.ids() == ["dockerhost:web:80"]);
    reads(&consul, 20);
    docker.run(container("web", 8001));
    until("the new port", || consul.ports().get("dockerhost:web:80") == Some(&8001));
    docker.die(&crate::id("web"));
    until("the removal", || consul.count() == 0);
    assert!(!daemon.log().contains("another Portreeve"), "{}", daemon.log());
}

#[test]
fn a_container_that_comes_back_under_its_id_is_registered_and_removed_as_before() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    docker.unset(&crate::id("web"));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "50ms"]);
    until("the removal", || consul.count() == 0);
    docker.run(container("web", 8000));
    until("the registration", || consul.count() == 1);
    reads(&consul, 20);
    docker.die(&crate::id("web"));
    until("the end", || consul.count() == 0);
    assert!(!daemon.log().contains("another Portreeve"), "{}", daemon.log());
}

#[test]
fn a_container_that_docker_lists_again_is_still_ours() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let all = || (0..4_u16).for_each(|number| docker.set(container(&format!("c{number}"), 8000 + number)));
    all();
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("all", || consul.count() == 4);
    drop(daemon);
    // As if Docker was started before the disk with its data was mounted.
    (0..4).for_each(|number| docker.unset(&crate::id(&format!("c{number}"))));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "50ms"]);
    until("none", || consul.count() == 0);
    all();
    until("all again", || consul.count() == 4);
    reads(&consul, 4);
    docker.run(container("c0", 9000));
    until("the new port", || consul.ports().get("dockerhost:c0:80") == Some(&9000));
    docker.die(&crate::id("c1"));
    until("the end of one", || consul.count() == 3);
    assert!(!daemon.log().contains("not ours"), "{}", daemon.log());
}

#[test]
fn machines_with_one_engine_id_leave_each_other_alone() {
    let consul = FakeConsul::start("10.0.0.7");
    let (one, two) = (FakeDocker::start(), FakeDocker::start());
    two.set_info("Name", "clone");
    one.set(container("a", 8000));
    two.set(container("b", 9000));
    let first = Daemon::start(&one, &consul, &["--resync", "50ms"]);
    let second = Daemon::start(&two, &consul, &["--resync", "50ms"]);
    until("both", || consul.ids() == ["clone:b:80", "dockerhost:a:80"]);
    let writes = consul.writes();
    reads(&consul, 40);
    assert_eq!(consul.writes(), writes);
    assert_eq!(deregistered(&consul), [""; 0]);
    second.until_logged("such as \"dockerhost:a:80\", which carry this engine's id");
    first.until_logged("such as \"clone:b:80\", which carry this engine's id");
}

#[test]
fn machines_that_cannot_be_distinguished_stop_overwriting_each_other() {
    let consul = FakeConsul::start("10.0.0.7");
    let (one, two) = (FakeDocker::start(), FakeDocker::start());
    one.set(container("a", 8000));
    two.set(container("b", 9000));
    let first = Daemon::start(&one, &consul, &["--resync", "50ms"]);
    let _second = Daemon::start(&two, &consul, &["--resync", "50ms"]);
    first.until_logged("another Portreeve writes it");
    until("both, without a write for many resyncs", || {
        let writes = consul.writes().len();
        reads(&consul, 40);
        consul.writes().len() == writes && consul.count() == 2
    });
    assert!(deregistered(&consul).len() <= 4, "{:?}", consul.writes());
}

#[test]
fn an_entry_of_another_portreeve_is_taken_over_with_adopt() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let entry = |id: &str| {
        let marks: Value = json!({"portreeve-engine": "ABKO", "portreeve-host": "host-7", "portreeve-container": "c"});
        consul.add(json!({"ID": id, "Service": "web", "Address": "10.0.0.9", "Port": 1, "Tags": [], "Meta": marks}));
    };
    entry("dockerhost:web:80");
    entry("host-7:other:80");
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("Portreeve wrote it for engine ABKO on host-7, this engine is FAKE:ENGINE on dockerhost");
    assert_eq!(consul.writes(), [""; 0]);
    drop(daemon);
    let _daemon = Daemon::start(&docker, &consul, &["--adopt", "portreeve"]);
    until("the entry", || consul.ports()["dockerhost:web:80"] == 8000);
    assert_eq!(consul.ports()["host-7:other:80"], 1, "nobody here wants that id");
}
