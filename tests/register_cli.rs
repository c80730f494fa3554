//! `portreeve register` as a black box, with a fake engine and a fake agent.

mod common;
#[path = "register_cli/default_file.rs"]
mod default_file;
#[path = "register_cli/inputs.rs"]
mod inputs;
#[path = "common/private_etc.rs"]
mod private_etc;
#[path = "register_cli/values.rs"]
mod values;

use common::{
    black_box::{Daemon, id, portreeve, run, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};
use nix::sys::signal::Signal;
use serde_json::json;

#[test]
fn once_registers_everything_and_a_second_run_writes_nothing() {
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
fn a_dry_run_of_a_migration_lists_entries_taken_over_new_and_left_alone() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    for (name, port) in [("web", 8000), ("new", 8001)] {
        docker.set(container(name, port));
    }
    for id in ["dockerhost:web:80", "dockerhost:gone:80"] {
        consul
            .add(json!({"ID": id, "Service": "web", "Port": 7000, "Address": "10.0.0.7", "Tags": ["old"], "Meta": {}}));
    }
    let output = run(&docker, &consul, &["--dry-run", "--adopt", "registrator"]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let expected = [
        "new: dockerhost:new:80 as web at 10.0.0.7:8001",
        "take over: dockerhost:web:80: address 10.0.0.7:7000 -> 10.0.0.7:8000, tags old -> (none)",
        "leave alone: dockerhost:gone:80, web at 10.0.0.7:7000: it has no owner in its Meta, and no container has this id",
    ];
    assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    assert_eq!(consul.writes(), [""; 0]);
}

#[test]
fn a_steady_state_costs_three_reads_a_resync_and_no_write() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "100ms"]);
    until("the registration", || consul.ids() == ["dockerhost:web:80"]);
    let (writes, reads) = (consul.writes(), consul.reads().len());
    until("ten resyncs", || consul.reads().len() >= reads + 30);
    assert_eq!(consul.writes(), writes);
    let later = consul.reads().split_off(reads + 1);
    let known = ["GET /v1/agent/self", "GET /v1/agent/services", "GET /v1/agent/checks"];
    assert!(later.iter().all(|read| known.contains(&read.as_str())), "{later:?}");
    assert_eq!(daemon.stop(), Some(0));
    assert_eq!(consul.ids(), ["dockerhost:web:80"], "entries stay at a clean stop");
}

#[test]
fn an_agent_that_lost_its_services_gets_them_again() {
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
fn a_foreign_entry_is_left_alone() {
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
fn a_stop_signal_takes_out_of_traffic_and_an_exit_removes() {
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
fn invalid_input_is_reported_with_its_position_and_exit_code_2() {
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
    for (arguments, message) in cases {
        let output = run(&docker, &consul, arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(error.contains(message), "{arguments:?}: {error}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    }
    let output = portreeve(&docker, &consul, &[]).env("PORTREEVE_REGISTER_RESYNC", "soon").output().expect("it starts");
    assert!(String::from_utf8_lossy(&output.stderr).contains("PORTREEVE_REGISTER_RESYNC"));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn once_fails_when_something_cannot_be_registered() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    consul.refuse("dockerhost:web:80", Some(axum::http::StatusCode::BAD_REQUEST));
    let output = run(&docker, &consul, &["--once"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("the registry refused the registration of dockerhost:web:80"), "{error}");

    consul.refuse("dockerhost:web:80", None);
    consul
        .add(json!({"ID": "dockerhost:web:80", "Service": "theirs", "Port": 1, "Address": "", "Tags": [], "Meta": {}}));
    let output = run(&docker, &consul, &["--once"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("not everything could be registered") && error.contains("not ours"), "{error}");

    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    for (name, port) in [("a", 8000), ("b", 8001)] {
        let mut same = container(name, port);
        same["Config"]["Env"] = json!(["SERVICE_ID=same"]);
        docker.set(same);
    }
    let output = run(&docker, &consul, &["--once"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("claim the id \"same\""), "{error}");
    assert_eq!(consul.ids(), ["same"]);
}

#[test]
fn registrators_own_command_line() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    // An empty host means the value of CONSUL_HTTP_ADDR.
    let line = ["-cleanup", "-retry-attempts", "-1", "-retry-interval=100", "-ip", "10.9.9.9", "consul://", "--once"];
    let output = run(&docker, &consul, &line);
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert_eq!(consul.registrations()[0]["Address"], json!("10.9.9.9"));
    assert_eq!(log.matches("--cleanup").count(), 1, "{log}");
    for version in ["-version", "--version"] {
        let output = run(&docker, &consul, &[version]);
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(env!("CARGO_PKG_VERSION")));
    }
    for wrong in ["0", "-5"] {
        assert_eq!(run(&docker, &consul, &["-retry-interval", wrong]).status.code(), Some(2), "{wrong}");
    }
}

#[test]
fn a_limit_of_retries_applies_only_until_the_first_success() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    consul.fail(Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
    let output = run(&docker, &consul, &["-retry-attempts", "2", "-retry-interval", "10"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), consul.reads().len()), (Some(1), 3), "{error}");
    assert!(error.contains("gave up after 3 tries to reach the registry"), "{error}");

    // After the first success, there is no limit.
    consul.fail(None);
    docker.set(container("web", 8000));
    let _daemon = Daemon::start(&docker, &consul, &["-retry-attempts", "0", "--resync", "50ms"]);
    until("the registration", || consul.count() == 1);
    consul.fail(Some(axum::http::StatusCode::INTERNAL_SERVER_ERROR));
    let reads = consul.reads().len();
    until("more tries than the limit", || consul.reads().len() >= reads + 4);
    consul.forget();
    consul.fail(None);
    until("the registration again", || consul.count() == 1);
}

#[test]
fn sighup_reads_the_configuration_again_and_changes_no_entry() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 8000));
    let file = tempfile::NamedTempFile::new().expect("a file");
    let configure = |text: &str| std::fs::write(file.path(), text).expect("a file");
    configure("[register]\non_exit = \"deregister\"\n[consul]\ntoken = \"one\"\n");
    let daemon = Daemon::start(&docker, &consul, &["--config", file.path().to_str().expect("text")]);
    until("the registration", || consul.count() == 1);
    let writes = consul.writes();

    configure("[register]\non_exti = \"deregister\"\n");
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("the configuration is refused, the previous one stays in effect");
    assert!(daemon.log().contains("line 2, column 1"), "{}", daemon.log());

    // The first reload sets a new token, the second one a new address.
    configure("[register]\non_exit = \"deregister\"\n[consul]\ntoken = \"two\"\n");
    daemon.signal(Signal::SIGHUP);
    until("the new token", || consul.tokens().contains(&"two".to_owned()));
    daemon.until_logged_times("up to date", 2);
    assert_eq!(consul.writes(), writes, "nothing has changed for the entries");
    configure("[register]\non_exit = \"deregister\"\nip = \"10.9.9.9\"\n[consul]\ntoken = \"two\"\n");
    daemon.signal(Signal::SIGHUP);
    until("the new address", || consul.registrations().iter().any(|body| body["Address"] == "10.9.9.9"));
    let removed = |writes: &[String]| writes.iter().any(|write| write.contains("deregister"));
    assert!(!removed(&consul.writes()), "{:?}", consul.writes());

    assert_eq!(daemon.stop(), Some(0));
    assert!(consul.ids().is_empty(), "that was a clean stop");
}
