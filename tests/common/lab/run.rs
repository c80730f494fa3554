//! One run of the lab: its directory, its namespaces, and the process that takes them away.

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use super::logs;

/// Where the runs have their directories.
const BASE: &str = "/run/portreeve-lab";

/// Holds the pipe that keeps the run alive.
pub struct Run {
    test: String,
    directory: PathBuf,
    sweeper: Child,
}

impl Run {
    /// Sweeps what killed runs have left, and lays the network for these hosts.
    pub(super) fn start(test: &str, hosts: &[u8]) -> Self {
        assert!(nix::unistd::geteuid().is_root(), "the lab makes network namespaces and mounts: run it as root");
        let mut sweeper = Command::new("setsid")
            .args(["bash", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/lab/sweep.sh")])
            .args(hosts.iter().map(u8::to_string))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start the sweeper (setsid, bash): {e}"));
        let mut directory = String::new();
        let stdout = sweeper.stdout.take().expect("stdout is a pipe");
        BufReader::new(stdout).read_line(&mut directory).expect("a pipe of ours");
        if directory.is_empty() {
            let mut reason = String::new();
            let mut stderr = sweeper.stderr.take().expect("stderr is a pipe");
            stderr.read_to_string(&mut reason).expect("a pipe of ours");
            panic!("the lab's network could not be laid: {reason}");
        }
        Self { test: test.to_owned(), directory: PathBuf::from(directory.trim_end()), sweeper }
    }

    /// What the names of its namespaces and of its control group begin with.
    pub fn name(&self) -> &str {
        self.directory.file_name().and_then(|name| name.to_str()).expect("mktemp's names are plain")
    }

    /// Where the logs are: `host-N/log/*.log`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file that stands for the network of a host (`h1`) or of the switch (`sw`).
    pub fn network(&self, part: &str) -> PathBuf {
        network(&self.directory, part)
    }

    /// The process that will take the run away.
    pub fn sweeper(&self) -> u32 {
        self.sweeper.id()
    }

    /// Gives the pipe away; the run lasts for as long as somebody has it.
    pub(super) fn hand_over(&mut self) -> ChildStdin {
        self.sweeper.stdin.take().expect("not handed over yet")
    }

    /// Copies the logs of all hosts to `target/lab-logs/NAME` and returns that directory.
    pub fn save_logs(&self) -> io::Result<PathBuf> {
        logs::save(&self.test, &self.directory)
    }

    /// Closes the pipe and waits until everything is gone. A failed test's logs are kept.
    pub(super) fn end(&mut self) {
        if std::thread::panicking()
            && let Err(e) = self.save_logs().and_then(|place| logs::print_tails(&place))
        {
            eprintln!("the logs of {} could not be kept: {e}", self.test);
        }
        drop(self.sweeper.stdin.take());
        match self.sweeper.wait() {
            Ok(status) if status.success() => {}
            ended => {
                let reason = fs::read_to_string(self.directory.join("sweep.log")).unwrap_or_default();
                eprintln!("{} is not swept: {ended:?}: {reason}The next lab will try again.", self.name());
            }
        }
    }
}

/// The file that stands for a network of the run with this directory.
pub fn network(directory: &Path, part: &str) -> PathBuf {
    let name = directory.file_name().and_then(|name| name.to_str()).expect("mktemp's names are plain");
    PathBuf::from(format!("/run/netns/{name}-{part}"))
}

/// The directories of all runs on this machine.
pub fn all() -> Vec<PathBuf> {
    fs::read_dir(BASE).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())).collect()
}
