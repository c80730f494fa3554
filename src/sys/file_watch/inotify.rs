//! The inotify instance of this process: all watchers share it, since the kernel limits the instances of a user.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{
        LazyLock, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use nix::errno::Errno;
use notify::{
    ErrorKind, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use tokio::sync::watch;

use crate::{core::condition::error_chain, sys::regular_file::is_absent};

#[derive(Debug)]
pub(super) struct Inotify {
    /// `None`: not tried yet, or refused by the kernel.
    watcher: Mutex<Option<RecommendedWatcher>>,
    events: watch::Sender<()>,
    is_failure_logged: AtomicBool,
}

/// Why the kernel does not report all changes.
#[derive(Debug, thiserror::Error)]
enum InotifyError {
    #[error("too many inotify watches; raise fs.inotify.max_user_watches")]
    TooManyWatches,
    #[error("too many inotify instances; raise fs.inotify.max_user_instances")]
    TooManyInstances,
    #[error(transparent)]
    Other(notify::Error),
}

impl From<notify::Error> for InotifyError {
    fn from(error: notify::Error) -> Self {
        match &error.kind {
            ErrorKind::MaxFilesWatch => Self::TooManyWatches,
            ErrorKind::Io(io) if io.raw_os_error() == Some(Errno::EMFILE as i32) => Self::TooManyInstances,
            _ => Self::Other(error),
        }
    }
}

impl Inotify {
    pub(super) fn shared() -> &'static Self {
        static SHARED: LazyLock<Inotify> = LazyLock::new(|| Inotify {
            watcher: Mutex::default(),
            events: watch::Sender::new(()),
            is_failure_logged: AtomicBool::new(false),
        });
        &SHARED
    }

    /// A receiver that is notified of each event in a watched directory.
    pub(super) fn events(&self) -> watch::Receiver<()> {
        self.events.subscribe()
    }

    /// Adds these directories to the watched ones. Adding one again is cheap, and necessary if another directory has
    /// replaced it. Directories stay watched: there are few, and an event without a change costs one snapshot.
    pub(super) fn watch(&self, directories: &BTreeSet<PathBuf>) {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        for directory in directories {
            let watched = match &mut *watcher {
                Some(watcher) => watcher.watch(directory, RecursiveMode::NonRecursive),
                none => start(self.events.clone())
                    .and_then(|watcher| none.insert(watcher).watch(directory, RecursiveMode::NonRecursive)),
            };
            match watched {
                Err(error) if !is_gone(&error) => self.log_failure(error.into()),
                _ => {}
            }
        }
    }

    /// Logged once per process: changes are still found by polling.
    fn log_failure(&self, error: InotifyError) {
        if !self.is_failure_logged.swap(true, Ordering::Relaxed) {
            let reason = error_chain(&error);
            tracing::warn!(reason, "watching files: changes are found only by polling every 2 s: {reason}");
        }
    }
}

fn start(events: watch::Sender<()>) -> notify::Result<RecommendedWatcher> {
    notify::recommended_watcher(move |event: notify::Result<Event>| {
        // After an error, events may be missing.
        if event.map_or(true, |event| is_change(event.kind)) {
            events.send_replace(());
        }
    })
}

/// Reading a file is not a change. Otherwise each snapshot would cause the next one.
fn is_change(kind: EventKind) -> bool {
    !matches!(kind, EventKind::Access(access) if access != AccessKind::Close(AccessMode::Write))
}

/// The directory was removed in the meantime.
fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => is_absent(error),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{CreateKind, ModifyKind, RemoveKind, RenameMode};

    use super::*;

    #[test]
    fn reading_is_not_a_change() {
        let changes = [
            EventKind::Access(AccessKind::Close(AccessMode::Write)),
            EventKind::Create(CreateKind::File),
            EventKind::Modify(ModifyKind::Name(RenameMode::To)),
            EventKind::Remove(RemoveKind::Folder),
            EventKind::Other,
        ];
        assert!(changes.into_iter().all(is_change));
        let reads = [AccessKind::Open(AccessMode::Any), AccessKind::Read, AccessKind::Close(AccessMode::Read)];
        assert!(!reads.into_iter().map(EventKind::Access).any(is_change));
    }
}
