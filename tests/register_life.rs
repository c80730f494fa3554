//! `portreeve register` through the life of a container, with events that a real engine cannot produce on demand.

mod common;
#[path = "life/conflicts.rs"]
mod conflicts;
#[path = "life/networks.rs"]
mod networks;
#[path = "life/ownership.rs"]
mod ownership;
#[path = "life/traffic.rs"]
mod traffic;

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};

use common::{
    black_box::{Daemon, id, portreeve, run, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};
use serde_json::{Value, json};

const WEB: &str = "dockerhost:web:80";

/// A container with a change.
fn changed(name: &str, port: u16, change: impl FnOnce(&mut Value)) -> Value {
    let mut container = container(name, port);
    change(&mut container);
    container
}

fn with_env(name: &str, port: u16, env: &str) -> Value {
    changed(name, port, |container| container["Config"]["Env"] = json!(["SERVICE_NAME=web", env]))
}

/// An unused port.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

/// Waits until the daemon has handled all earlier events. One worker handles them in their order.
fn settle(docker: &FakeDocker, consul: &FakeConsul) {
    docker.run(container("marker", 9));
    until("the marker", || consul.ids().contains(&"dockerhost:marker:80".to_owned()));
    docker.die(&id("marker"));
    until("the end of the marker", || !consul.ids().contains(&"dockerhost:marker:80".to_owned()));
}

/// A registered container `web` that has received its stop signal.
fn draining(arguments: &[&str]) -> (FakeDocker, FakeConsul, Daemon) {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, arguments);
    until("the registration", || consul.count() == 1);
    docker.event("kill", &id("web"), &[("signal", "15")]);
    until("maintenance", || consul.in_maintenance().contains_key(WEB));
    (docker, consul, daemon)
}

#[test]
fn a_container_is_registered_once_it_is_ready_and_stays_until_its_run_ends() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    let port = free_port();
    docker.set(with_env("web", port, "SERVICE_READY=tcp"));
    let planned = run(&docker, &consul, &["--dry-run"]);
    let planned = String::from_utf8_lossy(&planned.stdout).into_owned();
    assert_eq!(planned, format!("wait for tcp 127.0.0.1:{port} before {WEB} is registered\n"));
    let impatient = run(&docker, &consul, &["--once", "--deadline", "300ms"]);
    assert_eq!(impatient.status.code(), Some(1));

    let daemon = Daemon::start(&docker, &consul, &["--log-level", "debug"]);
    daemon.until_logged_times(&format!("{WEB} is not ready"), 3);
    settle(&docker, &consul);
    assert_eq!(consul.ids(), [""; 0]);
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a port that was free");
    until("the registration", || consul.ids() == [WEB]);

    // Once ready, an instance stays registered: later failures are for health checks. A restarted `register` takes an
    // existing entry as proof of readiness.
    drop(listener);
    settle(&docker, &consul);
    assert_eq!(consul.ids(), [WEB]);
    drop(daemon);
    let writes = consul.writes();
    let daemon = Daemon::start(&docker, &consul, &["--log-level", "debug"]);
    daemon.until_logged("up to date");
    assert_eq!(consul.writes(), writes);

    // A new run of the container must pass the readiness gate again.
    let mut again = with_env("web", port, "SERVICE_READY=tcp");
    again["State"]["StartedAt"] = json!("2026-01-01T00:00:09.1Z");
    docker.run(again);
    until("the end of the old entry", || consul.ids().is_empty());
    daemon.until_logged(&format!("{WEB} is not ready"));
    let _listener = TcpListener::bind(("127.0.0.1", port)).expect("a port that was free");
    until("the registration", || consul.ids() == [WEB]);
}

#[test]
fn ready_over_http_means_a_successful_answer() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let status = Arc::new(AtomicU16::new(503));
    let answers = Arc::clone(&status);
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 1024];
            let length = connection.read(&mut request).unwrap_or(0);
            let right = request[..length].starts_with(b"GET /up HTTP/1.1\r\n");
            let status = if right { answers.load(Ordering::SeqCst) } else { 404 };
            drop(connection.write_all(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").as_bytes()));
        }
    });
    docker.set(with_env("web", port, "SERVICE_80_READY=/up"));
    let daemon = Daemon::start(&docker, &consul, &["--log-level", "debug"]);
    daemon.until_logged_times("503", 2);
    assert_eq!(consul.ids(), [""; 0]);
    status.store(204, Ordering::SeqCst);
    until("the registration", || consul.ids() == [WEB]);
}

#[test]
fn a_drain_survives_a_reconnection_and_a_restart_of_register() {
    let (docker, consul, daemon) = draining(&[]);
    let writes = consul.writes();

    let lists = || docker.requests().iter().filter(|request| request.contains("/containers/json")).count();
    let before = lists();
    docker.cut();
    until("another list", || lists() > before);
    settle(&docker, &consul);
    assert!(!consul.writes()[writes.len()..].iter().any(|write| write.contains("/maintenance/")));

    drop(daemon);
    let writes = consul.writes();
    let again = Daemon::start(&docker, &consul, &[]);
    again.until_logged("up to date");
    assert_eq!(consul.writes(), writes, "it did not get traffic in between");
    docker.die(&id("web"));
    until("the removal", || consul.ids().is_empty());
}

