//! A run of the program under test, with its CPU time and memory from the kernel.

use std::{
    fs,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::unistd::{SysconfVar, sysconf};

use crate::{fake_consul::FakeConsul, fake_docker::FakeDocker};

/// The time limit of every wait, for a machine that is busy with other things.
const TIMEOUT: Duration = Duration::from_secs(300);

/// The command `portreeve register ARGUMENTS`.
pub(super) fn register(docker: &FakeDocker, consul: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_portreeve"));
    command
        .env_clear()
        .env("PORTREEVE_CONFIG", "/dev/null")
        .env("DOCKER_HOST", docker.host())
        .env("CONSUL_HTTP_ADDR", consul);
    command.arg("register").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A running process. Dropping it kills the process.
pub(super) struct Daemon {
    child: Child,
    begun: Instant,
}

impl Daemon {
    pub(super) fn start(docker: &FakeDocker, consul: &FakeConsul, arguments: &[&str]) -> Self {
        let begun = Instant::now();
        let child = register(docker, consul.address(), arguments).spawn().expect("the program starts");
        Self { child, begun }
    }

    /// The time since the start.
    pub(super) fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// The CPU time so far, with a resolution of 10 ms.
    pub(super) fn cpu_time(&self) -> Duration {
        let stat = self.read("stat");
        // The program name, in parentheses, may contain spaces. `utime` and `stime` are the fields 14 and 15.
        let (_, rest) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
        let second = sysconf(SysconfVar::CLK_TCK).ok().flatten().and_then(|ticks| u64::try_from(ticks).ok());
        Duration::from_secs_f64(ticks as f64 / second.expect("every system has ticks") as f64)
    }

    /// The peak resident memory in MiB.
    pub(super) fn peak_memory(&self) -> u64 {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") / 1024
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).expect("the program runs")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().expect("a process of ours");
        self.child.wait().expect("a process of ours");
    }
}

/// Waits until a condition is true. It is checked every 5 ms.
#[track_caller]
pub(super) fn wait_until(what: &str, so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < TIMEOUT, "waited for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
