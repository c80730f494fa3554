//! Supervises a program that uses the files: it starts when all targets are in line, hears of every change, and we end
//! when it does.
//!
//! ```text
//! targets --Reports--> [all in line?] --> start      [files other than it knows?] --> splay --> reload signal, or restart
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
        /// Why not.
        source: io::Error,
    },
    /// Its end cannot be waited for.
    #[error("exec: the child cannot be watched")]
    Watch(#[source] io::Error),
    /// Signals for it cannot be heard.
    #[error("exec: cannot listen for signals")]
    Signals(#[source] io::Error),
}

/// What a run has to do: each time that the configuration is read there is a new one.
#[derive(Clone, Debug, Default)]
pub struct ChildSpec {
    /// The child; nothing: none.
    pub settings: Option<Settings>,
    /// What the targets of this run have come to, each with an entry from the beginning.
    pub statuses: TargetStatuses,
}

/// The files of a target as the child knows them, and how often they had been written by then.
type KnownFiles = BTreeMap<String, (Digest, u64)>;

#[derive(Default)]
struct Supervisor {
    spec: ChildSpec,
    child: Option<ChildProcess>,
    known_files: KnownFiles,
    /// When the child hears of what it does not know yet.
    notify_at: Option<Instant>,
    signals: Option<ForwardedSignals>,
    /// What keeps it from being started, as it was said.
    logged_waiting: Option<Vec<String>>,
    /// What the last child has left for us to exit with.
    exit_code: u8,
}

/// Supervises the child of the newest order until `stop` is cancelled, or until it ends by itself. Returns the exit code
/// that is ours then: the child's, 0 without one. To drop the future is to kill the child.
///
/// # Errors
/// The child cannot be started, or not be watched.
pub async fn supervise(mut orders: watch::Receiver<ChildSpec>, stop: CancellationToken) -> Result<u8, ExecError> {
    let mut it = Supervisor::default();
    let mut bell = it.spec.statuses.bell();
    orders.mark_changed();
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                it.stop_child().await?;
                return Ok(it.exit_code);
            }
            Ok(()) = orders.changed() => {
                let order = orders.borrow_and_update().clone();
                bell = order.statuses.bell();
                it.set_spec(order).await?;
            }
            Ok(()) = bell.changed() => it.reconcile()?,
            status = wait_for_exit(&mut it.child) => {
                let status = status?;
                tracing::info!("exec: the child ended by itself ({}); stopping", describe(status));
                // Whatever it has left behind.
                it.stop_child().await?;
                return Ok(exit_code(status, None));
            }
            signal = next_signal(&mut it.signals) => it.child.iter().for_each(|child| child.signal(signal)),
            () = sleep_until(it.notify_at.unwrap_or_else(Instant::now)), if it.notify_at.is_some() => it.notify_child(&stop).await?,
        }
    }
}

impl Supervisor {
    /// The child stays, unless it is another one that is asked for.
    async fn set_spec(&mut self, order: ChildSpec) -> Result<(), ExecError> {
        if order.settings.is_some() && self.signals.is_none() {
            self.signals = Some(ForwardedSignals::listen().map_err(ExecError::Signals)?);
        }
        if order.settings == self.spec.settings {
            // A new run counts from 0.
            self.known_files.values_mut().for_each(|(_, writes)| *writes = 0);
        } else {
            if self.child.is_some() {
                tracing::info!("exec: its settings have changed: the child is ended");
            }
            self.stop_child().await?;
            // That was ours to ask for, and says nothing of the one to come.
            self.exit_code = 0;
        }
        self.spec = order;
        self.reconcile()
    }

