//! What asks for the configuration to be read again: SIGHUP, and a save of its file.

use std::{fmt, path::PathBuf};

use anyhow::Context;
use portreeve::sys::file_watch::{Ear, Subject, Watched};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for both.
pub(super) struct Again {
    hangups: Signal,
    file: Option<PathBuf>,
    saves: Option<Watched>,
}

/// Why the configuration is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody asked for it.
    Hangup,
    /// This file has changed, or may have while nobody looked.
    Saved(PathBuf),
}

impl Again {
    /// `file`: the configuration file, if there is one.
    pub(super) fn new(file: Option<PathBuf>) -> anyhow::Result<Self> {
        let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        // Without a current directory, a relative path cannot have been read either.
        let file = file.map(|file| std::path::absolute(&file).unwrap_or(file));
        Ok(Self { hangups, file, saves: None })
    }

    /// Whether saves count from now on.
    pub(super) fn watch(&mut self, saves: bool) {
        match &self.file {
            Some(file) if saves => {
                self.saves.get_or_insert_with(|| Watched::new(&Ear::shared(), [Subject::File(file.clone())]));
            }
            _ => self.saves = None,
        }
    }

    /// Waits for the next. May be dropped and called again.
    pub(super) async fn next(&mut self) -> Cause {
        let saved = async {
            match (&mut self.saves, &self.file) {
                (Some(saves), Some(file)) => {
                    saves.changed().await;
                    Cause::Saved(file.clone())
                }
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = self.hangups.recv() => Cause::Hangup,
            cause = saved => cause,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hangup => f.write_str("SIGHUP"),
            Self::Saved(file) => write!(f, "{} has changed", file.display()),
        }
    }
}
