//! Says when files have changed: their content, not their times.
//!
//! ```text
//! inotify --something happened--> quiet for 100 ms --> look --differs--> changed
//!            every 2 s ----------------------------------^
//! ```
//!
//! Level, not edge: a notice of the kernel only says that it is time to look, and it is looked every 2 s without one, for
//! file systems that give none (NFS, some overlays), and where the kernel's limit on watches is reached.

mod ear;
mod look;
mod quiet;
mod route;

use std::{collections::BTreeSet, path::PathBuf, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until};

pub use self::ear::Ear;
use self::{ear::Hearing, look::Look, quiet::Quiet};
pub(crate) use self::{
    look::{is_absent, open},
    route::{follow, on_disk},
};
use crate::sys::blocking::blocking;

/// Time between two looks that nothing gave rise to.
const SLOW: Duration = Duration::from_secs(2);

/// What is watched. Paths are absolute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A file's content, wherever links lead.
    File(PathBuf),
    /// Where a path really lies.
    Place(PathBuf),
    /// The files below a directory that have this extension; hidden files and directories do not count.
    Tree {
        /// The directory.
        root: PathBuf,
        /// Without a dot.
        extension: String,
    },
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watched {
    subjects: Arc<[Subject]>,
    hearing: Arc<Hearing>,
    /// What the user knows of. `None`: nothing yet.
    told: Option<Arc<Look>>,
    /// The newest look: its files need not be read again.
    last: Arc<Look>,
    quiet: Quiet,
    slow_at: Instant,
}

impl Watched {
    /// Begins with the first call of [`Self::changed`].
    pub fn new(ear: &Ear, subjects: impl IntoIterator<Item = Subject>) -> Self {
        Self {
            subjects: subjects.into_iter().collect(),
            hearing: Arc::new(ear.listen()),
            told: None,
            last: Arc::default(),
            quiet: Quiet::default(),
            slow_at: Instant::now(),
        }
    }

    /// Waits for a change, and names the files that are not as they were. The first call returns at once, with all that
    /// there are: whoever reads them after it misses no change.
    ///
    /// A file counts as changed when nothing has happened to it for 100 ms, or 1 s after something first did. May be
    /// dropped and called again.
    pub async fn changed(&mut self) -> BTreeSet<PathBuf> {
        loop {
            let due = self.quiet.due().unwrap_or(self.slow_at);
            tokio::select! {
                () = self.hearing.heard(), if self.told.is_some() => {
                    self.quiet.sign(Instant::now());
                    continue;
                }
                () = sleep_until(due) => {}
            }
            let look = self.look().await;
            let now = Instant::now();
            let differences = look.differences(self.told.as_deref().unwrap_or(&Look::default()));
            self.last = Arc::clone(&look);
            self.slow_at = now + SLOW;
            let expected = self.quiet.due().is_some() || self.told.is_none();
            self.quiet.over();
            if !differences.is_empty() && !expected {
                // Seen without a notice, so perhaps in the middle of a save.
                self.quiet.sign(now);
            } else if !differences.is_empty() || self.told.is_none() {
                self.told = Some(look);
                return differences;
            }
        }
    }

    /// Looks, and sees to it that the next change is heard of.
    async fn look(&self) -> Arc<Look> {
        let (subjects, hearing, last) = (Arc::clone(&self.subjects), Arc::clone(&self.hearing), Arc::clone(&self.last));
        blocking(move || {
            let look = Look::take(&subjects, &last);
            let more = hearing.set(&Arc::new(look.route.clone()));
            // What is heard of only now may have changed between the look and now.
            Arc::new(if more { Look::take(&subjects, &look) } else { look })
        })
        .await
    }
}

#[cfg(test)]
mod tests;
