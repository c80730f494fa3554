//! A process that a host keeps running.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::enter;
use super::wait::wait_until;

/// A daemon inside a host; it can be ended and started again, with the same log.
pub struct Daemon {
    name: String,
    log: PathBuf,
    entry: OwnedFd,
    process: Mutex<Process>,
}

struct Process {
    command: Command,
    child: Option<Child>,
}

impl Daemon {
    pub(super) fn new(name: &str, command: Command, log: PathBuf, entry: OwnedFd) -> Self {
        Self { name: name.to_owned(), log, entry, process: Mutex::new(Process { command, child: None }) }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().expect("no panic while it is held")
    }

    /// `register on host-1`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts it, the first time or again. Panics if it runs.
    pub fn start(&self) {
        assert!(!self.running(), "{} runs already", self.name);
        let mut process = self.process();
        let log = File::options().create(true).append(true).open(&self.log).expect("the run's directory is ours");
        let stderr = log.try_clone().expect("a descriptor is free");
        process.command.stdin(Stdio::null()).stdout(log).stderr(stderr);
        let command = &mut process.command;
        let child = enter::in_host(&self.entry, || command.spawn());
        process.child = Some(child.unwrap_or_else(|e| panic!("cannot start {}: {e}", self.name)));
    }

    /// Its process number, seen from outside. Panics if it has been ended.
    pub fn pid(&self) -> u32 {
        self.process().child.as_ref().unwrap_or_else(|| panic!("{} has been ended", self.name)).id()
    }

    /// Whether it runs: false once it was ended, or has ended by itself.
    pub fn running(&self) -> bool {
        self.process().child.as_mut().is_some_and(|child| child.try_wait().expect("a child of ours").is_none())
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("process numbers are small");
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|e| panic!("cannot send {signal} to {}: {e}", self.name));
    }

    /// `kill -9`, and waits for the end.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for the end (30 seconds at most).
    pub fn wait(&self) -> ExitStatus {
        let status = wait_until(&format!("the end of {}", self.name), Duration::from_secs(30), || {
            let mut process = self.process();
            let child = process.child.as_mut().ok_or("ended before")?;
            child.try_wait().expect("a child of ours").ok_or("running")
        });
        self.process().child = None;
        status
    }

    /// All that it has written, over all its lives.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Collects the process, which has been killed.
    pub(super) fn reap(&self) {
        if let Some(mut child) = self.process().child.take() {
            child.wait().expect("a child of ours");
        }
    }
}
