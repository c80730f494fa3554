//! A program's process group: it, and what it has started, as long as that stays in it.

use nix::{
    errno::Errno,
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::process::Child;

/// A group that is killed with this value.
#[derive(Debug)]
pub(crate) struct ProcessGroup(Option<Pid>);

impl ProcessGroup {
    /// The group of a child that was started with `process_group(0)`, and has not been waited for.
    pub(crate) fn of(child: &Child) -> Self {
        Self(child.id().map(|id| Pid::from_raw(id.cast_signed())))
    }

    /// Sends a signal to all of it.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.0 {
            // It may be gone already, which is as good.
            let _ = killpg(leader, signal);
        }
    }

    /// Whether the last of it has ended, and was waited for.
    pub(crate) fn is_gone(&self) -> bool {
        self.0.is_none_or(|leader| killpg(leader, None) == Err(Errno::ESRCH))
    }

    /// Lets go: what is left of it lives on.
    pub(crate) fn release(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessGroup {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}
