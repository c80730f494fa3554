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
    child::{Child, code, described},
    signals::Forwarded,
};
pub use self::{
    environment::{Rules, Variable, VariableError},
    settings::{Command, Section, Settings, SettingsError, Signal},
};
use crate::{
    core::jitter,
    target::{Digest, Report, Reports},
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
pub struct Order {
    /// The child; nothing: none.
    pub settings: Option<Settings>,
    /// What the targets of this run have come to, each with an entry from the beginning.
    pub reports: Reports,
}

/// The files of a target as the child knows them, and how often they had been written by then.
type Known = BTreeMap<String, (Digest, u64)>;

#[derive(Default)]
struct Supervisor {
    order: Order,
    child: Option<Child>,
    known: Known,
    /// When the child hears of what it does not know yet.
    due: Option<Instant>,
    signals: Option<Forwarded>,
    /// What keeps it from being started, as it was said.
    said: Option<Vec<String>>,
    /// What the last child has left for us to exit with.
    code: u8,
}

/// Supervises the child of the newest order until `stop` is cancelled, or until it ends by itself. Returns the exit code
/// that is ours then: the child's, 0 without one. To drop the future is to kill the child.
///
/// # Errors
/// The child cannot be started, or not be watched.
pub async fn supervise(mut orders: watch::Receiver<Order>, stop: CancellationToken) -> Result<u8, ExecError> {
    let mut it = Supervisor::default();
    let mut bell = it.order.reports.bell();
    orders.mark_changed();
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                it.end().await?;
                return Ok(it.code);
            }
            Ok(()) = orders.changed() => {
                let order = orders.borrow_and_update().clone();
                bell = order.reports.bell();
                it.take(order).await?;
            }
            Ok(()) = bell.changed() => it.look()?,
            status = ended(&mut it.child) => {
                let status = status?;
                tracing::info!("exec: the child ended by itself ({}); stopping", described(status));
                // Whatever it has left behind.
                it.end().await?;
                return Ok(code(status, None));
            }
            signal = next(&mut it.signals) => it.child.iter().for_each(|child| child.signal(signal)),
            () = sleep_until(it.due.unwrap_or_else(Instant::now)), if it.due.is_some() => it.tell(&stop).await?,
        }
    }
}

impl Supervisor {
    /// The child stays, unless it is another one that is asked for.
    async fn take(&mut self, order: Order) -> Result<(), ExecError> {
        if order.settings.is_some() && self.signals.is_none() {
            self.signals = Some(Forwarded::listen().map_err(ExecError::Signals)?);
        }
        if order.settings == self.order.settings {
            // A new run counts from 0.
            self.known.values_mut().for_each(|(_, writes)| *writes = 0);
        } else {
            if self.child.is_some() {
                tracing::info!("exec: its settings have changed: the child is ended");
            }
            self.end().await?;
            // That was ours to ask for, and says nothing of the one to come.
            self.code = 0;
        }
        self.order = order;
        self.look()
    }

    /// Starts the child if it is time, and sees whether it has to hear something.
    fn look(&mut self) -> Result<(), ExecError> {
        let Some(settings) = &self.order.settings else { return Ok(()) };
        let reports = self.order.reports.snapshot().entries;
        let open: Vec<_> = reports.iter().filter(|(_, report)| report.in_line.is_none()).collect();
        if self.child.is_none() && open.is_empty() {
            self.start()?;
            return Ok(());
        }
        let Some(child) = &self.child else {
            self.say(&open);
            return Ok(());
        };
        if self.due.is_none() && is_news(settings, &self.known, &reports, |pid| child.has(pid)) {
            self.due = Some(Instant::now() + jitter::up_to(settings.splay));
        }
        Ok(())
    }

    fn start(&mut self) -> Result<(), ExecError> {
        if let Some(settings) = &self.order.settings {
            // What is written from here on is news.
            self.known = known(&self.order.reports.snapshot().entries);
            self.child = Some(Child::start(settings)?);
            (self.code, self.said) = (0, None);
        }
        Ok(())
    }

