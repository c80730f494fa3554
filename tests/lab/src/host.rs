//! One host.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::daemon::Daemon;
use crate::http::{self, Answer, Request};
use crate::namespace;

/// A running host. Commands and daemons run inside; files are read and written from the machine.
pub struct Host {
    number: u8,
    directory: PathBuf,
    network: PathBuf,
    init: Mutex<Child>,
    pid: u32,
    entry: OwnedFd,
    daemons: Mutex<Vec<Arc<Daemon>>>,
}

impl Host {
    /// Starts the first process of host `number`. `wait_until_up` waits until the host is ready.
    pub(crate) fn boot(number: u8, run: &Path, network: &Path) -> Self {
        let name = format!("host-{number}");
        let directory = run.join(&name);
        fs::create_dir_all(directory.join("log")).expect("the run's directory is writable");
        let log = fs::File::create(directory.join("log/boot.log")).expect("the run's directory is writable");
        let mut command = clean("sh");
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/host.sh")).arg(&directory).arg(&name);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let init = namespace::boot(network, &mut command).unwrap_or_else(|e| panic!("cannot start {name}: {e}"));
        let pid = init.id();
        let entry = pidfd_open(Pid::from_child(&init), PidfdFlags::empty()).expect("our child exists");
        let (network, init) = (network.to_owned(), Mutex::new(init));
        Self { number, directory, network, init, pid, entry, daemons: Mutex::default() }
    }

    pub(crate) fn wait_until_up(&self) {
        let stdout = self.init.lock().expect("no panic").stdout.take().expect("stdout is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a pipe of ours");
        assert_eq!(line, "up\n", "{} did not come up: {}", self.name(), self.log("boot"));
    }

    /// 1, 2 or 3.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// `host-1`.
    pub fn name(&self) -> String {
        format!("host-{}", self.number)
    }

    /// `192.168.50.101`.
    pub fn address(&self) -> String {
        format!("192.168.50.{}", 100 + u16::from(self.number))
    }

    /// The number, on the machine, of the process that has number 1 on the host.
    pub fn init(&self) -> u32 {
        self.pid
    }

    /// The file of the network namespace.
    pub fn network(&self) -> &Path {
        &self.network
    }

    /// `GET url` from this host, on a new connection.
    pub fn get(&self, url: &str) -> io::Result<Answer> {
        namespace::in_network(&self.network, || http::send(&Request::get(url)))
    }

    /// The path of a host's file on the machine. No part of `path` may be an absolute symlink.
    pub fn outside(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.pid))
    }

    /// Reads a file of this host. Panics on failure.
    pub fn read(&self, path: &str) -> String {
        fs::read_to_string(self.outside(path)).unwrap_or_else(|e| panic!("{}:{path}: {e}", self.name()))
    }

    /// Writes a file of this host with mode 0644, and creates its parent directories.
    pub fn write(&self, path: &str, content: &str) {
        let outside = self.outside(path);
        let written = fs::create_dir_all(outside.parent().expect("an absolute path"))
            .and_then(|()| fs::write(&outside, content))
            .and_then(|()| fs::set_permissions(&outside, fs::Permissions::from_mode(0o644)));
        written.unwrap_or_else(|e| panic!("{}:{path}: {e}", self.name()));
    }

    /// The log of a daemon, or of the start of the host (`boot`).
    pub fn log(&self, name: &str) -> String {
        let bytes = fs::read(self.directory.join(format!("log/{name}.log"))).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Runs a command and returns its stdout. Panics if the command fails.
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(
            output.status.success(),
            "{}: `{}`: {}\n{}",
            self.name(),
            words.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs a command, which may fail.
    pub fn output(&self, words: &[&str]) -> Output {
        let mut command = clean(words[0]);
        command.args(&words[1..]).stdin(Stdio::null());
        let output = self.enter(|| command.output());
        output.unwrap_or_else(|e| panic!("{}: cannot run {}: {e}", self.name(), words[0]))
    }

    /// Starts a daemon that writes to `/var/log/NAME.log`. It runs until it is stopped, or until the lab
    /// ends.
    pub fn spawn(&self, name: &str, words: &[&str]) -> Arc<Daemon> {
        let mut command = clean(words[0]);
        command.args(&words[1..]);
        let log = self.directory.join(format!("log/{name}.log"));
        let entry = self.entry.try_clone().expect("a descriptor is free");
        let daemon = Arc::new(Daemon::new(&format!("{} on {}", name, self.name()), command, log, entry));
        daemon.start();
        self.daemons.lock().expect("no panic").push(Arc::clone(&daemon));
        daemon
    }

    /// Runs `work` on a thread whose child processes start on this host.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        namespace::in_host(&self.entry, work)
    }

    /// Waits for the processes, which were killed. The first process ends only after the others were waited for.
    pub(crate) fn reap(&self) {
        for daemon in self.daemons.lock().expect("no panic").iter() {
            daemon.reap();
        }
        self.init.lock().expect("no panic").wait().expect("a child of ours");
    }
}

/// A command with the environment of a new host instead of ours. Ctrl-C does not reach it, since it has a
/// process group of its own.
pub(crate) fn clean(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .process_group(0)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/run/home")
        .env("LANG", "C.UTF-8");
    command
}
