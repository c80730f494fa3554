//! The exit codes of `--once` and `--dry-run`. Both wait only for problems that can pass.

use axum::http::StatusCode;

use crate::common::{
    black_box::{id, portreeve, run},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

/// The exit code, stderr and stdout.
fn ended(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = run(docker, consul, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stderr), text(&output.stdout))
}

#[test]
fn a_container_that_cannot_be_inspected_is_waited_for_and_named() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1000));
    docker.set(container("odd", 1001));
    docker.fail_inspections(&id("odd"), true);
    for mode in ["--once", "--dry-run"] {
        let (code, log, _) = ended(&docker, &consul, &[mode, "--deadline", "4s"]);
        let message = format!("Docker cannot inspect the container {}", &id("odd")[..12]);
        assert_eq!(code, Some(1), "{mode}: {log}");
        // Logged once during the wait, and once at the end.
        assert_eq!(log.matches(&message).count(), 2, "{mode}: {log}");
    }
    assert_eq!(consul.ids(), ["dockerhost:web:80"], "the others are registered");
    docker.fail_inspections(&id("odd"), false);
    assert_eq!(ended(&docker, &consul, &["--once"]).0, Some(0));
    assert_eq!(consul.count(), 2);
}

#[test]
fn a_gate_that_does_not_open_is_named() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("127.0.0.1"));
    let mut web = container("web", 1);
    web["Config"]["Env"] = serde_json::json!(["SERVICE_READY=tcp"]);
    docker.set(web);
    let (code, log, _) = ended(&docker, &consul, &["--once", "--deadline", "3s"]);
    assert!(code == Some(1) && log.contains("dockerhost:web:80 is not ready (tcp 127.0.0.1:1)"), "{code:?} {log}");
}

#[test]
fn a_missing_permission_is_not_waited_for() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1000));
    consul.fail(Some(StatusCode::FORBIDDEN));
    for mode in ["--once", "--dry-run"] {
        let (code, log, _) = ended(&docker, &consul, &[mode, "--deadline", "1h"]);
        assert_eq!(code, Some(1), "{mode}: {log}");
        assert_eq!(log.matches("the ACL token").count(), 2, "one line, and the end: {mode}: {log}");
    }
    consul.fail(None);
    consul.refuse("dockerhost:web:80", Some(StatusCode::FORBIDDEN));
    let (code, log, _) = ended(&docker, &consul, &["--once", "--deadline", "1h"]);
    assert!(code == Some(1) && log.contains("the ACL token"), "{code:?} {log}");
}

/// A problem is logged once, however many retries fail.
#[test]
fn a_transient_failure_is_waited_for_and_logged_once() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1000));
    consul.fail(Some(StatusCode::INTERNAL_SERVER_ERROR));
    for mode in ["--once", "--dry-run"] {
        let reads = consul.reads().len();
        let (code, log, _) = ended(&docker, &consul, &[mode, "--deadline", "4s"]);
        assert!(consul.reads().len() > reads + 10, "it was tried again and again");
        assert_eq!(code, Some(1), "{mode}: {log}");
        assert_eq!(log.matches(" WARN ").count(), 1, "{mode}: {log}");
        assert_eq!(log.matches("waiting, at most").count(), 1, "{mode}: {log}");
        assert!(log.contains("not up to date within 4 s: Consul at http://"), "{mode}: {log}");
    }
    // Nothing listens at the address. The log has no error texts of libraries.
    let mut command = portreeve(&docker, &consul, &["--once", "--deadline", "2s"]);
    let output = command.env("CONSUL_HTTP_ADDR", "http://127.0.0.1:1").output().expect("the program starts");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(log.contains("connection refused: no agent listens there"), "{log}");
    for noise in ["error sending request", "builder error", "hyper", "client error", "os error"] {
        assert!(!log.contains(noise), "{log}");
    }
}

#[test]
fn only_the_side_without_an_answer_is_named() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let mut command = portreeve(&docker, &consul, &["--once", "--deadline", "2s"]);
    let output = command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().expect("the program starts");
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let absent =
        "not up to date within 2 s: Docker at unix:///nowhere/docker.sock: no such socket: start Docker, or say where";
    assert!(log.lines().last().is_some_and(|line| line.contains(absent)), "{log}");
    assert!(!log.contains("has not answered"), "{log}");
}

#[test]
fn another_registrys_address_is_refused_immediately() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let (code, log, _) = ended(&docker, &consul, &["etcd://127.0.0.1:2379/services"]);
    assert!(code == Some(2) && log.contains("Portreeve writes to Consul only"), "{code:?} {log}");
}
