//! Runs `portreeve register` as a process, with a Docker engine and a Consul agent.

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

/// The time limit of every wait, for a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The command `portreeve register ARGUMENTS`. Its environment contains only the addresses of the two, and the
/// configuration file of this machine is not used.
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

/// Runs the command and waits for its end.
pub fn run(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Output {
    portreeve(docker, consul, arguments).output().expect("the program starts")
}

/// A running daemon. Dropping it kills the process.
pub struct Daemon {
    child: Child,
    log: NamedTempFile,
}

impl Daemon {
    /// Starts the daemon with two fakes.
    pub fn start(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Self {
        Self::spawn(portreeve(docker, consul, arguments))
    }

    /// Starts the daemon with this command.
    pub fn spawn(mut command: Command) -> Self {
        let log = NamedTempFile::new().expect("a file");
        let stderr = File::create(log.path()).expect("a file");
        Self { child: command.stderr(stderr).spawn().expect("the program starts"), log }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log.path()).expect("a file")
    }

    /// Waits until the log contains a text.
    #[track_caller]
    pub fn until_logged(&self, text: &str) {
        self.until_logged_times(text, 1);
    }

    /// Waits until the log contains a text this number of times.
    #[track_caller]
    pub fn until_logged_times(&self, text: &str, times: usize) {
        let start = Instant::now();
        while self.log().matches(text).count() < times {
            assert!(start.elapsed() < PATIENCE, "waited for {text:?} in the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The process id.
    pub fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a small number")
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).expect("a small number")), signal).expect("it runs");
    }

    /// Waits for the end of the daemon. Returns the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("our child").code()
    }

    /// Sends SIGTERM and waits for the end of the daemon. Returns the exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        self.wait()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // After `stop` the process has ended already, and these calls fail without harm.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Waits until a condition is true.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The full id of a fake container, from its name.
pub fn id(name: &str) -> String {
    format!("{name:0>64}")
}
