//! An entry out of traffic stays so without interruption, across restarts too.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    WEB, changed,
    common::{
        black_box::{Daemon, id, run, until},
        fake_consul::FakeConsul,
        fake_docker::{FakeDocker, container},
    },
    draining, settle, with_env,
};

/// The maintenance reason in a registration; `None` without maintenance mode.
fn reason(registration: &Value) -> Option<String> {
    let mut checks = registration["Checks"].as_array().into_iter().flatten();
    let maintenance = checks.find(|check| check["CheckID"] == format!("_service_maintenance:{WEB}"))?;
    Some(maintenance["Notes"].as_str().expect("a reason").to_owned())
}

#[test]
fn a_drain_whose_event_has_expired_continues() {
    let (docker, consul, daemon) = draining(&[]);
    let reason = consul.in_maintenance()[WEB].clone();
    assert!(reason.starts_with("portreeve: draining, the container was told to stop at 20"), "{reason}");

    docker.forget_events();
    daemon.signal(Signal::SIGHUP);
    settle(&docker, &consul);
    drop(daemon);
    docker.forget_events();
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("up to date");
    settle(&docker, &consul);
    let touched = consul.writes().iter().filter(|write| write.contains(&format!("/{WEB}"))).count();
    assert_eq!((consul.registrations_of(WEB), touched), (1, 1), "{:?}", consul.writes());
    assert_eq!(consul.in_maintenance()[WEB], reason);

    // `--drain-return` still counts from the stop signal.
    drop(daemon);
    let daemon = Daemon::start(&docker, &consul, &["--drain-return", "1s"]);
    until("traffic again", || consul.in_maintenance().is_empty());
    drop(daemon);
    // A reason without a time, as earlier versions wrote it, counts from now on.
    consul.take_out(WEB, "portreeve: draining, the container was told to stop");
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("a time", || consul.in_maintenance().get(WEB).is_some_and(|reason| reason.contains(" at 20")));
}

#[test]
fn a_drain_that_began_during_a_pause_continues() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let paused = || changed("web", 8000, |web| web["State"]["Paused"] = json!(true));
    docker.set(paused());
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("paused", || consul.in_maintenance().get(WEB).is_some_and(|reason| reason.contains("paused")));
    docker.event("kill", &id("web"), &[("signal", "15")]);
    until("draining", || consul.in_maintenance().get(WEB).is_some_and(|reason| reason.contains("draining")));
    drop(daemon);
    docker.forget_events();
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("up to date");
    settle(&docker, &consul);
    assert!(consul.in_maintenance()[WEB].contains("draining"));
    let bodies: Vec<_> = consul.registrations().into_iter().filter(|body| body["ID"] == WEB).collect();
    assert!(bodies.iter().all(|body| reason(body).is_some()), "it was in traffic at no moment: {bodies:#?}");
}

#[test]
fn each_start_in_a_crash_loop_begins_out_of_traffic() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let daemon = Daemon::start(&docker, &consul, &["--crash-starts", "3"]);
    for number in 1..=6 {
        let started = format!("2026-01-01T00:00:0{number}.1Z");
        docker.run(changed("web", 8000, |web| web["State"]["StartedAt"] = json!(started)));
        until("the registration", || consul.ids() == [WEB]);
        docker.set(changed("web", 8000, |web| {
            web["State"] = json!({"Status": "exited", "Running": false, "ExitCode": 1, "StartedAt": started});
        }));
        docker.event("die", &id("web"), &[("exitCode", "1")]);
        until("the removal", || consul.ids().is_empty());
    }
    let looping: Vec<_> = consul.registrations().iter().map(|body| reason(body).is_some()).collect();
    assert_eq!(looping, [false, false, true, true, true, true]);
    assert!(!consul.writes().iter().any(|write| write.contains("/maintenance/")), "{:?}", consul.writes());
    assert!(daemon.log().lines().any(|line| line.contains(" WARN ") && line.contains("again and again")));

    // It survives a restart, as a drain does.
    docker.run(changed("web", 8000, |web| web["State"]["StartedAt"] = json!(jiff::Timestamp::now().to_string())));
    until("the registration", || consul.ids() == [WEB]);
    drop(daemon);
    docker.forget_events();
    let writes = consul.writes();
    let daemon = Daemon::start(&docker, &consul, &["--crash-starts", "3"]);
    daemon.until_logged("up to date");
    assert_eq!(consul.writes(), writes);
}

