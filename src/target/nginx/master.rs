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

use crate::target::process::{self, Absent, Process, ProcessError};

/// How often the master is looked at: the first wait, and the longest.
const LOOK: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(25));

/// A running master.
#[derive(Debug)]
pub(super) struct Master {
    process: Process,
}

/// Its children at one moment, by pid.
pub(super) type Children = BTreeMap<i32, Child>;

/// What a child's title says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    /// A worker that takes connections.
    Serving,
    /// A worker that ends as soon as its last connection does.
    Leaving,
    /// A cache's process, or a worker that has not begun to work.
    Other,
}

/// How far a reload has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Taken,
    Refused,
    Pending,
}

/// Why a reload did not take.
#[derive(Debug, thiserror::Error)]
pub enum ReloadFailure {
    /// The master went on with the old workers.
    #[error("the master (process {0}) refused the configuration and goes on with the old one")]
    Refused(i32),
    /// The master is gone.
    #[error("the master (process {0}) has ended")]
    Ended(i32),
    /// Nothing to be sure of within the time limit.
    #[error("the master (process {pid}) has not replaced all workers within {limit:?}: {state}")]
    TooLong {
        /// The master.
        pid: i32,
        /// `reload_timeout`.
        limit: Duration,
        /// What there was in the end.
        state: String,
    },
    /// It cannot be seen.
    #[error("the master cannot be watched")]
    Look(#[source] ProcessError),
}

impl Master {
    /// The master whose pid stands in `pid_file`.
    pub(super) fn find(pid_file: &Path) -> Result<Result<Self, Absent>, ProcessError> {
        let is_master = |_: &str, line: &str| line.contains(": master process");
        let found = Process::from_pid_file(pid_file, "an nginx master", is_master)?;
        Ok(found.map(|process| Self { process }))
    }

    pub(super) fn pid(&self) -> i32 {
        self.process.pid()
    }

    /// Tells it to read its configuration; false if it has ended.
    pub(super) fn hang_up(&self) -> Result<bool, ProcessError> {
        self.process.signal(Signal::SIGHUP)
    }

    pub(super) fn children(&self) -> Result<Children, ProcessError> {
        let look = |error| ProcessError::Look(self.pid(), error);
        let pids = children_of(self.pid()).map_err(look)?;
        let title = |pid| Ok(process::read(pid, "cmdline")?.map(|line| (pid, Child::titled(&line))));
        pids.into_iter().filter_map(|pid| title(pid).transpose()).collect::<std::io::Result<_>>().map_err(look)
    }

    /// Waits until the workers that there were `before` the signal are on their way out and new ones have begun.
    pub(super) async fn wait(&self, mut before: Children, limit: Duration) -> Result<(), ReloadFailure> {
        let end = Instant::now() + limit;
        let (mut pause, mut begun, mut refused) = (LOOK.0, false, false);
        loop {
            // In this order: what it forks before it rests is among the children.
            let status = self.status()?;
            let now = self.children().map_err(ReloadFailure::Look)?;
            let progress = if !begun && has_hang_up("ShdPnd:", &status) {
                // Still busy with somebody else's reload: its workers are not the ones that we wait for.
                if has_hang_up("ShdPnd:", &self.status()?) {
                    before.clone_from(&now);
                }
                Progress::Pending
            } else {
                begun = true;
                judge(&before, &now, rests(&status))
            };
            match progress {
                Progress::Taken => return Ok(()),
                // Twice: the list of children can miss one while others come and go.
                Progress::Refused if refused => return Err(ReloadFailure::Refused(self.pid())),
                progress => refused = progress == Progress::Refused,
            }
            if Instant::now() >= end {
                let state = describe(&before, &now);
                return Err(ReloadFailure::TooLong { pid: self.pid(), limit, state });
            }
            tokio::time::sleep(pause).await;
            pause = LOOK.1.min(pause * 3 / 2);
        }
    }

