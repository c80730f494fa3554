//! What asks for the configuration to be read again: SIGHUP, and a save of its file.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use anyhow::Context;
use portreeve::sys::file_watch::{FileWatcher, Inotify, WatchedPath};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens for both.
pub(super) struct ReloadTrigger {
    sighup: Signal,
    file: PathBuf,
    watcher: Option<FileWatcher>,
}

/// Why the configuration is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ReloadCause {
    /// Somebody asked for it.
    Sighup,
    /// This file has changed, or may have while nobody looked.
    FileChanged(PathBuf),
}

impl ReloadTrigger {
    /// `file`: the configuration file. It need not exist yet.
    pub(super) fn new(file: &Path) -> anyhow::Result<Self> {
        let hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
        // Without a current directory, a relative path cannot have been read either.
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        Ok(Self { sighup: hangups, file, watcher: None })
    }

    /// Whether saves count from now on.
    pub(super) fn set_watching(&mut self, saves: bool) {
        if saves {
            let watched = || [WatchedPath::File(self.file.clone())];
            self.watcher.get_or_insert_with(|| FileWatcher::new(&Inotify::shared(), watched()));
        } else {
            self.watcher = None;
        }
    }

    /// Waits for the next. May be dropped and called again.
    pub(super) async fn next(&mut self) -> ReloadCause {
        let saved = async {
            match &mut self.watcher {
                Some(saves) => {
                    saves.changed().await;
                    ReloadCause::FileChanged(self.file.clone())
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(()) = self.sighup.recv() => ReloadCause::Sighup,
            cause = saved => cause,
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
