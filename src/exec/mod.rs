//! Supervises a child process that uses the files. It starts when all targets are in sync, is notified of every change,
//! and Portreeve exits when it exits.
//!
//! ```text
//! TargetStatuses --> all in sync?          --> start
//!                    files new to the child? --> splay --> reload signal, or restart
//! ```

mod child;
mod environment;
mod settings;
mod signals;

use std::{collections::BTreeMap, future::pending, io, process::ExitStatus};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use self::{
    child::{ChildProcess, describe, exit_code},
    signals::ForwardedSignals,
};
pub use self::{
    environment::{EnvRules, EnvVariable, EnvVariableError},
    settings::{ExecCommand, ExecSection, ExecSettingsError, Settings, SignalName},
};
use crate::{
    core::jitter,
    target::{Digest, TargetStatus, TargetStatuses},
};

/// Why the child cannot be supervised.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// It cannot be started.
    #[error("exec: {program}: cannot be started")]
    Start {
        /// The program.
        program: String,
        /// The cause.
        source: io::Error,
    },
    /// Waiting for its exit has failed.
    #[error("exec: the child cannot be watched")]
    Watch(#[source] io::Error),
    /// The handlers of the signals that are forwarded to it cannot be installed.
    #[error("exec: cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// The child to supervise. Each load of the configuration creates a new one.
#[derive(Clone, Debug, Default)]
pub struct ChildSpec {
    /// `None` if there is no child.
    pub settings: Option<Settings>,
    /// The status of each target of the configuration; every target has an entry from the beginning.
    pub statuses: TargetStatuses,
}

/// For each target, the files that the child was started with or notified of, and their write count.
type KnownFiles = BTreeMap<String, (Digest, u64)>;

#[derive(Default)]
struct Supervisor {
    spec: ChildSpec,
    child: Option<ChildProcess>,
    known_files: KnownFiles,
    /// When the child is notified of new files.
    notify_at: Option<Instant>,
    signals: Option<ForwardedSignals>,
    /// The errors that prevent the start, as they were logged.
    logged_waiting: Option<Vec<String>>,
    /// The exit code of Portreeve after the last child.
    exit_code: u8,
}

/// Supervises the child of the newest spec until `stop` is cancelled or the child exits. Returns the exit code of
/// Portreeve: that of the child, or 0 without one. Dropping the future kills the child.
///
/// # Errors
/// The child cannot be started or waited for.
pub async fn supervise(mut specs: watch::Receiver<ChildSpec>, stop: CancellationToken) -> Result<u8, ExecError> {
    let mut supervisor = Supervisor::default();
    let mut bell = supervisor.spec.statuses.bell();
    specs.mark_changed();
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                supervisor.stop_child().await?;
                return Ok(supervisor.exit_code);
            }
            Ok(()) = specs.changed() => {
                let spec = specs.borrow_and_update().clone();
                bell = spec.statuses.bell();
                supervisor.set_spec(spec).await?;
            }
            Ok(()) = bell.changed() => supervisor.reconcile()?,
            status = wait_for_exit(&mut supervisor.child) => {
                let status = status?;
                tracing::info!("exec: the child has exited ({}); stopping", describe(status));
                // Its group may have other processes.
                supervisor.stop_child().await?;
                return Ok(exit_code(status, None));
            }
            signal = next_signal(&mut supervisor.signals) => {
                supervisor.child.iter().for_each(|child| child.signal(signal));
            }
            () = sleep_until(supervisor.notify_at.unwrap_or_else(Instant::now)), if supervisor.notify_at.is_some() => {
                supervisor.notify_child(&stop).await?;
            }
        }
    }
}

impl Supervisor {
    /// Replaces the spec. The child keeps running if its settings are unchanged.
    async fn set_spec(&mut self, spec: ChildSpec) -> Result<(), ExecError> {
        if spec.settings.is_some() && self.signals.is_none() {
            self.signals = Some(ForwardedSignals::listen().map_err(ExecError::Signals)?);
        }
        if spec.settings == self.spec.settings {
            // The new workers of the targets count from 0.
            self.known_files.values_mut().for_each(|(_, write_count)| *write_count = 0);
        } else {
            if self.child.is_some() {
                tracing::info!("exec: the settings have changed: the child is stopped");
            }
            self.stop_child().await?;
            // The exit code of a child that was replaced does not count.
            self.exit_code = 0;
        }
        self.spec = spec;
        self.reconcile()
    }