    fn status(&self) -> Result<String, ReloadFailure> {
        let status = self.process.read("status").map_err(ReloadFailure::Look)?;
        status.ok_or_else(|| ReloadFailure::Ended(self.pid()))
    }
}

impl Child {
    fn titled(line: &str) -> Self {
        if line.contains("worker process is shutting down") {
            Self::Leaving
        } else if line.contains("worker process") {
            Self::Serving
        } else {
            Self::Other
        }
    }
}

fn judge(before: &Children, now: &Children, rests: bool) -> Progress {
    let mut new = now.iter().filter(|(pid, _)| !before.contains_key(pid)).peekable();
    let nothing_new = new.peek().is_none();
    let has_begun = new.any(|(_, child)| *child == Child::Serving);
    let old_serve = now.iter().any(|(pid, child)| before.contains_key(pid) && *child == Child::Serving);
    // Without that, the master may be about to end as well: somebody has told it to.
    let serves_on = old_serve || !before.values().any(|child| *child == Child::Serving);
    match () {
        () if has_begun && !old_serve => Progress::Taken,
        () if rests && nothing_new && serves_on => Progress::Refused,
        () => Progress::Pending,
    }
}

fn describe(before: &Children, now: &Children) -> String {
    let count = |wanted: Child, old: bool| {
        now.iter().filter(|(pid, child)| before.contains_key(pid) == old && **child == wanted).count()
    };
    format!("{} old workers serve, {} new ones", count(Child::Serving, true), count(Child::Serving, false))
}

/// Whether a process sleeps with SIGHUP open and none under way, by `/proc/PID/status`.
fn rests(status: &str) -> bool {
    field("State:", status).is_some_and(|state| state.starts_with('S'))
        && !["SigPnd:", "ShdPnd:", "SigBlk:"].into_iter().any(|mask| has_hang_up(mask, status))
}

fn has_hang_up(mask: &str, status: &str) -> bool {
    let mask = field(mask, status).and_then(|mask| u64::from_str_radix(mask, 16).ok());
    // Bit 0 is signal 1. An unreadable mask must not pass for rest.
    mask.is_none_or(|mask| mask & 1 != 0)
}

fn field<'a>(name: &str, status: &'a str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn children_of(pid: i32) -> std::io::Result<Vec<i32>> {
    match process::read(pid, &format!("task/{pid}/children"))? {
        Some(list) => Ok(list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()),
        None => scan(pid),
    }
}

/// For kernels that keep no list of children.
fn scan(parent: i32) -> std::io::Result<Vec<i32>> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = process::read(pid, "stat")?;
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
        assert!(rests(IDLE));
        assert!(!rests(&IDLE.replace("S (sleeping)", "R (running)")));
        assert!(!rests(&IDLE.replace("ShdPnd:\t0000000000000000", "ShdPnd:\t0000000000000001")));
        assert!(!rests(&IDLE.replace("SigBlk:\t0000000000000000", "SigBlk:\t0000000018016a07")));
        assert!(!rests("State:\tS (sleeping)\n"));
    }

    #[test]
    fn the_generations_decide() {
        use Child::{Leaving, Other, Serving};
        let before = Children::from([(1, Serving), (2, Leaving), (3, Other)]);
        let judge = |now: &[(i32, Child)], rests| judge(&before, &now.iter().copied().collect(), rests);
        let old = [(1, Serving), (2, Leaving), (3, Other)];
        assert_eq!(judge(&old, false), Progress::Pending);
        assert_eq!(judge(&old, true), Progress::Refused);
        assert_eq!(judge(&[(1, Serving), (4, Other)], true), Progress::Pending);
        assert_eq!(judge(&[(1, Serving), (4, Serving)], true), Progress::Pending);
        assert_eq!(judge(&[(1, Leaving), (4, Other)], false), Progress::Pending);
        assert_eq!(judge(&[(1, Leaving), (4, Serving)], false), Progress::Taken);
        assert_eq!(judge(&[(4, Serving), (5, Serving)], true), Progress::Taken);
        assert_eq!(judge(&[], true), Progress::Pending, "it is told to end");
        assert_eq!(judge(&[(1, Leaving)], true), Progress::Pending);
        assert_eq!(super::judge(&Children::new(), &Children::new(), true), Progress::Refused);
    }

    #[test]
    fn titles_tell_what_a_child_does() {
        assert_eq!(Child::titled("nginx: worker process\0"), Child::Serving);
        assert_eq!(Child::titled("nginx: worker process is shutting down\0"), Child::Leaving);
        assert_eq!(Child::titled("nginx: cache manager process\0"), Child::Other);
        assert_eq!(Child::titled("nginx: master process nginx -c a"), Child::Other);
    }

    #[test]
    fn children_are_found_with_and_without_the_kernels_list() {
        let mut child = std::process::Command::new("sleep").arg("300").spawn().expect("it starts");
        let id = child.id().cast_signed();
        let own = std::process::id().cast_signed();
        assert!(scan(own).expect("/proc can be read").contains(&id));
        child.kill().expect("it is ours");
        child.wait().expect("it was killed");
    }
}
