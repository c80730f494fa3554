//! A long-running process on a host.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::namespace;
use crate::wait::wait_until;

/// A daemon on a host. It can be stopped and started again; the log continues.
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
    pub(crate) fn new(name: &str, command: Command, log: PathBuf, entry: OwnedFd) -> Self {
        Self { name: name.to_owned(), log, entry, process: Mutex::new(Process { command, child: None }) }
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().expect("no panic while it is locked")
    }

    /// `register on host-1`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Starts the process. Panics if it is running.
    pub fn start(&self) {
        assert!(!self.running(), "{} runs already", self.name);
        let mut process = self.process();
        let log = File::options().create(true).append(true).open(&self.log).expect("the run's directory is writable");
        let stderr = log.try_clone().expect("a descriptor is free");
        process.command.stdin(Stdio::null()).stdout(log).stderr(stderr);
        let command = &mut process.command;
        let child = namespace::in_host(&self.entry, || command.spawn());
        process.child = Some(child.unwrap_or_else(|e| panic!("cannot start {}: {e}", self.name)));
    }

    /// The process number, as seen from the machine. Panics if the process was stopped.
    pub fn pid(&self) -> u32 {
        self.process().child.as_ref().unwrap_or_else(|| panic!("{} was stopped", self.name)).id()
    }

    /// `false` if the process was stopped, or has ended by itself.
    pub fn running(&self) -> bool {
        self.process().child.as_mut().is_some_and(|child| child.try_wait().expect("a child of ours").is_none())
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("process numbers are small");
        kill(Pid::from_raw(pid), signal).unwrap_or_else(|e| panic!("cannot send {signal} to {}: {e}", self.name));
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(&self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait()
    }

    /// Waits for the end, at most 30 seconds.
    pub fn wait(&self) -> ExitStatus {
        let status = wait_until(&format!("the end of {}", self.name), Duration::from_secs(30), || {
            let mut process = self.process();
            let child = process.child.as_mut().ok_or("stopped before")?;
            child.try_wait().expect("a child of ours").ok_or("running")
        });
        self.process().child = None;
        status
    }

    /// Everything that the process has written, earlier runs included.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Waits for the process, which was killed.
    pub(crate) fn reap(&self) {
        if let Some(mut child) = self.process().child.take() {
            child.wait().expect("a child of ours");
        }
    }
}
