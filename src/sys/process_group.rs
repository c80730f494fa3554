//! The process group of a program: the program and the processes that it started, unless they left the group.

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::Child;

/// A process group. Dropping this value kills it.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of a child that was started with `process_group(0)` and has not been waited for.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().map(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Sends a signal to every process of the group.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // An error means that the group has ended.
            let _ = killpg(leader, signal);
        }
    }

    /// Whether every process of the group has ended and was waited for.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_none_or(|leader| killpg(leader, None) == Err(Errno::ESRCH))
    }

    /// Releases the group: dropping this value no longer kills it.
    pub(crate) fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