/// A leftover check without status reports would stay critical forever.
#[test]
fn checks_are_replaced_while_the_entry_is_out_of_traffic() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "[register]\nttl = \"1h\"\nttl_refresh = \"30min\"\n").expect("a file");
    let arguments = ["--config", file.path().to_str().expect("text")];
    let paused = |paused: bool| changed("web", 8000, |web| web["State"]["Paused"] = json!(paused));
    docker.set(paused(false));
    let daemon = Daemon::start(&docker, &consul, &arguments);
    until("the check", || consul.checks() == [format!("service:{WEB}:ttl")]);
    docker.set(paused(true));
    docker.event("pause", &id("web"), &[]);
    until("paused", || consul.in_maintenance().contains_key(WEB));
    // A save of the file has the effect of SIGHUP.
    std::fs::write(file.path(), "[register]\n").expect("a file");
    until("no check", || consul.checks().is_empty());
    docker.set(paused(false));
    docker.event("unpause", &id("web"), &[]);
    until("traffic", || consul.in_maintenance().is_empty());
    settle(&docker, &consul);
    assert_eq!((consul.checks(), consul.count()), (Vec::new(), 1));
    drop(daemon);

    docker.set(with_env("web", 8000, "SERVICE_CHECK_HTTP=/up"));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the check", || consul.checks() == [format!("service:{WEB}")]);
    consul.take_out(WEB, "disk swap");
    drop(daemon);
    docker.unset(&id("web"));
    docker.set(changed("web", 8001, |web| web["Id"] = json!("f".repeat(64))));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("the successor", || consul.ports().get(WEB) == Some(&8001));
    assert_eq!(consul.checks(), [""; 0]);
    assert_eq!(consul.in_maintenance()[WEB], "disk swap");
    settle(&docker, &consul);
    consul.bring_back(WEB);
    settle(&docker, &consul);
    assert_eq!((consul.checks(), consul.in_maintenance().len()), (Vec::new(), 0));
}

#[test]
fn a_configuration_change_during_a_drain_does_not_end_it() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (docker, consul, _daemon) = draining(&["--config", file.path().to_str().expect("text")]);
    let reason = consul.in_maintenance()[WEB].clone();
    docker.forget_events();
    std::fs::write(file.path(), "[register]\ntags = \"blue\"\n").expect("a file");
    until("the tag", || consul.registrations().last().is_some_and(|body| body["Tags"] == json!(["blue"])));
    settle(&docker, &consul);
    assert_eq!(consul.in_maintenance().get(WEB), Some(&reason));
    let back = |write: &String| write.contains("enable=false") || write.contains(&format!("/deregister/{WEB}"));
    assert!(!consul.writes().iter().any(back), "{:?}", consul.writes());
}

#[test]
fn an_operators_maintenance_outlives_the_container() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "50ms"]);
    until("the registration", || consul.count() == 1);
    consul.take_out(WEB, "disk swap");
    let reads = consul.reads().len();
    until("a resync", || consul.reads().len() >= reads + 7);
    docker.die(&id("web"));
    until("the removal", || consul.count() == 0);
    docker.run(changed("web", 8001, |web| web["Id"] = json!("f".repeat(64))));
    until("the successor", || consul.count() == 1);
    let last = consul.registrations().pop().expect("a registration");
    assert_eq!(reason(&last).as_deref(), Some("disk swap"));
    // Once the operator has ended it, it is not restored.
    consul.bring_back(WEB);
    let reads = consul.reads().len();
    until("a resync", || consul.reads().len() >= reads + 7);
    docker.die(&"f".repeat(64));
    until("the removal", || consul.count() == 0);
    docker.run(container("web", 8002));
    until("the next", || consul.count() == 1);
    assert!(consul.in_maintenance().is_empty());
    drop(daemon);
}

#[test]
fn an_operators_maintenance_since_the_last_read_is_kept() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.count() == 1);
    daemon.until_logged("up to date");
    let registered = |count: usize| until("a registration", || consul.registrations().len() == count);
    let last = || reason(&consul.registrations().pop().expect("a registration"));
    consul.take_out(WEB, "disk swap");
    docker.die(&id("web"));
    until("the removal", || consul.count() == 0);
    docker.run(changed("web", 8001, |web| web["Id"] = json!("f".repeat(64))));
    registered(2);
    assert_eq!(last().as_deref(), Some("disk swap"), "it was removed in between");
    consul.bring_back(WEB);
    consul.take_out(WEB, "disk swap 2");
    docker.set(changed("web", 8002, |web| web["Id"] = json!("f".repeat(64))));
    docker.event("update", &"f".repeat(64), &[]);
    registered(3);
    assert_eq!(last().as_deref(), Some("disk swap 2"), "it was replaced");
    drop(daemon);
}

#[test]
fn once_confirms_a_missing_container_with_a_second_list() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let names: Vec<_> = (0..8).map(|number| format!("web-{number}")).collect();
    names.iter().zip(8000..).for_each(|(name, port)| docker.set(container(name, port)));
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    names.iter().for_each(|name| docker.unset(&id(name)));
    let impatient = run(&docker, &consul, &["--once", "--deadline", "300ms"]);
    assert_eq!((impatient.status.code(), consul.count()), (Some(1), 8));
    let plan = run(&docker, &consul, &["--dry-run"]);
    assert_eq!((plan.status.code(), plan.stdout.len()), (Some(0), 0));
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    assert_eq!(consul.count(), 0);
}
