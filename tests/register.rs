//! `portreeve register` with real Docker engines and a real Consul cluster.

mod common;

use std::collections::BTreeSet;

use common::witness;
use nix::sys::signal::Signal;
use portreeve_lab::{
    Lab,
    daemon::Daemon,
    docker::Container,
    http::Request,
    portreeve,
    wait::{LONG, wait_until},
};

/// Waits until exactly these containers are in traffic, each at its published port.
#[track_caller]
fn until_served(lab: &Lab, containers: &[&Container]) {
    let place = |container: &&Container| format!("{}:{}", container.host().address(), container.port(8080));
    let mut expected: Vec<_> = containers.iter().map(place).collect();
    expected.sort();
    wait_until(&format!("{expected:?} in traffic"), LONG, || {
        let places = witness::places(lab, "web");
        if places == expected { Ok(()) } else { Err(format!("{places:?}")) }
    });
}

/// Waits until the log has a new line that says that all entries are up to date.
#[track_caller]
fn until_up_to_date(daemon: &Daemon, log_length: usize) {
    wait_until("a pass after which all entries are up to date", LONG, || match &daemon.log()[log_length..] {
        later if later.contains("up to date") => Ok(()),
        later => Err(later.to_owned()),
    });
}

const WEB: &[&str] = &["--env", "SERVICE_NAME=web", "--env", "SERVICE_TAGS=b,a", "--env", "SERVICE_REGION=eu"];

#[test]
fn fifty_containers_started_at_the_same_time_are_all_registered() {
    let lab = Lab::builder("fifty").docker(&[1]).consul().up();
    let register = lab.register(1);
    let docker = lab.docker(1);
    let containers: Vec<_> = (0..50).map(|n| docker.run(&format!("web-{n}"), "v1", WEB)).collect();
    until_served(&lab, &containers.iter().collect::<Vec<_>>());
    let one = witness::instances(&lab, "web", false).into_iter().find(|instance| instance.id == "host-1:web-7:8080");
    let one = one.expect("the id is host:container:port");
    assert_eq!((one.node.as_str(), one.tags.as_slice()), ("host-1", ["b".to_owned(), "a".to_owned()].as_slice()));
    // All are removed by one command.
    let ids: Vec<_> = containers.iter().map(Container::id).collect();
    docker.cli(&[&["rm", "--force"], ids.as_slice()].concat());
    until_served(&lab, &[]);
    assert!(!witness::services(&lab).contains_key("web"));
    assert!(register.running());
}

#[test]
fn killed_while_containers_change_it_catches_up_and_rewrites_nothing_else() {
    let lab = Lab::builder("catch-up").docker(&[1]).consul().up();
    let register = lab.register(1);
    let docker = lab.docker(1);
    let [stays, goes, moves] = ["stays", "goes", "moves"].map(|name| docker.run(name, "v1", WEB));
    until_served(&lab, &[&stays, &goes, &moves]);
    let before = witness::instances(&lab, "web", false);

    register.kill();
    goes.remove();
    moves.restart();
    let comes = docker.run("comes", "v1", WEB);
    register.start();
    until_served(&lab, &[&stays, &moves, &comes]);
    let after = witness::instances(&lab, "web", false);
    let modified = |all: &[witness::Instance]| all.iter().find(|one| one.id.contains("stays")).map(|one| one.modified);
    assert_eq!(modified(&after), modified(&before), "what did not change was not written");

    // After another start there is nothing to write.
    register.kill();
    let log_length = register.log().len();
    register.start();
    until_up_to_date(&register, log_length);
    assert_eq!(witness::instances(&lab, "web", false), after);
}

#[test]
fn another_signal_changes_nothing_and_a_stop_signal_drains() {
    let lab = Lab::builder("signals").docker(&[1]).consul().up();
    lab.register(1);
    let (docker, events) = (lab.docker(1), lab.docker(1).events());
    let slow = docker.run("slow", "v1", &[WEB, &["--env", "GRACE_MS=4000"]].concat());
    until_served(&lab, &[&slow]);
    let before = witness::instances(&lab, "web", false);
    slow.kill("HUP");
    slow.kill("USR1");
    let last = events.find("kill", "slow", std::time::UNIX_EPOCH);
    assert_eq!(last.signal, Some(10));
    // One worker handles events in their order, so any effect of those signals would precede this registration.
    let other = docker.run("other", "v1", WEB);
    until_served(&lab, &[&slow, &other]);
    assert_eq!(witness::instances(&lab, "web", false)[1..], before);

    // The app serves for another four seconds after its stop signal: out of traffic, but still registered.
    std::thread::scope(|scope| {
        scope.spawn(|| slow.stop());
        until_served(&lab, &[&other]);
        let entries = witness::instances(&lab, "web", false).len();
        let died = events.seen().iter().any(|event| event.action == "die" && event.name == "slow");
        assert!(entries == 2 || died, "the entry stays until the container has died");
    });
    wait_until("the entry is gone", LONG, || match witness::instances(&lab, "web", false).len() {
        1 => Ok(()),
        n => Err(format!("{n} entries")),
    });
    slow.start();
    until_served(&lab, &[&slow, &other]);
}

#[test]
fn docker_or_consul_may_be_down_at_any_time() {
    let lab = Lab::builder("away").docker(&[1]).consul().up();
    let docker = lab.docker(1);
    // Consul is stopped at the start.
    lab.consul().stop();
    let register = lab.register(1);
    let first = docker.run("first", "v1", WEB);
    wait_until("trouble is told", LONG, || if register.log().contains("retrying") { Ok(()) } else { Err("nothing") });
    lab.consul().start();
    until_served(&lab, &[&first]);

    // Consul is stopped while containers change.
    lab.consul().stop();
    let second = docker.run("second", "v1", WEB);
    first.remove();
    lab.consul().start();
    until_served(&lab, &[&second]);

    // The engine restarts. Its containers end, and start again with new ports.
    let keeps = docker.run("keeps", "v1", &[WEB, &["--restart", "always"]].concat());
    until_served(&lab, &[&second, &keeps]);
    docker.daemon().stop();
    docker.daemon().start();
    docker.wait();
    second.start();
    until_served(&lab, &[&second, &keeps]);
    assert!(register.running(), "{}", register.log());
    let warnings: BTreeSet<_> =
        register.log().lines().filter(|line| line.contains(" WARN ")).map(str::to_owned).collect();
    assert!(warnings.len() < 60, "trouble is told when it changes, not at every try:\n{warnings:#?}");
}

#[test]
fn a_clean_stop_keeps_or_removes_our_entries_and_never_foreign_ones() {
    let lab = Lab::builder("stop").docker(&[1]).consul().up();
    let host = lab.host(1);
    let foreign = r#"{"ID": "host-1:legacy:9090", "Name": "legacy", "Port": 9090}"#;
    let put = Request::with("PUT", "http://192.168.50.101:8500/v1/agent/service/register", foreign);
    assert_eq!(lab.client().send(&put).expect("consul answers").status, 200);
    let register = lab.register(1);
    let web = lab.docker(1).run("web", "v1", WEB);
    until_served(&lab, &[&web]);
    assert!(register.stop().success());
    until_served(&lab, &[&web]);

    let log_length = register.log().len();
    let leaving = portreeve::register(host, &["--on-exit", "deregister", "--resync", "1s"]);
    until_up_to_date(&leaving, log_length);
    leaving.signal(Signal::SIGINT);
    assert!(leaving.wait().success());
    until_served(&lab, &[]);
    assert!(witness::services(&lab).contains_key("legacy"));
}
