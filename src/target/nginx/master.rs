//! nginx's master process and its workers, as seen from outside.
//!
//! A master never tells whether a reload took. It can be seen, though, and without waiting for a time to pass: while it
//! works it blocks its signals, and only when it has nothing to do it sleeps with all of them open (`sigsuspend`). So
//! once it rests again after a SIGHUP, either it has new children, or it has refused the configuration.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::target::running_process::{self, NotRunningReason, ProcessError, RunningProcess};

/// How often the master is looked at: the first wait, and the longest.
const POLL_INTERVALS: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(25));

/// A running master.
#[derive(Debug)]
pub(super) struct Master {
    process: RunningProcess,
}

/// Its children at one moment, by pid.
pub(super) type WorkerStates = BTreeMap<i32, WorkerState>;

/// What a child's title says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkerState {
    /// A worker that takes connections.
    Serving,
    /// A worker that ends as soon as its last connection does.
    ShuttingDown,
    /// A cache's process, or a worker that has not begun to work.
    Other,
}

/// How far a reload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ReloadProgress {
    Applied,
    Rejected,
    Pending,
}

/// Why a reload did not take.
#[derive(Debug, thiserror::Error)]
pub enum ReloadFailure {
    /// The master went on with the old workers.
    #[error("the master (process {0}) refused the configuration and goes on with the old one")]
    Rejected(i32),
    /// The master is gone.
    #[error("the master (process {0}) has ended")]
    Exited(i32),
    /// Nothing to be sure of within the time limit.
    #[error("the master (process {pid}) has not replaced all workers within {limit:?}: {state}")]
    Timeout {
        /// The master.
        pid: i32,
        /// `reload_timeout`.
        limit: Duration,
        /// What there was in the end.
        state: String,
    },
    /// It cannot be seen.
    #[error("the master cannot be watched")]
    Inspect(#[source] ProcessError),
}

impl Master {
    /// The master whose pid stands in `pid_file`.
    pub(super) fn find(pid_file: &Path) -> Result<Result<Self, NotRunningReason>, ProcessError> {
        let is_master = |_: &str, line: &str| line.contains(": master process");
        let found = RunningProcess::from_pid_file(pid_file, "an nginx master", is_master)?;
        Ok(found.map(|process| Self { process }))
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Tells it to read its configuration; false if it has ended.
    pub(super) fn send_sighup(&self) -> Result<bool, ProcessError> {
        self.process.signal(Signal::SIGHUP)
    }

    pub(super) fn children(&self) -> Result<WorkerStates, ProcessError> {
        let look = |error| ProcessError::Inspect(self.pid(), error);
        let pids = children_of(self.pid()).map_err(look)?;
        let title = |pid| {
            Ok(running_process::read_proc_file(pid, "cmdline")?.map(|line| (pid, WorkerState::from_title(&line))))
        };
        pids.into_iter().filter_map(|pid| title(pid).transpose()).collect::<std::io::Result<_>>().map_err(look)
    }

    /// Waits until the workers that there were `before` the signal are on their way out and new ones have begun.
    pub(super) async fn wait_for_workers(
        &self,
        mut before: WorkerStates,
        limit: Duration,
    ) -> Result<(), ReloadFailure> {
        let end = Instant::now() + limit;
        let (mut pause, mut begun, mut refused) = (POLL_INTERVALS.0, false, false);
        loop {
            // In this order: what it forks before it rests is among the children.
            let status = self.status()?;
            let now = self.children().map_err(ReloadFailure::Inspect)?;
            let progress = if !begun && has_sighup("ShdPnd:", &status) {
                // Still busy with somebody else's reload: its workers are not the ones that we wait for.
                if has_sighup("ShdPnd:", &self.status()?) {
                    before.clone_from(&now);
                }
                ReloadProgress::Pending
            } else {
                begun = true;
                reload_progress(&before, &now, is_idle(&status))
            };
            match progress {
                ReloadProgress::Applied => return Ok(()),
                // Twice: the list of children can miss one while others come and go.
                ReloadProgress::Rejected if refused => return Err(ReloadFailure::Rejected(self.pid())),
                progress => refused = progress == ReloadProgress::Rejected,
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

fn reload_progress(before: &WorkerStates, now: &WorkerStates, rests: bool) -> ReloadProgress {
    let mut new = now.iter().filter(|(pid, _)| !before.contains_key(pid)).peekable();
    let nothing_new = new.peek().is_none();
    let has_begun = new.any(|(_, child)| *child == WorkerState::Serving);
    let old_serve = now.iter().any(|(pid, child)| before.contains_key(pid) && *child == WorkerState::Serving);
    // Without that, the master may be about to end as well: somebody has told it to.
    let serves_on = old_serve || !before.values().any(|child| *child == WorkerState::Serving);
    match () {
        () if has_begun && !old_serve => ReloadProgress::Applied,
        () if rests && nothing_new && serves_on => ReloadProgress::Rejected,
        () => ReloadProgress::Pending,
    }
}

fn describe_workers(before: &WorkerStates, now: &WorkerStates) -> String {
    let count = |wanted: WorkerState, old: bool| {
        now.iter().filter(|(pid, child)| before.contains_key(pid) == old && **child == wanted).count()
    };
    format!("{} old workers serve, {} new ones", count(WorkerState::Serving, true), count(WorkerState::Serving, false))
}

/// Whether a process sleeps with SIGHUP open and none under way, by `/proc/PID/status`.
fn is_idle(status: &str) -> bool {
    status_field("State:", status).is_some_and(|state| state.starts_with('S'))
        && !["SigPnd:", "ShdPnd:", "SigBlk:"].into_iter().any(|mask| has_sighup(mask, status))
}

fn has_sighup(mask: &str, status: &str) -> bool {
    let mask = status_field(mask, status).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    // Bit 0 is signal 1. An unreadable mask must not pass for rest.
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

/// For kernels that keep no list of children.
fn scan_proc(parent: i32) -> std::io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = running_process::read_proc_file(pid, "stat")?;
        let of = stat.as_deref().and_then(|stat| stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok());
        if of == Some(parent) {
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
    fn only_a_master_that_waits_for_signals_rests() {
        assert!(is_idle(IDLE));
        assert!(!is_idle(&IDLE.replace("S (sleeping)", "R (running)")));
        assert!(!is_idle(&IDLE.replace("ShdPnd:\t0000000000000000", "ShdPnd:\t0000000000000001")));
        assert!(!is_idle(&IDLE.replace("SigBlk:\t0000000000000000", "SigBlk:\t0000000018016a07")));
        assert!(!is_idle("State:\tS (sleeping)\n"));
    }

    #[test]
    fn the_generations_decide() {
        use WorkerState::{Other, Serving, ShuttingDown};
        let before = WorkerStates::from([(1, Serving), (2, ShuttingDown), (3, Other)]);
        let judge = |now: &[(i32, WorkerState)], rests| reload_progress(&before, &now.iter().copied().collect(), rests);
        let old = [(1, Serving), (2, ShuttingDown), (3, Other)];
        assert_eq!(judge(&old, false), ReloadProgress::Pending);
        assert_eq!(judge(&old, true), ReloadProgress::Rejected);
        assert_eq!(judge(&[(1, Serving), (4, Other)], true), ReloadProgress::Pending);
        assert_eq!(judge(&[(1, Serving), (4, Serving)], true), ReloadProgress::Pending);
        assert_eq!(judge(&[(1, ShuttingDown), (4, Other)], false), ReloadProgress::Pending);
        assert_eq!(judge(&[(1, ShuttingDown), (4, Serving)], false), ReloadProgress::Applied);
        assert_eq!(judge(&[(4, Serving), (5, Serving)], true), ReloadProgress::Applied);
        assert_eq!(judge(&[], true), ReloadProgress::Pending, "it is told to end");
        assert_eq!(judge(&[(1, ShuttingDown)], true), ReloadProgress::Pending);
        assert_eq!(super::reload_progress(&WorkerStates::new(), &WorkerStates::new(), true), ReloadProgress::Rejected);
    }

    #[test]
    fn titles_tell_what_a_child_does() {
        assert_eq!(WorkerState::from_title("nginx: worker process\0"), WorkerState::Serving);
        assert_eq!(WorkerState::from_title("nginx: worker process is shutting down\0"), WorkerState::ShuttingDown);
        assert_eq!(WorkerState::from_title("nginx: cache manager process\0"), WorkerState::Other);
        assert_eq!(WorkerState::from_title("nginx: master process nginx -c a"), WorkerState::Other);
    }

    #[test]
    fn children_are_found_with_and_without_the_kernels_list() {
        let mut child = std::process::Command::new("sleep").arg("300").spawn().expect("it starts");
        let id = child.id().cast_signed();
        let own = std::process::id().cast_signed();
        assert!(scan_proc(own).expect("/proc can be read").contains(&id));
        child.kill().expect("it is ours");
        child.wait().expect("it was killed");
    }
}
