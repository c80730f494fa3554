//! Says when files have changed: their content, not their times.
//!
//! ```text
//! inotify --something happened--> quiet for 100 ms --> look --differs--> changed
//!            every 2 s ----------------------------------^
//! ```
//!
//! Level, not edge: a notice of the kernel only says that it is time to look, and it is looked every 2 s without one, for
//! file systems that give none (NFS, some overlays), and where the kernel's limit on watches is reached.

mod event_debounce;
mod inotify;
mod path_resolution;
mod snapshot;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

pub use self::inotify::Inotify;
use self::{event_debounce::EventDebounce, inotify::Subscription, snapshot::FileSnapshot};
pub(crate) use self::{
    path_resolution::{read_entry, resolve_links},
    snapshot::{is_absent, open},
};
use crate::sys::blocking::blocking;

/// Time between two looks that nothing gave rise to.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// What is watched. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WatchedPath {
    /// A file's content, wherever links lead.
    File(PathBuf),
    /// Where a path really lies.
    RealPath(PathBuf),
    /// The files below a directory that have this extension; hidden files and directories do not count.
    Directory {
        /// The directory.
        root: PathBuf,
        /// Without a dot.
        extension: String,
    },
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct FileWatcher {
    paths: Arc<[WatchedPath]>,
    subscription: Arc<Subscription>,
    /// What the user knows of. `None`: nothing yet.
    reported: Option<Arc<FileSnapshot>>,
    /// The newest look: its files need not be read again.
    last: Arc<FileSnapshot>,
    quiet: EventDebounce,
    next_poll: Instant,
}

impl FileWatcher {
    /// Begins with the first call of [`Self::changed`].
    pub fn new(ear: &Inotify, subjects: impl IntoIterator<Item = WatchedPath>) -> Self {
        Self {
            paths: subjects.into_iter().collect(),
            subscription: Arc::new(ear.subscribe()),
            reported: None,
            last: Arc::default(),
            quiet: EventDebounce::default(),
            next_poll: Instant::now(),
        }
    }

    /// Waits for a change, and names the files that are not as they were. The first call returns at once, with all that
    /// there are: whoever reads them after it misses no change.
    ///
    /// A file counts as changed when nothing has happened to it for 100 ms, or 1 s after something first did. May be
    /// dropped and called again.
    pub async fn changed(&mut self) -> BTreeSet<PathBuf> {
        loop {
            let due = self.quiet.due().unwrap_or(self.next_poll);
            tokio::select! {
                () = self.subscription.notified(), if self.reported.is_some() => {
                    self.quiet.record_event(Instant::now());
                    continue;
                }
                () = sleep_until(due) => {}
            }
            let look = self.take_snapshot().await;
            let now = Instant::now();
            let differences = look.differences(self.reported.as_deref().unwrap_or(&FileSnapshot::default()));
            self.last = Arc::clone(&look);
            self.next_poll = now + POLL_INTERVAL;
            let expected = self.quiet.due().is_some() || self.reported.is_none();
            self.quiet.reset();
            if !differences.is_empty() && !expected {
                // Seen without a notice, so perhaps in the middle of a save.
                self.quiet.record_event(now);
            } else if !differences.is_empty() || self.reported.is_none() {
                self.reported = Some(look);
                return differences;
            }
        }
    }

    /// Looks, and sees to it that the next change is heard of.
    async fn take_snapshot(&self) -> Arc<FileSnapshot> {
        let (subjects, hearing, last) =
            (Arc::clone(&self.paths), Arc::clone(&self.subscription), Arc::clone(&self.last));
        blocking(move || {
            let look = FileSnapshot::take(&subjects, &last);
            let more = hearing.set(&Arc::new(look.route.clone()));
            // What is heard of only now may have changed between the look and now.
            Arc::new(if more { FileSnapshot::take(&subjects, &look) } else { look })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
