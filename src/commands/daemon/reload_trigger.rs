//! When the configuration is read again: after SIGHUP, and when its file changes.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use portreeve::sys::file_watch::{FileWatcher, WatchedPath};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGHUP and for changes of the configuration file.
pub(super) struct ReloadTrigger {
    sighup: Signal,
    file: PathBuf,
    watcher: Option<FileWatcher>,
}

/// Why the configuration is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReloadCause {
    /// The signal.
    Sighup,
    /// This file has changed, or may have changed before it was watched.
    FileChanged(PathBuf),
}

impl ReloadTrigger {
    /// `file`: the configuration file. It need not exist yet.
    pub(super) fn new(file: &Path) -> anyhow::Result<Self> {
        let sighup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        // Without a working directory, a relative path could not be read, either.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Ok(Self { sighup, file, watcher: None })
    }

    /// Starts or stops watching the file.
    pub(super) fn set_watching(&mut self, is_watching: bool) {
        if is_watching {
            let file = || WatchedPath::File(self.file.clone());
            self.watcher.get_or_insert_with(|| FileWatcher::new([file()]));
        } else {
            self.watcher = None;
        }
    }

    /// Waits for the next cause. Cancel safe.
    pub(super) async fn next(&mut self) -> ReloadCause {
        let file_changed = async {
            match &mut self.watcher {
                Some(watcher) => {
                    watcher.changed().await;
                    ReloadCause::FileChanged(self.file.clone())
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = self.sighup.recv() => ReloadCause::Sighup,
            cause = file_changed => cause,
        }
    }
}

impl fmt::Display for ReloadCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sighup => f.write_str("SIGHUP"),
            Self::FileChanged(file) => write!(f, "{} has changed", file.display()),
        }
    }
}
