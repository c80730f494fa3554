//! What `portreeve register` says when the engine cannot be reached: what happened, to what, and what to do.

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

/// Names of parts of the HTTP client, which help nobody.
const INTERNALS: [&str; 6] = ["hyper", "legacy", "client error", "builder error", "error sending request", "reqwest"];

/// The lines about trouble with Docker, beside an engine at this socket.
fn trouble_with(host: &str) -> String {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let mut command = portreeve(&docker, &consul, &[]);
    command.env("DOCKER_HOST", host);
    let daemon = Daemon::spawn(command);
    daemon.until_logged("will try again");
    told(&daemon, host)
}

/// What a daemon said, which has to name this socket.
fn told(daemon: &Daemon, host: &str) -> String {
    let log = daemon.log();
    for internal in INTERNALS {
        assert!(!log.contains(internal), "{internal:?} in\n{log}");
    }
    let trouble: Vec<_> = log.lines().filter(|line| line.contains("will try again")).collect();
    assert_eq!(trouble.len(), 1, "one line:\n{log}");
    assert!(trouble[0].contains(&format!("Docker at {host}: ")), "{log}");
    trouble[0].to_owned()
}

fn host(path: &Path) -> String {
    format!("unix://{}", path.display())
}

#[test]
fn no_socket() {
    let directory = TempDir::new().expect("a directory");
    let told = trouble_with(&host(&directory.path().join("docker.sock")));
    assert!(told.contains("no such socket: start Docker, or say where it listens (--docker, DOCKER_HOST)"), "{told}");
}

#[test]
fn a_socket_where_nobody_listens() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join("docker.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    let told = trouble_with(&host(&path));
    assert!(told.contains("connection refused: start Docker"), "{told}");
}

#[test]
fn a_directory_in_the_place_of_the_socket() {
    // That is what a bind mount makes of a path that does not exist.
    let directory = TempDir::new().expect("a directory");
    let told = trouble_with(&host(directory.path()));
    assert!(told.contains("not a socket, but a file or directory"), "{told}");
}

#[test]
fn a_port_where_nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
    let told = trouble_with(&format!("tcp://127.0.0.1:{port}"));
    assert!(told.contains("connection refused: start Docker"), "{told}");
}

#[test]
fn no_permission() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    let directory = docker.socket().parent().expect("a directory").to_owned();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).expect("ours");
    fs::set_permissions(docker.socket(), Permissions::from_mode(0o660)).expect("ours");
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
    daemon.until_logged("will try again");
    let told = told(&daemon, &docker.host());
    assert!(told.contains("permission denied: run as root, or add the user to the group of the socket"), "{told}");
}

#[test]
fn an_engine_that_does_not_tell_its_id() {
    let (docker, consul) = (FakeDocker::start_as(""), FakeConsul::start("10.0.0.7"));
    let daemon = Daemon::start(&docker, &consul, &[]);
    daemon.until_logged("will try again");
    let told = told(&daemon, &docker.host());
    let line =
        format!("WARN Docker at {}: did not tell its id; is that a Docker engine?; will try again", docker.host());
    assert!(told.ends_with(&line), "not a matter of Consul's: {told}");
    docker.says("ID", "E");
    daemon.until_logged(&format!("Docker at {}: well again", docker.host()));
}

#[test]
fn an_engine_that_restarts_is_one_line_and_one_more_when_it_is_back() {
    let (mut docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "1h"]);
    daemon.until_logged("in line");
    docker.stop();
    daemon.until_logged("will try again");
    // The socket is there before anybody listens.
    drop(UnixListener::bind(docker.socket()).expect("a socket"));
    std::thread::sleep(std::time::Duration::from_secs(2));
    fs::remove_file(docker.socket()).expect("the socket");
    docker.resume();
    daemon.until_logged("well again");
    docker.set(container("web", 2));
    docker.event("start", &super::common::black_box::id("web"), &[]);
    until("the change", || consul.ports()["dockerhost:web:80"] == 2);
    told(&daemon, &docker.host());
    assert_eq!(daemon.log().matches("well again").count(), 1, "{}", daemon.log());
    assert!(!consul.writes().iter().any(|write| write.contains("/deregister/")), "{:?}", consul.writes());
}

#[test]
fn a_stream_that_ends_is_no_trouble() {
    let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
    docker.set(container("web", 1));
    let daemon = Daemon::start(&docker, &consul, &["--resync", "1h"]);
    daemon.until_logged("in line");
    for port in 2..5 {
        std::thread::sleep(std::time::Duration::from_millis(1100));
        docker.set(container("web", port));
        docker.cut();
        until("the change", || consul.ports()["dockerhost:web:80"] == port);
    }
    assert!(!daemon.log().contains("WARN"), "{}", daemon.log());
}
