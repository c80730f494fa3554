//! nginx's master process and its workers, as /proc shows them.
//!
//! A master does not report whether a reload succeeded, but its state shows it: while the master works, it blocks its
//! signals; only when it is idle does it sleep with all signals unblocked (`sigsuspend`). So when it is idle again
//! after a SIGHUP, it either has new workers, or has rejected the configuration.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::target::running_process::{self, NotRunningReason, ProcessError, RunningProcess};

/// The first and the longest wait between two inspections of the master.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(25));

/// A running master.
#[derive(Debug)]
pub(super) struct Master {
    process: RunningProcess,
}

/// The children of a master at one moment, by pid.
pub(super) type WorkerStates = BTreeMap<i32, WorkerState>;

/// The state of a child, by its process title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerState {
    /// A worker that accepts connections.
    Serving,
    /// A worker that exits when its last connection is closed.
    ShuttingDown,
    /// A cache process, or a worker that is still starting.
    Other,
}

/// The state of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadProgress {
    Applied,
    Rejected,
    Pending,
}

/// Why a reload was not successful.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadFailure {
    /// The master keeps the old workers.
    #[error("the master (process {0}) refused the configuration and goes on with the old one")]
    Rejected(i32),
    /// The master has exited.
    #[error("the master (process {0}) has ended")]
    Exited(i32),
    /// The result was still uncertain at the time limit.
    #[error("the master (process {pid}) has not replaced all workers within {limit:?}: {state}")]
    Timeout {
        /// The pid of the master.
        pid: i32,
        /// `reload_timeout`.
        limit: Duration,
        /// The workers at the end.
        state: String,
    },
    /// Its state cannot be read.
    #[error("the master cannot be inspected")]
    Inspect(#[source] ProcessError),
}

