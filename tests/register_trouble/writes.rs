//! A slow write delays only its own entry, and an agent that hangs gets no outdated write afterwards.

use std::collections::BTreeSet;

use crate::common::{
    black_box::{Daemon, id, portreeve, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

fn entry(name: &str) -> String {
    format!("dockerhost:{name}:80")
}

#[test]
fn hung_registrations_delay_no_other_container() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("up to date");
    let hung: Vec<_> = (0..20_u16).map(|number| format!("hung{number}")).collect();
    for (name, port) in hung.iter().zip(1000..) {
        consul.hang(&entry(name), true);
        docker.run(container(name, port));
    }
    until("the registrations that hang", || consul.registrations().len() == hung.len());
    for round in 0..20_u16 {
        let name = format!("c{round}");
        docker.run(container(&name, 2000 + round));
        until("the start of another container", || consul.ids() == [entry(&name)]);
        docker.die(&id(&name));
        until("its end", || consul.count() == 0);
    }
    let tries = |name: &str| consul.registrations().iter().filter(|body| body["ID"] == entry(name)).count();
    assert!(hung.iter().all(|name| tries(name) == 1), "it was seen before the first of them was given up");
    hung.iter().for_each(|name| consul.hang(&entry(name), false));
    until("the entries that were held up", || consul.count() == hung.len());
    let log = daemon.log();
    assert!(log.contains("cannot register dockerhost:hung") || log.contains("no write succeeds"), "{log}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn an_agent_that_hangs_gets_no_outdated_write() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let names: Vec<_> = (0..400_u16).map(|number| format!("c{number:03}")).collect();
    names.iter().zip(1000..).for_each(|(name, port)| docker.set(container(name, port)));
    consul.hang_after(Some(1));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the first writes", || consul.writes().len() > 1);
    let (gone, left) = names.split_at(200);
    gone.iter().for_each(|name| docker.die(&id(name)));
    daemon.until_logged("WARN Consul at");
    let sent = consul.writes().len();
    assert!(sent < 100, "{sent} of 400 writes were sent to an agent that does not answer");
    consul.hang_after(None);
    let wanted: BTreeSet<_> = left.iter().map(|name| entry(name)).collect();
    until("what runs", || consul.ids().into_iter().collect::<BTreeSet<_>>() == wanted);
    let late: Vec<_> = consul.registrations().into_iter().skip(1).map(|body| body["ID"].clone()).collect();
    assert!(late.iter().all(|id| wanted.contains(id.as_str().expect("text"))), "{late:?}");
    let log = daemon.log();
    assert_eq!(log.matches("WARN").count(), 1, "{log}");
    assert_eq!(daemon.stop(), Some(0));
}

#[test]
fn a_failed_on_exit_gives_exit_code_1() {
    for on_exit in ["deregister", "maintenance"] {
        let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
        docker.set(container("web", 1000));
        let mut daemon = Daemon::spawn(portreeve(&docker, &consul, &["--on-exit", on_exit]));
        daemon.until_logged("up to date");
        consul.fail(Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
        daemon.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(daemon.wait(), Some(1), "{}", daemon.log());
        let line = "portreeve: --on-exit: entries stay in the registry as they are: ";
        assert_eq!(daemon.log().matches(line).count(), 1, "{}", daemon.log());
        assert!(!daemon.log().contains("ERROR"), "{}", daemon.log());
    }
}

/// Writes in flight complete before the entries are left in the registry.
#[test]
fn a_clean_stop_waits_for_writes_in_flight() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("hung", 1000));
    docker.set(container("web", 1001));
    consul.hang(&entry("hung"), true);
    let daemon = Daemon::spawn(portreeve(&docker, &consul, &["--on-exit", "deregister"]));
    until("one entry, and one that hangs", || consul.count() == 1 && consul.registrations().len() == 2);
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(consul.ids(), Vec::<String>::new(), "one that hangs does not keep the others from being taken back");
}