    /// Starts the child when all targets are in sync; schedules a notification if the child does not know the newest
    /// files.
    fn reconcile(&mut self) -> Result<(), ExecError> {
        let Some(settings) = &self.spec.settings else { return Ok(()) };
        let statuses = self.spec.statuses.snapshot().entries;
        let waiting: Vec<_> = statuses.iter().filter(|(_, status)| status.in_sync_files.is_none()).collect();
        if self.child.is_none() && waiting.is_empty() {
            self.start()?;
            return Ok(());
        }
        let Some(child) = &self.child else {
            self.log_waiting(&waiting);
            return Ok(());
        };
        if self.notify_at.is_none() && has_new_files(settings, &self.known_files, &statuses, |pid| child.contains(pid))
        {
            self.notify_at = Some(Instant::now() + jitter::up_to(settings.splay));
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), ExecError> {
        if let Some(settings) = &self.spec.settings {
            // The child reads these files when it starts.
            self.known_files = files_in_sync(&self.spec.statuses.snapshot().entries);
            self.child = Some(ChildProcess::start(settings)?);
            (self.exit_code, self.logged_waiting) = (0, None);
        }
        Ok(())
    }

    fn log_waiting(&mut self, waiting: &[(&String, &TargetStatus)]) {
        let error =
            |(name, status): &(&String, &TargetStatus)| Some(format!("target {name}: {}", status.error.as_ref()?));
        let errors: Vec<_> = waiting.iter().filter_map(error).collect();
        if self.logged_waiting.as_ref() == Some(&errors) {
            return;
        }
        if errors.is_empty() {
            let names: Vec<_> = waiting.iter().map(|(name, _)| name.as_str()).collect();
            let names = names.join(", ");
            tracing::info!("exec: the child starts when all targets are in sync; still waiting for {names}");
        } else {
            tracing::warn!("exec: the child is not started: {}", errors.join("; "));
        }
        self.logged_waiting = Some(errors);
    }

    /// Sends the reload signal, or restarts the child.
    async fn notify_child(&mut self, stop: &CancellationToken) -> Result<(), ExecError> {
        self.notify_at = None;
        let signal = self.spec.settings.as_ref().and_then(|settings| settings.reload_signal);
        match (signal, &self.child) {
            (Some(SignalName(signal)), Some(child)) => {
                self.known_files.extend(files_in_sync(&self.spec.statuses.snapshot().entries));
                child.signal(signal);
                tracing::info!("exec: files have changed: sent {signal} to the child");
                Ok(())
            }
            _ => {
                tracing::info!("exec: files have changed: the child is restarted");
                self.stop_child().await?;
                if stop.is_cancelled() { Ok(()) } else { self.start() }
            }
        }
    }

    /// Stops the child and its process group.
    async fn stop_child(&mut self) -> Result<(), ExecError> {
        self.notify_at = None;
        if let Some(child) = self.child.take() {
            let kill_signal = child.kill_signal();
            let status = child.stop().await?;
            tracing::debug!("exec: the child has ended ({})", describe(status));
            self.exit_code = exit_code(status, Some(kill_signal));
        }
        Ok(())
    }
}

/// Never returns without a child.
async fn wait_for_exit(child: &mut Option<ChildProcess>) -> Result<ExitStatus, ExecError> {
    match child {
        Some(child) => child.wait().await,
        None => pending().await,
    }
}

/// The next signal that is forwarded to the child.
async fn next_signal(signals: &mut Option<ForwardedSignals>) -> nix::sys::signal::Signal {
    match signals {
        Some(signals) => signals.next().await,
        None => pending().await,
    }
}

fn files_in_sync(statuses: &BTreeMap<String, TargetStatus>) -> KnownFiles {
    let known =
        |(name, status): (&String, &TargetStatus)| Some((name.clone(), (status.in_sync_files?, status.write_count)));
    statuses.iter().filter_map(known).collect()
}

/// Whether a target of the child has files that the child was not notified of. A target that is not in sync counts as
/// having none. A target that has verified its reload on a process of the child (`is_ours`) has notified it already.
fn has_new_files(
    settings: &Settings,
    known: &KnownFiles,
    statuses: &BTreeMap<String, TargetStatus>,
    is_ours: impl Fn(i32) -> bool,
) -> bool {
    let is_new = |(name, status): (&String, &TargetStatus)| {
        let files = status.in_sync_files.map(|files| (files, status.write_count));
        let is_notified = || status.verified_pid.is_some_and(&is_ours);
        settings.has_target(name) && files.is_some() && files.as_ref() != known.get(name) && !is_notified()
    };
    statuses.iter().any(is_new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_the_child_was_not_notified_of_are_new() {
        let status = |files: &str, write_count| TargetStatus {
            in_sync_files: Some(Digest::of(&[files.as_bytes()])),
            write_count,
            ..TargetStatus::default()
        };
        let statuses = |one: &TargetStatus, other: &TargetStatus| {
            BTreeMap::from([("a".into(), one.clone()), ("b".into(), other.clone())])
        };
        let (first, second, again) = (status("1", 0), status("2", 1), status("1", 2));
        let failed = TargetStatus { error: Some("refused".into()), write_count: 1, ..TargetStatus::default() };
        let verified = |pid| TargetStatus { verified_pid: Some(pid), ..status("2", 1) };
        let settings = |keys: &str| {
            let section = toml::from_str::<ExecSection>(&format!("command = 'x'\n{keys}")).expect("it is right");
            section.into_settings([&"a".into(), &"b".into()]).expect("it is right").expect("there is a command")
        };
        let (all, only_a) = (settings(""), settings("targets = ['a']"));
        let before = files_in_sync(&statuses(&first, &first));
        let cases = [
            ("the same files", &all, statuses(&first, &first), false),
            ("new files", &all, statuses(&first, &second), true),
            ("the same files, written again", &all, statuses(&again, &first), true),
            ("files of a target of others", &only_a, statuses(&first, &second), false),
            ("a failed target", &all, statuses(&failed, &first), false),
            ("a reload verified on another process", &all, statuses(&verified(7), &first), true),
            ("a reload verified on the child", &all, statuses(&verified(8), &first), false),
        ];
        let is_ours = |pid| pid == 8;
        for (what, settings, statuses, expected) in cases {
            assert_eq!(has_new_files(settings, &before, &statuses, is_ours), expected, "{what}");
        }
        assert!(
            has_new_files(&all, &KnownFiles::new(), &statuses(&first, &failed), is_ours),
            "a target that it was not notified of"
        );
    }
}