impl Master {
    /// The master with the pid in `pid_file`.
    pub(super) fn find(pid_file: &Path) -> Result<Result<Self, NotRunningReason>, ProcessError> {
        let is_master = |_: &str, line: &str| line.contains(": master process");
        let found = RunningProcess::from_pid_file(pid_file, "an nginx master", is_master)?;
        Ok(found.map(|process| Self { process }))
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Tells the master to read its configuration. Returns false if it has exited.
    pub(super) fn send_sighup(&self) -> Result<bool, ProcessError> {
        self.process.signal(Signal::SIGHUP)
    }

    pub(super) fn children(&self) -> Result<WorkerStates, ProcessError> {
        let failed = |error| ProcessError::Inspect(self.pid(), error);
        let pids = children_of(self.pid()).map_err(failed)?;
        let state = |pid| {
            Ok(running_process::read_proc_file(pid, "cmdline")?.map(|line| (pid, WorkerState::from_title(&line))))
        };
        pids.into_iter().filter_map(|pid| state(pid).transpose()).collect::<std::io::Result<_>>().map_err(failed)
    }

    /// Waits until the workers from `before` the signal are shutting down, and new ones serve.
    pub(super) async fn wait_for_workers(
        &self,
        mut before: WorkerStates,
        limit: Duration,
    ) -> Result<(), ReloadFailure> {
        let end = Instant::now() + limit;
        let (mut pause, mut is_begun, mut was_rejected) = (POLL_INTERVALS.0, false, false);
        loop {
            // In this order: the children include all that it has forked before it was idle.
            let status = self.status()?;
            let now = self.children().map_err(ReloadFailure::Inspect)?;
            let progress = if !is_begun && has_sighup("ShdPnd:", &status) {
                // It is still busy with an earlier reload, whose workers are not the expected ones.
                if has_sighup("ShdPnd:", &self.status()?) {
                    before.clone_from(&now);
                }
                ReloadProgress::Pending
            } else {
                is_begun = true;
                reload_progress(&before, &now, is_idle(&status))
            };
            match progress {
                ReloadProgress::Applied => return Ok(()),
                // Only if seen twice: the list of children can miss one while others start and exit.
                ReloadProgress::Rejected if was_rejected => return Err(ReloadFailure::Rejected(self.pid())),
                progress => was_rejected = progress == ReloadProgress::Rejected,
            }
            if Instant::now() >= end {
                let state = describe_workers(&before, &now);
                return Err(ReloadFailure::Timeout { pid: self.pid(), limit, state });
            }
            tokio::time::sleep(pause).await;
            pause = POLL_INTERVALS.1.min(pause * 3 / 2);
        }
    }

    fn status(&self) -> Result<String, ReloadFailure> {
        let status = self.process.read_proc("status").map_err(ReloadFailure::Inspect)?;
        status.ok_or_else(|| ReloadFailure::Exited(self.pid()))
    }
}

impl WorkerState {
    fn from_title(line: &str) -> Self {
        if line.contains("worker process is shutting down") {
            Self::ShuttingDown
        } else if line.contains("worker process") {
            Self::Serving
        } else {
            Self::Other
        }
    }
}

fn reload_progress(before: &WorkerStates, now: &WorkerStates, is_idle: bool) -> ReloadProgress {
    let mut new = now.iter().filter(|(pid, _)| !before.contains_key(pid)).peekable();
    let has_no_new = new.peek().is_none();
    let new_serve = new.any(|(_, child)| *child == WorkerState::Serving);
    let old_serve = now.iter().any(|(pid, child)| before.contains_key(pid) && *child == WorkerState::Serving);
    // Otherwise the master may be shutting down.
    let keeps_serving = old_serve || !before.values().any(|child| *child == WorkerState::Serving);
    match () {
        () if new_serve && !old_serve => ReloadProgress::Applied,
        () if is_idle && has_no_new && keeps_serving => ReloadProgress::Rejected,
        () => ReloadProgress::Pending,
    }
}

fn describe_workers(before: &WorkerStates, now: &WorkerStates) -> String {
    let count = |state: WorkerState, is_old: bool| {
        now.iter().filter(|(pid, child)| before.contains_key(pid) == is_old && **child == state).count()
    };
    format!("{} old workers serve, {} new ones", count(WorkerState::Serving, true), count(WorkerState::Serving, false))
}

/// Whether a process sleeps with SIGHUP neither blocked nor pending, by `/proc/PID/status`.
fn is_idle(status: &str) -> bool {
    status_field("State:", status).is_some_and(|state| state.starts_with('S'))
        && !["SigPnd:", "ShdPnd:", "SigBlk:"].into_iter().any(|mask| has_sighup(mask, status))
}

fn has_sighup(mask: &str, status: &str) -> bool {
    let mask = status_field(mask, status).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    // Bit 0 is signal 1. A process with an unreadable mask must not count as idle.
    mask.is_none_or(|mask| mask & 1 != 0)
}

fn status_field<'a>(name: &str, status: &'a str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn children_of(pid: i32) -> std::io::Result<Vec<i32>> {
    match running_process::read_proc_file(pid, &format!("task/{pid}/children"))? {
        Some(list) => Ok(list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()),
        None => scan_proc(pid),
    }
}

/// For kernels without a list of children.
fn scan_proc(parent: i32) -> std::io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = running_process::read_proc_file(pid, "stat")?;
        let parent_of =
            stat.as_deref().and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
        if parent_of == Some(parent) {
            children.push(pid);
        }
    }
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: &str = "State:\tS (sleeping)\nSigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\n\
        SigBlk:\t0000000000000000\nSigIgn:\t0000000040001001\n";

    #[test]
    fn only_a_master_that_waits_for_signals_is_idle() {
        assert!(is_idle(IDLE));
        assert!(!is_idle(&IDLE.replace("S (sleeping)", "R (running)")));
        assert!(!is_idle(&IDLE.replace("ShdPnd:\t0000000000000000", "ShdPnd:\t0000000000000001")));
        assert!(!is_idle(&IDLE.replace("SigBlk:\t0000000000000000", "SigBlk:\t0000000018016a07")));
        assert!(!is_idle("State:\tS (sleeping)\n"));
    }

    #[test]
    fn old_and_new_workers_determine_the_progress() {
        use WorkerState::{Other, Serving, ShuttingDown};
        let before = WorkerStates::from([(1, Serving), (2, ShuttingDown), (3, Other)]);
        let progress =
            |now: &[(i32, WorkerState)], is_idle| reload_progress(&before, &now.iter().copied().collect(), is_idle);
        let old = [(1, Serving), (2, ShuttingDown), (3, Other)];
        assert_eq!(progress(&old, false), ReloadProgress::Pending);
        assert_eq!(progress(&old, true), ReloadProgress::Rejected);
        assert_eq!(progress(&[(1, Serving), (4, Other)], true), ReloadProgress::Pending);
        assert_eq!(progress(&[(1, Serving), (4, Serving)], true), ReloadProgress::Pending);
        assert_eq!(progress(&[(1, ShuttingDown), (4, Other)], false), ReloadProgress::Pending);
        assert_eq!(progress(&[(1, ShuttingDown), (4, Serving)], false), ReloadProgress::Applied);
        assert_eq!(progress(&[(4, Serving), (5, Serving)], true), ReloadProgress::Applied);
        assert_eq!(progress(&[], true), ReloadProgress::Pending, "it is shutting down");
        assert_eq!(progress(&[(1, ShuttingDown)], true), ReloadProgress::Pending);
        assert_eq!(super::reload_progress(&WorkerStates::new(), &WorkerStates::new(), true), ReloadProgress::Rejected);
    }

    #[test]
    fn the_title_shows_the_state() {
        assert_eq!(WorkerState::from_title("nginx: worker process\0"), WorkerState::Serving);
        assert_eq!(WorkerState::from_title("nginx: worker process is shutting down\0"), WorkerState::ShuttingDown);
        assert_eq!(WorkerState::from_title("nginx: cache manager process\0"), WorkerState::Other);
        assert_eq!(WorkerState::from_title("nginx: master process nginx -c a"), WorkerState::Other);
    }

    #[test]
    fn children_are_found_without_the_list_of_the_kernel() {
        let mut child = std::process::Command::new("sleep").arg("300").spawn().expect("it starts");
        let id = child.id().cast_signed();
        let own = std::process::id().cast_signed();
        assert!(scan_proc(own).expect("/proc can be read").contains(&id));
        child.kill().expect("it is ours");
        child.wait().expect("it was killed");
    }
}
