//! One run of the lab: its directory, its namespaces, and the process that removes them.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::logs;

/// The parent of the directories of all runs.
const BASE: &str = "/run/portreeve-lab";

/// The run ends when its pipe to `sweep.sh` is closed.
pub struct Run {
    test: String,
    directory: PathBuf,
    sweeper: Child,
}

impl Run {
    /// Removes what killed runs have left, and creates the network for these hosts.
    pub(crate) fn start(test: &str, hosts: &[u8]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the lab creates network namespaces and mounts: run it as root");
        let mut sweeper = Command::new("setsid")
            .args(["bash", concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sweep.sh")])
            .args(hosts.iter().map(u8::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start the sweeper (setsid, bash): {e}"));
        let mut directory = String::new();
        let stdout = sweeper.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut directory).expect("the pipe is open");
        if directory.is_empty() {
            let mut reason = String::new();
            let mut stderr = sweeper.stderr.take().expect("stderr is a pipe");
            stderr.read_to_string(&mut reason).expect("the pipe is open");
            panic!("cannot create the lab's network: {reason}");
        }
        Self { test: test.to_owned(), directory: PathBuf::from(directory.trim_end()), sweeper }
    }

    /// The common prefix of the names of the namespaces, and the name of the control group.
    pub fn name(&self) -> &str {
        self.directory.file_name().and_then(|name| name.to_str()).expect("mktemp's names are plain")
    }

    /// The directory of the run; the logs in it are `host-N/log/*.log`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of the network namespace of a host (`h1`) or of the bridge (`bridge`).
    pub fn network(&self, part: &str) -> PathBuf {
        network(&self.directory, part)
    }

    /// The process of `sweep.sh`.
    pub fn sweeper(&self) -> u32 {
        self.sweeper.id()
    }

    /// Takes the pipe. The run ends when the last copy of it is closed.
    pub(crate) fn take_pipe(&mut self) -> ChildStdin {
        self.sweeper.stdin.take().expect("the pipe is taken once")
    }

    /// Copies the logs of all hosts to `target/lab-logs/NAME` and returns that directory.
    pub fn save_logs(&self) -> io::Result<PathBuf> {
        logs::save(&self.test, &self.directory)
    }

    /// Closes the pipe and waits until everything is removed. The logs of a failed test are kept.
    pub(crate) fn end(&mut self) {
        if std::thread::panicking()
            && let Err(e) = self.save_logs().and_then(|saved| logs::print_tails(&saved))
        {
            eprintln!("cannot keep the logs of {}: {e}", self.test);
        }
        drop(self.sweeper.stdin.take());
        match self.sweeper.wait() {
            Ok(status) if status.success() => {}
            ended => {
                let reason = fs::read_to_string(self.directory.join("sweep.log")).unwrap_or_default();
                eprintln!("cannot remove {}: {ended:?}: {reason}The next lab tries again.", self.name());
            }
        }
    }
}

/// The file of a network namespace of the run with this directory.
pub fn network(directory: &Path, part: &str) -> PathBuf {
    let name = directory.file_name().and_then(|name| name.to_str()).expect("mktemp's names are plain");
    PathBuf::from(format!("/run/netns/{name}-{part}"))
}

/// The directories of all runs on this machine.
pub fn all() -> Vec<PathBuf> {
    fs::read_dir(BASE).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}
