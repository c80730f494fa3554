//! The child process, in its own process group. Dropping it kills the group.

use std::{os::unix::process::ExitStatusExt, process::ExitStatus, time::Duration};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpgid},
};
use tokio::{process, time};

use super::{ExecError, settings::Settings};
use crate::sys::process_group::ProcessGroup;

/// How often to check whether the process group is empty: the kernel notifies only of child processes.
const GROUP_POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(super) struct ChildProcess {
    /// Declared before `process`, so that it is killed before its id can be reused.
    group: ProcessGroup,
    process: process::Child,
    kill_signal: Signal,
    kill_timeout: Duration,
}

impl ChildProcess {
    pub(super) fn start(settings: &Settings) -> Result<Self, ExecError> {
        let command = &settings.command;
        let start = |source| ExecError::Start { program: command.program.clone(), source };
        let mut child = process::Command::new(&command.program);
        child.args(&command.arguments).env_clear().envs(settings.env.apply(std::env::vars_os())).process_group(0);
        let process = child.spawn().map_err(start)?;
        let group = ProcessGroup::of(&process);
        let (kill_signal, kill_timeout) = (settings.kill_signal.0, settings.kill_timeout);
        tracing::info!("exec: started {}, process {}", command.program, process.id().unwrap_or_default());
        Ok(Self { group, process, kill_signal, kill_timeout })
    }

    /// The signal that asks it to exit.
    pub(super) fn kill_signal(&self) -> Signal {
        self.kill_signal
    }

    /// Sends a signal to the child itself, not to its group.
    pub(super) fn signal(&self, signal: Signal) {
        // `None` once it was waited for: then its pid may be reused.
        if let Some(id) = self.process.id()
            && let Err(errno) = kill(Pid::from_raw(id.cast_signed()), signal)
        {
            tracing::warn!("exec: {signal} cannot be sent to the child: {errno}");
        }
    }

    /// Whether the process is in the group of the child.
    pub(super) fn contains(&self, pid: i32) -> bool {
        let group = getpgid(Some(Pid::from_raw(pid))).ok();
        group.is_some_and(|group| self.process.id().map(u32::cast_signed) == Some(group.as_raw()))
    }

    /// Waits until the child exits. Cancel safe.
    pub(super) async fn wait(&mut self) -> Result<ExitStatus, ExecError> {
        self.process.wait().await.map_err(ExecError::Watch)
    }

    /// Asks the group to exit, and kills it after `kill_timeout`.
    pub(super) async fn stop(mut self) -> Result<ExitStatus, ExecError> {
        self.group.signal(self.kill_signal);
        if time::timeout(self.kill_timeout, self.wait_for_group()).await.is_err() {
            tracing::warn!(
                "exec: the child has not exited within {:?} after {}; sending SIGKILL",
                self.kill_timeout,
                self.kill_signal
            );
            self.group.signal(Signal::SIGKILL);
        }
        self.group.release();
        self.wait().await
    }

    async fn wait_for_group(&mut self) {
        // An error occurs again at the next `wait`, and is reported there.
        drop(self.process.wait().await);
        while !self.group.is_gone() {
            time::sleep(GROUP_POLL_INTERVAL).await;
        }
    }
}

/// The exit code of Portreeve: that of the child, or 128 plus the number of the signal that killed it; 0 if that was
/// the kill signal that it was sent.
pub(super) fn exit_code(status: ExitStatus, kill_signal: Option<Signal>) -> u8 {
    let number = match status.signal() {
        Some(signal) if kill_signal.is_some_and(|sent| sent as i32 == signal) => 0,
        Some(signal) => 128 + signal,
        None => status.code().unwrap_or_default(),
    };
    number.try_into().unwrap_or(u8::MAX)
}

/// The exit code or signal, for the log.
pub(super) fn describe(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => {
            Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.to_string())
        }
        None => format!("exit code {}", status.code().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes() {
        let (exited, signalled) = (|code: i32| ExitStatus::from_raw(code << 8), ExitStatus::from_raw);
        assert_eq!(exit_code(exited(0), None), 0);
        assert_eq!(exit_code(exited(3), Some(Signal::SIGTERM)), 3);
        assert_eq!(exit_code(signalled(15), None), 143);
        assert_eq!(exit_code(signalled(15), Some(Signal::SIGTERM)), 0);
        assert_eq!(exit_code(signalled(9), Some(Signal::SIGTERM)), 137);
        assert_eq!((describe(exited(3)).as_str(), describe(signalled(9)).as_str()), ("exit code 3", "SIGKILL"));
    }
}