#[test]
fn a_container_that_did_not_stop_gets_traffic_again() {
    let (_docker, consul, _daemon) = draining(&["--drain-return", "1s"]);
    until("traffic again", || consul.in_maintenance().is_empty());
    assert_eq!(consul.registrations().len(), 1);
}

#[test]
fn an_event_that_arrives_twice_is_one_event() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let _daemon = Daemon::start(&docker, &consul, &["--resync", "50ms", "--crash-starts", "3"]);
    docker.run(container("web", 8000));
    until("the registration", || consul.count() == 1);
    let sessions = || docker.requests().iter().filter(|request| request.contains("/events")).count();
    let before = sessions();
    until("ten sessions", || sessions() >= before + 10);
    assert!(consul.in_maintenance().is_empty(), "{:?}", consul.in_maintenance());
    docker.event("start", &id("web"), &[]);
    docker.event("start", &id("web"), &[]);
    until("a crash loop", || consul.in_maintenance().contains_key(WEB));
}

#[test]
fn two_sidecars_with_different_engines_on_one_agent_leave_each_other_alone() {
    let consul = FakeConsul::start("10.0.0.7");
    let (one, two) = (FakeDocker::start_as("ONE"), FakeDocker::start_as("TWO"));
    // The data directory of a rootless engine, beside the engine of root.
    two.set_info("DockerRootDir", "/home/u/.local/share/docker");
    one.set(container("a", 8000));
    one.set(container("same", 8001));
    two.set(container("b", 9000));
    let first = Daemon::start(&one, &consul, &["--resync", "50ms"]);
    until("the first", || consul.ids() == ["dockerhost:a:80", "dockerhost:same:80"]);
    let second = Daemon::start(&two, &consul, &["--resync", "50ms"]);
    until("both", || consul.ids() == ["dockerhost:a:80", "dockerhost:b:80", "dockerhost:same:80"]);
    // Both engines have the same host name and a container of the same name: the first one keeps the id.
    two.run(changed("same", 9001, |same| same["Id"] = json!("f".repeat(64))));
    second.until_logged("an entry \"dockerhost:same:80\" that is not ours");
    let writes = consul.writes();
    let reads = consul.reads().len();
    until("many resyncs", || consul.reads().len() >= reads + 40);
    assert_eq!(consul.writes(), writes);
    assert_eq!(consul.ports()["dockerhost:same:80"], 8001);

    // The id is free as soon as its owner has ended.
    one.die(&id("same"));
    until("the other's", || consul.ports().get("dockerhost:same:80") == Some(&9001));
    assert_eq!(first.stop(), Some(0));
    assert_eq!(second.stop(), Some(0));
    assert_eq!(consul.count(), 3);
}

#[test]
fn a_new_name_gives_a_new_entry_and_the_old_one_is_removed() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ids() == [WEB]);
    docker.set(changed("web", 8000, |web| web["Name"] = json!("/shop")));
    docker.event("rename", &id("web"), &[("oldName", "/web"), ("name", "shop")]);
    until("the new entry alone", || consul.ids() == ["dockerhost:shop:80"]);
}

#[test]
fn paused_is_out_of_traffic_and_killed_is_gone() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ids() == [WEB]);
    docker.set(changed("web", 8000, |web| web["State"]["Paused"] = json!(true)));
    docker.event("pause", &id("web"), &[]);
    until("maintenance", || consul.in_maintenance().contains_key(WEB));
    docker.set(container("web", 8000));
    docker.event("unpause", &id("web"), &[]);
    until("traffic", || consul.in_maintenance().is_empty());
    assert_eq!(consul.registrations().len(), 1);
    // Out of memory: the engine sends `oom`, then `die`. The container remains, with its exit code.
    let dead = |web: &mut Value| {
        web["State"] = json!({"Status": "exited", "Running": false, "OOMKilled": true, "ExitCode": 137});
        web["NetworkSettings"] = json!({"Ports": {}, "Networks": {}});
    };
    docker.event("oom", &id("web"), &[]);
    docker.set(changed("web", 8000, dead));
    docker.event("die", &id("web"), &[("exitCode", "137")]);
    until("the removal", || consul.ids().is_empty());
}

#[test]
fn networks_that_come_and_go_move_the_instance() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let on = |networks: Value| changed("web", 8000, |web| web["NetworkSettings"]["Networks"] = networks);
    let network = |action: &str| docker.network_event(action, &id("web"));
    docker.set(on(json!({"a": {"IPAddress": "172.18.0.2"}})));
    let _daemon = Daemon::start(&docker, &consul, &["--internal"]);
    let at = |address: &str| consul.registrations().last().is_some_and(|body| body["Address"] == address);
    until("the first network", || at("172.18.0.2"));
    docker.set(on(json!({"b": {"IPAddress": "172.19.0.2"}})));
    network("connect");
    until("the second network", || at("172.19.0.2"));
    docker.set(on(json!({})));
    network("disconnect");
    until("nothing without a network", || consul.ids().is_empty());
}

