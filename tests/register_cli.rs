//! `portreeve register` as a black box, between an engine and an agent that do as they are told.

mod common;

use std::{
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use common::{
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;

fn portreeve(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command.env_clear().env("DOCKER_HOST", docker.host()).env("CONSUL_HTTP_ADDR", consul.address());
    command.arg("register").args(arguments).stdin(Stdio::null());
    command
}

fn run(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Output {
    portreeve(docker, consul, arguments).output().expect("the program starts")
}

/// A running daemon, ended by its number on drop.
struct Daemon(Child);

impl Daemon {
    fn start(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Self {
        Self(portreeve(docker, consul, arguments).stderr(Stdio::null()).spawn().expect("the program starts"))
    }

    fn stop(mut self) -> Option<i32> {
        kill(Pid::from_raw(i32::try_from(self.0.id()).expect("small")), Signal::SIGTERM).expect("it runs");
        self.0.wait().expect("our child").code()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already after `stop`: nothing is lost if there is nothing to end.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[track_caller]
fn until(what: &str, seen: impl Fn() -> bool) {
    let begun = Instant::now();
    while !seen() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn id(name: &str) -> String {
    format!("{name:0>64}")
}

#[test]
fn once_brings_the_registry_in_line_and_a_second_time_writes_nothing() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    let body = consul.registrations().remove(0);
    assert_eq!((&body["ID"], &body["Name"]), (&json!("dockerhost:web:80"), &json!("web")));
    assert_eq!((&body["Address"], &body["Port"]), (&json!("10.0.0.7"), &json!(8000)));
    assert_eq!(body["Meta"]["portreeve-container"], json!(id("web")));
    let writes = consul.writes();
    assert_eq!(run(&docker, &consul, &["--once"]).status.code(), Some(0));
    assert_eq!(consul.writes(), writes);
}

#[test]
fn a_dry_run_prints_the_plan_and_does_nothing() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let output = run(&docker, &consul, &["--dry-run", "--ip", "10.9.9.9", "--hostname", "box"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "register box:web:80 as web at 10.9.9.9:8000\n");
    assert_eq!(consul.writes(), [""; 0]);
}

#[test]
fn a_steady_state_costs_two_reads_a_resync_and_no_write() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "100ms"]);
    until("the registration", || consul.ids() == ["dockerhost:web:80"]);
    let (writes, reads) = (consul.writes(), consul.reads().len());
    until("ten resyncs", || consul.reads().len() >= reads + 20);
    assert_eq!(consul.writes(), writes);
    let later = consul.reads().split_off(reads + 1);
    assert!(later.iter().all(|read| read == "GET /v1/agent/services" || read == "GET /v1/agent/checks"), "{later:?}");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(consul.ids(), ["dockerhost:web:80"], "entries stay at a clean stop");
}

#[test]
fn an_agent_that_lost_everything_is_told_again() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &["--resync", "200ms"]);
    until("the registration", || consul.ids().len() == 1);
    consul.forget();
    until("the registration again", || consul.ids().len() == 1);
}

#[test]
fn an_agent_that_fails_is_waited_for() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    consul.fail(Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("three tries", || consul.reads().len() >= 3);
    consul.fail(None);
    until("the registration", || consul.ids().len() == 1);
}

#[test]
fn somebody_elses_entry_is_left_alone() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    docker.set(container("other", 8001));
    for id in ["dockerhost:web:80", "dockerhost:gone:80"] {
        consul.add(json!({"ID": id, "Service": "theirs", "Port": 1, "Address": "", "Tags": [], "Meta": {}}));
    }
    let output = run(&docker, &consul, &["--once"]);
    assert_eq!(consul.ids(), ["dockerhost:gone:80", "dockerhost:other:80", "dockerhost:web:80"]);
    assert_eq!(consul.registrations().len(), 1);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("an entry \"dockerhost:web:80\" that is not ours"), "{log}");
}

#[test]
fn a_stop_signal_takes_out_of_traffic_and_a_death_removes() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &[]);
    until("the registration", || consul.ids().len() == 1);
    docker.event("kill", &id("web"), &[("signal", "15")]);
    until("maintenance", || consul.in_maintenance().contains_key("dockerhost:web:80"));
    assert!(consul.in_maintenance()["dockerhost:web:80"].starts_with("portreeve: draining"));
    docker.die(&id("web"));
    until("the removal", || consul.ids().is_empty());
}

#[test]
fn the_token_is_sent_and_never_shown() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let mut command = portreeve(&docker, &consul, &["--once", "--log-level", "trace"]);
    let output = command.env("CONSUL_HTTP_TOKEN", "s3cret").output().expect("the program starts");
    assert!(consul.tokens().iter().all(|token| token == "s3cret"));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("s3cret"));
}

#[test]
fn bad_input_is_told_with_its_place_and_exit_code_2() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "[register]\nresync = \"30s\"\nhostnam = \"x\"\n").expect("a file");
    let path = file.path().to_str().expect("text");
    let cases: [(&[&str], &str); 7] = [
        (&["--resync", "soon"], "write it like 30s"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--config", "/nonexistent.toml"], "cannot read the configuration file /nonexistent.toml"),
        (&["--config", path], "line 3, column 1"),
        (&["--docker", "ssh://x"], "is not of the form unix:///path"),
        (&["ftp://x"], "the scheme \"ftp\" is unknown"),
        (&["--log-level", "a=b=c"], "--log-level"),
    ];
    for (arguments, said) in cases {
        let output = run(&docker, &consul, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    }
    let output = portreeve(&docker, &consul, &[]).env("PORTREEVE_REGISTER_RESYNC", "soon").output().expect("it starts");
    assert!(String::from_utf8_lossy(&output.stderr).contains("PORTREEVE_REGISTER_RESYNC"));
    assert_eq!(output.status.code(), Some(2));
}
