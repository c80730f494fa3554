//! Reports which files have changed. A file has changed if its content differs; its times do not count.
//!
//! ```text
//! inotify event ──100 ms──┐
//!                         ├─► snapshot (content hashes) ──differs──► repeat until two are equal ──► changed()
//! every 2 s ──────────────┘
//! ```
//!
//! An inotify event carries no data, it only makes the next snapshot earlier. The poll covers what inotify does not
//! report: network file systems, an exhausted limit of the kernel, and symlinks that are replaced in a directory that
//! is not watched.

mod inotify;
mod snapshot;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use self::{
    inotify::Inotify,
    snapshot::{FileSnapshot, Scan, differences},
};
use crate::sys::blocking::blocking;

/// Time between two snapshots without an event.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Time from an event, or from a snapshot that differs, to the next snapshot.
const DEBOUNCE: Duration = Duration::from_millis(100);

/// A file that keeps changing is reported after this time.
const MAX_DEBOUNCE: Duration = Duration::from_secs(1);

/// What is watched. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchedPath {
    /// The content of a file; symlinks are followed.
    File(PathBuf),
    /// The path with all symlinks resolved.
    RealPath(PathBuf),
    /// The files below a directory that have this extension. Hidden files and directories are left out.
    Directory {
        /// The directory.
        root: PathBuf,
        /// Without the dot.
        extension: String,
    },
}

/// Watches some paths until it is dropped.
#[derive(Debug)]
pub struct FileWatcher {
    paths: Arc<[WatchedPath]>,
    /// `None`: poll only.
    inotify: Option<&'static Inotify>,
    events: watch::Receiver<()>,
    /// The snapshot that the caller knows. `None` before the first call of [`Self::changed`].
    reported: Option<FileSnapshot>,
    next_snapshot: Instant,
}

impl FileWatcher {
    /// Watching begins with the first call of [`Self::changed`].
    pub fn new(paths: impl IntoIterator<Item = WatchedPath>) -> Self {
        let inotify = Inotify::shared();
        Self {
            paths: paths.into_iter().collect(),
            inotify: Some(inotify),
            events: inotify.events(),
            reported: None,
            next_snapshot: Instant::now(),
        }
    }

    /// Waits for a change, and returns the files that changed. The first call returns all files that exist, without
    /// waiting: a caller that reads them afterwards misses no change.
    ///
    /// A change is reported when the files have been the same for 100 ms, or after 1 s. Cancel safe: a call that is
    /// dropped loses no change.
    pub async fn changed(&mut self) -> BTreeSet<PathBuf> {
        loop {
            self.until_due().await;
            let mut snapshot = self.take_snapshot().await;
            let begin = Instant::now();
            if let Some(reported) = &self.reported {
                // A save is several steps, and the file may be missing between two of them.
                while snapshot != *reported && begin.elapsed() < MAX_DEBOUNCE {
                    sleep(DEBOUNCE).await;
                    let next = self.take_snapshot().await;
                    if next == snapshot {
                        break;
                    }
                    snapshot = next;
                }
            }
            self.next_snapshot = Instant::now() + POLL_INTERVAL;
            let differences = differences(self.reported.as_ref().unwrap_or(&FileSnapshot::new()), &snapshot);
            let is_first = self.reported.replace(snapshot).is_none();
            if is_first || !differences.is_empty() {
                return differences;
            }
        }
    }

    async fn until_due(&mut self) {
        loop {
            tokio::select! {
                Ok(()) = self.events.changed() => {
                    self.next_snapshot = self.next_snapshot.min(Instant::now() + DEBOUNCE);
                }
                () = sleep_until(self.next_snapshot) => return,
            }
        }
    }

    async fn take_snapshot(&self) -> FileSnapshot {
        let (paths, inotify) = (Arc::clone(&self.paths), self.inotify);
        blocking(move || {
            let scan = Scan::of(&paths);
            // Before the files are read, so that every later change causes an event.
            if let Some(inotify) = inotify {
                inotify.watch(&scan.directories);
            }
            scan.read()
        })
        .await
    }
}

#[cfg(test)]
mod tests;
