//! The log lines of `portreeve register` about an unreachable engine: what happened, to what, and what to do.

use std::{
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt, net::UnixListener, process::CommandExt},
    path::Path,
    process::Stdio,
};

use portreeve_lab::portreeve::program;
use tempfile::TempDir;

use super::common::{
    black_box::{Daemon, portreeve, until},
    fake_consul::FakeConsul,
    fake_docker::{FakeDocker, container},
};

/// Names of parts of the HTTP client, which do not help a user.
const INTERNALS: [&str; 6] = ["hyper", "legacy", "client error", "builder error", "error sending request", "reqwest"];

/// The one line about Docker, with an engine at this address.
fn problem_line(host: &str) -> String {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let mut command = portreeve(&docker, &consul, &[]);
    command.env("DOCKER_HOST", host);
    let daemon = Daemon::spawn(command);
    daemon.until_logged("retrying");
    logged_problem(&daemon, host)
}

/// The one line about Docker that a daemon has logged. It must name this address.
fn logged_problem(daemon: &Daemon, host: &str) -> String {
    let log = daemon.log();
    for internal in INTERNALS {
        assert!(!log.contains(internal), "{internal:?} in\n{log}");
    }
    let lines: Vec<_> = log.lines().filter(|line| line.contains("retrying")).collect();
    assert_eq!(lines.len(), 1, "one line:\n{log}");
    assert!(lines[0].contains(&format!("Docker at {host}: ")), "{log}");
    lines[0].to_owned()
}

fn host(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[test]
fn a_missing_socket() {
    let directory = TempDir::new().expect("a directory");
    let line = problem_line(&host(&directory.path().join("docker.sock")));
    assert!(line.contains("no such socket: start Docker, or say where it listens (--docker, DOCKER_HOST)"), "{line}");
}

#[test]
fn a_socket_without_a_listener() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("docker.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    let line = problem_line(&host(&path));
    assert!(line.contains("connection refused: start Docker"), "{line}");
}

#[test]
fn a_directory_instead_of_the_socket() {
    // A bind mount of a path that does not exist creates a directory.
    let directory = TempDir::new().expect("a directory");
    let line = problem_line(&host(directory.path()));
    assert!(line.contains("not a socket, but a file or directory"), "{line}");
}

#[test]
fn a_port_without_a_listener() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let line = problem_line(&format!("tcp://127.0.0.1:{port}"));
    assert!(line.contains("connection refused: start Docker"), "{line}");
}

#[test]
fn a_socket_without_permission() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let directory = docker.socket().parent().expect("a directory").to_owned();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("the test owns it");
    fs::set_permissions(docker.socket(), Permissions::from_mode(0o660)).expect("the test owns it");
    // The build directory may be closed to others.
    let copy = directory.join("portreeve");
    fs::copy(program(), &copy).expect("a copy");
    let mut command = std::process::Command::new(copy);
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("DOCKER_HOST", docker.host())
        .env("CONSUL_HTTP_ADDR", consul.address());
    command.arg("register").stdin(Stdio::null()).current_dir("/").uid(65_534).gid(65_534);
    let daemon = Daemon::spawn(command);
    daemon.until_logged("retrying");
    let line = logged_problem(&daemon, &docker.host());
    assert!(line.contains("permission denied: run as root, or add the user to the group of the socket"), "{line}");
}

#[test]
fn an_engine_that_does_not_report_its_id() {
    let (docker, consul) = (FakeDocker::start_as(""), FakeConsul::start("10.0.0.7"));
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("retrying");
    let line = logged_problem(&daemon, &docker.host());
    let expected = format!("WARN Docker at {}: did not report its id; is it a Docker engine?; retrying", docker.host());
    assert!(line.ends_with(&expected), "a problem of Docker, not of Consul: {line}");
    docker.set_info("ID", "E");
    daemon.until_logged(&format!("Docker at {}: recovered after", docker.host()));
}

#[test]
fn a_restart_of_the_engine_is_logged_once_with_its_recovery() {
    let (mut docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "1h"]);
    daemon.until_logged("up to date");
    docker.stop();
    daemon.until_logged("retrying");
    // The socket exists before the engine listens.
    drop(UnixListener::bind(docker.socket()).expect("a socket"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    fs::remove_file(docker.socket()).expect("the socket");
    docker.resume();
    daemon.until_logged("recovered after");
    docker.set(container("web", 2));
    docker.event("start", &super::common::black_box::id("web"), &[]);
    until("the change", || consul.ports()["dockerhost:web:80"] == 2);
    logged_problem(&daemon, &docker.host());
    assert_eq!(daemon.log().matches("recovered after").count(), 1, "{}", daemon.log());
    assert!(!consul.writes().iter().any(|write| write.contains("/deregister/")), "{:?}", consul.writes());
}

#[test]
fn the_end_of_a_stream_is_not_a_problem() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "1h"]);
    daemon.until_logged("up to date");
    for port in 2..5 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        docker.set(container("web", port));
        docker.cut();
        until("the change", || consul.ports()["dockerhost:web:80"] == port);
    }
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}
