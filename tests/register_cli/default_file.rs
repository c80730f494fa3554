//! The default configuration file.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use nix::sys::signal::Signal;
use serde_json::json;
use tempfile::TempDir;

use super::{
    common::{
        black_box::{Daemon, until},
        fake_consul::FakeConsul,
        fake_docker::{FakeDocker, container},
    },
    private_etc,
};

const FILE: &str = "/etc/portreeve/portreeve.toml";

struct Machine {
    docker: FakeDocker,
    consul: FakeConsul,
    etc: TempDir,
}

impl Machine {
    /// One container, and no configuration.
    fn new() -> Self {
        let (docker, consul) = (FakeDocker::start(), FakeConsul::start("10.0.0.7"));
        docker.set(container("web", 8000));
        Self { docker, consul, etc: tempfile::tempdir().expect("a directory") }
    }

    fn file(&self) -> PathBuf {
        self.etc.path().join("portreeve/portreeve.toml")
    }

    fn write(&self, text: &str) {
        fs::create_dir_all(self.file().parent().expect("it is below /etc")).expect("the test owns it");
        fs::write(self.file(), text).expect("the test owns it");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = private_etc::portreeve(self.etc.path(), arguments);
        command.env("DOCKER_HOST", self.docker.host()).env("CONSUL_HTTP_ADDR", self.consul.address());
        command
    }

    /// The exit code; stdout and stderr in one text.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command(arguments).output().expect("the program starts");
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    }
}

#[test]
fn every_command_reads_it_and_it_may_be_missing() {
    let machine = Machine::new();
    fs::write(machine.etc.path().join("compose.yml"), "services: {web: {image: a, ports: [\"80\"]}}\n")
        .expect("the test owns it");
    fs::create_dir_all(machine.etc.path().join("cases/a/expected")).expect("the test owns it");
    fs::write(machine.etc.path().join("cases/a/fixture.json"), "{}").expect("the test owns it");
    let commands: [&[&str]; 8] = [
        &["register", "--once"],
        &["render", "--once"],
        &["render", "rollback", "--list"],
        &["explain", "web"],
        &["lint", "compose.yml"],
        &["check"],
        &["record"],
        &["test", "cases"],
    ];
    for arguments in commands {
        let (_, printed) = machine.run(arguments);
        assert!(!printed.contains("configuration file /"), "{arguments:?}: {printed}");
    }
    let wrong = |what: &str| {
        for arguments in commands {
            let (code, printed) = machine.run(arguments);
            // An error in the file is a result of `check`.
            let expected = if arguments == ["check"] { 1 } else { 2 };
            assert_eq!(code, Some(expected), "{what}: {arguments:?}: {printed}");
            assert!(printed.contains(&format!("the configuration file {FILE}")), "{what}: {arguments:?}: {printed}");
        }
    };
    machine.write("[registre]\n");
    wrong("an unknown table");
    fs::remove_file(machine.file()).expect("the test owns it");
    fs::create_dir(machine.file()).expect("the test owns it");
    wrong("a directory");
    fs::remove_dir(machine.file()).expect("the test owns it");
    symlink("nowhere", machine.file()).expect("the test owns it");
    wrong("a symlink that leads nowhere");
}

#[test]
fn another_file_takes_its_place_and_a_given_one_has_to_exist() {
    let machine = Machine::new();
    machine.write("[register]\nhostname = \"default\"\n");
    let other = machine.etc.path().join("other.toml");
    fs::write(&other, "[register]\nhostname = \"other\"\n").expect("the test owns it");
    let planned = |command: &mut Command| {
        let output = command.output().expect("the program starts");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let dry_run = ["register", "--dry-run"];
    for (variable, flag, host) in [
        ("", None, "default"),
        ("other.toml", None, "other"),
        ("missing.toml", Some("other.toml"), "other"),
        ("other.toml", Some("/dev/null"), "dockerhost"),
    ] {
        let flags: Vec<_> = flag.iter().flat_map(|file| ["--config", file]).collect();
        let mut command = machine.command(&[&dry_run, &flags[..]].concat());
        let (code, printed) = planned(command.env("PORTREEVE_CONFIG", variable));
        assert!(
            code == Some(0) && printed.contains(&format!("register {host}:web:80")),
            "{variable} {flag:?}: {printed}"
        );
    }
    let (code, printed) = planned(machine.command(&dry_run).env("PORTREEVE_CONFIG", "missing.toml"));
    assert!(code == Some(2) && printed.contains("cannot read the configuration file missing.toml"), "{printed}");
    assert_eq!(machine.run(&["register", "--dry-run", "--config", FILE]).0, Some(0));
}

#[test]
fn a_daemon_follows_it_from_when_it_appears_and_keeps_the_last_one_when_it_is_gone() {
    let machine = Machine::new();
    let daemon = Daemon::spawn(machine.command(&["register"]));
    until("the registration", || machine.consul.count() == 1);
    let addresses =
        || -> Vec<_> { machine.consul.registrations().iter().map(|body| body["Address"].clone()).collect() };
    assert_eq!(addresses(), [json!("10.0.0.7")]);

    machine.write("[register]\nipp = \"10.9.9.9\"\n");
    daemon.until_logged("the configuration is refused, the previous one stays in effect");
    machine.write("[register]\nip = \"10.9.9.9\"\n");
    until("the address of the file", || addresses().last() == Some(&json!("10.9.9.9")));
    daemon.until_logged_times("up to date", 2);

    fs::remove_file(machine.file()).expect("the test owns it");
    daemon.until_logged(&format!("cannot read the configuration file {FILE}"));
    daemon.signal(Signal::SIGHUP);
    daemon.until_logged("SIGHUP: the configuration is refused, the previous one stays in effect");
    assert_eq!(addresses(), [json!("10.0.0.7"), json!("10.9.9.9")], "it was not written with the defaults");

    machine.write("[register]\nip = \"10.8.8.8\"\n");
    until("the next address", || addresses().last() == Some(&json!("10.8.8.8")));
    let writes = machine.consul.writes();
    assert!(!writes.iter().any(|write| write.contains("deregister")), "{writes:?}");
    assert_eq!(daemon.stop(), Some(0));
}