    fn say(&mut self, open: &[(&String, &Report)]) {
        let trouble =
            |(name, report): &(&String, &Report)| Some(format!("target {name}: {}", report.trouble.as_ref()?));
        let trouble: Vec<_> = open.iter().filter_map(trouble).collect();
        if self.said.as_ref() == Some(&trouble) {
            return;
        }
        if trouble.is_empty() {
            let names: Vec<_> = open.iter().map(|(name, _)| name.as_str()).collect();
            tracing::info!("exec: the child starts when all targets are in line; {} to come", names.join(", "));
        } else {
            tracing::warn!("exec: the child is not started: {}", trouble.join("; "));
        }
        self.said = Some(trouble);
    }

    /// Lets the child know that files are new.
    async fn tell(&mut self, stop: &CancellationToken) -> Result<(), ExecError> {
        self.due = None;
        let signal = self.order.settings.as_ref().and_then(|settings| settings.reload_signal);
        match (signal, &self.child) {
            (Some(Signal(signal)), Some(child)) => {
                self.known.extend(known(&self.order.reports.snapshot().entries));
                child.signal(signal);
                tracing::info!("exec: files are new: sent {signal} to the child");
                Ok(())
            }
            _ => {
                tracing::info!("exec: files are new: the child is restarted");
                self.end().await?;
                if stop.is_cancelled() { Ok(()) } else { self.start() }
            }
        }
    }

    /// Ends the child, and all that it has started.
    async fn end(&mut self) -> Result<(), ExecError> {
        self.due = None;
        if let Some(child) = self.child.take() {
            let asked = child.kill_signal();
            let status = child.end().await?;
            tracing::debug!("exec: the child has ended ({})", described(status));
            self.code = code(status, Some(asked));
        }
        Ok(())
    }
}

/// The end of the child; never comes without one.
async fn ended(child: &mut Option<Child>) -> Result<ExitStatus, ExecError> {
    match child {
        Some(child) => child.wait().await,
        None => pending().await,
    }
}

/// The next signal for the child.
async fn next(signals: &mut Option<Forwarded>) -> nix::sys::signal::Signal {
    match signals {
        Some(signals) => signals.next().await,
        None => pending().await,
    }
}

fn known(reports: &BTreeMap<String, Report>) -> Known {
    let known = |(name, report): (&String, &Report)| Some((name.clone(), (report.in_line?, report.writes)));
    reports.iter().filter_map(known).collect()
}

/// Whether a target that concerns the child has other files than it knows. One that is in trouble has none to show, and
/// one that has proven its reload on a process of the child's (`is_ours`) has told it already.
fn is_news(
    settings: &Settings,
    known: &Known,
    reports: &BTreeMap<String, Report>,
    is_ours: impl Fn(i32) -> bool,
) -> bool {
    let is_news = |(name, report): (&String, &Report)| {
        let now = report.in_line.map(|files| (files, report.writes));
        let is_proven = || report.proven.is_some_and(&is_ours);
        settings.concerns(name) && now.is_some() && now.as_ref() != known.get(name) && !is_proven()
    };
    reports.iter().any(is_news)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_news() {
        let report = |files: &str, writes| Report {
            in_line: Some(Digest::of(&[files.as_bytes()])),
            writes,
            ..Report::default()
        };
        let reports =
            |one: &Report, other: &Report| BTreeMap::from([("a".into(), one.clone()), ("b".into(), other.clone())]);
        let (first, second, again) = (report("1", 0), report("2", 1), report("1", 2));
        let trouble = Report { trouble: Some("refused".into()), writes: 1, ..Report::default() };
        let proven = |pid| Report { proven: Some(pid), ..report("2", 1) };
        let settings = |keys: &str| {
            let section = toml::from_str::<Section>(&format!("command = 'x'\n{keys}")).expect("it is right");
            section.settings([&"a".into(), &"b".into()]).expect("it is right").expect("there is a command")
        };
        let (all, only_a) = (settings(""), settings("targets = ['a']"));
        let before = known(&reports(&first, &first));
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
            assert_eq!(is_news(settings, &before, &reports, is_ours), expected, "{what}");
        }
        assert!(is_news(&all, &Known::new(), &reports(&first, &trouble), is_ours), "a target that it does not know");
    }
}
