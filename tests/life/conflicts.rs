//! Several containers claim one id: the entry in traffic stays.

use serde_json::json;

use crate::{
    changed,
    common::{
        black_box::{Daemon, id, run, until},
        fake_consul::FakeConsul,
        fake_docker::FakeDocker,
    },
    settle, with_env,
};

const SHOP: &str = "SERVICE_ID=shop";

/// Whether any write concerned the entry.
fn was_touched(consul: &FakeConsul) -> bool {
    consul.writes().iter().any(|write| write.contains("/shop"))
}

#[test]
fn a_second_container_with_the_id_of_one_in_traffic_changes_nothing() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    docker.set(with_env("web-1", 8001, SHOP));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ports().get("shop") == Some(&8001));
    // In every state of the second container: running, not ready, paused, stopping.
    docker.run(with_env("web-2", 8002, SHOP));
    let message =
        r#"80/tcp is not registered: container "web-1" has the id "shop"; give one of the two another SERVICE_ID"#;
    daemon.until_logged(message);
    daemon.until_logged("container=\"web-2\"");
    docker.run(changed("web-3", 8003, |web| web["Config"]["Env"] = json!([SHOP, "SERVICE_READY=tcp"])));
    docker.run(changed("web-4", 8004, |web| {
        web["Config"]["Env"] = json!([SHOP]);
        web["State"]["Paused"] = json!(true);
    }));
    docker.event("kill", &id("web-2"), &[("signal", "15")]);
    settle(&docker, &consul);
    // After a restart, `register` recognizes the incumbent by its entry.
    drop(daemon);
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("up to date");
    settle(&docker, &consul);
    assert!(!was_touched(&consul), "{:?}", consul.writes());
    assert_eq!((consul.ports()["shop"], consul.registrations_of("shop")), (8001, 1));
    // `--once` reports the conflict.
    let once = run(&docker, &consul, &["--once"]);
    assert_eq!(once.status.code(), Some(1), "{}", String::from_utf8_lossy(&once.stderr));
}

#[test]
fn after_the_incumbents_end_the_other_takes_over_in_one_write() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    docker.set(with_env("web-1", 8001, SHOP));
    docker.set(changed("web-2", 8002, |web| {
        web["Config"]["Env"] = json!([SHOP]);
        web["State"]["StartedAt"] = json!("2026-01-01T00:00:09.1Z");
    }));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("the one that started first", || consul.ports().get("shop") == Some(&8001));
    docker.die(&id("web-1"));
    until("the other", || consul.ports().get("shop") == Some(&8002));
    // The first container returns while the id is taken. It gets the id at the stop signal of the other one.
    docker.run(with_env("web-1", 8001, SHOP));
    settle(&docker, &consul);
    assert_eq!(consul.ports()["shop"], 8002);
    docker.event("kill", &id("web-2"), &[("signal", "15")]);
    until("the first again", || consul.ports().get("shop") == Some(&8001));
    assert!(!was_touched(&consul), "{:?}", consul.writes());
    assert!(consul.in_maintenance().is_empty());
}

/// The new owner of the id is logged after the write.
#[test]
fn a_takeover_is_logged_once_and_afterwards() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    docker.set(with_env("web-1", 8001, SHOP));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ports().get("shop") == Some(&8001));
    docker.run(with_env("web-2", 8002, SHOP));
    daemon.until_logged("container \"web-1\" has the id");
    docker.run(changed("web-1", 8001, |web| {
        web["Config"]["Env"] = json!(["SERVICE_NAME=web", SHOP]);
        web["State"]["Paused"] = json!(true);
    }));
    until("the takeover", || consul.ports().get("shop") == Some(&8002));
    daemon.until_logged("container \"web-2\" has the id");
    settle(&docker, &consul);
    let log = daemon.log();
    let (updated, refused) = (log.find("updated web"), log.find("container \"web-2\" has the id"));
    assert!(updated.is_some() && updated < refused, "{log}");
    assert_eq!(log.matches("has the id").count(), 2, "{log}");
    assert!(!was_touched(&consul), "{:?}", consul.writes());
}

#[test]
fn an_incumbent_that_cannot_be_inspected_keeps_its_entry() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    docker.set(with_env("web-1", 8001, SHOP));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ports().get("shop") == Some(&8001));
    drop(daemon);
    docker.set(with_env("web-2", 8002, SHOP));
    docker.fail_inspections(&id("web-1"), true);
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("and cannot be inspected");
    settle(&docker, &consul);
    assert!(!was_touched(&consul), "{:?}", consul.writes());
    assert_eq!((consul.ports()["shop"], consul.registrations_of("shop")), (8001, 1));
}