    /// Starts the child if it is time, and sees whether it has to hear something.
    fn reconcile(&mut self) -> Result<(), ExecError> {
        let Some(settings) = &self.spec.settings else { return Ok(()) };
        let reports = self.spec.statuses.snapshot().entries;
        let open: Vec<_> = reports.iter().filter(|(_, report)| report.in_sync_files.is_none()).collect();
        if self.child.is_none() && open.is_empty() {
            self.start()?;
            return Ok(());
        }
        let Some(child) = &self.child else {
            self.log_waiting(&open);
            return Ok(());
        };
        if self.notify_at.is_none() && has_new_files(settings, &self.known_files, &reports, |pid| child.contains(pid)) {
            self.notify_at = Some(Instant::now() + jitter::up_to(settings.splay));
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), ExecError> {
        if let Some(settings) = &self.spec.settings {
            // What is written from here on is news.
            self.known_files = files_in_sync(&self.spec.statuses.snapshot().entries);
            self.child = Some(ChildProcess::start(settings)?);
            (self.exit_code, self.logged_waiting) = (0, None);
        }
        Ok(())
    }

    fn log_waiting(&mut self, open: &[(&String, &TargetStatus)]) {
        let trouble =
            |(name, report): &(&String, &TargetStatus)| Some(format!("target {name}: {}", report.error.as_ref()?));
        let trouble: Vec<_> = open.iter().filter_map(trouble).collect();
        if self.logged_waiting.as_ref() == Some(&trouble) {
            return;
        }
        if trouble.is_empty() {
            let names: Vec<_> = open.iter().map(|(name, _)| name.as_str()).collect();
            tracing::info!("exec: the child starts when all targets are in line; {} to come", names.join(", "));
        } else {
            tracing::warn!("exec: the child is not started: {}", trouble.join("; "));
        }
        self.logged_waiting = Some(trouble);
    }

    /// Lets the child know that files are new.
    async fn notify_child(&mut self, stop: &CancellationToken) -> Result<(), ExecError> {
        self.notify_at = None;
        let signal = self.spec.settings.as_ref().and_then(|settings| settings.reload_signal);
        match (signal, &self.child) {
            (Some(SignalName(signal)), Some(child)) => {
                self.known_files.extend(files_in_sync(&self.spec.statuses.snapshot().entries));
                child.signal(signal);
                tracing::info!("exec: files are new: sent {signal} to the child");
                Ok(())
            }
            _ => {
                tracing::info!("exec: files are new: the child is restarted");
                self.stop_child().await?;
                if stop.is_cancelled() { Ok(()) } else { self.start() }
            }
        }
    }

    /// Ends the child, and all that it has started.
    async fn stop_child(&mut self) -> Result<(), ExecError> {
        self.notify_at = None;
        if let Some(child) = self.child.take() {
            let asked = child.kill_signal();
            let status = child.stop().await?;
            tracing::debug!("exec: the child has ended ({})", describe(status));
            self.exit_code = exit_code(status, Some(asked));
        }
        Ok(())
    }
}

/// The end of the child; never comes without one.
async fn wait_for_exit(child: &mut Option<ChildProcess>) -> Result<ExitStatus, ExecError> {
    match child {
        Some(child) => child.wait().await,
        None => pending().await,
    }
}

/// The next signal for the child.
async fn next_signal(signals: &mut Option<ForwardedSignals>) -> nix::sys::signal::Signal {
    match signals {
        Some(signals) => signals.next().await,
        None => pending().await,
    }
}

fn files_in_sync(reports: &BTreeMap<String, TargetStatus>) -> KnownFiles {
    let known =
        |(name, report): (&String, &TargetStatus)| Some((name.clone(), (report.in_sync_files?, report.write_count)));
    reports.iter().filter_map(known).collect()
}

/// Whether a target that concerns the child has other files than it knows. One that is in trouble has none to show, and
/// one that has proven its reload on a process of the child's (`is_ours`) has told it already.
fn has_new_files(
    settings: &Settings,
    known: &KnownFiles,
    reports: &BTreeMap<String, TargetStatus>,
    is_ours: impl Fn(i32) -> bool,
) -> bool {
    let is_news = |(name, report): (&String, &TargetStatus)| {
        let now = report.in_sync_files.map(|files| (files, report.write_count));
        let is_proven = || report.verified_pid.is_some_and(&is_ours);
        settings.has_target(name) && now.is_some() && now.as_ref() != known.get(name) && !is_proven()
    };
    reports.iter().any(is_news)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_news() {
        let report = |files: &str, writes| TargetStatus {
            in_sync_files: Some(Digest::of(&[files.as_bytes()])),
            write_count: writes,
            ..TargetStatus::default()
        };
        let reports = |one: &TargetStatus, other: &TargetStatus| {
            BTreeMap::from([("a".into(), one.clone()), ("b".into(), other.clone())])
        };
        let (first, second, again) = (report("1", 0), report("2", 1), report("1", 2));
        let trouble = TargetStatus { error: Some("refused".into()), write_count: 1, ..TargetStatus::default() };
        let proven = |pid| TargetStatus { verified_pid: Some(pid), ..report("2", 1) };
        let settings = |keys: &str| {
            let section = toml::from_str::<ExecSection>(&format!("command = 'x'\n{keys}")).expect("it is right");
            section.into_settings([&"a".into(), &"b".into()]).expect("it is right").expect("there is a command")
        };
        let (all, only_a) = (settings(""), settings("targets = ['a']"));
        let before = files_in_sync(&reports(&first, &first));
        let cases = [
            ("nothing has changed", &all, reports(&first, &first), false),
            ("new files", &all, reports(&first, &second), true),
            ("the same files, written again", &all, reports(&again, &first), true),
            ("files of others", &only_a, reports(&first, &second), false),
            ("trouble", &all, reports(&trouble, &first), false),
            ("a reload that another process has proven", &all, reports(&proven(7), &first), true),
            ("a reload that the child has proven", &all, reports(&proven(8), &first), false),
        ];
        let is_ours = |pid| pid == 8;
        for (what, settings, reports, expected) in cases {
            assert_eq!(has_new_files(settings, &before, &reports, is_ours), expected, "{what}");
        }
        assert!(
            has_new_files(&all, &KnownFiles::new(), &reports(&first, &trouble), is_ours),
            "a target that it does not know"
        );
    }
}