#[test]
fn a_starting_container_is_critical_or_absent() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let health =
        |status: &str| changed("web", 8000, |web| web["State"]["Health"] = json!({"Status": status, "Log": []}));
    docker.set(health("starting"));
    let output = run(&docker, &consul, &["--dry-run"]);
    let planned = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(planned.contains(&format!("report {WEB} docker: Critical")), "{planned}");
    let _daemon = Daemon::start(&docker, &consul, &["--docker-starting", "absent", "--docker-health", "on"]);
    settle(&docker, &consul);
    assert_eq!(consul.ids(), [""; 0]);
    docker.set(health("healthy"));
    docker.event("health_status: healthy", &id("web"), &[]);
    until("the registration", || consul.ids() == [WEB]);
}

#[test]
fn on_success_keeps_the_entry_of_a_failed_container_out_of_traffic() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let ended = |code: i64| {
        changed("web", 8000, |web| {
            web["State"] = json!({"Status": "exited", "Running": false, "ExitCode": code});
            web["NetworkSettings"] = json!({"Ports": {}, "Networks": {}});
        })
    };
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &["--deregister", "on-success"]);
    for failure in [1, 127] {
        until("traffic", || consul.ids() == [WEB] && consul.in_maintenance().is_empty());
        docker.set(ended(failure));
        docker.event("die", &id("web"), &[]);
        until("maintenance", || consul.in_maintenance().contains_key(WEB));
        settle(&docker, &consul);
        assert_eq!(consul.ids(), [WEB]);
        docker.run(container("web", 8000));
    }
    for success in [0, 137, 143] {
        until("traffic", || consul.ids() == [WEB] && consul.in_maintenance().is_empty());
        docker.set(ended(success));
        docker.event("die", &id("web"), &[]);
        until("the removal", || consul.ids().is_empty());
        docker.run(container("web", 8000));
    }
    until("traffic", || consul.ids() == [WEB]);
    docker.set(ended(1));
    docker.event("die", &id("web"), &[]);
    until("maintenance", || consul.in_maintenance().contains_key(WEB));
    docker.unset(&id("web"));
    docker.event("destroy", &id("web"), &[]);
    until("the removal", || consul.ids().is_empty());
}

#[test]
fn an_empty_list_must_be_confirmed_by_a_second_one() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let names: Vec<_> = (0..6).map(|number| format!("web-{number}")).collect();
    let all = |first| names.iter().zip(first..).for_each(|(name, port)| docker.set(container(name, port)));
    let moved = |first| consul.ports().values().copied().eq(first..first + 6);
    let none = || names.iter().for_each(|name| docker.unset(&id(name)));
    all(8000);
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("six", || moved(8000));
    none();
    docker.cut();
    daemon.until_logged("missing in Docker's list without an event");
    assert_eq!(consul.count(), 6);
    all(9000);
    docker.cut();
    until("six at new ports", || moved(9000));
    assert!(!consul.writes().iter().any(|write| write.contains("deregister/dockerhost:web")), "{:?}", consul.writes());

    none();
    docker.cut();
    daemon.until_logged_times("missing in Docker's list without an event", 2);
    assert_eq!(consul.count(), 6);
    docker.cut();
    until("the removals", || consul.count() == 0);
    // Removals that events report are immediate, however many they are.
    all(8000);
    docker.cut();
    until("six", || moved(8000));
    names.iter().for_each(|name| docker.die(&id(name)));
    until("the removals", || consul.count() == 0);
    assert_eq!(daemon.log().matches("missing in Docker's list without an event").count(), 2);
}

#[test]
fn one_entry_that_the_agent_refuses_delays_no_other() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    for (number, status) in (0..).zip([500, 403, 500, 400]) {
        let name = format!("bad-{number}");
        docker.set(container(&name, 8000 + number));
        let status = axum::http::StatusCode::from_u16(status).expect("a status");
        consul.refuse(&format!("dockerhost:{name}:80"), Some(status));
    }
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged_times("bad-2:80", 1);
    // The retry delay of the refused entry is long by now, but delays no other entry.
    for round in 0..20 {
        docker.run(container("web", 8100 + round));
        until("the registration", || consul.ports().get(WEB) == Some(&(8100 + round)));
        docker.die(&id("web"));
        until("the removal", || consul.count() == 0);
    }
    assert!(daemon.log().lines().filter(|line| line.contains(" WARN ")).count() < 10, "{}", daemon.log());
    for number in 0..4 {
        consul.refuse(&format!("dockerhost:bad-{number}:80"), None);
    }
    // Failed writes are retried; a refused one waits for the next resync.
    until("three", || consul.count() >= 3);
}

#[test]
fn a_clean_stop_removes_entries_that_were_never_read() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.count() == 1);
    assert_eq!(daemon.stop(), Some(0));
    // A `register` that never completed a pass still recognizes its own entries.
    consul.refuse("dockerhost:other:80", Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
    docker.set(container("other", 8001));
    let daemon = Daemon::spawn(portreeve(&docker, &consul, &["--on-exit", "deregister"]));
    daemon.until_logged("other:80");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(consul.ids(), [""; 0]);
}
