//! `portreeve register` as a process of its own, between an engine and an agent.

#![allow(dead_code, unreachable_pub)]

use std::{
    fs::File,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use portreeve_lab::portreeve::program;
use tempfile::NamedTempFile;

use super::{fake_consul::FakeConsul, fake_docker::FakeDocker};

/// Longer than anything here takes on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// `portreeve register ARGUMENTS` with an environment that knows of these two and nothing else, and without a
/// configuration file of this machine.
pub fn portreeve(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("DOCKER_HOST", docker.host())
        .env("CONSUL_HTTP_ADDR", consul.address());
    command.arg("register").args(arguments).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub fn run(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Output {
    portreeve(docker, consul, arguments).output().expect("the program starts")
}

/// A running daemon, ended by its number on drop.
pub struct Daemon {
    child: Child,
    log: NamedTempFile,
}

impl Daemon {
    /// Starts it between two fakes.
    pub fn start(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Self {
        Self::spawn(portreeve(docker, consul, arguments))
    }

    /// Starts it as it is prepared.
    pub fn spawn(mut command: Command) -> Self {
        let log = NamedTempFile::new().expect("a file");
        let stderr = File::create(log.path()).expect("a file");
        Self { child: command.stderr(stderr).spawn().expect("the program starts"), log }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("a file")
    }

    /// Waits until it has logged this.
    #[track_caller]
    pub fn until_logged(&self, said: &str) {
        self.until_logged_times(said, 1);
    }

    /// Waits until it has logged this so many times.
    #[track_caller]
    pub fn until_logged_times(&self, said: &str, times: usize) {
        let begun = Instant::now();
        while self.log().matches(said).count() < times {
            assert!(begun.elapsed() < PATIENCE, "waited for {said:?} in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Its process.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("small")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("small")), signal).expect("it runs");
    }

    /// Waits for its end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("our child").code()
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Ended already after `stop`: nothing is lost if there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until `seen` holds.
#[track_caller]
pub fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !seen() {
        assert!(begun.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The full id of a fake container.
pub fn id(name: &str) -> String {
    format!("{name:0>64}")
}
